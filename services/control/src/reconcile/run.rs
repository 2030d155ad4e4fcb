//! Makes the reports that were asked for, one after the other, on the replica that writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use document::{Code, DocumentKey, Fault, FlowName, FlowVersion, TargetKey, topic};
use flow::Flow;
use serde_json::{Map, Value};
use tracing::{info, warn};

use super::expected;
use super::judge::{Letter, Loaded, Standing, is_sampled, presence, standing};
use super::plan;
use super::read::{self, Bill};
use super::report::{Counts, Finding, Kind, REPORTS, Reconciliation, Spec, Status};
use crate::audit::{Hash, Outcome};
use crate::core::Effects;
use crate::core::job::Job;
use crate::grpc::place::Place;
use crate::grpc::{Shared, blocking};
use crate::index::{End, List, Order};
use crate::letter::OWN_NAME;
use crate::selector::Selector;
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
/// Letters of one document that are looked at.
const LETTERS: usize = 100;
/// Differences that a finding names.
const DIFFERENCES: usize = 5;

/// Goes on for ever; dropped at the end of the process. A report that was under way on another replica begins anew: half
/// of one is never shown.
pub async fn run(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (began, mut rounds) = (shared.now(), 0_u32);
    loop {
        every.tick().await;
        if !shared.writer.is_active() {
            continue;
        }
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
        let (id, (made, again)) = (report.spec.id.clone(), make(&shared, report).await);
        info!(id, status = ?made.status, calls = made.calls_made, totals = ?made.totals, "a reconciliation is over");
        if let Err(fault) = keep(&shared, made, again).await {
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
        if shared.flows.paused(&flow.name).is_some() || plan.missed(last, now).is_none() {
            continue;
        }
        let documents = blocking(|| shared.index.documents(&flow.name))?;
        let spec = Spec {
            id: format!("{}:{}", flow.name, uuid::Uuid::now_v7().simple()),
            flow: flow.name.clone(),
            from: now.timestamp() - i64::from(how.days) * 86_400,
            to: now.timestamp(),
            sample: how.sample,
            grace: i64::try_from(how.grace.as_secs()).unwrap_or(i64::MAX),
            calls: plan::calls(documents, how.sample),
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

/// Asks the systems. What keeps them from being asked makes a report that says so and nothing else. Gives also the dates of
/// bills that are to be read again.
async fn make(shared: &Shared, mut report: Reconciliation) -> (Reconciliation, Vec<i64>) {
    let mut again = Vec::new();
    let mut calls = Calls::at_most(report.spec.calls, WITHIN + grace(&report.spec));
    report.as_of = Some(shared.clock.millis());
    match find(shared, &report.spec, &mut calls).await {
        Ok(Found { counts, findings, lost }) => {
            report.status = Status::Done;
            report.counts = counts;
            report.put(findings);
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
    (report, again)
}

fn grace(spec: &Spec) -> Duration {
    Duration::from_secs(u64::try_from(spec.grace).unwrap_or_default())
}

/// Writes a report that is over, with an entry in the audit topic, and has the bills of these dates read again.
async fn keep(shared: &Shared, report: Reconciliation, again: Vec<i64>) -> Result<(), Fault> {
    let meta = own_meta(shared, &report, format!("ended: {:?}, clean: {}", report.status, report.is_clean()));
    let memory = vec![(report.key(), Some(report.to_bytes()))];
    let windows = plan::windows(again).into_iter();
    let records =
        windows.map(|window| (topic::COMMANDS.to_owned(), plan::command(&report.spec.flow, window))).collect();
    let effects = Effects { memory, records, ..Effects::default() };
    shared.writer.submit(meta, move |_, _| Ok(Decided { effects, ..Decided::default() })).await.map(drop)
}

/// What the audit topic is told of what the control plane does of its own accord.
fn own_meta(shared: &Shared, report: &Reconciliation, reason: String) -> Meta {
    Meta {
        actor: OWN_NAME.to_owned(),
        role: None,
        action: "starbridge.control.v1.ReconciliationService/StartReconciliation".to_owned(),
        object: format!("reconciliation/{}", report.spec.id),
        scope: shared.scope_of(&report.spec.flow),
        reason,
        request_id: uuid::Uuid::now_v7().to_string(),
        digest: Hash::of(&report.to_bytes()),
        idempotency_key: None,
        result: Outcome::Done,
        dry_run: false,
    }
}

/// Both sides of a flow, and what is known of its documents.
struct Sides<'a> {
    shared: &'a Shared,
    spec: &'a Spec,
    flow: Arc<Flow>,
    source: Arc<crate::systems::System>,
    target: Place,
    form: Arc<kingdee::Form>,
    bills: BTreeMap<DocumentKey, Bill>,
    verdicts: BTreeMap<DocumentKey, String>,
}

/// What looks wrong with a document.
type Suspects = BTreeMap<DocumentKey, Vec<Finding>>;

/// What a report comes to.
struct Found {
    counts: Counts,
    findings: Vec<Finding>,
    /// The dates of bills that never arrived anywhere.
    lost: Vec<i64>,
}

async fn find(shared: &Shared, spec: &Spec, calls: &mut Calls) -> Result<Found, Fault> {
    let flow = current(shared, &spec.flow)?;
    let source = Arc::clone(shared.systems.get(&flow.settings.source.connection)?);
    let target = shared.place_of(&flow)?;
    let form = target.system.form(&target.form, calls, shared.clock.millis()).await?;
    let bills = read::bills(&source, &flow, spec.from, spec.to, calls).await?;
    let verdicts = blocking(|| verdicts(shared, &spec.flow))?;
    let sides = Sides { shared, spec, flow, source, target, form, bills, verdicts };

    let documents: Vec<DocumentKey> = sides.bills.keys().cloned().collect();
    let mut counts = Counts { source: documents.len() as u64, ..Counts::default() };
    let mut suspects = sides.look(&documents, spec.sample, &mut counts, calls).await?;
    // What came after the heads of the source were read is there when it is asked for by name.
    let extra = sides.extra(calls).await?;
    let extra = sides.without_source(extra, calls).await?;
    if suspects.is_empty() && extra.is_empty() {
        return Ok(Found { counts, findings: Vec::new(), lost: Vec::new() });
    }
    // What looks wrong may be on its way: after a while it is looked at again, and all of it is compared.
    tokio::time::sleep(grace(spec)).await;
    let again: Vec<DocumentKey> = suspects.keys().cloned().collect();
    let before = again.len() as u64;
    let mut second = Counts::default();
    suspects = sides.look(&again, 1.0, &mut second, calls).await?;
    counts.applied += second.applied;
    counts.parked += second.parked;
    counts.in_doubt += second.in_doubt;
    counts.discarded += second.discarded;
    counts.on_the_way += second.on_the_way;
    counts.compared = (counts.compared + second.compared).min(counts.source.max(before));
    let mut findings: Vec<Finding> = suspects.into_values().flatten().collect();
    let extra = extra.into_iter().filter_map(|finding| Some((finding.target_key?.to_string(), Vec::new()))).collect();
    findings.extend(sides.without_source(extra, calls).await?);
    let lost = findings.iter().filter(|finding| finding.kind == Kind::Missing && finding.target_key.is_none());
    let lost = lost.filter_map(|finding| sides.bills.get(&finding.document)?.stamp).collect();
    findings.iter_mut().for_each(|finding| sides.judge_verdict(finding));
    Ok(Found { counts, findings, lost })
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

impl Sides<'_> {
    /// Looks at documents: what is on record first, and then the target. Gives what looks wrong.
    async fn look(
        &self,
        documents: &[DocumentKey],
        sample: f64,
        counts: &mut Counts,
        calls: &mut Calls,
    ) -> Result<Suspects, Fault> {
        let mut suspects = Suspects::new();
        let mut loaded: Vec<(DocumentKey, Loaded)> = Vec::new();
        let mut unknown: Vec<DocumentKey> = Vec::new();
        let now = self.shared.clock.seconds();
        for document in documents {
            match blocking(|| self.standing(document))? {
                Standing::Applied(found) => loaded.extend(found.into_iter().map(|one| (document.clone(), one))),
                Standing::Parked => counts.parked += 1,
                Standing::InDoubt => counts.in_doubt += 1,
                Standing::Discarded => counts.discarded += 1,
                Standing::OnTheWay => counts.on_the_way += 1,
                Standing::Unknown => {
                    let young = self.bills.get(document).and_then(|bill| bill.stamp);
                    match young.is_some_and(|stamp| stamp > now - self.spec.grace) {
                        true => counts.on_the_way += 1,
                        false => unknown.push(document.clone()),
                    }
                }
            }
        }
        for document in unknown {
            let detail = "neither the ledger nor a dead letter knows it".to_owned();
            suspects.entry(document.clone()).or_default().push(Finding {
                kind: Kind::Missing,
                document,
                target_key: None,
                target_ids: Vec::new(),
                detail,
            });
        }
        let keys: Vec<String> = loaded.iter().map(|(_, one)| one.target_key.to_string()).collect();
        let heads = self.heads(&keys, calls).await?;
        let mut compared = Vec::new();
        for (document, one) in loaded {
            let found = heads.get(one.target_key.as_str()).map(Vec::as_slice).unwrap_or_default();
            let wrong = presence(&one, found);
            match &wrong {
                None => counts.applied += 1,
                Some((kind, target_ids, detail)) => suspects.entry(document.clone()).or_default().push(Finding {
                    kind: *kind,
                    document: document.clone(),
                    target_key: Some(one.target_key.clone()),
                    target_ids: target_ids.clone(),
                    detail: detail.clone(),
                }),
            }
            if let [only] = found
                && !one.edited
                && (wrong.is_some() || is_sampled(&self.spec.id, document.as_str(), sample))
            {
                compared.push((document, one, only.id.clone()));
            }
        }
        counts.compared += compared.len() as u64;
        for finding in self.compare(&compared, calls).await? {
            let known = suspects.entry(finding.document.clone()).or_default();
            if known.is_empty() {
                counts.applied = counts.applied.saturating_sub(1);
                known.push(finding);
            }
        }
        Ok(suspects)
    }

    fn standing(&self, document: &DocumentKey) -> Result<Standing, Fault> {
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
            .map(|row| Letter { version: row.version, state: row.state, category: row.category, edited: row.edited })
            .collect();
        Ok(standing(&ends, &letters))
    }

    async fn heads(&self, keys: &[String], calls: &mut Calls) -> Result<BTreeMap<String, Vec<Head>>, Fault> {
        read::heads(&self.target.system, &self.form, &self.target.field, keys, calls).await
    }

    /// Compares documents field by field with what the flow makes of the source's bill.
    async fn compare(
        &self,
        documents: &[(DocumentKey, Loaded, String)],
        calls: &mut Calls,
    ) -> Result<Vec<Finding>, Fault> {
        let ids: BTreeSet<String> =
            documents.iter().filter_map(|(document, ..)| Some(self.bills.get(document)?.id.clone())).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        let rows = read::rows(&self.source, &self.flow, &ids, calls).await?;
        let mut findings = Vec::new();
        for (document, loaded, target_id) in documents {
            let Some(bill) = self.bills.get(document) else { continue };
            // The source does not show it any more: whether it is gone is asked elsewhere.
            let Some(rows) = rows.get(&bill.id) else { continue };
            let found = self.differences(document, loaded, target_id, rows, calls).await?;
            let Some(detail) = found else { continue };
            let version_at = i64::try_from(loaded.version.0 / 1_000_000).unwrap_or(i64::MAX);
            let kind = match self.bills.get(document).and_then(|bill| bill.stamp) {
                Some(stamp) if stamp > version_at => Kind::ChangedAfterLoad,
                _ => Kind::Different,
            };
            findings.push(Finding {
                kind,
                document: document.clone(),
                target_key: Some(loaded.target_key.clone()),
                target_ids: vec![target_id.clone()],
                detail,
            });
        }
        Ok(findings)
    }

    /// Where the target's document is another one than the flow makes of `rows`, in words.
    async fn differences(
        &self,
        document: &DocumentKey,
        loaded: &Loaded,
        target_id: &str,
        rows: &[Map<String, Value>],
        calls: &mut Calls,
    ) -> Result<Option<String>, Fault> {
        let Some(flow) = self.version(&loaded.flow_version) else {
            // It cannot be told what that version made of it.
            return Ok(None);
        };
        let bills = match expected::bills(&flow, document, rows) {
            Ok(bills) => bills,
            Err(fault) => return Ok(Some(format!("the source's bill can no longer be mapped: {fault}"))),
        };
        let Some(bill) = bills.get(&loaded.target_key) else {
            return Ok(Some("the source's bill makes no document of this key any more".to_owned()));
        };
        let question = Question::about(&bill.value, &self.form);
        let system = &self.target.system;
        let theirs = system.lines(&self.form, target_id, &question.columns, question.line_id.as_deref(), calls).await?;
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

    fn version(&self, version: &FlowVersion) -> Option<Arc<Flow>> {
        self.shared.flows.get(&self.spec.flow, version)
    }

    /// Documents of the target, created in the window, that the source does not seem to have.
    async fn extra(&self, calls: &mut Calls) -> Result<BTreeMap<String, Vec<Head>>, Fault> {
        // The target's clock may be ahead of ours.
        let window = (self.spec.from, self.spec.to + 60);
        let mut created = read::created(&self.target.system, &self.form, &self.target.field, window, calls).await?;
        let mut known = BTreeSet::new();
        blocking(|| {
            for key in created.keys() {
                for end in self.shared.index.ends_of_target(&TargetKey(key.clone()), Some(&self.spec.flow))? {
                    if self.bills.contains_key(&end.entry.document) {
                        known.insert(key.clone());
                    }
                }
            }
            Ok::<(), Fault>(())
        })?;
        created.retain(|key, _| !known.contains(key));
        Ok(created)
    }

    /// Those of `extra` that are there, and whose document the source does not have.
    async fn without_source(
        &self,
        extra: BTreeMap<String, Vec<Head>>,
        calls: &mut Calls,
    ) -> Result<Vec<Finding>, Fault> {
        let keys: Vec<String> = extra.keys().cloned().collect();
        let heads = self.heads(&keys, calls).await?;
        let ends = blocking(|| {
            let of = |key: &String| self.shared.index.ends_of_target(&TargetKey(key.clone()), Some(&self.spec.flow));
            heads.keys().map(|key| Ok((key.clone(), of(key)?))).collect::<Result<BTreeMap<_, _>, Fault>>()
        })?;
        let documents: Vec<String> = ends.values().flatten().map(|end| end.entry.document.to_string()).collect();
        let (form, field) = self.source_key()?;
        let there = self.source.existing(&form, &field, &documents, calls).await?.found;
        let mut findings = Vec::new();
        for (key, heads) in heads {
            let ends = ends.get(&key).map(Vec::as_slice).unwrap_or_default();
            if ends.iter().any(|end| there.contains(end.entry.document.as_str())) {
                continue;
            }
            let document = ends.first().map(|end| end.entry.document.clone());
            let detail = match &document {
                Some(_) => "it was loaded, and the source has it no more",
                None => "it was not loaded by this flow, and no bill of the source has its key",
            };
            findings.push(Finding {
                kind: Kind::Extra,
                document: document.unwrap_or_else(|| DocumentKey(String::new())),
                target_key: Some(TargetKey(key)),
                target_ids: heads.into_iter().map(|head| head.id).collect(),
                detail: detail.to_owned(),
            });
        }
        Ok(findings)
    }

    /// Form and field of the source that name documents.
    fn source_key(&self) -> Result<(String, String), Fault> {
        let own = self.flow.source.query(&self.flow.run(0, 0))?;
        Ok((own.form_id, read::document_column(&self.flow)?))
    }

    /// A finding about a document of which a person had the last word is a finding about that word.
    fn judge_verdict(&self, finding: &mut Finding) {
        if finding.kind != Kind::ChangedAfterLoad
            && let Some(verdict) = self.verdicts.get(&finding.document)
        {
            finding.detail = format!("{verdict}; {}: {}", finding.kind.as_str(), finding.detail);
            finding.kind = Kind::WrongVerdict;
        }
    }
}
