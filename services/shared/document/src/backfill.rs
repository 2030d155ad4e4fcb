//! Backfills: which one a window of the past belongs to, and how far its windows have been read.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Backfills of a flow whose marks are kept, the latest ones.
const KEPT: usize = 16;

/// Names a backfill: 32 hex digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackfillId(u128);

/// A text that names no backfill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no backfill: 32 hex digits do")]
pub struct InvalidBackfillId(pub String);

impl BackfillId {
    /// The backfill of this number.
    pub fn new(number: u128) -> Self {
        Self(number)
    }
}

impl FromStr for BackfillId {
    type Err = InvalidBackfillId;
    fn from_str(text: &str) -> Result<Self, InvalidBackfillId> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or_else(|| InvalidBackfillId(text.to_owned()))
    }
}

impl TryFrom<String> for BackfillId {
    type Error = InvalidBackfillId;
    fn try_from(text: String) -> Result<Self, InvalidBackfillId> {
        text.parse()
    }
}

impl From<BackfillId> for String {
    fn from(id: BackfillId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for BackfillId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for BackfillId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How far the windows of a backfill have been read. Part of the flow's entry in `starbridge.extract-state`, so it is as
/// true as the records it counts. Times are unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillMark {
    /// The end of the last window that was read whole; windows are read in the order of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_to: Option<i64>,
    /// Documents given to the stages behind.
    pub emitted: u64,
    /// Bills that are as they were given before.
    pub unchanged: u64,
    /// Bills set aside as dead letters.
    pub letters: u64,
    /// When something was read last.
    pub at: i64,
}

/// The marks of a flow's backfills.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackfillMarks(BTreeMap<BackfillId, BackfillMark>);

impl BackfillMarks {
    /// The mark of a backfill.
    pub fn get(&self, id: BackfillId) -> Option<&BackfillMark> {
        self.0.get(&id)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes what was read for a backfill, and forgets those that were read for longest ago where there are too many.
    pub fn note(&mut self, id: BackfillId, change: impl FnOnce(&mut BackfillMark)) {
        change(self.0.entry(id).or_default());
        while self.0.len() > KEPT {
            let oldest = self.0.iter().filter(|(known, _)| **known != id).min_by_key(|(_, mark)| mark.at);
            let Some(oldest) = oldest.map(|(known, _)| *known) else { break };
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_32_hex_digits() {
        let id = BackfillId::new(0xab);
        assert_eq!(id.to_string(), "000000000000000000000000000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).expect("text"), "\"000000000000000000000000000000ab\"");
        for bad in [
            "",
            "ab",
            "+00000000000000000000000000000ab",
            "g00000000000000000000000000000ab",
            "补录补录补录补录补录补录",
        ] {
            assert_eq!(bad.parse::<BackfillId>(), Err(InvalidBackfillId(bad.to_owned())));
        }
    }

    #[test]
    fn the_latest_marks_are_kept_and_the_one_that_is_noted_always() {
        let mut marks = BackfillMarks::default();
        for number in 0..20_u128 {
            marks.note(BackfillId::new(number), |mark| mark.at = 100 - i64::try_from(number).unwrap_or_default());
        }
        // Each of the last four was older than all before it, and pushed an earlier one out.
        assert_eq!(marks.0.len(), KEPT);
        assert!(marks.get(BackfillId::new(19)).is_some() && marks.get(BackfillId::new(0)).is_some());
        marks.note(BackfillId::new(0), |mark| mark.emitted += 2);
        assert_eq!(marks.get(BackfillId::new(0)).map(|mark| (mark.emitted, mark.at)), Some((2, 100)));
    }
}
