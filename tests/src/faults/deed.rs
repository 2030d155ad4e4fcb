//! What people do while a run is under way: at the desk, in the target, in the source.

use std::fmt;

use super::deck::Card;
use super::dice::Dice;
use super::row::Row;

/// Something that somebody does.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// A letter is replayed.
    Replay(Replay),
    /// Another version of the flow is made the current one: other batches, and a field more in the mapping. One with other
    /// partitions is refused.
    Configure {
        /// Documents in a call.
        documents: u64,
    },
    /// A bill of ours is edited by hand in the target.
    Edit(Edit),
    /// Bills arrive with dates that mislead.
    Dates(Dates),
    /// Bills arrive whose number holds what a query may trip over, one whose save is not answered among them.
    OddKey(Odd),
    /// The source moves under whoever reads it.
    Move(Move),
    /// The source shows nothing for the length of two lookbacks: a permission is lost.
    PermissionLost,
    /// A version of the flow by which no bill can be mapped is made the current one, then a good one.
    FailingVersion,
}

/// What misleads in a date of approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// It lies so many hours in the future.
    Future(i64),
    /// It is the same second for many, which come in two portions.
    Equal,
    /// It lies so many hours in the past: the bill was committed late.
    Past(i64),
}

/// What a number holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// Quotes, and what would end a text in a query.
    Quote,
    /// A line break.
    Newline,
    /// Signs beyond the basic plane.
    Emoji,
    /// Three hundred signs.
    Long,
}

/// How the source moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Bills leave and come back approved anew, while page follows page.
    Reapproved,
    /// Pages hold so many rows at most, whatever was asked for.
    Clamped(u64),
    /// A bill of ten thousand rows arrives.
    Large,
}

/// How a letter is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Ten times at once, once its cause is mended; `early` also once before that.
    AtOnce {
        /// Whether it is replayed before its cause is mended, too.
        early: bool,
    },
    /// After a newer version of its bill was applied.
    Overtaken,
    /// After its payload was edited.
    Edited,
}

/// When a bill is edited in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Before it is known that its save went well.
    InDoubt,
    /// After it was loaded; then it changes in the source.
    Loaded,
}

impl Odd {
    /// What the number holds.
    pub(super) fn text(self) -> String {
        match self {
            Self::Quote => "') or 'a'='a\" --".to_owned(),
            Self::Newline => "\n2".to_owned(),
            Self::Emoji => "😀🇨🇳".to_owned(),
            Self::Long => "长".repeat(300),
        }
    }
}

impl Deed {
    /// One that hits the row of `card` in its way; `None` for a row that no deed hits.
    pub(super) fn draw(card: Card, dice: &mut Dice) -> Option<Self> {
        let way = card.way;
        Some(match card.row {
            Row::Replays => Self::Replay(
                [Replay::AtOnce { early: false }, Replay::AtOnce { early: true }, Replay::Overtaken, Replay::Edited]
                    [way],
            ),
            Row::ConfigChange => Self::Configure { documents: dice.between(1, 9) },
            Row::EditedInTarget => Self::Edit([Edit::InDoubt, Edit::Loaded][way]),
            Row::SourceDates => {
                let (ahead, behind) = (dice.between(2, 72), dice.between(2, 48));
                let [ahead, behind] = [ahead, behind].map(|hours| i64::try_from(hours).unwrap_or_default());
                Self::Dates([Dates::Future(ahead), Dates::Equal, Dates::Past(behind)][way])
            }
            Row::OddKey => Self::OddKey([Odd::Quote, Odd::Newline, Odd::Emoji, Odd::Long][way]),
            Row::SourceMoves => {
                let rows = dice.between(20, 60);
                Self::Move([Move::Reapproved, Move::Clamped(rows), Move::Large][way])
            }
            Row::FlowVersion => [Self::PermissionLost, Self::FailingVersion][way].clone(),
            _ => return None,
        })
    }

    /// The row of the table that it hits.
    pub fn row(&self) -> Row {
        match self {
            Self::Replay(_) => Row::Replays,
            Self::Configure { .. } => Row::ConfigChange,
            Self::Edit(_) => Row::EditedInTarget,
            Self::Dates(_) => Row::SourceDates,
            Self::OddKey(_) => Row::OddKey,
            Self::Move(_) => Row::SourceMoves,
            Self::PermissionLost | Self::FailingVersion => Row::FlowVersion,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replay(Replay::AtOnce { early }) => {
                write!(out, "a letter is replayed{} ten times at once", if *early { " too early, then" } else { "" })
            }
            Self::Replay(Replay::Overtaken) => {
                write!(out, "a letter is replayed after a newer version of its bill was applied")
            }
            Self::Replay(Replay::Edited) => write!(out, "a letter is edited and replayed"),
            Self::Configure { documents } => {
                write!(
                    out,
                    "another version of the flow: {documents} documents a call, a field more; no other partitions"
                )
            }
            Self::Edit(Edit::InDoubt) => write!(out, "a bill is edited in the target before its save has an outcome"),
            Self::Edit(Edit::Loaded) => write!(out, "a loaded bill is edited in the target, then in the source"),
            Self::Dates(Dates::Future(hours)) => write!(out, "a bill approved {hours} h in the future"),
            Self::Dates(Dates::Equal) => write!(out, "bills approved in one second, in two portions"),
            Self::Dates(Dates::Past(hours)) => write!(out, "a bill approved {hours} h ago and committed now"),
            Self::OddKey(Odd::Long) => write!(out, "a number of 300 signs and more, and a save without an answer"),
            Self::OddKey(odd) => write!(out, "a number that holds {:?}, and a save without an answer", odd.text()),
            Self::Move(Move::Reapproved) => write!(out, "bills of the source leave and are approved anew"),
            Self::Move(Move::Clamped(rows)) => write!(out, "the source cuts pages to {rows} rows"),
            Self::Move(Move::Large) => write!(out, "a bill of ten thousand rows"),
            Self::PermissionLost => write!(out, "the source shows nothing: a permission is lost"),
            Self::FailingVersion => {
                write!(out, "a version of the flow by which no bill can be mapped, then a good one")
            }
        }
    }
}
