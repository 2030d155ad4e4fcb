//! What the control plane does of its own accord: in rounds, on the replica that writes, under its own name.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use crate::access::Scope;
use crate::audit::{Hash, Outcome};
use crate::grpc::Shared;
use crate::letter::OWN_NAME;
use crate::writer::request::Meta;

/// Rounds at equal distances.
#[derive(Debug)]
pub(crate) struct Rounds(Interval);

impl Rounds {
    /// One every so often.
    pub(crate) fn every(time: Duration) -> Self {
        let mut every = tokio::time::interval(time);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(every)
    }

    /// Waits for the next round in which this replica writes and has read what there was.
    pub(crate) async fn next(&mut self, shared: &Shared) {
        loop {
            self.0.tick().await;
            if shared.writer.is_active() && shared.progress.is_caught_up() {
                return;
            }
        }
    }
}

/// What the audit topic is told of it. `action`: service and method of the call that a person would have made.
pub(crate) fn meta(action: &str, object: String, scope: Scope, reason: String, digest: Hash) -> Meta {
    Meta {
        actor: OWN_NAME.to_owned(),
        role: None,
        action: format!("starbridge.control.v1.{action}"),
        object,
        scope,
        reason,
        request_id: uuid::Uuid::now_v7().to_string(),
        digest,
        idempotency_key: None,
        result: Outcome::Done,
        dry_run: false,
    }
}
