//! What a loader has in hand, told from the log alone: when it has to stop fetching, and when to go on.

use std::collections::BTreeSet;

use document::Mapped;

use crate::log::Topic;
use crate::world::{Role, World};

/// Records and bytes of one partition.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    records: usize,
    bytes: usize,
}

/// What was handed over of a partition and has no end yet that can be read is surely in hand; what lies before the saved
/// position surely is not.
#[derive(Debug, Clone, Copy, Default)]
struct Hand {
    surely: Load,
    at_most: Load,
}

impl World {
    fn hand(&self, node: usize, partition: i32, fed: i64) -> Hand {
        let saved = self.nodes[node].session.as_ref().and_then(|session| session.saved.get(&partition).copied());
        let from = saved.unwrap_or_else(|| self.position(Role::Loader, partition));
        let mut hand = Hand::default();
        for entry in self.log.committed((Topic::Mapped, partition), from, fed) {
            hand.at_most.records += 1;
            hand.at_most.bytes += entry.record.value.as_ref().map_or(0, Vec::len);
            let Ok(mapped) = Mapped::from_record(&entry.record) else { continue };
            if !self.has_end(partition, &mapped) {
                hand.surely.records += 1;
                hand.surely.bytes += mapped.value.len();
            }
        }
        hand
    }

    /// I17: whoever has as much in hand as it may have fetches no more, and goes on when half of that is gone. `resumed`
    /// are the partitions that were just fetched again.
    pub(crate) fn check_hand(&mut self, node: usize, resumed: &[i32]) {
        // Elsewhere a history is too short for as much.
        if !self.setting.variety.narrow {
            return;
        }
        let Some(session) = &self.nodes[node].session else { return };
        let ours = session.owned.clone();
        let gone: BTreeSet<i32> = session.leaving.union(&session.gone).copied().collect();
        let (fed, paused, leaving) = self.loader(node).fetching();
        let hands: Vec<(i32, Hand)> = fed.iter().map(|(at, fed)| (*at, self.hand(node, *at, *fed))).collect();
        // What a partition that is to go gives is not taken in hand any more.
        let stays = |at: &i32| ours.contains(at) && !gone.contains(at) && !leaving.contains(at);
        let sum = |loads: &mut dyn Iterator<Item = Load>| loads.map(|load| load.bytes).sum::<usize>();
        let surely = sum(&mut hands.iter().filter(|(at, _)| stays(at)).map(|(_, hand)| hand.surely));
        let at_most = sum(&mut hands.iter().map(|(_, hand)| hand.at_most));
        let numbers = &self.setting.numbers;
        let (records, bytes, total) = (numbers.in_hand, numbers.in_hand_bytes, numbers.total_bytes);
        let mut wrong = None;
        for (at, hand) in hands.iter().filter(|(at, _)| stays(at)) {
            let load = hand.surely;
            let full = load.records >= records || load.bytes >= bytes || (load.records > 0 && surely >= total);
            let half = load.records > records / 2 || load.bytes > bytes / 2 || (load.records > 0 && surely > total / 2);
            let light = hand.at_most.records <= records / 2 && hand.at_most.bytes <= bytes / 2 && at_most <= total / 2;
            if full && !paused.contains(at) {
                wrong = Some(format!("I17: node {node} fetches more of {at} with {load:?}, {surely} bytes in all"));
            } else if half && resumed.contains(at) {
                wrong = Some(format!("node {node} fetches {at} again with {load:?}, {surely} bytes in all"));
            } else if light && paused.contains(at) {
                wrong = Some(format!("node {node} does not fetch {at} again with {:?} at most", hand.at_most));
            }
        }
        if let Some(words) = wrong {
            self.violate(words);
        }
    }
}
