//! Takes back a version that is tried with some documents, where too many of them fail.

use std::sync::Arc;
use std::time::Duration;

use document::{Fault, FlowName, topic};
use queue::Canary;
use queue::registry::trying;
use tracing::{info, warn};

use crate::audit::Hash;
use crate::core::Effects;
use crate::grpc::{Shared, blocking};
use crate::index::Outcomes;
use crate::own::{self, Rounds};
use crate::writer::request::Decided;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// Goes on for ever; dropped at the end of the process.
pub async fn run(shared: Arc<Shared>) {
    let mut rounds = Rounds::every(EVERY);
    loop {
        rounds.next(&shared).await;
        for flow in shared.flows.names() {
            let Some(canary) = shared.flows.canary(&flow) else { continue };
            if let Err(fault) = judge(&shared, &flow, &canary).await {
                warn!(%flow, %fault, "a version that is tried was not judged");
            }
        }
    }
}

async fn judge(shared: &Shared, flow: &FlowName, canary: &Canary) -> Result<(), Fault> {
    let outcomes = blocking(|| shared.index.outcomes(flow, &canary.version, canary.at))?;
    let Some(reason) = verdict(canary, outcomes) else { return Ok(()) };
    info!(%flow, version = %canary.version, reason, "a version that was tried is taken back");
    let digest = Hash::of(canary.version.as_str().as_bytes());
    let meta = own::meta("FlowService/AbortCanary", format!("flow/{flow}"), shared.scope_of(flow), reason, digest);
    let effects = Effects { records: vec![(topic::FLOWS.to_owned(), trying(flow, None))], ..Effects::default() };
    shared.writer.submit(meta, move |_, _| Ok(Decided { effects, ..Decided::default() })).await.map(drop)
}

/// Why a version is taken back; `None` while it may go on.
fn verdict(canary: &Canary, Outcomes { applied, failed }: Outcomes) -> Option<String> {
    let ended = applied + failed;
    if failed == 0 || ended < canary.least {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
    let ratio = failed as f64 / ended as f64;
    (ratio > canary.abort_above).then(|| {
        let (version, bound) = (&canary.version, canary.abort_above);
        format!("{failed} of {ended} documents failed under version {version}, more than {bound} of them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_taken_back_when_enough_ended_and_too_many_failed() {
        let canary = |abort_above, least| Canary {
            version: "v2".into(),
            percent: 5,
            abort_above,
            least,
            by: "li".to_owned(),
            reason: String::new(),
            at: 0,
        };
        let taken_back = |abort_above, least, applied, failed| {
            verdict(&canary(abort_above, least), Outcomes { applied, failed }).is_some()
        };
        assert!(!taken_back(0.1, 20, 0, 19), "too few to tell");
        assert!(taken_back(0.1, 20, 0, 20));
        assert!(!taken_back(0.1, 20, 18, 2), "just as many as may");
        assert!(taken_back(0.1, 20, 17, 3));
        assert!(!taken_back(0.0, 1, 100, 0) && taken_back(0.0, 1, 100, 1));
        let reason = verdict(&canary(0.1, 20), Outcomes { applied: 17, failed: 3 }).expect("a reason");
        assert_eq!(reason, "3 of 20 documents failed under version v2, more than 0.1 of them");
    }
}
