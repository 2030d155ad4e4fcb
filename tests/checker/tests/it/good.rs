//! Good histories, drawn by seed: saves, refusals, lost replies found and not found, newer versions, letters, copies.

use std::collections::BTreeMap;

use history_checker::*;
use rust_decimal::Decimal;

/// How long an unknown outcome stays open.
pub(crate) const SETTLE: i64 = 115_000;

/// A small generator of its own, so that a seed gives the same history everywhere.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

struct Scribe {
    history: History,
    version: u64,
    offset: i64,
    mapped: i64,
}

impl Scribe {
    fn extract(&mut self, key: &str, stamp: i64) -> u64 {
        self.version += 1;
        let (document, version, digest) = (format!("源单 {key}"), self.version, format!("d{}", self.version));
        self.history.source.push(Sighting { document: document.clone(), stamp });
        self.history.seen.push(Seen { document: document.clone(), version, digest: digest.clone() });
        self.history.extracted.push(Extracted { document, version, digest: Some(digest), stamp });
        self.history.checkpoints.push(Checkpoint { watermark: stamp, last_version: version, granted: None });
        version
    }

    fn became(&mut self, way: Way, offset: i64, identity: String, kind: Kind) {
        self.history.outcomes.push(Outcome { way, partition: 0, offset, identity, kind });
    }

    fn map(&mut self, key: &str, version: u64, at: i64) {
        self.became(Way::Transform, self.offset, format!("{key}@{version}"), Kind::Output);
        self.offset += 1;
        self.history.mapped.push(Mapped { key: key.into(), version, at });
    }

    fn end(&mut self, key: &str, version: u64, end: End, at: i64) {
        self.history.ends.push(Ended { key: key.into(), version, end, at });
        let kind = if end == End::Parked { Kind::Letter } else { Kind::Output };
        self.became(Way::Load, self.mapped, format!("{key}@{version}"), kind);
        self.mapped += 1;
    }

    fn save(&mut self, key: &str, version: u64, at: i64, told: Told) {
        let documents = vec![Intended { key: key.into(), version }];
        self.history.intents.push(Intent { at: at - 50, closed: Some(at + 500), documents });
        let saves = vec![Sent { key: key.into(), told }];
        self.history.calls.push(Call { at, until: at + 400, saves, probe: None });
    }

    fn probe(&mut self, key: &str, found: bool, at: i64) {
        let found = if found { vec![key.into()] } else { Vec::new() };
        let probe = Some(Probe { asked: vec![key.into()], found });
        self.history.calls.push(Call { at, until: at + 40, saves: Vec::new(), probe });
    }

    fn stand(&mut self, key: &str) {
        let number = |units: i64| Field::Number(Decimal::new(units, 2));
        let row = |line: i64| {
            let material = Field::Text(format!("物料 {line}"));
            BTreeMap::from([("FMaterialId".to_owned(), material), ("FQty".to_owned(), number(line * 150))])
        };
        let fields =
            BTreeMap::from([("FNote".to_owned(), Field::Text("入库".into())), ("FAmount".to_owned(), number(1_250))]);
        let bill = Bill { key: key.into(), fields, rows: (1..=3).map(row).collect() };
        self.history.target.push(bill.clone());
        self.history.expected.push(bill);
    }
}

/// A good history of `6 × rounds` bills; keys are `K0`, `K1` …, and `n % 6` says what happened to one.
pub(crate) fn history(seed: u64, rounds: usize) -> History {
    let mut chance = Chance::new(seed);
    let history = History { limit: 100, settle: SETTLE, end_within: 900_000, stall: 5_000, ..History::default() };
    let mut scribe = Scribe { history, version: 1_000, offset: 0, mapped: 0 };
    for number in 0..rounds * 6 {
        let key = format!("K{number}");
        let index = i64::try_from(number).unwrap();
        let at = index * 10_000 + i64::try_from(chance.below(3_000)).unwrap();
        let version = scribe.extract(&key, index * 2);
        if number % 6 == 5 {
            // Cannot be mapped: a letter, and again the same letter by a zombie.
            for _ in 0..2 {
                scribe.became(Way::Transform, scribe.offset, format!("letter {key}"), Kind::Letter);
            }
            scribe.offset += 1;
            continue;
        }
        scribe.map(&key, version, at - 500);
        match number % 6 {
            0 => {
                scribe.save(&key, version, at, Told::Saved);
                scribe.end(&key, version, End::Applied, at + 500);
                scribe.stand(&key);
            }
            1 => {
                scribe.save(&key, version, at, Told::Rejected);
                scribe.end(&key, version, End::Parked, at + 500);
            }
            2 => {
                scribe.save(&key, version, at, Told::Open);
                scribe.probe(&key, true, at + 2_000);
                scribe.end(&key, version, End::Applied, at + 2_100);
                scribe.stand(&key);
            }
            3 => {
                scribe.save(&key, version, at, Told::Open);
                scribe.probe(&key, false, at + 2_000);
                scribe.probe(&key, false, at + SETTLE + 1_000);
                scribe.save(&key, version, at + SETTLE + 2_000, Told::Saved);
                scribe.end(&key, version, End::Applied, at + SETTLE + 2_500);
                scribe.stand(&key);
            }
            _ => {
                let newer = scribe.extract(&key, index * 2 + 1);
                scribe.map(&key, newer, at - 400);
                scribe.save(&key, newer, at, Told::Saved);
                scribe.end(&key, version, End::Superseded, at + 500);
                scribe.end(&key, newer, End::Applied, at + 500);
                scribe.stand(&key);
            }
        }
        // The ledger's partition changes its owner with every second bill.
        let owner = i16::try_from(number / 2).unwrap();
        for (offset, barrier) in [(index * 2, number % 2 == 0), (index * 2 + 1, false)] {
            let partition = ("ledger".to_owned(), 0);
            scribe.history.state.push(StateWrite { partition, offset, producer: (7, owner), barrier });
        }
    }
    let bills = i64::try_from(rounds).unwrap() * 60_000;
    scribe.history.checkpoints.push(Checkpoint { watermark: bills, last_version: scribe.version, granted: None });
    let committed = |way, to: i64| Committed { way, partition: 0, records: (0..to).collect(), to };
    scribe.history.committed = vec![committed(Way::Transform, scribe.offset), committed(Way::Load, scribe.mapped)];
    // Redis falls just before a call.
    let last = scribe.history.calls.iter().map(|call| call.at).max().unwrap();
    scribe.history.redis.push(last - 1_000);
    scribe.history
}

#[test]
fn good_histories_are_accepted() {
    for seed in 1..=200 {
        assert_eq!(check(&history(seed, 1 + usize::try_from(seed % 7).unwrap())), [], "seed {seed}");
    }
}

#[test]
fn what_takes_long_while_no_work_is_possible_is_no_breach() {
    let mut history = history(3, 1);
    let end = history.ends.iter_mut().find(|end| end.key == "K1").unwrap();
    end.at += 960_000;
    let late = end.at;
    assert_eq!(check(&history)[0].invariant, Invariant::I8);
    history.blackouts = vec![(late - 90_000, late - 30_000), (late - 60_000, late + 60_000)];
    assert_eq!(check(&history), []);
    history.blackouts = vec![(late - 60_000, late - 30_000), (late - 60_000, late - 30_000)];
    assert_eq!(check(&history)[0].invariant, Invariant::I8);
}

#[test]
fn what_stands_under_a_held_number_is_not_ours() {
    let mut history = history(3, 1);
    let mut bill = history.target[0].clone();
    bill.key.push('x');
    history.target.push(bill.clone());
    assert_eq!(check(&history)[0].invariant, Invariant::I10);
    history.foreign.push(bill.key);
    assert_eq!(check(&history), []);
}

#[test]
fn whoever_goes_on_from_a_checkpoint_may_begin_where_its_grant_ends() {
    let mut history = history(3, 1);
    let last = history.checkpoints.last_mut().unwrap();
    last.granted = Some(last.last_version + 500);
    let resumed = Checkpoint { last_version: last.last_version + 500, ..*last };
    history.checkpoints.push(resumed);
    assert_eq!(check(&history), []);
    history.checkpoints.last_mut().unwrap().last_version += 1;
    assert_eq!(check(&history)[0].invariant, Invariant::I2);
}

#[test]
fn each_invariant_looks_at_something() {
    let mut history = history(3, 1);
    assert!(looked_at(&history).values().all(|count| *count > 0));
    history.redis.clear();
    assert_eq!(looked_at(&history)[&Invariant::I12], 0);
}

#[test]
fn numbers_are_compared_by_value_and_texts_as_they_are() {
    let mut padded = history(1, 1);
    padded.target[0].fields.insert("FAmount".into(), Field::Number(Decimal::new(12_500_000, 6)));
    assert_eq!(check(&padded), []);
    padded.target[0].fields.insert("FAmount".into(), Field::Text("12.50".into()));
    assert_eq!(check(&padded)[0].invariant, Invariant::I10);
}
