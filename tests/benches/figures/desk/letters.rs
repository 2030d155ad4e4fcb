//! Dead letters as the stages write them, and what became of some: the same in every run.

use document::{
    Category, Code, DeadLetter, DeadLetterId, FlowName, Headers, Record, Stage, Tenant, TraceParent, Version,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Number, Value, json};

use control::letter::{Edit, LetterEvent, State};

/// The time by which ages are told, unix milliseconds.
pub(super) const NOW: i64 = 1_770_000_000_000;
/// Milliseconds of an hour; the oldest letter failed [`HOURS`] ago.
const HOUR: i64 = 3_600_000;
pub(super) const HOURS: i64 = 30 * 24;
pub(super) const FLOWS: [&str; 8] =
    ["misc-inbound", "misc-outbound", "purchase", "sales", "transfer", "receipt", "payment", "assembly"];
pub(super) const FLOW_VERSIONS: [&str; 2] = ["0123456789abcdef", "fedcba9876543210"];
pub(super) const FIELDS: [&str; 3] = ["FMATERIALID", "FSTOCKID", "FEntity[2].FQty"];
pub(super) const REASONS: [&str; 2] = ["物料已在目标系统建档", "stock was corrected"];
pub(super) const PEOPLE: [&str; 3] = ["li", "wang", "control"];
pub(super) const JOBS: u32 = 60;
pub(super) const MATERIALS: u32 = 50_000;
pub(super) const ORGANISATIONS: u32 = 40;
/// What the first letter's version is above.
pub(super) const VERSIONS: u64 = 1_760_000_000_000_000;

/// A letter and the last thing that happened to it.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) id: DeadLetterId,
    pub(super) letter: Record,
    pub(super) event: Option<Record>,
}

/// One letter after the other, without end.
#[derive(Debug)]
pub(super) struct Letters {
    random: StdRng,
    number: u64,
}

impl Letters {
    pub(super) fn new() -> Self {
        Self { random: StdRng::seed_from_u64(1), number: 0 }
    }
}

/// One of several, each as likely.
pub(super) fn one_of<T: Clone>(random: &mut StdRng, values: &[T]) -> T {
    values[random.random_range(0..values.len())].clone()
}

pub(super) fn document(number: u64) -> String {
    format!("WW-{number:08}")
}

pub(super) fn message(material: u32) -> String {
    format!("编码值[\"M-{material:05}\"]在目标系统中不存在或未审核")
}

impl Iterator for Letters {
    type Item = Made;

    fn next(&mut self) -> Option<Made> {
        let number = self.number;
        self.number += 1;
        let letter = letter(number, &mut self.random);
        let id = letter.id();
        // Something happened to every third.
        let event = number.is_multiple_of(3).then(|| event(&letter, &mut self.random).record(&id));
        Some(Made { id, letter: letter.into_record(), event })
    }
}

fn letter(number: u64, random: &mut StdRng) -> DeadLetter {
    let flow = one_of(random, &FLOWS);
    let code = one_of(random, Code::ALL);
    let age = random.random_range(0..HOURS * HOUR);
    let last_failed = NOW - random.random_range(0..=age);
    let stage = one_of(random, &Stage::ALL);
    let document = document(number);
    let mut headers = Headers::new();
    headers.set("sb-document-key", &document).set("sb-digest", "00112233445566778899aabbccddeeff");
    if stage != Stage::Extract && stage != Stage::Transform {
        headers.set("sb-target-key", format!("SB-{document}"));
    }
    DeadLetter {
        tenant: Tenant::default(),
        flow: FlowName::new(flow).expect("a flow's name"),
        flow_version: one_of(random, &FLOW_VERSIONS).into(),
        document_key: document.as_str().into(),
        version: Version(VERSIONS + number),
        stage,
        category: if random.random_bool(0.9) { code.category() } else { Category::Unknown },
        code,
        message: message(random.random_range(0..MATERIALS)),
        field: random.random_bool(0.7).then(|| one_of(random, &FIELDS).to_owned()),
        origin: (stage != Stage::Extract).then(|| {
            let offset = i64::try_from(number).expect("a count");
            (format!("starbridge.{flow}.mapped"), random.random_range(0..6), offset)
        }),
        origin_timestamp: None,
        attempts: random.random_range(1..=5),
        first_failed_at: NOW - age,
        last_failed_at: last_failed,
        retry_at: random.random_bool(0.1).then(|| last_failed + HOUR),
        replay: random.random_bool(0.05).then(|| job(random)),
        // A trace of zeros is none.
        trace: Some(TraceParent { trace_id: (u128::from(number) + 1).to_be_bytes(), span_id: [1; 8], flags: 1 }),
        headers,
        claim_check: false,
        body: body(&document, number, random),
    }
}

/// A bill with five lines, about a kilobyte and a half: from the loader alone, from the transformer in a list; one in a
/// hundred is no JSON.
fn body(document: &str, number: u64, random: &mut StdRng) -> Vec<u8> {
    let lines: Vec<Value> = (1..=5)
        .map(|line| {
            let quantity = format!("{}.{:02}", random.random_range(0..1_000), random.random_range(0..100));
            json!({
                "FEntryID": number * 10 + line,
                "FMaterialId": {"FNumber": format!("M-{:05}", random.random_range(0..MATERIALS))},
                "FUnitID": {"FNumber": "Pcs"},
                "FStockId": {"FNumber": format!("CK{:03}", random.random_range(0..100))},
                "FQty": quantity.parse::<Number>().expect("a number"),
                "FEntryNote": "来自上游系统的其他入库单分录",
            })
        })
        .collect();
    let bill = json!({
        "FBillNo": document,
        "FBillTypeID": {"FNumber": "QTRKD01_SYS"},
        "FDate": format!("2026-01-{:02} 00:00:00", random.random_range(1..=31)),
        "FStockOrgId": {"FNumber": format!("{:03}", random.random_range(0..ORGANISATIONS))},
        "FNote": if random.random_bool(0.5) { json!("其他入库") } else { Value::Null },
        "FEntity": lines,
    });
    match random.random_range(0..100) {
        0 => format!("<bill>{document}</bill>").into_bytes(),
        1..=20 => json!([bill]).to_string().into_bytes(),
        _ => bill.to_string().into_bytes(),
    }
}

pub(super) fn job(random: &mut StdRng) -> String {
    format!("job-{}", random.random_range(0..JOBS))
}

fn event(letter: &DeadLetter, random: &mut StdRng) -> LetterEvent {
    let mut event =
        LetterEvent::new(one_of(random, &State::ALL), letter.attempts, one_of(random, &PEOPLE), letter.last_failed_at);
    event.replay = random.random_bool(0.5).then(|| job(random));
    event.reason = random.random_bool(0.7).then(|| one_of(random, &REASONS).to_owned());
    event.claimed_by = random.random_bool(0.2).then(|| one_of(random, &PEOPLE).to_owned());
    event.edit = random.random_bool(0.05).then(|| Edit {
        rev: 1,
        body: letter.body.clone(),
        by: "li".to_owned(),
        at: NOW,
        reason: "typo".to_owned(),
    });
    event
}
