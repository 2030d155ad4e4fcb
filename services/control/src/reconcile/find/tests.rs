//! Reports in a world that does not stand still: between any two questions bills arrive, change and are loaded, and hands
//! reach into the target. Every report is made by the code that asks the real systems.

use document::FlowVersion;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::index::Reached;

/// Seconds that a bill may need from its change to the ledger; the time of grace is longer.
const AT_MOST: i64 = 15;
const GRACE: i64 = 40;
const BEGIN: i64 = 1_700_000_000;

#[derive(Debug, Clone)]
struct SourceBill {
    content: u64,
    stamp: i64,
    emitted: u64,
}

#[derive(Debug, Clone)]
struct Held {
    id: u64,
    key: String,
    content: u64,
    /// A save leaves it open, and what follows audits it.
    status: &'static str,
    created: i64,
}

/// A version under way: read from the source, then saved, then noted.
#[derive(Debug, Clone)]
struct Flight {
    document: String,
    content: u64,
    version: u64,
    saved: Option<u64>,
    due: i64,
}

struct World {
    chance: StdRng,
    now: i64,
    count: u64,
    source: BTreeMap<String, SourceBill>,
    target: Vec<Held>,
    ledger: BTreeMap<String, (u64, u64)>,
    parked: BTreeSet<String>,
    flights: Vec<Flight>,
    to: i64,
    /// How often the world moves while one document after the other is compared.
    pace: f64,
    /// Who was touched by a hand; the flow brings no more versions of them.
    touched: BTreeSet<String>,
    /// Keys of documents that another flow has loaded into the target, with the time when its ledger says so.
    others: BTreeMap<String, i64>,
    /// Keys that the target was asked for, and how often it was asked for all of the window.
    asked: (usize, usize),
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = World {
            chance: StdRng::seed_from_u64(seed),
            now: BEGIN,
            count: 0,
            source: BTreeMap::new(),
            target: Vec::new(),
            ledger: BTreeMap::new(),
            parked: BTreeSet::new(),
            flights: Vec::new(),
            to: 0,
            pace: if seed.is_multiple_of(2) { 1.0 } else { 0.1 },
            touched: BTreeSet::new(),
            others: BTreeMap::new(),
            asked: (0, 0),
        };
        (0..40).for_each(|_| world.arrive());
        (0..200).for_each(|_| world.turn(1));
        world
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn arrive(&mut self) {
        let name = format!("B{:04}", self.next());
        self.source.insert(name, SourceBill { content: 1, stamp: self.now, emitted: 0 });
    }

    fn any(&mut self, names: &[String]) -> Option<String> {
        (!names.is_empty()).then(|| names[self.chance.random_range(0..names.len())].clone())
    }

    /// Documents that are loaded as they are in the source, and that nobody touched.
    fn settled(&self) -> Vec<String> {
        let is_settled = |name: &&String| {
            let flying = self.flights.iter().any(|flight| flight.document == **name);
            let loaded = self.ledger.contains_key(*name) && !self.parked.contains(*name);
            let emitted = self.source.get(*name).is_some_and(|bill| bill.emitted == bill.content);
            loaded && emitted && !flying && !self.touched.contains(*name)
        };
        self.source.keys().filter(is_settled).cloned().collect()
    }

    /// What happens in `seconds`.
    fn turn(&mut self, seconds: i64) {
        self.now += seconds;
        if self.chance.random_bool(0.3) {
            self.arrive();
        }
        for _ in 0..3 {
            // Any bill changes, also one that is on its way.
            let names: Vec<String> = self.source.keys().filter(|name| !self.touched.contains(*name)).cloned().collect();
            if let Some(bill) = self.any(&names).and_then(|name| self.source.get_mut(&name)) {
                bill.content += 1;
                bill.stamp = self.now;
            }
        }
        if self.chance.random_bool(0.05)
            && let Some(name) = self.any(&self.settled())
        {
            self.target.retain(|held| held.key != name);
            self.touched.insert(name);
        }
        if self.chance.random_bool(0.05)
            && let Some(name) = self.any(&self.settled())
        {
            self.target.iter_mut().filter(|held| held.key == name).for_each(|held| held.status = "D");
            self.touched.insert(name);
        }
        if self.chance.random_bool(0.05) {
            self.load_other();
        }
        self.read();
        self.load();
    }

    /// Another flow loads a document into the same form.
    fn load_other(&mut self) {
        let key = format!("O{:04}", self.next());
        let (id, created) = (self.next(), self.now);
        self.target.push(Held { id, key: key.clone(), content: 1, status: "A", created });
        self.others.insert(key, created + self.chance.random_range(0..AT_MOST));
    }

    fn read(&mut self) {
        let names: Vec<String> = self.source.keys().filter(|name| !self.touched.contains(*name)).cloned().collect();
        for document in names {
            let bill = self.source[&document].clone();
            let flying = self.flights.iter().any(|flight| flight.document == document);
            let must = bill.stamp + AT_MOST / 3 <= self.now;
            if bill.content != bill.emitted && !flying && (must || self.chance.random_bool(0.3)) {
                let micros = u64::try_from(self.now).expect("positive") * 1_000_000;
                let version = micros + self.next();
                let due = self.now + self.chance.random_range(0..AT_MOST / 3);
                self.source.get_mut(&document).expect("known").emitted = bill.content;
                self.flights.push(Flight { document, content: bill.content, version, saved: None, due });
            }
        }
    }

    fn load(&mut self) {
        let (due, mut rest): (Vec<Flight>, Vec<Flight>) =
            std::mem::take(&mut self.flights).into_iter().partition(|flight| flight.due <= self.now);
        for mut flight in due {
            match flight.saved {
                None if self.chance.random_bool(0.05) => drop(self.parked.insert(flight.document)),
                None => {
                    let known = self.target.iter_mut().find(|held| held.key == flight.document);
                    let id = match known {
                        Some(held) => {
                            (held.content, held.status) = (flight.content, "A");
                            held.id
                        }
                        None => {
                            let (id, key) = (self.next(), flight.document.clone());
                            let (content, created) = (flight.content, self.now);
                            self.target.push(Held { id, key, content, status: "A", created });
                            id
                        }
                    };
                    flight.saved = Some(id);
                    flight.due = self.now + self.chance.random_range(0..AT_MOST / 3);
                    rest.push(flight);
                }
                Some(id) => {
                    self.target.iter_mut().filter(|held| held.id == id).for_each(|held| held.status = "C");
                    self.parked.remove(&flight.document);
                    self.ledger.insert(flight.document, (flight.version, id));
                }
            }
        }
        self.flights = rest;
    }

    fn take(&mut self) -> String {
        let name = self.any(&self.settled()).expect("some are settled");
        self.touched.insert(name.clone());
        name
    }

    /// Hands in both systems, one of each kind; the keys by what a report must call it.
    fn plant(&mut self) -> BTreeMap<Kind, BTreeSet<String>> {
        let (deleted, copied, edited, removed) = (self.take(), self.take(), self.take(), self.take());
        let opened = self.take();
        self.target.iter_mut().filter(|held| held.key == opened).for_each(|held| held.status = "D");
        self.target.retain(|held| held.key != deleted);
        let id = self.next();
        let copy = self.target.iter().find(|held| held.key == copied).expect("loaded").clone();
        self.target.push(Held { id, ..copy });
        self.target.iter_mut().filter(|held| held.key == edited).for_each(|held| held.content += 1_000);
        self.source.remove(&removed);
        let foreign = Held { id: self.next(), key: "X1".to_owned(), content: 1, status: "A", created: self.now };
        self.target.push(foreign);
        // Its commit showed long after its date, behind every scan.
        self.source.insert("L1".to_owned(), SourceBill { content: 1, stamp: BEGIN + 1, emitted: 0 });
        self.touched.insert("L1".to_owned());
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        BTreeMap::from([
            (Kind::Missing, set(&[&deleted, "L1"])),
            (Kind::Duplicate, set(&[&copied])),
            (Kind::Different, set(&[&edited, &opened])),
            (Kind::Extra, set(&[&removed, "X1"])),
        ])
    }

    fn some_time(&mut self) {
        let seconds = self.chance.random_range(0..2);
        self.turn(seconds);
    }

    fn found(&self, wanted: impl Fn(&Held) -> bool) -> BTreeMap<String, Vec<Head>> {
        let mut found: BTreeMap<String, Vec<Head>> = BTreeMap::new();
        for held in self.target.iter().filter(|held| wanted(held)) {
            let (id, key, status) = (held.id.to_string(), held.key.clone(), held.status.to_owned());
            found.entry(key.clone()).or_default().push(Head { id, key, status, created: String::new() });
        }
        found
    }
}

impl Sides for World {
    fn now(&self) -> i64 {
        self.now
    }

    async fn bills(&mut self) -> Result<BTreeMap<DocumentKey, Bill>, Fault> {
        self.some_time();
        let bills = self.source.iter().filter(|(_, bill)| bill.stamp < self.to);
        let head = |(name, bill): (&String, &SourceBill)| {
            let document = DocumentKey(name.clone());
            (document.clone(), Bill { id: name.clone(), document, stamp: Some(bill.stamp) })
        };
        Ok(bills.map(head).collect())
    }

    fn standing(&self, document: &DocumentKey) -> Result<Standing, Fault> {
        Ok(match self.ledger.get(document.as_str()) {
            _ if self.parked.contains(document.as_str()) => Standing::Parked,
            None => Standing::Unknown,
            Some((version, id)) => Standing::Applied(vec![Loaded {
                target_key: TargetKey(document.to_string()),
                id: Some(id.to_string()),
                reached: Some(Reached::Audited),
                version: document::Version(*version),
                flow_version: FlowVersion("aa".to_owned()),
                edited: false,
            }]),
        })
    }

    fn owners(&self, key: &TargetKey) -> Result<Owners, Fault> {
        let ours = self.ledger.get_key_value(key.as_str()).map(|(name, _)| DocumentKey(name.clone()));
        let another_flow = self.others.get(key.as_str()).is_some_and(|noted| *noted <= self.now);
        Ok(Owners { documents: ours.into_iter().collect(), another_flow })
    }

    async fn heads(&mut self, keys: &[String]) -> Result<BTreeMap<String, Vec<Head>>, Fault> {
        self.some_time();
        self.asked.0 += keys.len();
        let keys: BTreeSet<&String> = keys.iter().collect();
        Ok(self.found(|held| keys.contains(&held.key)))
    }

    async fn compare(&mut self, documents: &[Pair]) -> Result<Vec<Option<Difference>>, Fault> {
        self.some_time();
        let bills: Vec<Option<SourceBill>> =
            documents.iter().map(|pair| self.source.get(&pair.bill).cloned()).collect();
        let mut differences = Vec::new();
        for (pair, bill) in documents.iter().zip(bills) {
            if self.chance.random_bool(self.pace) {
                self.some_time();
            }
            let held = self.target.iter().find(|held| held.id.to_string() == pair.target_id).map(|held| held.content);
            let differs = bill.filter(|bill| held != Some(bill.content));
            differences.push(differs.map(|bill| Difference { stamp: Some(bill.stamp), detail: "/content".to_owned() }));
        }
        Ok(differences)
    }

    async fn created(&mut self) -> Result<BTreeMap<String, Vec<Head>>, Fault> {
        self.some_time();
        self.asked.1 += 1;
        Ok(self.found(|held| held.created < self.to + 60))
    }

    async fn existing(&mut self, documents: &[String]) -> Result<BTreeSet<String>, Fault> {
        self.some_time();
        Ok(documents.iter().filter(|name| self.source.contains_key(*name)).cloned().collect())
    }

    async fn wait(&mut self) {
        (0..GRACE).for_each(|_| self.turn(1));
    }
}

fn spec(world: &World) -> Spec {
    Spec {
        id: "f:1".to_owned(),
        flow: document::FlowName::new("f").expect("valid"),
        from: BEGIN,
        to: world.to,
        sample: 1.0,
        grace: GRACE,
        calls: 0,
        by: "li".to_owned(),
        at: 0,
        reason: String::new(),
    }
}

fn key(finding: &Finding) -> String {
    let target = finding.target_key.as_ref().map(ToString::to_string);
    target.unwrap_or_else(|| finding.document.to_string())
}

#[tokio::test]
async fn whatever_was_planted_is_found_and_nothing_else_while_documents_flow() {
    for seed in 0..150 {
        let mut world = World::new(seed);
        let planted = world.plant();
        world.load_other();
        let hands: BTreeSet<String> = planted.values().flatten().cloned().collect();
        world.to = world.now;
        let spec = spec(&world);
        let found = find(&mut world, &spec, &BTreeMap::new()).await.expect("answered");
        let mut by_kind: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
        for finding in &found.findings {
            // What a hand did while the report was made may be found, and may be not.
            let meanwhile = world.touched.contains(&key(finding)) && !hands.contains(&key(finding));
            assert!(!meanwhile || matches!(finding.kind, Kind::Missing | Kind::Different), "seed {seed}: {finding:?}");
            if !meanwhile {
                by_kind.entry(finding.kind).or_default().insert(key(finding));
            }
        }
        assert_eq!(by_kind, planted, "seed {seed}");
        assert_eq!(found.lost, [BEGIN + 1], "seed {seed}");
    }
}

#[tokio::test]
async fn a_verdict_that_does_not_hold_is_named_as_one() {
    let mut world = World::new(1);
    let planted = world.plant();
    world.to = world.now;
    let (spec, missing) = (spec(&world), planted[&Kind::Missing].first().expect("one").clone());
    let kept = world.any(&world.settled()).expect("one");
    let said = |name: &String| (DocumentKey(name.clone()), "li said: applied".to_owned());
    let verdicts = BTreeMap::from([said(&missing), said(&kept)]);
    let found = find(&mut world, &spec, &verdicts).await.expect("answered");
    let wrong: Vec<&Finding> = found.findings.iter().filter(|finding| finding.kind == Kind::WrongVerdict).collect();
    let [finding] = wrong.as_slice() else { panic!("{wrong:?}") };
    assert_eq!(key(finding), missing);
    assert!(finding.detail.starts_with("li said: applied; missing: it was applied as "), "{}", finding.detail);
}

#[tokio::test]
async fn a_document_that_was_unaudited_is_named_without_a_sample_and_none_whose_audit_is_under_way() {
    for seed in 0..150 {
        let mut world = World::new(seed);
        let planted = world.plant();
        let hands: BTreeSet<String> = planted.values().flatten().cloned().collect();
        let opened: BTreeSet<String> =
            world.target.iter().filter(|held| held.status == "D").map(|held| held.key.clone()).collect();
        world.to = world.now;
        let spec = Spec { sample: 0.0, ..spec(&world) };
        let found = find(&mut world, &spec, &BTreeMap::new()).await.expect("answered");
        assert_eq!(found.counts.compared, 0, "seed {seed}: at no further calls");
        let named = found.findings.iter().filter(|finding| finding.kind == Kind::Different);
        let is_of_now = |finding: &&Finding| {
            assert!(finding.detail.starts_with("FDocumentStatus: "), "seed {seed}: {finding:?}");
            // What a hand did while the report was made may be found, and may be not.
            hands.contains(&key(finding)) || !world.touched.contains(&key(finding))
        };
        let named: BTreeSet<String> = named.filter(is_of_now).map(key).collect();
        let planted: BTreeSet<String> = opened.intersection(&hands).cloned().collect();
        assert!(planted.len() == 1 && named == planted, "seed {seed}: {named:?} for {planted:?}");
    }
}

#[tokio::test]
async fn a_bill_that_changed_after_its_load_and_was_not_taken_is_named_as_one() {
    // As long as it may be on its way nothing is said of it.
    for (seed, age, expected) in (0..20).flat_map(|seed| [(seed, 0, None), (seed, GRACE + 1, Some("/content"))]) {
        let mut world = World { pace: 0.0, ..World::new(seed) };
        let changed = world.take();
        let bill = world.source.get_mut(&changed).expect("known");
        (bill.content, bill.stamp) = (bill.content + 1, world.now);
        (0..age).for_each(|_| world.turn(1));
        world.to = world.now + 1;
        let spec = spec(&world);
        let found = find(&mut world, &spec, &BTreeMap::new()).await.expect("answered");
        let of_it: Vec<&Finding> = found.findings.iter().filter(|finding| key(finding) == changed).collect();
        let named: Vec<(Kind, &str)> = of_it.iter().map(|finding| (finding.kind, finding.detail.as_str())).collect();
        let expected: Vec<(Kind, &str)> = expected.map(|detail| (Kind::ChangedAfterLoad, detail)).into_iter().collect();
        assert_eq!(named, expected, "seed {seed} after {age} s");
    }
}

#[tokio::test]
async fn a_form_that_others_fill_takes_a_call_for_each_page_and_none_for_each_document() {
    for (foreign, windows) in [(FEW / 2, 1), (2 * FEW, 2)] {
        let mut world = World::new(1);
        for number in 0..foreign {
            let (id, created) = (world.next(), world.now);
            world.target.push(Held { id, key: format!("F{number}"), content: 1, status: "C", created });
        }
        // Kafka was lost, and with it all that was on record.
        (world.ledger, world.parked, world.flights) = Default::default();
        world.touched = world.source.keys().cloned().collect();
        world.to = world.now;
        let spec = Spec { sample: 0.0, ..spec(&world) };
        let found = find(&mut world, &spec, &BTreeMap::new()).await.expect("answered");
        let extra = found.findings.iter().filter(|finding| finding.kind == Kind::Extra).count();
        let all = found.findings.iter().map(key).filter(|key| key.starts_with('F')).count();
        assert_eq!(all, foreign, "of {extra} extra ones");
        let (keys, asked) = world.asked;
        assert!(asked == windows && keys <= FEW, "{keys} keys and {asked} windows for {foreign} documents");
    }
}
