//! The door to a target: saves, probes, submits and audits, each within the quota, each answer in the core's words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono_tz::Tz;
use connection::Quota;
use coordination::{Lane as QuotaLane, Permit};
use kingdee::{
    BillPage, BillQuery, BusinessError, Class, Client, DocumentOutcome, Error, Operation, OperationOutcome,
    OperationReply, Selection, UnknownReason,
};
use runtime::Clock;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::core::event::{
    Advance, AdvanceDocument, AdvanceReply, Lane, Outcome, ProbeDocument, ProbeReply, Refusal, SaveDocument, SaveReply,
    Step, Trouble, Unknown,
};
use crate::definition::Definition;
use crate::metrics::LoaderMetrics;
use crate::probe::{self, Ask, Question};

/// The calls a target takes; a twin of it stands in for the client in tests.
#[async_trait::async_trait]
pub trait Erp: Send + Sync {
    /// Reads one page.
    async fn query(&self, query: &BillQuery) -> Result<BillPage, Error>;
    /// Saves documents in one call, sent once.
    async fn save(&self, definition: &Definition, documents: &[Bytes]) -> kingdee::SaveReply;
    /// Submits or audits by id, sent once.
    async fn operate(&self, operation: Operation, form: &str, ids: Vec<String>) -> Result<OperationReply, Error>;
}

#[async_trait::async_trait]
impl Erp for Client {
    async fn query(&self, query: &BillQuery) -> Result<BillPage, Error> {
        self.execute_bill_query(query).await
    }

    async fn save(&self, definition: &Definition, documents: &[Bytes]) -> kingdee::SaveReply {
        match documents {
            [only] if definition.by_save => Client::save(self, &definition.form, &definition.options, only).await,
            several => self.batch_save(&definition.form, &definition.options, several).await,
        }
    }

    async fn operate(&self, operation: Operation, form: &str, ids: Vec<String>) -> Result<OperationReply, Error> {
        Client::operate(self, operation, form, &Selection::Ids(ids), &kingdee::Extra::new()).await
    }
}

/// One connection of the settings.
pub struct Target {
    erp: Arc<dyn Erp>,
    quota: Quota,
    zone: Tz,
    clock: Clock,
    metrics: LoaderMetrics,
    /// Fields that forms turned out not to have.
    unknown: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("account", &self.quota.account).finish_non_exhaustive()
    }
}

impl Target {
    /// A target behind `erp`.
    pub fn new(erp: Arc<dyn Erp>, quota: Quota, zone: Tz, clock: Clock, metrics: LoaderMetrics) -> Self {
        Self { erp, quota, zone, clock, metrics, unknown: Mutex::default() }
    }

    /// Waits for leave to make one call.
    pub async fn permit(&self, tenant: &str, lane: Lane) -> Permit {
        let asked = Instant::now();
        let lane = match lane {
            Lane::Fresh => QuotaLane::Fresh,
            Lane::Replay => QuotaLane::Replay,
        };
        let permit = self.quota.permit(lane).await;
        self.metrics.rate_limit_wait(tenant, asked.elapsed());
        permit
    }

    /// The permit in hand, or another one if it has become too old to be used.
    async fn fresh(&self, tenant: &str, permit: Option<Permit>, lane: Lane) {
        if !permit.is_some_and(|permit| permit.is_fresh()) {
            self.permit(tenant, lane).await;
        }
    }

    /// Sends one save, not after `deadline` on the monotonic clock.
    pub async fn save(
        &self,
        definition: &Definition,
        documents: &[SaveDocument],
        deadline: std::time::Duration,
        permit: Option<Permit>,
        lane: Lane,
    ) -> SaveReply {
        let bodies: Vec<Bytes> = documents.iter().map(|document| body(definition, document)).collect();
        self.fresh(&definition.tenant, permit, lane).await;
        killpoint::reached("loader.deadline.looked_at");
        // The last look at the clock before the request is begun.
        if self.clock.monotonic() > deadline {
            return SaveReply::NotSent(Trouble::Late);
        }
        let started = Instant::now();
        killpoint::reached("loader.save.sending");
        let reply = self.erp.save(definition, &bodies).await;
        let outcome = match &reply {
            kingdee::SaveReply::NotSent(_) => "not_sent",
            kingdee::SaveReply::Done(_) => "done",
            kingdee::SaveReply::Throttled { .. } => "throttled",
            kingdee::SaveReply::UnknownClosed(_) => "unknown_closed",
            kingdee::SaveReply::UnknownOpen(_) => "unknown_open",
        };
        killpoint::reached("loader.save.answered");
        self.metrics.request(&definition.tenant, "batch_save", outcome, started.elapsed());
        save_reply(reply)
    }

    /// Looks documents up.
    pub async fn probe(
        &self,
        definition: &Definition,
        documents: &[ProbeDocument],
        permit: Option<Permit>,
        lane: Lane,
    ) -> ProbeReply {
        let ask = Asking { target: self, tenant: &definition.tenant, lane, first: AsyncMutex::new(Some(permit)) };
        let question = Question { form: &definition.form, key: &definition.key, zone: self.zone, documents };
        let mut unknown = self.unknown_of(&definition.form, BTreeSet::new());
        let found = probe::probe(&ask, &question, &mut unknown).await;
        self.unknown_of(&definition.form, unknown);
        match found {
            Ok(findings) => ProbeReply::Found(findings),
            Err(error) => match error.class() {
                Class::Throttled(after) => ProbeReply::Throttled(after),
                _ => ProbeReply::Failed(trouble(&error)),
            },
        }
    }

    /// Adds to what is known not to be in a form, and gives all of it.
    fn unknown_of(&self, form: &str, more: BTreeSet<String>) -> BTreeSet<String> {
        let mut forms = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let known = forms.entry(form.to_owned()).or_default();
        known.extend(more);
        known.clone()
    }

    /// Submits or audits.
    pub async fn advance(
        &self,
        definition: &Definition,
        step: Step,
        documents: &[AdvanceDocument],
        permit: Option<Permit>,
        lane: Lane,
    ) -> AdvanceReply {
        self.fresh(&definition.tenant, permit, lane).await;
        let operation = match step {
            Step::Submit => Operation::Submit,
            Step::Audit => Operation::Audit,
        };
        let ids = documents.iter().map(|document| document.id.clone()).collect();
        let started = Instant::now();
        let reply = self.erp.operate(operation, &definition.form, ids).await;
        let api = if step == Step::Submit { "submit" } else { "audit" };
        self.metrics.request(&definition.tenant, api, outcome_of(&reply), started.elapsed());
        match reply {
            Ok(reply) => AdvanceReply::Done(advances(reply, documents.len())),
            Err(error) => match error.class() {
                Class::Throttled(after) => AdvanceReply::Throttled(after),
                _ => AdvanceReply::Failed(trouble(&error)),
            },
        }
    }
}

fn outcome_of<T>(reply: &Result<T, Error>) -> &'static str {
    match reply {
        Ok(_) => "done",
        Err(error) => match error.class() {
            Class::NotSent => "not_sent",
            Class::Throttled(_) => "throttled",
            Class::Trouble => "trouble",
            Class::Credentials => "refused_login",
            Class::Final => "refused",
        },
    }
}

/// The pages of one probe: the first one has its permit already.
struct Asking<'a> {
    target: &'a Target,
    tenant: &'a str,
    lane: Lane,
    first: AsyncMutex<Option<Option<Permit>>>,
}

#[async_trait::async_trait]
impl Ask for Asking<'_> {
    async fn page(&self, query: &BillQuery) -> Result<BillPage, Error> {
        let permit = self.first.lock().await.take().flatten();
        self.target.fresh(self.tenant, permit, self.lane).await;
        let started = Instant::now();
        let page = self.target.erp.query(query).await;
        self.target.metrics.request(self.tenant, "query", outcome_of(&page), started.elapsed());
        page
    }
}

/// The bytes that go out: the document as it was mapped, with the id put in front where one is to be updated.
fn body(definition: &Definition, document: &SaveDocument) -> Bytes {
    let Some(id) = &document.update else { return Bytes::copy_from_slice(&document.value) };
    let name = probe::id_field(&definition.form);
    let digits = !id.is_empty() && id.len() <= 19 && id.bytes().all(|byte| byte.is_ascii_digit());
    let id = if digits { id.clone() } else { serde_json::Value::from(id.as_str()).to_string() };
    let inner = document.value.trim_ascii_start().strip_prefix(b"{").unwrap_or(&document.value);
    let comma = if inner.trim_ascii_start().starts_with(b"}") { "" } else { "," };
    let mut body = format!("{{\"{name}\":{id}{comma}").into_bytes();
    body.extend_from_slice(inner);
    body.into()
}

fn trouble(error: &Error) -> Trouble {
    let text = describe(error);
    match error.class() {
        Class::Credentials => Trouble::Login(text),
        Class::Final => Trouble::Refused(text),
        Class::NotSent | Class::Trouble | Class::Throttled(_) => Trouble::Unreachable(text),
    }
}

/// The whole chain of causes.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

fn refusals(errors: Vec<BusinessError>) -> Vec<Refusal> {
    let refusal = |error: BusinessError| Refusal {
        field: error.field,
        message: error.message,
        code: error.code,
        category: error.category,
        timed: error.timed,
    };
    errors.into_iter().map(refusal).collect()
}

fn save_reply(reply: kingdee::SaveReply) -> SaveReply {
    let unknown = |reason: &UnknownReason| match reason {
        UnknownReason::SessionLost => Unknown::SessionLost,
        UnknownReason::Refused(error) => Unknown::CallRefused(error.message.clone()),
        other => Unknown::Other(other.to_string()),
    };
    match reply {
        kingdee::SaveReply::NotSent(error) => match error.class() {
            Class::Throttled(after) => SaveReply::Throttled(after),
            _ => SaveReply::NotSent(trouble(&error)),
        },
        kingdee::SaveReply::Done(outcomes) => SaveReply::Done(outcomes.into_iter().map(outcome).collect()),
        kingdee::SaveReply::Throttled { after } => SaveReply::Throttled(after),
        kingdee::SaveReply::UnknownClosed(reason) => SaveReply::UnknownClosed(unknown(&reason)),
        kingdee::SaveReply::UnknownOpen(reason) => SaveReply::UnknownOpen(unknown(&reason)),
    }
}

fn outcome(outcome: DocumentOutcome) -> Outcome {
    match outcome {
        DocumentOutcome::Saved { id, number, .. } => Outcome::Saved { id, number },
        DocumentOutcome::Rejected(errors) => Outcome::Rejected(refusals(errors)),
        DocumentOutcome::Unknown => Outcome::Unknown,
    }
}

fn advances(reply: OperationReply, count: usize) -> Vec<Advance> {
    let unattributed = reply.unattributed;
    let mut outcomes: Vec<Advance> = reply
        .outcomes
        .into_iter()
        .map(|outcome| match outcome {
            OperationOutcome::Done { .. } => Advance::Done,
            OperationOutcome::Refused(errors) => Advance::Refused(refusals(errors)),
            OperationOutcome::Missing if unattributed.is_empty() => Advance::Unknown,
            // One of these errors may be about it; the status will tell.
            OperationOutcome::Missing => Advance::Refused(refusals(unattributed.clone())),
        })
        .collect();
    outcomes.resize(count, Advance::Unknown);
    outcomes
}

#[cfg(test)]
mod tests;
