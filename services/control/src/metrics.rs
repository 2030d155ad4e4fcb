//! What the control plane counts; names and labels are those of [`runtime::metrics::definitions`].
//!
//! Letters and jobs are shown as the index and the mirror have them, by every replica alike: sums over replicas would
//! count each as often as there are replicas. What happens at one replica, such as a call or an entry of the audit topic,
//! is counted there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use document::{Code, FlowName, topic};
use opentelemetry::metrics::{Counter, Histogram, Meter};
use queue::Lag;
use runtime::metrics::definitions::{
    AUDIT_EVENTS, AUTH_FAILURES, INDEX_LAG, LETTER_OLDEST_OPEN_AGE, LETTERS, RECONCILE_FINDINGS, RECONCILE_TIMESTAMP,
    REPLAY_JOBS, REPLAY_RECORDS, RPC_DURATION, WRITER_ACTIVE,
};
use runtime::metrics::{Gauge, labels};
use tracing::warn;

use crate::audit::Outcome;
use crate::core::job::{Fate, Job, Status};
use crate::grpc::Shared;
use crate::index::Standing;
use crate::letter::State;
use crate::reconcile::Status::Done;
use crate::reconcile::report::REPORTS;
use crate::reconcile::{Kind, Reconciliation};

/// Time between two looks at index and mirror.
const EVERY: Duration = Duration::from_secs(15);
/// The state of letters whose last event is unreadable.
const UNREADABLE: &str = "unreadable";
/// Stands for the ledgers of all flows.
const LEDGERS: &str = "ledgers";

/// The instruments of the control plane. Clones share them.
#[derive(Debug, Clone)]
pub struct ControlMetrics {
    letters: Gauge,
    oldest_open: Gauge,
    jobs: Gauge,
    findings: Gauge,
    reconciled: Gauge,
    replayed: Counter<u64>,
    audited: Counter<u64>,
    auth_failures: Counter<u64>,
    writer_active: Gauge,
    index_lag: Gauge,
    rpc: Histogram<f64>,
}

fn float(value: impl TryInto<u32>) -> f64 {
    f64::from(value.try_into().unwrap_or(u32::MAX))
}

impl ControlMetrics {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            letters: LETTERS.gauge(meter),
            oldest_open: LETTER_OLDEST_OPEN_AGE.gauge(meter),
            jobs: REPLAY_JOBS.gauge(meter),
            findings: RECONCILE_FINDINGS.gauge(meter),
            reconciled: RECONCILE_TIMESTAMP.gauge(meter),
            replayed: REPLAY_RECORDS.counter(meter),
            audited: AUDIT_EVENTS.counter(meter),
            auth_failures: AUTH_FAILURES.counter(meter),
            writer_active: WRITER_ACTIVE.gauge(meter),
            index_lag: INDEX_LAG.gauge(meter),
            rpc: RPC_DURATION.histogram(meter),
        }
    }

    /// Shows where the letters stand at unix millisecond `now`.
    pub fn letters(&self, standing: &[Standing], now: i64) {
        self.letters.clear();
        self.oldest_open.clear();
        let mut oldest: BTreeMap<&str, i64> = BTreeMap::new();
        for group in standing {
            let state = group.state.map_or(UNREADABLE, State::as_str);
            let (flow, stage, category) = (group.flow.as_str(), group.stage.as_str(), group.category.as_str());
            let words = [("flow", flow), ("stage", stage), ("category", category), ("state", state)];
            self.letters.set(&words, float(group.letters));
            if group.state == Some(State::Open) {
                let known = oldest.entry(flow).or_insert(group.oldest);
                *known = group.oldest.min(*known);
            }
        }
        for (flow, first_failed) in oldest {
            let age = Duration::from_millis(u64::try_from(now.saturating_sub(first_failed)).unwrap_or(0));
            self.oldest_open.set(&[("flow", flow)], age.as_secs_f64());
        }
    }

    /// Shows what the last whole report of each flow found. A kind that it found nothing of is shown as 0.
    pub fn reports<'a>(&self, reports: impl IntoIterator<Item = &'a Reconciliation>) {
        self.findings.clear();
        self.reconciled.clear();
        let mut last: BTreeMap<&str, &Reconciliation> = BTreeMap::new();
        for report in reports.into_iter().filter(|report| report.status == Done) {
            let known = last.entry(report.spec.flow.as_str()).or_insert(report);
            if report.as_of > known.as_of {
                *known = report;
            }
        }
        for (flow, report) in last {
            for kind in Kind::ALL {
                let count = report.totals.get(&kind).copied().unwrap_or_default();
                self.findings.set(&[("flow", flow), ("kind", kind.as_str())], float(count));
            }
            let seconds = report.as_of.unwrap_or_default() / 1_000;
            self.reconciled.set(&[("flow", flow)], float(seconds));
        }
    }

    /// Shows how many jobs are in which state. A state without jobs is shown as 0, so that an alert can tell it from a
    /// replica that does not answer.
    pub fn jobs<'a>(&self, jobs: impl IntoIterator<Item = &'a Job>) {
        let mut counts: BTreeMap<&str, u64> = Status::ALL.iter().map(|status| (status.as_str(), 0)).collect();
        for job in jobs {
            *counts.entry(job.status.as_str()).or_default() += 1;
        }
        for (state, count) in counts {
            self.jobs.set(&[("state", state)], float(count));
        }
    }

    /// Counts letters of a job that came to their outcome.
    pub fn settled(&self, outcomes: Vec<(FlowName, Fate)>) {
        for (flow, fate) in outcomes {
            self.replayed.add(1, &labels(&[("flow", flow.as_str()), ("outcome", fate.as_str())]));
        }
    }

    /// Counts an entry of the audit topic.
    pub fn audited(&self, result: Outcome) {
        self.audited.add(1, &labels(&[("result", result.as_str())]));
    }

    /// Counts a caller who was told `code` instead of being let in.
    pub fn not_let_in(&self, code: Code) {
        self.auth_failures.add(1, &labels(&[("code", code.as_str())]));
    }

    /// Shows whether this replica writes.
    pub fn writer_active(&self, active: bool) {
        self.writer_active.set(&[], float(u32::from(active)));
    }

    /// Shows how far behind the index is.
    pub fn index_lag(&self, lags: &[Lag]) {
        let mut topics: BTreeMap<&str, i64> = BTreeMap::new();
        for lag in lags {
            let name = lag.topic_partition.topic.as_str();
            let name = if topic::flow_of(name).is_some() { LEDGERS } else { name };
            *topics.entry(name).or_default() += lag.records();
        }
        self.index_lag.clear();
        for (name, records) in topics {
            self.index_lag.set(&[("topic", name)], float(records));
        }
    }

    /// Notes a call, by its name without the package, with the gRPC status it was answered and how long that took.
    pub fn rpc(&self, call: &str, code: tonic::Code, took: Duration) {
        self.rpc.record(took.as_secs_f64(), &labels(&[("call", call), ("code", word(code))]));
    }
}

/// A status as the gRPC specification writes it.
fn word(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::Ok => "OK",
        tonic::Code::Cancelled => "CANCELLED",
        tonic::Code::Unknown => "UNKNOWN",
        tonic::Code::InvalidArgument => "INVALID_ARGUMENT",
        tonic::Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        tonic::Code::NotFound => "NOT_FOUND",
        tonic::Code::AlreadyExists => "ALREADY_EXISTS",
        tonic::Code::PermissionDenied => "PERMISSION_DENIED",
        tonic::Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        tonic::Code::FailedPrecondition => "FAILED_PRECONDITION",
        tonic::Code::Aborted => "ABORTED",
        tonic::Code::OutOfRange => "OUT_OF_RANGE",
        tonic::Code::Unimplemented => "UNIMPLEMENTED",
        tonic::Code::Internal => "INTERNAL",
        tonic::Code::Unavailable => "UNAVAILABLE",
        tonic::Code::DataLoss => "DATA_LOSS",
        tonic::Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Shows letters, jobs and who writes until the task is ended. Letters are counted again only after the index has read
/// something.
pub(crate) async fn show(shared: Arc<Shared>) {
    let (mut active, mut read) = (shared.writer.activity(), shared.progress.changes());
    let mut standing = None;
    loop {
        shared.metrics.writer_active(*active.borrow_and_update());
        if standing.is_none() || read.has_changed().unwrap_or(true) {
            read.mark_unchanged();
            let index = Arc::clone(&shared.index);
            let counted = tokio::task::spawn_blocking(move || index.standing()).await;
            match counted {
                Ok(Ok(counted)) => standing = Some(counted),
                Ok(Err(fault)) => warn!(code = %fault.code, place = %fault.place, "the letters cannot be counted"),
                Err(_) => warn!("counting the letters panicked"),
            }
        }
        if let Some(standing) = &standing {
            shared.metrics.letters(standing, shared.clock.millis());
        }
        let jobs: Vec<(String, Job)> = shared.mirror.all("job/");
        shared.metrics.jobs(jobs.iter().map(|(_, job)| job));
        let reports: Vec<(String, Reconciliation)> = shared.mirror.all(REPORTS);
        shared.metrics.reports(reports.iter().map(|(_, report)| report));
        tokio::select! {
            changed = active.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use queue::TopicPartition;
    use runtime::metrics::Metrics;

    fn shown(what: impl FnOnce(&ControlMetrics)) -> String {
        let metrics = Metrics::new("control").expect("metrics");
        let control = ControlMetrics::new(&metrics.meter());
        what(&control);
        metrics.text().expect("text")
    }

    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }

    fn group(state: Option<State>, letters: u64, oldest: i64) -> Standing {
        let word = str::to_owned;
        Standing { flow: word("f"), stage: word("load"), category: word("duplicate"), state, letters, oldest }
    }

    #[test]
    fn letters_are_shown_by_state_with_the_age_of_the_oldest_open_one() {
        let text = shown(|control| {
            control.letters(&[group(Some(State::Discarded), 9, 0)], 100_000);
            let now = [
                group(Some(State::Open), 2, 70_000),
                group(None, 1, 1),
                group(Some(State::Resolved), 5_000_000_000, 0),
            ];
            control.letters(&now, 100_000);
        });
        let letters = |state: &str, count: &str| {
            has(
                &text,
                &format!(
                    r#"starbridge_dead_letters{{category="duplicate",flow="f",stage="load",state="{state}"}} {count}"#
                ),
            );
        };
        letters("open", "2");
        letters("unreadable", "1");
        letters("resolved", "4294967295");
        assert!(!text.contains(r#"state="discarded""#), "{text}");
        has(&text, r#"starbridge_dead_letter_oldest_open_age_seconds{flow="f"} 30"#);
    }

    #[test]
    fn outcomes_entries_and_refusals_are_counted() {
        let flow = FlowName::new("f").expect("a flow's name");
        let text = shown(|control| {
            control.settled(vec![
                (flow.clone(), Fate::Resolved),
                (flow.clone(), Fate::Failed),
                (flow.clone(), Fate::Resolved),
            ]);
            control.audited(Outcome::Done);
            control.audited(Outcome::Denied);
            control.not_let_in(Code::TokenExpired);
            control.writer_active(true);
            control.rpc("ReplayService/StartReplay", tonic::Code::FailedPrecondition, Duration::from_millis(30));
        });
        has(&text, r#"starbridge_replay_records_total{flow="f",outcome="resolved"} 2"#);
        has(&text, r#"starbridge_replay_records_total{flow="f",outcome="failed"} 1"#);
        has(&text, r#"starbridge_audit_events_total{result="denied"} 1"#);
        has(&text, &format!(r#"starbridge_auth_failures_total{{code="{}"}} 1"#, Code::TokenExpired));
        has(&text, "starbridge_writer_active 1");
        has(
            &text,
            r#"starbridge_rpc_duration_seconds_count{call="ReplayService/StartReplay",code="FAILED_PRECONDITION"} 1"#,
        );
    }

    #[test]
    fn ledgers_count_as_one_topic_and_what_was_read_is_not_behind() {
        let lag = |topic: &str, committed, end| Lag {
            topic_partition: TopicPartition::new(topic, 0),
            committed: Some(committed),
            start: 0,
            end,
        };
        let text = shown(|control| {
            control.index_lag(&[
                lag("starbridge.a.ledger", 3, 10),
                lag("starbridge.b.ledger", 1, 2),
                lag("starbridge.dead-letters", 6, 5),
            ]);
        });
        has(&text, r#"starbridge_index_lag_records{topic="ledgers"} 8"#);
        has(&text, r#"starbridge_index_lag_records{topic="starbridge.dead-letters"} 0"#);
    }

    #[test]
    fn the_last_whole_report_of_a_flow_is_shown() {
        let report = |as_of: i64, status: &str, totals: &str| -> Reconciliation {
            let text = format!(
                r#"{{"spec":{{"id":"f:1","flow":"f","from":1,"to":2,"sample":0.0,"grace":1,"calls":9,"by":"li","at":1,
                "reason":""}},"status":"{status}","as_of":{as_of},"totals":{totals}}}"#
            );
            serde_json::from_str(&text).expect("a report")
        };
        let older = report(5_000, "done", r#"{"missing":7}"#);
        let last = report(9_000, "done", r#"{"duplicate":2}"#);
        let failed = report(12_000, "failed", "{}");
        let text = shown(|control| control.reports([&last, &older, &failed]));
        for (kind, count) in [("missing", 0), ("duplicate", 2), ("extra", 0)] {
            has(&text, &format!(r#"starbridge_reconcile_findings{{flow="f",kind="{kind}"}} {count}"#));
        }
        has(&text, r#"starbridge_reconcile_timestamp_seconds{flow="f"} 9"#);
    }

    #[test]
    fn a_state_without_jobs_is_shown_as_none() {
        let text = shown(|control| control.jobs([]));
        for status in Status::ALL {
            has(&text, &format!(r#"starbridge_replay_jobs{{state="{}"}} 0"#, status.as_str()));
        }
    }
}
