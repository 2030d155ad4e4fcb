//! What became of a published letter, concluded from what the loader and the stages have written.

use document::DeadLetterId;

use super::{End, Letter};

/// What is known of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Unknown,
    /// The document is in the target.
    Applied,
    /// A newer version was handled, or this one before.
    Superseded(String),
    /// The very letter came again.
    FailedAgain,
    /// It got further and failed there: another letter has it now.
    FailedLater(DeadLetterId),
}

/// What became of `letter`, published by `job`. `end` is the ledger's word on its document; absent while the ledger has
/// none. No times are compared: a letter is in a job once, and may have failed before it was published there anew.
pub fn outcome(letter: &Letter, job: &str, end: Option<&End>) -> Outcome {
    if letter.failed_in.as_deref() == Some(job) {
        return Outcome::FailedAgain;
    }
    let Some(end) = end else { return Outcome::Unknown };
    if let Some((version, replay)) = &end.dropped
        && replay == job
        && *version == letter.version
    {
        return Outcome::Superseded(format!("version {} was handled before", end.version));
    }
    if end.version > letter.version {
        return Outcome::Superseded(format!("version {} was handled meanwhile", end.version));
    }
    if end.version != letter.version || !end.replays.iter().any(|replay| replay == job) {
        return Outcome::Unknown;
    }
    match (&end.letter, end.applied) {
        (_, true) => Outcome::Applied,
        (Some(other), false) if *other != letter.id => Outcome::FailedLater(other.clone()),
        // The letter itself follows.
        (Some(_) | None, false) => Outcome::Unknown,
    }
}
