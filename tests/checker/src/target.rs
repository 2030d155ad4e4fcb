//! What must stand in the target: I7, I10, and I12 for what stood there before Redis was hurt.

use std::collections::BTreeMap;

use crate::{Bill, End, Field, History, Invariant, Violation, violation};

pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut standing: BTreeMap<&str, Vec<&Bill>> = BTreeMap::new();
    for bill in &history.target {
        standing.entry(&bill.key).or_default().push(bill);
    }
    let expected: BTreeMap<&str, &Bill> = history.expected.iter().map(|bill| (bill.key.as_str(), bill)).collect();
    let mut found = Vec::new();
    for (key, bills) in &standing {
        if bills.len() > 1 {
            found.push(violation(Invariant::I7, format!("{key}: {} times in the target", bills.len())));
        }
        match expected.get(key) {
            None if history.foreign.iter().any(|foreign| foreign == key) => {}
            None => found.push(violation(Invariant::I10, format!("{key}: in the target, and nothing maps to it"))),
            Some(expected) => found.extend(bills.iter().filter_map(|bill| difference(expected, bill))),
        }
    }
    for key in expected.keys().filter(|key| !standing.contains_key(*key)) {
        found.push(violation(Invariant::I10, format!("{key}: mapped to, and not in the target")));
        if !history.redis.is_empty() {
            found.push(violation(Invariant::I12, format!("{key}: lost, and Redis was hurt")));
        }
    }
    for end in history.ends.iter().filter(|end| end.end == End::Applied) {
        if !standing.contains_key(end.key.as_str()) {
            found.push(violation(Invariant::I10, format!("{}: applied, and not in the target", end.key)));
            if history.redis.iter().any(|blow| *blow >= end.at) {
                found.push(violation(Invariant::I12, format!("{}: gone after Redis was hurt", end.key)));
            }
        }
    }
    found
}

fn difference(expected: &Bill, bill: &Bill) -> Option<Violation> {
    let different = |detail: String| Some(violation(Invariant::I10, format!("{}: {detail}", bill.key)));
    if let Some(detail) = fields(&expected.fields, &bill.fields) {
        return different(detail);
    }
    if expected.rows.len() != bill.rows.len() {
        return different(format!("torn, {} rows of {}", bill.rows.len(), expected.rows.len()));
    }
    let mut rows = expected.rows.iter().zip(&bill.rows).enumerate();
    rows.find_map(|(number, (wanted, row))| fields(wanted, row).map(|detail| format!("row {}: {detail}", number + 1)))
        .and_then(different)
}

fn fields(wanted: &BTreeMap<String, Field>, there: &BTreeMap<String, Field>) -> Option<String> {
    let mut names = wanted.keys().chain(there.keys());
    names.find_map(|name| {
        let (wanted, there) = (wanted.get(name), there.get(name));
        (wanted != there).then(|| format!("{name} is {there:?} and not {wanted:?}"))
    })
}
