//! Puts expectation and fact side by side.

use std::collections::BTreeMap;

use serde::Serialize;

use super::letters::Letter;
use super::rules::{Bill, Expectation};
use super::webapi::Bills;

/// The outcome. Clean only when every list is empty and `applied + parked = source`.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Orders in the file.
    pub source: usize,
    /// Bills that stand in the target exactly as they must.
    pub applied: usize,
    /// Orders whose dead letter is there, in the category it must have.
    pub parked: usize,
    /// Orders that must be in the target and are not.
    pub missing: Vec<String>,
    /// Numbers of which the target holds more than one bill.
    pub duplicate: Vec<String>,
    /// Bills that have not every line.
    pub torn: Vec<String>,
    /// Bills that differ otherwise, with the first difference.
    pub different: Vec<String>,
    /// Bills of the target that nobody expects.
    pub extra: Vec<String>,
    /// Letters that are missing, unexpected or of another category.
    pub letters: Vec<String>,
    /// Foreign bills of the target that are not as they were before the run.
    pub foreign_changed: Vec<String>,
    /// Bills of the source that are not as the file says.
    pub source_different: Vec<String>,
}

impl Report {
    /// Whether all agrees.
    pub fn is_clean(&self) -> bool {
        self.applied + self.parked == self.source
            && [
                &self.missing,
                &self.duplicate,
                &self.torn,
                &self.different,
                &self.extra,
                &self.letters,
                &self.foreign_changed,
                &self.source_different,
            ]
            .iter()
            .all(|list| list.is_empty())
    }
}

impl Report {
    /// What is not as it must be, a line for each kind of it; nothing when it is clean.
    pub fn deviations(&self) -> Vec<String> {
        let lists = [
            ("missing", &self.missing),
            ("duplicate", &self.duplicate),
            ("torn", &self.torn),
            ("different", &self.different),
            ("extra", &self.extra),
            ("letters", &self.letters),
            ("foreign", &self.foreign_changed),
            ("source", &self.source_different),
        ];
        let mut found: Vec<String> = lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| format!("{name}: {} {:?}", list.len(), list.get(..10).unwrap_or(list)))
            .collect();
        if found.is_empty() && !self.is_clean() {
            found.push(format!("{} applied and {} parked of {}", self.applied, self.parked, self.source));
        }
        found
    }
}

/// The first difference between two bills, in words.
fn difference(expected: &Bill, found: &Bill) -> Option<String> {
    let heads = [
        ("bill type", &expected.bill_type, &found.bill_type),
        ("organisation", &expected.organisation, &found.organisation),
        ("date", &expected.date, &found.date),
        ("status", &expected.status, &found.status),
    ];
    for (name, expected, found) in heads {
        if expected != found {
            return Some(format!("{name} is {found:?}, not {expected:?}"));
        }
    }
    if expected.lines.len() != found.lines.len() {
        return Some(format!("{} lines, not {}", found.lines.len(), expected.lines.len()));
    }
    expected
        .lines
        .iter()
        .zip(&found.lines)
        .enumerate()
        .find(|(_, (expected, found))| expected != found)
        .map(|(index, (expected, found))| format!("line {}: {found:?}, not {expected:?}", index + 1))
}

/// Compares. `foreign` is what the target held before the run.
pub fn compare(
    expectation: &Expectation,
    source: &Bills,
    target: &Bills,
    foreign: &Bills,
    letters: &BTreeMap<String, Letter>,
) -> Report {
    let mut report = Report { source: expectation.source.len(), ..Report::default() };

    for (number, expected) in &expectation.source {
        match source.get(number).map(Vec::as_slice) {
            Some([found]) => {
                if let Some(difference) = difference(expected, found) {
                    report.source_different.push(format!("{number}: {difference}"));
                }
            }
            found => report.source_different.push(format!("{number}: {} bills", found.map_or(0, <[Bill]>::len))),
        }
    }
    for number in source.keys().filter(|number| !expectation.source.contains_key(*number)) {
        report.source_different.push(format!("{number}: not in the file"));
    }

    for (number, expected) in &expectation.target {
        match target.get(number).map(Vec::as_slice) {
            None | Some([]) => report.missing.push(number.clone()),
            Some([found]) => match difference(expected, found) {
                None => report.applied += 1,
                Some(difference) if expected.lines.len() != found.lines.len() => {
                    report.torn.push(format!("{number}: {difference}"));
                }
                Some(difference) => report.different.push(format!("{number}: {difference}")),
            },
            Some(found) => report.duplicate.push(format!("{number}: {} bills", found.len())),
        }
    }
    for (number, found) in target {
        if foreign.contains_key(number) {
            continue;
        }
        if !expectation.target.contains_key(number) {
            report.extra.push(format!("{number}: {} bills", found.len()));
        }
    }
    for (number, before) in foreign {
        if target.get(number) != Some(before) {
            report.foreign_changed.push(number.clone());
        }
    }

    let mut by_record: BTreeMap<&str, Vec<&Letter>> = BTreeMap::new();
    for letter in letters.values() {
        by_record.entry(&letter.record).or_default().push(letter);
    }
    for (number, category) in &expectation.parked {
        match by_record.remove(number.as_str()).as_deref() {
            Some([letter]) if letter.category == *category => report.parked += 1,
            Some([letter]) => {
                report.letters.push(format!("{number}: {} ({}), not {category}", letter.category, letter.message));
            }
            found => report.letters.push(format!("{number}: {} letters, not 1", found.map_or(0, <[&Letter]>::len))),
        }
    }
    for (record, found) in by_record {
        let why = found.iter().map(|letter| format!("{} {}", letter.code, letter.message)).collect::<Vec<_>>();
        report.letters.push(format!("{record}: not expected: {}", why.join("; ")));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::super::rules::BillLine;
    use super::*;
    use rust_decimal::Decimal;

    fn bill(quantity: &str) -> Bill {
        Bill {
            bill_type: "QTRKD01_SYS".to_owned(),
            organisation: "125".to_owned(),
            date: "2016-11-08".to_owned(),
            status: "C".to_owned(),
            lines: vec![BillLine {
                material: "M".to_owned(),
                stock: "S".to_owned(),
                quantity: Decimal::from_str_exact(quantity).expect("number"),
            }],
        }
    }

    fn letter(record: &str, category: &str) -> Letter {
        Letter {
            record: record.to_owned(),
            category: category.to_owned(),
            code: "E_X".to_owned(),
            message: "m".to_owned(),
        }
    }

    /// Orders A and B are applied, C is parked, F is foreign.
    fn good() -> (Expectation, Bills, Bills, Bills, BTreeMap<String, Letter>) {
        let mut expectation = Expectation::default();
        for number in ["A", "B", "C"] {
            expectation.source.insert(number.to_owned(), bill("2"));
        }
        for number in ["A", "B"] {
            expectation.target.insert(number.to_owned(), bill("2"));
        }
        expectation.parked.insert("C".to_owned(), "reference_missing");
        let source: Bills = ["A", "B", "C"].map(|number| (number.to_owned(), vec![bill("2.0")])).into();
        let foreign: Bills = [("F".to_owned(), vec![bill("9")])].into();
        let mut target = foreign.clone();
        target.insert("A".to_owned(), vec![bill("2")]);
        target.insert("B".to_owned(), vec![bill("2")]);
        let letters = [("1".to_owned(), letter("C", "reference_missing"))].into();
        (expectation, source, target, foreign, letters)
    }

    #[test]
    fn agreement_is_clean() {
        let (expectation, source, target, foreign, letters) = good();
        let report = compare(&expectation, &source, &target, &foreign, &letters);
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.source, report.applied, report.parked), (3, 2, 1));
    }

    /// A lie told to a good history.
    type Lie = fn(&mut Bills, &mut Bills, &mut BTreeMap<String, Letter>);

    #[test]
    fn every_lie_is_found() {
        let lies: [(&str, Lie); 10] = [
            ("missing", |_, target, _| drop(target.remove("A"))),
            ("duplicate", |_, target, _| target.get_mut("A").expect("there").push(bill("2"))),
            ("different quantity", |_, target, _| target.get_mut("A").expect("there")[0] = bill("2.0001")),
            ("torn", |_, target, _| target.get_mut("A").expect("there")[0].lines.clear()),
            ("extra", |_, target, _| drop(target.insert("X".to_owned(), vec![bill("1")]))),
            ("foreign overwritten", |_, target, _| target.get_mut("F").expect("there")[0] = bill("2")),
            ("parked and applied", |_, target, _| drop(target.insert("C".to_owned(), vec![bill("2")]))),
            ("letter missing", |_, _, letters| letters.clear()),
            ("letter of another category", |_, _, letters| {
                letters.insert("1".to_owned(), letter("C", "duplicate"));
            }),
            ("letter too many", |_, _, letters| drop(letters.insert("2".to_owned(), letter("A", "in_doubt")))),
        ];
        for (name, lie) in lies {
            let (expectation, mut source, mut target, foreign, mut letters) = good();
            lie(&mut source, &mut target, &mut letters);
            let report = compare(&expectation, &source, &target, &foreign, &letters);
            assert!(!report.is_clean(), "{name} was not found");
            assert_eq!(report.torn.len(), usize::from(name == "torn"), "{name}");
        }
    }
}
