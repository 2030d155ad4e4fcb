//! The operator's desk on real servers: who is let in, what is shown, and that a replay loses and doubles nothing.

mod access;
mod backfill;
mod canary;
mod client;
mod decides;
mod doubts;
mod flows;
mod guide;
mod kills;
mod overtaken;
mod raw;
mod reconcile;
mod refetch;
mod replay;
mod rolling;

use std::time::Duration;

/// How long a scenario may take before it has failed.
const PATIENCE: Duration = Duration::from_secs(90);
