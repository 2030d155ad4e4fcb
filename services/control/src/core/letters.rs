//! The states of a letter, and who may move it from one to another.
//!
//! ```text
//! open ──▶ replaying ──▶ resolved | superseded | open (failed again)
//! open ◀──▶ parked        open, parked ──▶ discarded ──▶ open (for those who may)
//! ```
//!
//! Everything else is refused. A letter that is claimed stays in its state.

use document::{Category, Code, Fault, Stage};

use super::Letter;
use crate::letter::{LetterEvent, State};

/// What somebody, or the control plane itself, wants of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Published by this job.
    Publish(String),
    /// Its replay was applied.
    Resolve,
    /// A newer version was handled.
    Supersede,
    /// Its replay failed; it is open again.
    Reappear,
    /// Set aside.
    Park,
    /// Opened again; `discarded` where the caller may open what was given up.
    Reopen {
        /// Whether letters that were given up may be opened.
        discarded: bool,
    },
    /// Given up.
    Discard,
    /// Worked on by whoever says so.
    Claim,
    /// Worked on by nobody.
    Unclaim,
}

/// Who wants it, why, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// A person, or `control`.
    pub name: String,
    /// In words.
    pub reason: Option<String>,
    /// Unix milliseconds.
    pub at: i64,
}

/// The letter's next event.
///
/// # Errors
/// [`Code::LetterState`] when no letter in this state can be moved so, or somebody else works on it.
pub fn moved(letter: &Letter, wish: &Wish, by: &By) -> Result<LetterEvent, Fault> {
    let from = letter.state();
    let to = match (from, wish) {
        (State::Open, Wish::Publish(_)) => State::Replaying,
        (State::Replaying, Wish::Resolve) => State::Resolved,
        (State::Open | State::Replaying | State::Parked, Wish::Supersede) => State::Superseded,
        (State::Replaying, Wish::Reappear) => State::Open,
        (State::Open, Wish::Park) => State::Parked,
        (State::Parked, Wish::Reopen { .. }) | (State::Discarded, Wish::Reopen { discarded: true }) => State::Open,
        (State::Open | State::Parked, Wish::Discard) => State::Discarded,
        (State::Open | State::Replaying | State::Parked, Wish::Claim) => match claimed_by(letter) {
            Some(other) if other != by.name => return Err(refused(letter, &format!("is claimed by {other}"))),
            _ => from,
        },
        (_, Wish::Unclaim) if claimed_by(letter).is_some() => from,
        (_, Wish::Unclaim) => return Err(refused(letter, "is claimed by nobody")),
        (State::Discarded, Wish::Reopen { discarded: false }) => {
            return Err(refused(
                letter,
                "was discarded; say so to open it again, which takes the permission to reopen",
            ));
        }
        _ => return Err(refused(letter, &format!("is {from} and cannot be {}", wish.word()))),
    };
    let earlier = letter.event.clone();
    // A stage without memory counts every failure as its first.
    let failed = earlier.as_ref().map_or(0, |event| event.attempts) + u32::from(*wish == Wish::Reappear);
    let mut event = LetterEvent::new(to, letter.attempts.max(failed), by.name.clone(), by.at);
    event.reason.clone_from(&by.reason);
    event.replay = match wish {
        Wish::Publish(job) => Some(job.clone()),
        _ => earlier.as_ref().and_then(|event| event.replay.clone()),
    };
    if let Some(earlier) = earlier {
        event.edit = earlier.edit;
        event.flow_version = earlier.flow_version;
        event.claimed_by = earlier.claimed_by;
        if matches!(wish, Wish::Claim | Wish::Unclaim) && by.reason.is_none() {
            // Why it is in its state goes on holding.
            event.reason = earlier.reason;
        }
    }
    match wish {
        Wish::Claim => event.claimed_by = Some(by.name.clone()),
        Wish::Unclaim => event.claimed_by = None,
        _ => {}
    }
    Ok(event)
}

/// Whether a replay of the letter is accepted, whoever asks. `verdict`: a person says what became of it.
///
/// # Errors
/// [`Code::LetterState`] unless it is open, [`Code::LetterInDoubt`] for one in doubt without a verdict,
/// [`Code::ReplayImpossible`] for one that holds no record to publish.
pub fn replayable(letter: &Letter, verdict: bool) -> Result<(), Fault> {
    let fault = |code, detail: &str| Err(Fault::new(code, detail).of_record(letter.id.0.clone()));
    if letter.state() != State::Open {
        return Err(refused(letter, &format!("is {} and cannot be replayed", letter.state())));
    }
    if letter.category == Category::InDoubt && !verdict {
        return fault(Code::LetterInDoubt, "whether the target has the document is not known");
    }
    if !letter.has_original || letter.stage == Stage::Extract {
        return fault(Code::ReplayImpossible, "the letter holds no record to publish");
    }
    Ok(())
}

/// The number of the next edit of a letter that was looked at when its payload was at revision `seen`.
///
/// # Errors
/// [`Code::EditRevision`] when it was edited since.
pub fn next_revision(letter: &Letter, seen: u32) -> Result<u32, Fault> {
    let now = letter.edit();
    if now == seen {
        return Ok(now + 1);
    }
    Err(Fault::new(Code::EditRevision, format!("the payload is at revision {now}, not {seen}"))
        .of_record(letter.id.0.clone()))
}

fn claimed_by(letter: &Letter) -> Option<&str> {
    letter.event.as_ref()?.claimed_by.as_deref()
}

fn refused(letter: &Letter, why: &str) -> Fault {
    Fault::new(Code::LetterState, format!("the letter {why}")).of_record(letter.id.0.clone())
}

impl Wish {
    fn word(&self) -> &'static str {
        match self {
            Wish::Publish(_) => "replayed",
            Wish::Resolve => "resolved",
            Wish::Supersede => "superseded",
            Wish::Reappear => "opened by a failure",
            Wish::Park => "parked",
            Wish::Reopen { .. } => "reopened",
            Wish::Discard => "discarded",
            Wish::Claim => "claimed",
            Wish::Unclaim => "unclaimed",
        }
    }
}
