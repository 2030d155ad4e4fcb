//! What the index of dead letters costs: one JSON line per figure.
//!
//! `cargo bench -p control --bench index -- [LETTERS [SELECTORS]]`: 100,000 letters and 1,000 selectors of columns, with
//! a tenth as many that scan, unless told otherwise.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::time::{Duration, Instant};

use control::index::{Index, List, Order};
use control::letter::{LetterEvent, State};
use control::selector::Selector;
use document::{Category, Code, DeadLetterId, FlowName, Headers, Received, Record, Stage, Version, topic};
use serde_json::json;

const BATCH: u64 = 1_000;
const NOW: i64 = 1_770_000_000_000;
const DAY: u64 = 86_400_000;
const PAGE: usize = 100;
const FLOWS: [&str; 8] =
    ["misc-inbound", "misc-outbound", "purchase", "sales", "transfer", "receipt", "payment", "assembly"];

/// SplitMix64: the same letters and selectors in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        let place = usize::try_from(self.below(values.len() as u64)).expect("below a length");
        values[place]
    }
}

/// A letter of a bill with five lines, about two kilobytes.
fn letter(number: u64, chance: &mut Chance) -> (DeadLetterId, Received) {
    let flow = chance.one_of(&FLOWS);
    let document = format!("WW-{:08}", number);
    let stage = chance.one_of(&Stage::ALL);
    let code = chance.one_of(Code::ALL);
    let version = 1_760_000_000_000_000 + number;
    let id = DeadLetterId::of(
        &FlowName::new(flow).expect("a flow's name"),
        &document.as_str().into(),
        Version(version),
        stage,
    );
    let age = chance.below(30 * DAY);
    let first_failed = NOW - i64::try_from(age).expect("a month");
    let last_failed = first_failed + i64::try_from(chance.below(age + 1)).expect("a month");
    let lines: Vec<_> = (1..=5)
        .map(|line| {
            json!({
                "FEntryID": number * 10 + line,
                "FMaterialId": {"FNumber": format!("M-{:05}", chance.below(50_000))},
                "FUnitID": {"FNumber": "Pcs"}, "FStockId": {"FNumber": format!("CK{:03}", chance.below(100))},
                "FQty": format!("{}.{:02}", chance.below(1_000), chance.below(100)).parse::<serde_json::Number>().expect("a number"),
                "FEntryNote": "来自上游系统的其他入库单分录",
            })
        })
        .collect();
    let body = json!({
        "FBillNo": document, "FBillTypeID": {"FNumber": "QTRKD01_SYS"}, "FDate": "2026-01-31 00:00:00",
        "FStockOrgId": {"FNumber": format!("{:03}", chance.below(40))}, "FNote": "其他入库", "FEntity": lines,
    });
    let mut headers = Headers::new();
    headers
        .set("dl-id", &id)
        .set("dl-schema", 1)
        .set("dl-tenant", "default")
        .set("dl-flow", flow)
        .set("dl-flow-version", "0123456789abcdef")
        .set("dl-stage", stage)
        .set("dl-category", code.category())
        .set("dl-code", code)
        .set("dl-message", format!("编码值[\"M-{:05}\"]在目标系统中不存在或未审核", chance.below(50_000)))
        .set("dl-field", "FMATERIALID")
        .set("dl-record-key", &document)
        .set("dl-record-version", version)
        .set("dl-attempts", 1 + chance.below(5))
        .set("dl-first-failed-at", first_failed)
        .set("dl-last-failed-at", last_failed)
        .set("dl-origin-topic", format!("starbridge.{flow}.mapped"))
        .set("dl-origin-partition", chance.below(6))
        .set("dl-origin-offset", number)
        .set("sb-target-key", format!("SB-{document}"))
        .set("sb-digest", "00112233445566778899aabbccddeeff");
    let record = Record { key: id.0.clone().into_bytes(), headers, value: Some(body.to_string().into_bytes()) };
    let partition = i32::try_from(number % 6).expect("a partition");
    let offset = i64::try_from(number / 6).expect("an offset");
    let received = Received { topic: topic::DEAD_LETTERS.to_owned(), partition, offset, timestamp: None, record };
    (id, received)
}

fn event(offset: u64, id: &DeadLetterId, chance: &mut Chance) -> Received {
    let mut event = LetterEvent::new(chance.one_of(&State::ALL), 1, "ops", NOW);
    event.replay = Some(format!("job-{}", chance.below(50)));
    event.reason = Some("物料已在目标系统建档".to_owned());
    Received {
        topic: topic::DEAD_LETTER_EVENTS.to_owned(),
        partition: 0,
        offset: i64::try_from(offset).expect("an offset"),
        timestamp: None,
        record: event.record(id),
    }
}

/// Fills the index and tells how long the index took of it.
fn fill(index: &Index, letters: u64) -> Duration {
    let mut chance = Chance(1);
    let mut taken = Duration::ZERO;
    let mut events = 0;
    for begin in (0..letters).step_by(usize::try_from(BATCH).expect("small")) {
        let mut batch = Vec::new();
        for number in begin..(begin + BATCH).min(letters) {
            let (id, record) = letter(number, &mut chance);
            batch.push(record);
            // Something happened to every third letter.
            if number % 3 == 0 {
                batch.push(event(events, &id, &mut chance));
                events += 1;
            }
        }
        let begun = Instant::now();
        index.apply(&batch).expect("applied");
        taken += begun.elapsed();
    }
    taken
}

/// A condition on the columns.
fn column_condition(chance: &mut Chance) -> String {
    match chance.below(11) {
        0 => format!("flow = {}", chance.one_of(&FLOWS)),
        1 => format!("flow in ({}, {})", chance.one_of(&FLOWS), chance.one_of(&FLOWS)),
        2 => format!("category in ({}, {})", chance.one_of(&Category::ALL), chance.one_of(&Category::ALL)),
        3 => format!("code = {}", chance.one_of(Code::ALL)),
        4 => format!("age > {}h", chance.below(720)),
        5 => format!("age < {}h", 1 + chance.below(720)),
        6 => format!("attempts < {}", 1 + chance.below(5)),
        7 => format!("state = {}", chance.one_of(&State::ALL)),
        8 => format!("stage != {}", chance.one_of(&Stage::ALL)),
        9 => format!("replay = job-{}", chance.below(60)),
        _ => format!("document between WW-{:08} and WW-{:08}", chance.below(50_000), 50_000 + chance.below(50_000)),
    }
}

fn by_columns(chance: &mut Chance) -> String {
    let link = if chance.below(4) == 0 { " or " } else { " and " };
    let conditions: Vec<String> = (0..=chance.below(4)).map(|_| column_condition(chance)).collect();
    conditions.join(link)
}

/// A condition on body or pattern, now and then beside one on the columns.
fn by_scan(chance: &mut Chance) -> String {
    let scan = match chance.below(6) {
        0 => format!("payload.FBillNo = \"WW-{:08}\"", chance.below(100_000)),
        1 => format!("payload.FEntity[*].FQty > {}", 900 + chance.below(99)),
        2 => format!("payload.FEntity[0].FMaterialId.FNumber = \"M-{:05}\"", chance.below(50_000)),
        3 => format!("payload.FStockOrgId.FNumber = \"{:03}\"", chance.below(40)),
        4 => format!("message ~ \"M-{:03}\\d[13579]\"", chance.below(500)),
        _ => "code ~ \"^E_(SOURCE|TARGET)_\"".to_owned(),
    };
    match chance.below(3) {
        0 => format!("{scan} and {}", column_condition(chance)),
        _ => scan,
    }
}

fn figure(name: &str, value: f64, unit: &str, letters: u64) {
    println!("{}", json!({"name": name, "value": value, "unit": unit, "letters": letters}));
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// Median, 95th of a hundred, and the longest.
fn spread(name: &str, mut times: Vec<Duration>, letters: u64) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    for (part, time) in [("median", at(50)), ("p95", at(95)), ("max", at(100))] {
        figure(&format!("{name}_{part}"), millis(time), "ms", letters);
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let done = work();
    (begun.elapsed(), done)
}

/// A line of `/proc/self/status`, in MiB.
fn memory(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux machine");
    let kib = status.lines().find_map(|text| text.strip_prefix(line)).and_then(|rest| rest.split_whitespace().next());
    kib.expect("the line").parse::<f64>().expect("a number") / 1024.0
}

fn main() {
    // Cargo adds words of its own.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let letters = numbers.next().unwrap_or(100_000);
    let selectors = numbers.next().unwrap_or(1_000);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("letters.db");
    let index = Index::open(&path).expect("an index");

    let taken = fill(&index, letters);
    figure("rebuild", taken.as_secs_f64(), "s", letters);
    let size = std::fs::metadata(&path).expect("a file").len();
    figure("disk", size as f64 / letters as f64, "B/letter", letters);

    let mut chance = Chance(2);
    let orders = [Order::FirstFailed, Order::LastFailed, Order::Document];
    let (mut lists, mut counts, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..selectors {
        let selector = Selector::parse(&by_columns(&mut chance)).expect("readable");
        let (order, descending) = (chance.one_of(&orders), chance.below(2) == 0);
        let list = List { selector: &selector, order, descending, page_token: None, limit: PAGE, now: NOW };
        lists.push(timed(|| index.list(&list).expect("a page")).0);
        counts.push(timed(|| index.count(&selector, NOW).expect("counted")).0);
        jobs.push(timed(|| index.ids(&selector, None, PAGE, NOW).expect("a page")).0);
    }
    spread("list_by_columns", lists, letters);
    spread("count_by_columns", counts, letters);
    spread("ids_by_columns", jobs, letters);

    let (mut lists, mut counts, mut ended) = (Vec::new(), Vec::new(), 0);
    for _ in 0..selectors.div_ceil(10) {
        let selector = Selector::parse(&by_scan(&mut chance)).expect("readable");
        let (order, descending) = (chance.one_of(&orders), chance.below(2) == 0);
        let list = List { selector: &selector, order, descending, page_token: None, limit: PAGE, now: NOW };
        lists.push(timed(|| index.list(&list).expect("a page")).0);
        let (time, count) = timed(|| index.count(&selector, NOW).expect("counted"));
        counts.push(time);
        ended += u32::from(count.scan.is_some_and(|scan| scan.limit_reached));
    }
    spread("list_by_scan", lists, letters);
    spread("count_by_scan", counts, letters);
    figure("count_by_scan_limit_reached", f64::from(ended) / selectors.div_ceil(10) as f64, "share", letters);

    figure("stats", millis(timed(|| index.stats(&Selector::all(), NOW).expect("stats")).0), "ms", letters);
    figure("digest", millis(timed(|| index.digest().expect("a digest")).0), "ms", letters);
    figure("memory_peak", memory("VmHWM:"), "MiB", letters);
    figure("memory", memory("VmRSS:"), "MiB", letters);
}
