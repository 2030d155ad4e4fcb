//! The history checker: judges what a run left behind, in the log, at the target and on the wire, by the invariants
//! I1–I13. It is pure, and shares no code and no record types with the services whose history it judges.

mod count;
mod history;
mod log;
mod target;
mod wire;

use serde::{Deserialize, Serialize};

pub use count::looked_at;
pub use history::{
    Bill, Call, Checkpoint, Committed, End, Ended, Extracted, Field, History, Intended, Intent, Kind, Mapped, Outcome,
    Probe, Seen, Sent, Sighting, StateWrite, Told, Way,
};

/// A numbered invariant of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Invariant {
    /// Nothing is lost at the source.
    I1,
    /// A readable checkpoint has all its records.
    I2,
    /// One writer for each partition of state.
    I3,
    /// A committed input has exactly one outcome.
    I4,
    /// No save without an intent that was readable before it.
    I5,
    /// No save after another without proof that the first created nothing.
    I6,
    /// A number stands in the target at most once.
    I7,
    /// Each version reaches an end in time.
    I8,
    /// The applied version of a number never decreases.
    I9,
    /// The target's fields and rows are those that the source version maps to.
    I10,
    /// At most one save of a number is in flight.
    I11,
    /// Redis is disposable.
    I12,
    /// Calls stay under the limit in every sliding minute.
    I13,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Invariant; 13] = {
        use Invariant::*;
        [I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12, I13]
    };

    /// What it says, in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Invariant::I1 => "nothing is lost at the source",
            Invariant::I2 => "a readable checkpoint has all its records",
            Invariant::I3 => "one writer for each partition of state",
            Invariant::I4 => "a committed input has exactly one outcome",
            Invariant::I5 => "no save without an open intent",
            Invariant::I6 => "no save after another without proof",
            Invariant::I7 => "a number stands in the target at most once",
            Invariant::I8 => "each version reaches an end in time, no intent stays open",
            Invariant::I9 => "the applied version never decreases",
            Invariant::I10 => "the target holds what the source maps to",
            Invariant::I11 => "at most one save of a number in flight",
            Invariant::I12 => "Redis is disposable",
            Invariant::I13 => "calls stay under the limit in every minute",
        }
    }
}

/// One breach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Violation {
    /// What was broken.
    pub invariant: Invariant,
    /// Whose history it is and what is wrong with it.
    pub detail: String,
}

/// Judges a drained history; gives every breach in the order of the invariants.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = log::check(history);
    found.extend(wire::check(history));
    found.extend(target::check(history));
    found.sort();
    found.dedup();
    found
}

fn violation(invariant: Invariant, detail: String) -> Violation {
    Violation { invariant, detail }
}
