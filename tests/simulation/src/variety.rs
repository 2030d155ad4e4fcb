//! What makes a flow, a source or a target unlike the common ones: drawn from throws of its own, so that a history in
//! which nothing of it was drawn is the history that its seed always had.

use std::time::Duration;

use document::FlowVersion;

use crate::dice::Dice;
use crate::rule::Rule;

/// The definition that takes the place of the first one.
pub(crate) const REPAIRED_VERSION: &str = "cccccccccccccccc";

/// What the rows of a form are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Bills with lines; the ids of both are numbers.
    Bills,
    /// The same with texts for ids.
    Texts,
    /// Rows without an id: a report, which stays as it was when it was first asked.
    Report,
    /// Heads alone: base data, every row a document.
    Heads,
}

/// What the first mapping makes wrong, where it is replaced. A flow waits where more than half of its records fail alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Three bills of four.
    Mostly,
    /// One bill of two.
    Half,
    /// Two bills of three, and not in the same field.
    TwoWays,
}

#[derive(Debug)]
pub(crate) struct Variety {
    pub(crate) form: Form,
    /// A document that was loaded stays as it is.
    pub(crate) id_check: bool,
    /// What a lookback does not see has left the source.
    pub(crate) conclusive: bool,
    pub(crate) shrunk_ratio: f64,
    pub(crate) max_bill_bytes: u64,
    pub(crate) max_batch_bytes: usize,
    /// Records, and bodies of letters, are small.
    pub(crate) small_records: bool,
    /// The target refuses every document for so long from the beginning.
    pub(crate) closed_first: Duration,
    /// Some bills have ten thousand lines, and pages are as long as those of a real source.
    pub(crate) long_bills: bool,
    /// Some bills are odd ([`Oddity`]).
    pub(crate) odd: bool,
    /// The mapping fails for most bills until another definition is published then.
    pub(crate) repaired_at: Option<Duration>,
    /// What the first one makes wrong.
    pub(crate) wrong: Wrong,
    /// Transformers and loaders hear of it so much later.
    pub(crate) heard_after: Duration,
    /// And loaders so much later than transformers.
    pub(crate) loaders_hear_after: Duration,
    /// One in so many pages is not what was asked.
    pub(crate) lies: u64,
    /// Bytes and records that a loader takes in hand are few.
    pub(crate) narrow: bool,
    /// Letters carry no body, but for the smallest.
    pub(crate) small_letters: bool,
    /// Ledgers are damaged or lost.
    pub(crate) ledgers: bool,
    /// The target refuses who we are for a while.
    pub(crate) logins: bool,
    /// The target gives its documents numbers of its own.
    pub(crate) renames: bool,
    /// The target says more than that it refuses.
    pub(crate) eloquent: bool,
    /// Others meddle with documents of the target.
    pub(crate) meddling: bool,
    /// One in so many looks into an embedded table fails.
    pub(crate) bad_disks: u64,
    /// One in so many saves finds its process stopped, behind its intent and before its first byte.
    pub(crate) sleeps: u64,
    /// Processes are asked to end, and end in order.
    pub(crate) orderly: bool,
    /// What the extractor knows is damaged: the flow stops, and nothing starts it in this history.
    pub(crate) ruin: bool,
}

impl Variety {
    /// `forever`: whether faults go on to the end.
    pub(crate) fn draw(dice: &mut Dice, off: Option<Rule>, forever: bool) -> Self {
        let form = [Form::Texts, Form::Report, Form::Heads, Form::Bills][dice.index(8).min(3)];
        let by_key = off != Some(Rule::KeyPaging);
        let repaired_at = dice.one_in(6).then(|| Duration::from_secs(1_000) + dice.millis(60_000, 450_000));
        let renames = dice.one_in(14);
        let drawn = Self {
            form: if by_key { form } else { Form::Bills },
            id_check: dice.one_in(8),
            conclusive: !dice.one_in(8),
            shrunk_ratio: [0.05, 0.05, 0.0, 0.9][dice.index(4)],
            max_bill_bytes: if dice.one_in(8) { 600 } else { 1 << 20 },
            max_batch_bytes: if dice.one_in(6) { 200 } else { 16 << 20 },
            odd: dice.one_in(4) && repaired_at.is_none(),
            repaired_at,
            wrong: Wrong::Mostly,
            small_records: false,
            closed_first: Duration::ZERO,
            long_bills: false,
            heard_after: dice.millis(0, 20_000),
            loaders_hear_after: if dice.one_in(4) { dice.millis(0, 40_000) } else { Duration::ZERO },
            lies: if dice.one_in(3) { 20 + dice.below(60) } else { 0 },
            narrow: dice.one_in(6),
            small_letters: dice.one_in(6),
            ledgers: dice.one_in(5) && !renames,
            logins: dice.one_in(6),
            renames,
            eloquent: dice.one_in(3),
            meddling: dice.one_in(5),
            bad_disks: if dice.one_in(6) { 2_000 } else { 0 },
            sleeps: if dice.one_in(5) { 8 } else { 0 },
            orderly: dice.one_in(4),
            ruin: dice.one_in(8) && forever,
        };
        let wrong = [Wrong::Mostly, Wrong::Half, Wrong::TwoWays][dice.index(3)];
        let small_records = dice.one_in(if drawn.odd { 2 } else { 6 });
        let closed_first = if dice.one_in(8) { dice.millis(30_000, 300_000) } else { Duration::ZERO };
        let long_bills = dice.one_in(600) && matches!(form, Form::Bills | Form::Texts);
        Self { wrong, small_records, closed_first, long_bills, ..drawn }
    }

    /// The version that transformers and loaders take for the current one.
    pub(crate) fn current(&self, now: Duration) -> FlowVersion {
        let heard = self.repaired_at.is_some_and(|at| now >= at + self.heard_after);
        if heard { REPAIRED_VERSION } else { crate::setting::FLOW_VERSION }.into()
    }
}

/// What is odd about a bill: its last quantity says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oddity {
    /// The flow's condition leaves nothing of it.
    Filtered,
    /// One of its rows cannot become a record.
    Unshaped,
    /// The mapping makes no bill of it.
    Skipped,
    /// The mapping breaks down.
    Breaks,
    /// The process dies of it.
    Kills,
    /// Two bills of one key come of it.
    Doubled,
    /// Neither of its two bills can be made.
    Impossible,
    /// Its bill has no key, an empty one, or one that is none.
    Nameless,
    Blank,
    Misnamed,
}

impl Oddity {
    const ALL: [Self; 10] = [
        Self::Filtered,
        Self::Unshaped,
        Self::Skipped,
        Self::Breaks,
        Self::Kills,
        Self::Doubled,
        Self::Impossible,
        Self::Nameless,
        Self::Blank,
        Self::Misnamed,
    ];

    /// A quantity that makes a bill odd.
    pub(crate) fn quantity(dice: &mut Dice) -> i64 {
        -101 - i64::try_from(dice.index(Self::ALL.len())).expect("few")
    }

    /// What is odd about a bill of these quantities.
    pub(crate) fn of(content: &[i64]) -> Option<Self> {
        let at = usize::try_from(-101 - content.last()?).ok()?;
        Self::ALL.get(at).copied()
    }

    /// Whether no stage writes anything for such a bill.
    pub(crate) fn is_silent(self) -> bool {
        matches!(self, Self::Filtered | Self::Skipped)
    }
}
