//! How fast the world gives permits.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::event::Lane;

/// Gives permits of a lane one after another.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// How far apart, at least; a lane that is not here has no bound.
    pub(super) every: BTreeMap<Lane, Duration>,
    last: BTreeMap<Lane, Duration>,
}

impl Quota {
    /// How long a permit takes that is asked for at `now`.
    pub(super) fn wait(&mut self, lane: Lane, now: Duration) -> Duration {
        let soonest = now + Duration::from_millis(5);
        let every = self.every.get(&lane).copied().unwrap_or_default();
        let given = self.last.get(&lane).map_or(soonest, |last| soonest.max(*last + every));
        self.last.insert(lane, given);
        given - now
    }
}
