//! Makes the reports that were asked for, one after the other, on the replica that writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use document::{Code, DocumentKey, Fault, FlowName, TargetKey, topic};
use flow::Flow;
use serde_json::{Map, Value};
use tracing::{info, warn};

use super::expected;
use super::find::{Difference, Found, Owners, Pair, Sides, find};
use super::judge::{Letter, Standing, may_be_there, standing};
use super::plan::{self, Size};
use super::read::{self, Bill};
use super::report::{REPORTS, Reconciliation, Spec, Status};
use crate::audit::Hash;
use crate::core::job::Job;
use crate::core::{Effects, Memory};
use crate::grpc::place::Place;
use crate::grpc::{Shared, blocking};
use crate::index::{End, List, Order};
use crate::letter::OWN_NAME;
use crate::own::{self, Rounds};
use crate::selector::Selector;
use crate::systems::System;
use crate::systems::look::{Calls, Head};
use crate::systems::side::Question;
use crate::writer::desk::Desk;
use crate::writer::request::{Decided, Jobs, Meta};

/// Time between two looks for reports to be made.
const EVERY: Duration = Duration::from_millis(500);
/// How many of them lie between two looks for reports that are due.
const DUE_EVERY: u32 = 20;
/// How long a report may take, its time of grace aside.
const WITHIN: Duration = Duration::from_secs(3 * 3_600);
/// Calls to find out how much a report is about, and how long that may take.
const SIZING: usize = 30;
const SIZED_WITHIN: Duration = Duration::from_secs(15);
/// Letters of one document that are looked at.
const LETTERS: usize = 100;
/// Differences that a finding names.
const DIFFERENCES: usize = 5;

/// Goes on for ever; dropped at the end of the process. A report that was under way on another replica begins anew: half
/// of one is never shown.
pub async fn run(shared: Arc<Shared>) {
    let mut every = Rounds::every(EVERY);
    let (began, mut rounds) = (shared.now(), 0_u32);
    loop {
        every.next(&shared).await;
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(DUE_EVERY)
            && let Err(fault) = begin_due(&shared, began).await
        {
            warn!(%fault, "a reconciliation that is due was not begun");
        }
        let reports = shared.mirror.all::<Reconciliation>(REPORTS).into_iter().map(|(_, report)| report);
        let Some(report) = reports.filter(|report| report.status == Status::Running).min_by_key(|r| r.spec.at) else {
            continue;
        };
        let (id, made) = (report.spec.id.clone(), make(&shared, report).await);
        let Reconciliation { status, calls_made, totals, .. } = &made.report;
        info!(id, ?status, calls = calls_made, ?totals, "a reconciliation is over");
        if let Err(fault) = keep(&shared, made).await {
            // Another replica writes now, or the brokers do not answer: it is made again.
            warn!(id, %fault, "a reconciliation was not kept");
        }
    }
}

/// Begins the reports that are due by their flows' own words. `began`: when this replica did; what was due before that is
/// left to whoever wrote then.
async fn begin_due(shared: &Shared, began: DateTime<Utc>) -> Result<(), Fault> {
    let known = shared.mirror.all::<Reconciliation>(REPORTS);
    for flow in shared.flows.current() {
        let (Some(plan), Some(how)) = (&flow.reconcile, &flow.settings.reconcile) else { continue };
        let own = known.iter().map(|(_, report)| &report.spec).filter(|spec| spec.by == OWN_NAME);
        let last = own.filter(|spec| spec.flow == flow.name).map(|spec| spec.at).max();
        let last = last.and_then(DateTime::from_timestamp_millis).unwrap_or(began);
        let now = shared.now();
        if !plan::is_due(plan, shared.flows.paused(&flow.name).is_some(), last, now) {
            continue;
        }
        let window = (now.timestamp() - i64::from(how.days) * 86_400, now.timestamp());
        let calls = match planned(shared, &flow, window, how.sample).await {
            Ok(calls) => calls,
            // The report itself will say what keeps the systems from being asked.
            Err(fault) => {
                warn!(flow = %flow.name, %fault, "what a reconciliation takes cannot be told");
                plan::calls(&Size::default(), how.sample)
            }
        };
        let spec = Spec {
            id: format!("{}:{}", flow.name, uuid::Uuid::now_v7().simple()),
            flow: flow.name.clone(),
            from: window.0,
            to: window.1,
            sample: how.sample,
            grace: i64::try_from(how.grace.as_secs()).unwrap_or(i64::MAX),
            calls,
            by: OWN_NAME.to_owned(),
            at: now.timestamp_millis(),
            reason: format!("due by {}", how.cron),
        };
        let report = Reconciliation::new(spec);
        let meta = own_meta(shared, &report, "begun".to_owned());
        let begin = move |desk: &mut Desk<'_>, _: &Jobs<'_>| {
            let memory = plan::begun(&report, desk.memories(&format!("{REPORTS}{}:", report.spec.flow))?);
            let effects = Effects { memory, ..Effects::default() };
            Ok(Decided { effects, ..Decided::default() })
        };
        shared.writer.submit(meta, begin).await?;
    }
    Ok(())
}

/// Calls that a report on this window makes at most. Both systems are asked how much there is.
///
/// # Errors
/// The fault of a call, of the index, or of a flow whose systems are not known.
pub(crate) async fn planned(shared: &Shared, flow: &Flow, window: (i64, i64), sample: f64) -> Result<usize, Fault> {
    let mut calls = Calls::at_most(SIZING, SIZED_WITHIN);
    let source = shared.systems.get(&flow.settings.source.connection)?;
    let Place { system, form, field, .. } = shared.place_of(flow)?;
    let form = system.form(&form, &mut calls, shared.clock.millis()).await?;
    let size = Size {
        known: blocking(|| shared.index.documents(&flow.name))?,
        source: read::bills_at_most(source, flow, window, &mut calls).await?,
        created: read::created_at_most(&system, &form, &field, created_within(window), &mut calls).await?,
    };
    Ok(plan::calls(&size, sample))
}

/// The window in which documents of the target were created: its clock may be ahead of ours.
fn created_within((from, to): (i64, i64)) -> (i64, i64) {
    (from, to + 60)
}

/// A report that is over.
struct Made {
    report: Reconciliation,
    /// Its further findings, page by page.
    pages: Vec<Memory>,
    /// The dates of bills that are to be read again.
    again: Vec<i64>,
}

/// Asks the systems. What keeps them from being asked makes a report that says so and nothing else.
async fn make(shared: &Shared, mut report: Reconciliation) -> Made {
    let (mut pages, mut again) = (Vec::new(), Vec::new());
    let mut calls = Calls::at_most(report.spec.calls, WITHIN + grace(&report.spec));
    report.as_of = Some(shared.clock.millis());
    match ask(shared, &report.spec, &mut calls).await {
        Ok(Found { counts, findings, lost }) => {
            report.status = Status::Done;
            report.counts = counts;
            pages = report.put(findings);
            let flow = current(shared, &report.spec.flow).ok();
            if flow.is_some_and(|flow| flow.settings.reconcile.as_ref().is_some_and(|how| how.repair)) {
                (report.read_again, again) = (lost.len(), lost);
            }
        }
        Err(fault) => {
            report.status = Status::Failed;
            report.fault = Some(fault);
        }
    }
    report.calls_made = calls.made.len();
    report.ended_at = Some(shared.clock.millis());
    Made { report, pages, again }
}

fn grace(spec: &Spec) -> Duration {
    Duration::from_secs(u64::try_from(spec.grace).unwrap_or_default())
}

/// Writes a report that is over, with an entry in the audit topic, and has bills read again.
async fn keep(shared: &Shared, Made { report, pages, again }: Made) -> Result<(), Fault> {
    let meta = own_meta(shared, &report, format!("ended: {:?}, clean: {}", report.status, report.is_clean()));
    let memory = std::iter::once((report.key(), Some(report.to_bytes()))).chain(pages).collect();
    let windows = plan::windows(again).into_iter();
    let records =
        windows.map(|window| (topic::COMMANDS.to_owned(), plan::command(&report.spec.flow, window))).collect();
    let effects = Effects { memory, records, ..Effects::default() };
    shared.writer.submit(meta, move |_, _| Ok(Decided { effects, ..Decided::default() })).await.map(drop)
}

/// What the audit topic is told of what the control plane does of its own accord.
fn own_meta(shared: &Shared, report: &Reconciliation, reason: String) -> Meta {
    let (object, digest) = (format!("reconciliation/{}", report.spec.id), Hash::of(&report.to_bytes()));
    let scope = shared.scope_of(&report.spec.flow);
    own::meta("ReconciliationService/StartReconciliation", object, scope, reason, digest)
}

async fn ask(shared: &Shared, spec: &Spec, calls: &mut Calls) -> Result<Found, Fault> {
    let flow = current(shared, &spec.flow)?;
    let source = Arc::clone(shared.systems.get(&flow.settings.source.connection)?);
    let target = shared.place_of(&flow)?;
    let form = target.system.form(&target.form, calls, shared.clock.millis()).await?;
    let verdicts = blocking(|| verdicts(shared, &spec.flow))?;
    let mut world = World { shared, spec, flow, source, target, form, calls };
    find(&mut world, spec, &verdicts).await
}

fn current(shared: &Shared, name: &FlowName) -> Result<Arc<Flow>, Fault> {
    shared.flows.current().into_iter().find(|flow| flow.name == *name).ok_or_else(|| {
        Fault::new(Code::FlowUnknown, format!("{name} is not published, or cannot be used")).of_record(name.as_str())
    })
}

/// What persons decided about documents in doubt, by document.
fn verdicts(shared: &Shared, flow: &FlowName) -> Result<BTreeMap<DocumentKey, String>, Fault> {
    let mut found = BTreeMap::new();
    for (_, job) in shared.mirror.all::<Job>("job/") {
        let Some(verdict) = &job.options.verdict else { continue };
        for item in shared.mirror.chunks(&job.id).into_iter().flat_map(|chunk| chunk.items) {
            if item.flow == *flow
                && let Some(letter) = shared.index.get(&item.id)?
            {
                found.insert(letter.row.document, format!("{} said: {verdict}", job.by));
            }
        }
    }
    Ok(found)
}

/// Both systems of a flow, and what is on record of its documents.
struct World<'a> {
    shared: &'a Shared,
    spec: &'a Spec,
    flow: Arc<Flow>,
    source: Arc<System>,
    target: Place,
    form: Arc<kingdee::Form>,
    calls: &'a mut Calls,
}

impl Sides for World<'_> {
    fn now(&self) -> i64 {
        self.shared.clock.seconds()
    }

    async fn bills(&mut self) -> Result<BTreeMap<DocumentKey, Bill>, Fault> {
        read::bills(&self.source, &self.flow, (self.spec.from, self.spec.to), self.calls).await
    }

    fn standing(&self, document: &DocumentKey) -> Result<Standing, Fault> {
        blocking(|| self.on_record(document))
    }

    fn owners(&self, key: &TargetKey) -> Result<Owners, Fault> {
        let mut owners = Owners::default();
        for end in blocking(|| self.shared.index.ends_of_target(key, None))? {
            if end.flow == self.spec.flow {
                owners.documents.push(end.entry.document);
            } else if may_be_there(&end.entry) && self.loads_here(&end) {
                owners.another_flow = true;
            }
        }
        Ok(owners)
    }

    async fn heads(&mut self, keys: &[String]) -> Result<BTreeMap<String, Vec<Head>>, Fault> {
        read::heads(&self.target.system, &self.form, &self.target.field, keys, self.calls).await
    }

    async fn compare(&mut self, documents: &[Pair]) -> Result<Vec<Option<Difference>>, Fault> {
        let ids: BTreeSet<String> = documents.iter().map(|pair| pair.bill.clone()).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let rows = read::rows(&self.source, &self.flow, &ids, self.calls).await?;
        let mut differences = Vec::new();
        for pair in documents {
            // Where the source does not show it any more, whether it is gone is asked elsewhere.
            let difference = match rows.get(&pair.bill) {
                Some(bill) => {
                    let detail = self.differences(pair, &bill.rows).await?;
                    detail.map(|detail| Difference { stamp: bill.stamp, detail })
                }
                None => None,
            };
            differences.push(difference);
        }
        Ok(differences)
    }

    async fn created(&mut self) -> Result<BTreeMap<String, Vec<Head>>, Fault> {
        let window = created_within((self.spec.from, self.spec.to));
        read::created(&self.target.system, &self.form, &self.target.field, window, self.calls).await
    }

    async fn existing(&mut self, documents: &[String]) -> Result<BTreeSet<String>, Fault> {
        let own = self.flow.source.query(&self.flow.run(0, 0))?;
        let column = read::document_column(&self.flow)?;
        let existing = self.source.existing(&own.form_id, &column, documents, self.calls).await?;
        if existing.asked < documents.len() {
            // Of the others nothing is known, and they must not look as if they were gone.
            return Err(self.source.spent(self.calls));
        }
        Ok(existing.found)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(grace(self.spec)).await;
    }
}

impl World<'_> {
    /// Whether an entry of another flow is about the form that this report looks at. Of a version that is known no more, or
    /// goes nowhere now, it is taken to be: what one of our flows has loaded must not be called nobody's.
    fn loads_here(&self, end: &End) -> bool {
        let flow = self.shared.flows.get(&end.flow, &end.entry.flow_version);
        let place = flow.and_then(|flow| self.shared.place_of(&flow).ok());
        place.is_none_or(|place| place.is_with(&self.target))
    }

    fn on_record(&self, document: &DocumentKey) -> Result<Standing, Fault> {
        let flow = &self.spec.flow;
        let ends: Vec<End> = self.shared.index.ends_of_document(document, Some(flow))?;
        let quoted = document.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        let selector = Selector::parse(&format!("flow = \"{flow}\" and document = \"{quoted}\""))?;
        let list = List {
            selector: &selector,
            order: Order::FirstFailed,
            descending: true,
            page_token: None,
            limit: LETTERS,
            now: self.shared.clock.millis(),
        };
        let letters = self.shared.index.list(&list)?.items.into_iter();
        let letters: Vec<Letter> = letters
            .map(|row| Letter {
                version: row.version,
                state: row.state,
                category: row.category,
                edited: row.is_edited(),
            })
            .collect();
        Ok(standing(&ends, &letters))
    }

    /// Where the target's document is another one than the flow makes of `rows`, in words.
    async fn differences(&mut self, pair: &Pair, rows: &[Map<String, Value>]) -> Result<Option<String>, Fault> {
        let Some(flow) = self.shared.flows.get(&self.spec.flow, &pair.loaded.flow_version) else {
            // It cannot be told what that version made of it.
            return Ok(None);
        };
        let bills = match expected::bills(&flow, &pair.document, rows) {
            Ok(bills) => bills,
            Err(fault) => return Ok(Some(format!("the source's bill can no longer be mapped: {fault}"))),
        };
        let Some(bill) = bills.get(&pair.loaded.target_key) else {
            return Ok(Some("the source's bill makes no document of this key any more".to_owned()));
        };
        let question = Question::about(&bill.value, &self.form);
        let (system, id) = (&self.target.system, &pair.target_id);
        let line_id = question.line_id.as_deref();
        let theirs = system.lines(&self.form, id, &question.columns, line_id, self.calls).await?;
        let sides = question.sides(&bill.value, &theirs);
        let differ: Vec<&str> =
            sides.differ.iter().map(String::as_str).filter(|pointer| !expected::is_of_the_run(bill, pointer)).collect();
        Ok((!differ.is_empty()).then(|| {
            let named = differ.iter().take(DIFFERENCES).copied().collect::<Vec<_>>().join(", ");
            let more = differ.len().saturating_sub(DIFFERENCES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{named}{more}: {} of {} values", differ.len(), sides.compared)
        }))
    }
}
