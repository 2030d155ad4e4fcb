//! Faults by code and place.

use std::collections::BTreeSet;

use document::Fault;

/// The distinct pairs of code and place that were met.
#[derive(Debug, Default)]
pub struct Tally {
    pairs: BTreeSet<(String, String)>,
    /// How many bad inputs there were.
    pub inputs: usize,
}

impl Tally {
    /// Notes what became of one bad input: all its faults, of which there must be one, each with a place.
    ///
    /// # Panics
    /// When nothing is wrong with it, or something is wrong nowhere.
    pub fn note(&mut self, what: &str, faults: &[Fault]) {
        assert!(!faults.is_empty(), "{what} is taken for good");
        self.inputs += 1;
        for fault in faults {
            let place = &fault.place;
            let parts = [
                place.file.clone(),
                place.path.clone(),
                place.record.clone(),
                place.line.map(|line| format!("line {line}")),
                place.column.clone(),
            ];
            let place: Vec<String> = parts.into_iter().flatten().collect();
            assert!(!place.is_empty(), "{what}: {fault} is nowhere");
            assert!(!fault.detail.trim().is_empty(), "{what}: {:?} says nothing", fault.code);
            self.pair(fault.code.as_str(), place.join(" "));
        }
    }

    /// Notes a pair.
    pub fn pair(&mut self, code: &str, place: String) {
        self.pairs.insert((code.to_owned(), place));
    }

    /// How many distinct pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether nothing was met yet.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How many distinct codes there are.
    pub fn codes(&self) -> usize {
        self.pairs.iter().map(|(code, _)| code).collect::<BTreeSet<_>>().len()
    }
}
