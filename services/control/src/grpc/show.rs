//! What is known, in the words of the interface.

use document::{Category, Stage};
use flow::file::Delivery;
use prost_types::Timestamp;
use queue::FlowRegistry;
use starbridge_proto::v1;

use crate::core::job::{Begin, Counts, Job, Status, Under};
use crate::index::{Earlier, Letter, LetterRow, Scan};
use crate::letter::State;
use crate::mask::{Masked, Masker, pattern};

/// Unix milliseconds as a timestamp.
pub fn time(millis: i64) -> Timestamp {
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).expect("below a second");
    Timestamp { seconds: millis.div_euclid(1000), nanos }
}

/// A count as the interface has it.
pub fn count(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// An instant as a timestamp.
pub fn instant(instant: chrono::DateTime<chrono::Utc>) -> Timestamp {
    time(instant.timestamp_millis())
}

/// A message as everybody may see it: without what looks like a personal number.
fn message(text: &str) -> String {
    pattern::mask(text).unwrap_or_else(|| text.to_owned())
}

/// A failure before the last one; its message as it is, or as everybody may see it.
pub fn earlier(failure: Earlier, unmask: bool) -> v1::FailedAttempt {
    v1::FailedAttempt {
        attempt: failure.attempt,
        failed_at: Some(time(failure.failed_at)),
        code: failure.code.to_string(),
        message: if unmask { failure.message } else { message(&failure.message) },
        field: failure.field.unwrap_or_default(),
        flow_version: failure.flow_version,
        replay_job: failure.replay.unwrap_or_default(),
        trace_id: failure.trace.unwrap_or_default(),
    }
}

/// A letter as lists show it. `flows` tells what its flow promises.
pub fn row(flows: &FlowRegistry, row: &LetterRow) -> v1::DeadLetter {
    let origin = row.origin.as_ref();
    v1::DeadLetter {
        id: row.id.0.clone(),
        tenant: row.tenant.to_string(),
        flow: row.flow.to_string(),
        flow_version: row.flow_version.to_string(),
        stage: row.stage.to_string(),
        category: row.category.to_string(),
        code: row.code.to_string(),
        message: row.message.clone(),
        field: row.field.clone().unwrap_or_default(),
        document_key: row.document.to_string(),
        target_key: row.target_key.as_ref().map(ToString::to_string).unwrap_or_default(),
        version: row.version.0,
        attempts: row.attempts,
        first_failed_at: Some(time(row.first_failed)),
        last_failed_at: Some(time(row.last_failed)),
        retry_at: row.retry_at.map(time),
        state: state(row.state).into(),
        replay_job: row.replay.clone().unwrap_or_default(),
        state_reason: row.reason.clone().unwrap_or_default(),
        state_by: row.state_by.clone().unwrap_or_default(),
        edit_revision: row.revision,
        trace_id: row.trace.clone().unwrap_or_default(),
        origin: origin.map(|(topic, partition, offset)| format!("{topic}/{partition}@{offset}")).unwrap_or_default(),
        safety: Some(safety(row, delivery(flows, row))),
        claimed_by: row.claimed_by.clone().unwrap_or_default(),
    }
}

/// A letter whole, without its payload.
pub fn letter(flows: &FlowRegistry, letter: &Letter) -> v1::DeadLetter {
    let mut shown = row(flows, &letter.row);
    if let Some(event) = &letter.event {
        shown.state_by.clone_from(&event.by);
        shown.edit_revision = event.edit.as_ref().map_or(0, |edit| edit.rev);
        shown.attempts = shown.attempts.max(event.attempts);
    }
    shown
}

/// What the flow of a letter promises, in the version it failed under; absent when that cannot be read any more.
fn delivery(flows: &FlowRegistry, row: &LetterRow) -> Option<Delivery> {
    flows.get(&row.flow, &row.flow_version).map(|flow| flow.settings.delivery)
}

/// Whether a replay is accepted and can do no harm.
fn safety(row: &LetterRow, delivery: Option<Delivery>) -> v1::ReplaySafety {
    let tell = |replayable, safe, why: &str| v1::ReplaySafety { replayable, safe, why: why.to_owned() };
    match (row.state, row.stage, row.category) {
        (Some(State::Open), Stage::Extract, _) => {
            tell(false, true, "it failed in the source and holds no record; the next scan or lookback reads it again")
        }
        (Some(State::Open), _, Category::InDoubt) => {
            tell(false, false, "nobody knows whether the target has the document; look there and settle it first")
        }
        (Some(State::Open), _, _) if delivery == Some(Delivery::AtLeastOnce) => tell(
            true,
            false,
            "its flow promises at_least_once: the key of a document changes from run to run, so the target may hold this \
             one under another key already",
        ),
        (Some(State::Open), _, _) => tell(
            true,
            true,
            "it keeps its version: the ledger drops it where that, or a newer one, was handled, and asks the target \
             before it saves again",
        ),
        (Some(_), _, _) => tell(false, true, "only open letters are replayed"),
        (None, _, _) => tell(false, false, "its last event cannot be read by this build"),
    }
}

/// A state in the words of the interface.
pub fn state(state: Option<State>) -> v1::DeadLetterState {
    match state {
        None => v1::DeadLetterState::Unspecified,
        Some(State::Open) => v1::DeadLetterState::Open,
        Some(State::Replaying) => v1::DeadLetterState::Replaying,
        Some(State::Resolved) => v1::DeadLetterState::Resolved,
        Some(State::Superseded) => v1::DeadLetterState::Superseded,
        Some(State::Parked) => v1::DeadLetterState::Parked,
        Some(State::Discarded) => v1::DeadLetterState::Discarded,
    }
}

/// How far a scan went.
pub fn scan(scan: Option<Scan>) -> Option<v1::ScanReport> {
    scan.map(|scan| v1::ScanReport {
        rows: i64::try_from(scan.rows).unwrap_or(i64::MAX),
        bytes: i64::try_from(scan.bytes).unwrap_or(i64::MAX),
        limited: scan.limit_reached || scan.too_large > 0,
    })
}

/// A payload as it may be shown.
pub fn payload(bytes: &[u8], masker: Option<&Masker>) -> v1::Payload {
    let Some(masker) = masker else { return v1::Payload { data: bytes.to_vec(), masked: false } };
    match masker.mask(bytes) {
        Masked::Json(text) => {
            let same = serde_json::from_slice::<serde_json::Value>(bytes).ok()
                == serde_json::from_str::<serde_json::Value>(&text).ok();
            v1::Payload { data: if same { bytes.to_vec() } else { text.into_bytes() }, masked: !same }
        }
        Masked::Text(text) => v1::Payload { masked: text.as_bytes() != bytes, data: text.into_bytes() },
        Masked::Withheld { bytes, digest } => {
            v1::Payload { data: format!("({bytes} bytes, BLAKE3 {digest})").into_bytes(), masked: true }
        }
    }
}

/// A job as it stands.
pub fn job(job: &Job) -> v1::Replay {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let Counts { total, published, resolved, superseded, failed, skipped, on_the_way: _ } = job.counts;
    let approval = job.approval.as_ref();
    v1::Replay {
        id: job.id.clone(),
        status: status(job.status).into(),
        created_by: job.by.clone(),
        created_at: Some(time(job.created_at)),
        reason: job.reason.clone(),
        selector: job.selector.clone(),
        options: Some(v1::ReplayOptions {
            rate: job.options.rate,
            max: number(total),
            flow_version: match &job.options.under {
                Under::Current => "current".to_owned(),
                Under::Original => "original".to_owned(),
                Under::Version(version) => version.clone(),
            },
            attempt_cap: job.options.attempt_cap,
            stop_on_failure_ratio: job.options.stop_on_failure_ratio,
            from_stage: match job.options.from {
                Begin::Failed => "failed".to_owned(),
                Begin::Transform => "transform".to_owned(),
            },
        }),
        total: number(total),
        published: number(published),
        resolved: number(resolved),
        superseded: number(superseded),
        failed: number(failed),
        skipped: number(skipped),
        ended_at: job.ended_at.map(time),
        note: job.note.clone(),
        timed: job.timed,
        plan_digest: approval.map(|approval| approval.digest.clone()).unwrap_or_default(),
        approve_until: approval.map(|approval| time(approval.until)),
        approved_by: approval.and_then(|approval| approval.by.clone()).unwrap_or_default(),
        approved_at: approval.and_then(|approval| approval.at).map(time),
    }
}

fn status(status: Status) -> v1::ReplayStatus {
    match status {
        Status::Running => v1::ReplayStatus::Running,
        Status::Paused => v1::ReplayStatus::Paused,
        Status::AwaitsApproval => v1::ReplayStatus::AwaitsApproval,
        Status::Done => v1::ReplayStatus::Done,
        Status::Cancelled => v1::ReplayStatus::Cancelled,
        Status::Stopped => v1::ReplayStatus::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::{Code, DeadLetterId, FlowName, Tenant, Version};

    #[test]
    fn a_message_tells_no_personal_number() {
        assert_eq!(message("客户 13800138000 不存在"), "客户 *** 不存在");
        assert_eq!(message("物料 OFF-1 不存在"), "物料 OFF-1 不存在");
    }

    fn open_letter(stage: Stage, category: Category) -> LetterRow {
        LetterRow {
            id: DeadLetterId("ab".to_owned()),
            tenant: Tenant::default(),
            flow: FlowName::new("misc").expect("valid"),
            flow_version: "v1".into(),
            stage,
            category,
            code: Code::ReferenceMissing,
            message: String::new(),
            field: None,
            document: "A".into(),
            target_key: None,
            version: Version(1),
            attempts: 1,
            first_failed: 1,
            last_failed: 1,
            retry_at: None,
            state: Some(State::Open),
            replay: None,
            reason: None,
            revision: 0,
            claimed_by: None,
            state_by: None,
            trace: None,
            origin: None,
        }
    }

    #[test]
    fn a_replay_is_called_safe_only_where_nothing_can_come_twice() {
        let of = |stage, category, delivery| {
            let told = safety(&open_letter(stage, category), delivery);
            (told.replayable, told.safe)
        };
        let (proven, least) = (Some(Delivery::ProvenOnce), Some(Delivery::AtLeastOnce));
        assert_eq!(of(Stage::Load, Category::ReferenceMissing, proven), (true, true));
        assert_eq!(of(Stage::Load, Category::ReferenceMissing, None), (true, true));
        assert_eq!(of(Stage::Load, Category::ReferenceMissing, least), (true, false));
        assert_eq!(of(Stage::Load, Category::InDoubt, least), (false, false));
        assert_eq!(of(Stage::Extract, Category::Validation, least), (false, true));
        let why = safety(&open_letter(Stage::Load, Category::ReferenceMissing), least).why;
        assert!(why.contains("at_least_once"), "{why}");
    }
}
