//! What is run of a flow: what is published counts, and a folder publishes what was never published before.
//!
//! So a version that was applied or rolled back from the desk stays, however often a process with the folder of another
//! version starts; and a flow that was deleted there does not come back by itself.

use document::{Code, Fault, FlowVersion};
use flow::Flow;

/// What to do about one flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Publish what the folder holds, and run it.
    Publish,
    /// Run this published version.
    Follow(FlowVersion),
    /// Run nothing of it.
    Leave,
}

/// Chooses. `found`: the version that a folder holds; `published`: whether that was
/// published before, and is no word of now;
/// `current`: the version that is current; `deleted`: whether the flow was deleted at the desk.
pub fn choice(found: Option<&FlowVersion>, published: bool, current: Option<&FlowVersion>, deleted: bool) -> Choice {
    match (found, current) {
        _ if deleted => Choice::Leave,
        (Some(_), Some(current)) if published => Choice::Follow(current.clone()),
        (Some(_), _) => Choice::Publish,
        (None, Some(current)) => Choice::Follow(current.clone()),
        (None, None) => Choice::Leave,
    }
}

/// Refuses a version from a folder that moves keys: only the desk sees what is on its way.
///
/// # Errors
/// `E_KEY_MOVES`.
pub fn keys_stay(before: &Flow, after: &Flow) -> Result<(), Fault> {
    let moved = flow::change::moved_keys(before, after);
    if moved.is_empty() {
        return Ok(());
    }
    let detail = format!("version {} moves keys by {}", after.version, moved.join(", "));
    let fault = Fault::new(Code::KeyMoves, detail).of_record(after.name.as_str());
    Err(fault.hint("publish it with starctl flow apply, which sees what is on its way"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_is_published_counts_and_a_folder_publishes_what_is_new() {
        let (old, new) = (FlowVersion::from("old"), FlowVersion::from("new"));
        let follow = |version: &FlowVersion| Choice::Follow(version.clone());
        for (found, published, current, deleted, wanted) in [
            (Some(&new), false, None, false, Choice::Publish),
            (Some(&new), false, Some(&old), false, Choice::Publish),
            (Some(&new), true, Some(&new), false, follow(&new)),
            (Some(&old), true, Some(&new), false, follow(&new)),
            (Some(&old), true, None, false, Choice::Publish),
            (None, false, Some(&new), false, follow(&new)),
            (None, false, None, false, Choice::Leave),
            (Some(&new), false, None, true, Choice::Leave),
            (Some(&old), true, None, true, Choice::Leave),
        ] {
            assert_eq!(choice(found, published, current, deleted), wanted, "{found:?} {published} {current:?}");
        }
    }

    #[test]
    fn a_folder_does_not_move_keys() {
        let before = testing::unit().flow;
        let marked = testing::FLOW.replace("[target]", "[target]\nmarker = \"FNote\"");
        let after = testing::flow(&marked, &testing::source());
        let fault = keys_stay(&before, &after).expect_err("refused");
        assert_eq!((fault.code, fault.place.record.as_deref()), (Code::KeyMoves, Some("misc-inbound")));
        assert_eq!(keys_stay(&before, &before), Ok(()));
    }
}
