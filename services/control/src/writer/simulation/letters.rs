//! What people and the control plane want of letters, in any order, against a model of the states that letters have and
//! of the ways between them. What is not a way changes nothing.

use document::{Code, DeadLetter, DeadLetterId, FlowName, Headers, Record, Stage, Tenant, Version, topic};
use proptest::prelude::*;

use super::view::{Committed, View};
use crate::core::letters::{By, Wish};
use crate::core::{Effects, Letter};
use crate::writer::desk::Desk;

/// The ways, and what is wanted of a letter that goes them.
const WAYS: [(&str, &str, &str); 12] = [
    ("open", "publish", "replaying"),
    ("replaying", "resolve", "resolved"),
    ("replaying", "supersede", "superseded"),
    ("replaying", "reappear", "open"),
    ("open", "park", "parked"),
    ("parked", "reopen", "open"),
    ("parked", "reopen what was given up", "open"),
    ("open", "discard", "discarded"),
    ("parked", "discard", "discarded"),
    ("discarded", "reopen what was given up", "open"),
    // A newer version ends a letter wherever it waits.
    ("open", "supersede", "superseded"),
    ("parked", "supersede", "superseded"),
];

const WISHES: [&str; 10] = [
    "publish",
    "resolve",
    "supersede",
    "reappear",
    "park",
    "reopen",
    "reopen what was given up",
    "discard",
    "claim",
    "unclaim",
];

const PEOPLE: [&str; 2] = ["li", "wang"];

/// One letter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    state: &'static str,
    claimed_by: Option<String>,
    job: Option<String>,
    failures: u32,
}

impl Model {
    /// The letter afterwards; `None` when this cannot be had of it.
    fn moved(&self, wish: &str, by: &str, job: &str) -> Option<Self> {
        let mut after = self.clone();
        let (ended, claimed_by) =
            (["resolved", "superseded", "discarded"].contains(&self.state), self.claimed_by.as_deref());
        match wish {
            "claim" if ended || claimed_by.is_some_and(|other| other != by) => return None,
            "claim" => after.claimed_by = Some(by.to_owned()),
            "unclaim" if claimed_by.is_none() => return None,
            "unclaim" => after.claimed_by = None,
            _ => after.state = WAYS.iter().find(|(from, wanted, _)| (*from, *wanted) == (self.state, wish))?.2,
        }
        after.failures += u32::from(wish == "reappear");
        if wish == "publish" {
            after.job = Some(job.to_owned());
        }
        Some(after)
    }

    /// What the control plane knows of a letter, in these words.
    fn of(letter: &Letter) -> Self {
        let event = letter.event.as_ref();
        Self {
            state: letter.state().as_str(),
            claimed_by: event.and_then(|event| event.claimed_by.clone()),
            job: event.and_then(|event| event.replay.clone()),
            failures: letter.failures(),
        }
    }
}

fn wish(word: &str, job: &str) -> Wish {
    match word {
        "publish" => Wish::Publish(job.to_owned()),
        "resolve" => Wish::Resolve,
        "supersede" => Wish::Supersede,
        "reappear" => Wish::Reappear,
        "park" => Wish::Park,
        "reopen" => Wish::Reopen { discarded: false },
        "reopen what was given up" => Wish::Reopen { discarded: true },
        "discard" => Wish::Discard,
        "claim" => Wish::Claim,
        "unclaim" => Wish::Unclaim,
        other => panic!("no wish is called {other}"),
    }
}

fn letter(document: &str) -> DeadLetter {
    DeadLetter {
        tenant: Tenant::default(),
        flow: FlowName::new("misc").expect("valid"),
        flow_version: "v".into(),
        document_key: document.into(),
        version: Version(1),
        stage: Stage::Load,
        category: Code::TargetRefused.category(),
        code: Code::TargetRefused,
        message: String::new(),
        field: None,
        origin: None,
        origin_timestamp: None,
        attempts: 1,
        first_failed_at: 5,
        last_failed_at: 5,
        retry_at: None,
        replay: None,
        trace: None,
        headers: Headers::new(),
        claim_check: false,
        body: Vec::new(),
    }
}

/// What one person wants at once, of which letters, and whether it is written in the end.
type Decision = (usize, Vec<(usize, &'static str)>, bool);

fn decisions() -> impl Strategy<Value = Decision> {
    let wishes = prop::collection::vec((0_usize..2, prop::sample::select(WISHES.to_vec())), 1..4);
    (0..PEOPLE.len(), wishes, prop::bool::weighted(0.9))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn letters_move_along_the_ways_and_are_left_alone_by_everything_else(
        history in prop::collection::vec(decisions(), 1..10),
    ) {
        let mut view = View::default();
        let ids = ["A", "B"].map(|document| letter(document).id());
        view.letters = ["A", "B"].map(letter).into_iter().map(|letter| (letter.id(), letter)).collect();
        let committed = Committed::default();
        let mut log: Vec<(String, Record)> = Vec::new();
        let fresh = Model { state: "open", claimed_by: None, job: None, failures: 1 };
        let mut models = [fresh.clone(), fresh];
        for (number, (person, wanted, written)) in (1_i64..).zip(&history) {
            let by = By { name: PEOPLE[*person].to_owned(), reason: None, at: number };
            let mut desk = Desk::new(&view, &committed, number);
            let (mut effects, mut after) = (Effects::default(), models.clone());
            for (at, word) in wanted {
                let job = format!("job {number}");
                let (known, _) = desk.known_letter(&ids[*at]).expect("known");
                let before = effects.clone();
                let moved = desk.move_letter(&known, &wish(word, &job), &by, &mut effects);
                let (left, _) = desk.known_letter(&ids[*at]).expect("known");
                match after[*at].moved(word, &by.name, &job) {
                    Some(model) => {
                        prop_assert_eq!(moved, Ok(()), "{} of {:?}", word, after[*at]);
                        let last = effects.events.last().map(|(id, event)| (id, event.by.as_str(), event.at));
                        prop_assert_eq!(last, Some((&ids[*at], PEOPLE[*person], number)));
                        after[*at] = model;
                    }
                    None => {
                        let fault = moved.expect_err(word);
                        prop_assert_eq!((fault.code, fault.place.record.as_ref()), (Code::LetterState, Some(&ids[*at].0)));
                        prop_assert_eq!((&effects, &left), (&before, &known));
                    }
                }
                prop_assert_eq!(&Model::of(&left), &after[*at]);
            }
            if *written {
                for (id, event) in &effects.events {
                    let record = event.record(id);
                    committed.take(topic::DEAD_LETTER_EVENTS, &record);
                    log.push((topic::DEAD_LETTER_EVENTS.to_owned(), record));
                }
                models = after;
            }
            // Whoever begins anew knows the same from the topic alone.
            for kept in [&committed, &Committed::of(&log)] {
                let desk = Desk::new(&view, kept, number);
                let state = |id: &DeadLetterId| desk.known_letter(id).map(|(letter, _)| Model::of(&letter));
                prop_assert_eq!(&[state(&ids[0]).expect("known"), state(&ids[1]).expect("known")], &models);
            }
        }
    }
}
