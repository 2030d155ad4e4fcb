//! What may be on the wire to the target: I5, I6, I11, I12, I13.

use std::collections::BTreeMap;

use crate::{Call, History, Intent, Invariant, Told, Violation, violation};

const MINUTE: i64 = 60_000;

pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut calls: Vec<&Call> = history.calls.iter().collect();
    calls.sort_by_key(|call| call.at);
    let mut saves: BTreeMap<&str, Vec<(&Call, Told)>> = BTreeMap::new();
    for call in &calls {
        for sent in &call.saves {
            saves.entry(&sent.key).or_default().push((call, sent.told));
        }
    }
    let arrivals: Vec<i64> = calls.iter().map(|call| call.at).collect();
    let mut asked = history.source_calls.clone();
    asked.sort_unstable();
    let mut found: Vec<Violation> = over_limit("target", history.limit, &arrivals).into_iter().collect();
    found.extend(over_limit("source", history.source_limit, &asked));
    found.extend(standstill(history, &calls));
    for (key, saves) in saves {
        found.extend(intents_first(history, key, &saves));
        for pair in saves.windows(2) {
            found.extend(second(history, key, pair[0], pair[1].0, &calls));
        }
    }
    found
}

/// Whether an intent that names the key was readable, and not yet closed.
fn announced(intents: &[Intent], key: &str, at: i64) -> bool {
    intents.iter().any(|intent| {
        let open = intent.at <= at && intent.closed.is_none_or(|closed| at <= closed);
        open && intent.documents.iter().any(|document| document.key == key)
    })
}

/// The versions that intents name for a key, with the times of their commits.
fn intended<'a>(intents: &'a [Intent], key: &'a str) -> impl Iterator<Item = (i64, u64)> + 'a {
    intents.iter().flat_map(move |intent| {
        let named = intent.documents.iter().filter(move |document| document.key == key);
        named.map(|document| (intent.at, document.version))
    })
}

/// Every attempt has an intent of its own: before the n-th save there are n.
fn intents_first(history: &History, key: &str, saves: &[(&Call, Told)]) -> Vec<Violation> {
    let short = saves.iter().enumerate().filter(|(number, (call, _))| {
        !announced(&history.intents, key, call.at)
            || intended(&history.intents, key).filter(|(at, _)| *at <= call.at).count() <= *number
    });
    short.map(|(_, (call, _))| violation(Invariant::I5, format!("{key}: saved at {} unannounced", call.at))).collect()
}

fn second(history: &History, key: &str, first: (&Call, Told), then: &Call, calls: &[&Call]) -> Vec<Violation> {
    let (before, told) = first;
    let mut found = Vec::new();
    if then.at < before.until {
        found.push(violation(Invariant::I11, format!("{key}: two saves in flight at {}", then.at)));
    }
    let absent_after = |settled: i64| {
        calls.iter().filter(|call| call.at >= settled && call.until <= then.at).any(|call| {
            let probe = call.probe.as_ref();
            probe.is_some_and(|probe| {
                probe.asked.iter().any(|asked| asked == key) && !probe.found.iter().any(|it| it == key)
            })
        })
    };
    let newest =
        |until: i64| intended(&history.intents, key).filter(|(at, _)| *at <= until).map(|(_, version)| version).max();
    let proven = match told {
        // What was saved is only saved again as a newer version.
        Told::Saved => newest(then.at) > newest(before.at),
        Told::Rejected => true,
        Told::Unclear => absent_after(before.until),
        Told::Open => absent_after(before.until.max(before.at.saturating_add(history.settle))),
    };
    if !proven {
        let detail = format!("{key}: saved at {}, told {told:?}, and again at {} without proof", before.at, then.at);
        found.push(violation(Invariant::I6, detail));
    }
    found
}

/// Of calls in the order of their arrival.
fn over_limit(side: &str, limit: usize, arrivals: &[i64]) -> Option<Violation> {
    let full = |window: &&[i64]| window.first().zip(window.last()).is_some_and(|(first, last)| last - first < MINUTE);
    let first = arrivals.windows(limit.saturating_add(1)).find(full)?.first()?;
    Some(violation(Invariant::I13, format!("more than {limit} calls of the {side} in the minute from {first}")))
}

/// A hurt Redis may hold up calls for a moment only, where documents wait.
fn standstill(history: &History, calls: &[&Call]) -> Vec<Violation> {
    let ended = |key: &str, version: u64| {
        history.ends.iter().filter(|end| end.key == key && end.version == version).map(|end| end.at).min()
    };
    let mut found = Vec::new();
    for blow in &history.redis {
        let until = blow.saturating_add(history.stall);
        let waiting = history
            .mapped
            .iter()
            .any(|record| record.at <= *blow && ended(&record.key, record.version).is_none_or(|at| at > until));
        if waiting && !calls.iter().any(|call| call.at > *blow && call.at <= until) {
            found.push(violation(Invariant::I12, format!("no call between {blow} and {until}, and documents waited")));
        }
    }
    found
}
