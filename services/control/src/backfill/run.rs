//! Goes on with every backfill that is not over, on the replica that writes.

use std::sync::Arc;
use std::time::Duration;

use document::{BackfillMark, Fault, topic};
use tracing::{info, warn};

use super::job::{Asked, BACKFILLS, Backfill, Status, Step};
use crate::audit::Hash;
use crate::core::Effects;
use crate::grpc::Shared;
use crate::own::{self, Rounds};
use crate::writer::desk::Desk;
use crate::writer::request::{Decided, Jobs};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// Goes on for ever; dropped at the end of the process.
pub async fn run(shared: Arc<Shared>) {
    let mut rounds = Rounds::every(EVERY);
    loop {
        rounds.next(&shared).await;
        for (_, backfill) in shared.mirror.all::<Backfill>(BACKFILLS) {
            if backfill.status.is_over() {
                continue;
            }
            if let Err(fault) = go_on(&shared, &backfill).await {
                warn!(id = backfill.name(), %fault, "a backfill was not gone on with");
            }
        }
    }
}

/// Does what comes next of a backfill.
async fn go_on(shared: &Shared, backfill: &Backfill) -> Result<(), Fault> {
    let mark = shared.extracts.mark(&backfill.flow, backfill.id);
    let rests = shared.flows.paused(&backfill.flow).is_some();
    let gone = shared.flows.deleted(&backfill.flow).is_some();
    let reason = match backfill.step(&mark, rests, shared.clock.millis()) {
        Step::Done => format!("ended, {} documents given on", mark.emitted),
        _ if gone => "the flow was deleted".to_owned(),
        Step::Ask(from, to) => format!("window {from} to {to} asked for"),
        Step::Wait => return Ok(()),
    };
    info!(id = backfill.name(), reason, "backfill goes on");
    let key = backfill.key();
    let decide = move |desk: &mut Desk<'_>, _: &Jobs<'_>| {
        let committed = desk.memory(&key)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let effects = committed.map(|committed| next(committed, mark, rests, gone, desk.now)).unwrap_or_default();
        Ok(Decided { effects, ..Decided::default() })
    };
    let (object, digest) = (format!("backfill/{}", backfill.name()), Hash::of(&backfill.to_bytes()));
    let meta = own::meta("BackfillService/StartBackfill", object, shared.scope_of(&backfill.flow), reason, digest);
    shared.writer.submit(meta, decide).await.map(drop)
}

/// What is written of a backfill, by what was committed of it last.
fn next(mut backfill: Backfill, mark: BackfillMark, rests: bool, gone: bool, now: i64) -> Effects {
    let mut effects = Effects::default();
    match backfill.step(&mark, rests, now) {
        _ if backfill.status.is_over() => return effects,
        Step::Done => backfill.end(Status::Done, mark, now),
        _ if gone => {
            let fault = Fault::new(document::Code::FlowUnknown, "the flow was deleted");
            backfill.fault = Some(fault.of_record(backfill.flow.to_string()));
            backfill.end(Status::Failed, mark, now);
        }
        Step::Ask(from, to) => {
            backfill.asked = Some(Asked { to, at: now });
            effects.records.push((topic::COMMANDS.to_owned(), backfill.command((from, to))));
        }
        Step::Wait => return effects,
    }
    effects.memory.push((backfill.key(), Some(backfill.to_bytes())));
    effects
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::{BackfillId, FlowName};

    fn backfill(status: Status) -> Backfill {
        Backfill {
            id: BackfillId::new(1),
            flow: FlowName::new("misc").expect("valid"),
            status,
            from: 0,
            to: 100,
            chunk: 60,
            rate: None,
            again: true,
            by: "li".to_owned(),
            at: 0,
            reason: String::new(),
            asked: None,
            mark: BackfillMark::default(),
            ended_at: None,
            fault: None,
        }
    }

    fn written(effects: &Effects) -> Option<Backfill> {
        let value = effects.memory.first()?.1.as_ref()?;
        serde_json::from_slice(value).ok()
    }

    #[test]
    fn a_window_and_the_note_of_it_are_written_together() {
        let effects = next(backfill(Status::Running), BackfillMark::default(), false, false, 5);
        assert_eq!(effects.records.len(), 1);
        assert_eq!(written(&effects).and_then(|kept| kept.asked), Some(Asked { to: 60, at: 5 }));
        let all = BackfillMark { read_to: Some(100), emitted: 7, ..BackfillMark::default() };
        let effects = next(backfill(Status::Running), all, false, false, 9);
        let kept = written(&effects).expect("written");
        assert!(effects.records.is_empty());
        assert_eq!((kept.status, kept.mark.emitted, kept.ended_at), (Status::Done, 7, Some(9)));
    }

    #[test]
    fn what_was_decided_meanwhile_counts() {
        for status in [Status::Paused, Status::Cancelled] {
            assert!(next(backfill(status), BackfillMark::default(), false, false, 5).is_empty(), "{status:?}");
        }
        let kept = written(&next(backfill(Status::Paused), BackfillMark::default(), true, true, 5)).expect("written");
        assert_eq!(kept.status, Status::Failed);
        assert_eq!(kept.fault.map(|fault| fault.code), Some(document::Code::FlowUnknown));
    }
}
