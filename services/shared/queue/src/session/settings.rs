//! What a session is made of.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Cluster;

/// How long things may take. Tests shorten it; services leave it.
#[derive(Clone)]
pub struct Timing {
    /// A transaction that is not finished by then is ended by the broker. 30 s; below `session`.
    pub transaction: Duration,
    /// A member that is silent for so long loses its partitions. 45 s.
    pub session: Duration,
    /// A commit that took longer gives the session up once it has succeeded. 5 s.
    pub slow_commit: Duration,
    /// How long a moving partition waits for its release before it goes anyway. 15 s; the group waits with it.
    pub release: Duration,
    /// How long a barrier may stand without any progress of its table. 90 s.
    pub barrier: Duration,
    /// How often owner records are written again, so that retention never takes them. A day.
    pub owner: Duration,
    /// A poll that is later than this ends the process. 60 s.
    pub watchdog: Duration,
    /// What the watchdog does instead of ending the process.
    pub stalled: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            transaction: Duration::from_secs(30),
            session: Duration::from_secs(45),
            slow_commit: Duration::from_secs(5),
            release: Duration::from_secs(15),
            barrier: Duration::from_secs(90),
            owner: Duration::from_secs(24 * 3600),
            watchdog: Duration::from_secs(60),
            stalled: None,
        }
    }
}

impl fmt::Debug for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timing")
            .field("transaction", &self.transaction)
            .field("session", &self.session)
            .field("slow_commit", &self.slow_commit)
            .field("release", &self.release)
            .field("barrier", &self.barrier)
            .field("owner", &self.owner)
            .field("watchdog", &self.watchdog)
            .finish_non_exhaustive()
    }
}

/// What a session is made of.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The brokers.
    pub cluster: Cluster,
    /// The consumer group.
    pub group: String,
    /// `{service}-{pod ordinal}-{worker}`: names the static member and the transactional producer alike. Two running
    /// sessions of one name fence each other.
    pub member: String,
    /// The input topics.
    pub topics: Vec<String>,
    /// The state topics that belong to an input topic, with its partition count. No two input topics share one.
    pub state_topics: fn(&str) -> Vec<String>,
    /// Where the embedded store lies; what is in it may be lost.
    pub data_dir: PathBuf,
    /// How long things may take.
    pub timing: Timing,
}

impl SessionSettings {
    /// A session with the usual times.
    pub fn new(
        cluster: Cluster,
        group: impl Into<String>,
        member: impl Into<String>,
        topics: Vec<String>,
        state_topics: fn(&str) -> Vec<String>,
        data_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            cluster,
            group: group.into(),
            member: member.into(),
            topics,
            state_topics,
            data_dir: data_dir.into(),
            timing: Timing::default(),
        }
    }
}
