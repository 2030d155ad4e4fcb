//! How much of a history each invariant was judged by: a check that looked at nothing says nothing.

use std::collections::BTreeMap;

use crate::{End, History, Invariant};

/// How many things each invariant looks at in `history`.
pub fn looked_at(history: &History) -> BTreeMap<Invariant, usize> {
    let count = |invariant: &Invariant| match invariant {
        Invariant::I1 => {
            let watermark = history.checkpoints.iter().map(|checkpoint| checkpoint.watermark).max();
            history.source.iter().filter(|bill| watermark.is_some_and(|watermark| bill.stamp < watermark)).count()
        }
        Invariant::I2 => history.seen.len() + history.checkpoints.len(),
        Invariant::I3 => history.state.iter().filter(|write| !write.barrier).count(),
        Invariant::I4 => {
            let below = |all: &crate::Committed| all.records.iter().filter(|offset| **offset < all.to).count();
            history.committed.iter().map(below).sum()
        }
        Invariant::I5 | Invariant::I6 | Invariant::I11 => history.calls.iter().map(|call| call.saves.len()).sum(),
        Invariant::I7 => history.target.len(),
        Invariant::I8 => history.mapped.len() + history.intents.len(),
        Invariant::I9 => history.ends.iter().filter(|end| end.end == End::Applied).count(),
        Invariant::I10 => history.expected.len(),
        Invariant::I12 => history.redis.len(),
        Invariant::I13 => history.calls.len() + history.source_calls.len(),
    };
    Invariant::ALL.iter().map(|invariant| (*invariant, count(invariant))).collect()
}
