//! `RecordService`.

use std::sync::Arc;

use document::{Code, DocumentKey, Fault, FlowName, Received, TargetKey, TraceParent, topic};
use queue::TopicPartition;
use starbridge_proto::v1;
use starbridge_proto::v1::record_service_server::RecordService;
use tonic::{Request, Response, Status};

use super::gate::Caller;
use super::status::status;
use super::{Shared, blocking, show};
use crate::index::ledger::{self, Entry, Intent};
use crate::index::{End, Ended, List, Order};
use crate::selector::Selector;

const SERVICE: &str = "starbridge.control.v1.RecordService";
/// Letters of one document that are shown.
const LETTERS: usize = 100;
/// Records of a partition that are looked at for one version.
const LOOKED_AT: usize = 20_000;
/// How much earlier than a version's own time its record may be stamped, milliseconds.
const EARLIER: i64 = 60_000;

/// The service.
#[derive(Debug, Clone)]
pub struct Records(pub Arc<Shared>);

#[tonic::async_trait]
impl RecordService for Records {
    async fn trace_record(
        &self,
        request: Request<v1::TraceRecordRequest>,
    ) -> Result<Response<v1::TraceRecordResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/TraceRecord"), &request)?;
        let request = request.into_inner();
        let flow = match request.flow.as_str() {
            "" => self.flow_of(&caller, &request.key).await?,
            flow => FlowName::new(flow)
                .map_err(|error| status(&Fault::new(Code::RequestInvalid, error.to_string()).at_path("$.flow")))?,
        };
        shared.permit(&caller, &[shared.scope_of(&flow)], false, &format!("record/{flow}/{}", request.key)).await?;
        let (ends, letters) = blocking(|| self.known(&flow, &request.key)).map_err(|fault| status(&fault))?;
        let end = ends.iter().max_by_key(|end| (end.entry.version, end.entry.at));
        let document = end.map(|end| end.entry.document.clone());
        let document = document.or_else(|| letters.first().map(|letter| letter.document.clone()));
        let document = document.unwrap_or_else(|| DocumentKey::from(request.key.as_str()));
        let mut versions: Vec<u64> = letters.iter().map(|letter| letter.version.0).collect();
        versions.extend(ends.iter().map(|end| end.entry.version.0));
        versions.sort_unstable();
        versions.dedup();
        let mut steps = Vec::new();
        for version in &versions {
            let target = end.map(|end| end.target_key.clone());
            steps.extend(self.on_the_road(&flow, &document, target.as_ref(), *version).await?);
        }
        let oldest = versions.first().copied().unwrap_or_default();
        let mut noted = Vec::new();
        for end in &ends {
            noted.extend(self.in_the_ledger(&flow, &end.target_key, oldest).await?);
        }
        // What the topic does not show any more the index still knows, if only what came of it.
        let known = |end: &&End| !noted.iter().any(|step| is_of(step, &end.entry));
        steps.extend(ends.iter().filter(known).map(|end| ledger_step(topic::ledger(&flow), &end.entry)));
        steps.append(&mut noted);
        for row in &letters {
            let letter = blocking(|| shared.index.get(&row.id)).map_err(|fault| status(&fault))?;
            steps.push(letter_step(row, letter.and_then(|letter| letter.letter.trace)));
        }
        if steps.is_empty() {
            return Err(status(&unknown(&request.key)));
        }
        steps.sort_by_key(|step| step.at.map(|at| (at.seconds, at.nanos)));
        Ok(Response::new(v1::TraceRecordResponse {
            flow: flow.to_string(),
            document_key: document.to_string(),
            target_key: end.map(|end| end.target_key.to_string()).unwrap_or_default(),
            end: end.and_then(|end| end.entry.end).map(end_word).unwrap_or_default().to_owned(),
            target_id: end
                .and_then(|end| end.entry.target.as_ref())
                .map(|target| target.id.clone())
                .unwrap_or_default(),
            steps,
            dead_letters: letters.iter().map(|row| show::row(&shared.flows, row)).collect(),
        }))
    }
}

impl Records {
    /// The flow that knows a document, where the caller named none.
    async fn flow_of(&self, caller: &Caller, key: &str) -> Result<FlowName, Status> {
        let shared = &self.0;
        shared.permit(caller, &[], false, &format!("record/{key}")).await?;
        let found = blocking(|| {
            let mut ends = shared.index.ends_of_document(&key.into(), None)?;
            ends.extend(shared.index.ends_of_target(&TargetKey(key.to_owned()), None)?);
            let mut flows: Vec<FlowName> = ends.into_iter().map(|end| end.flow).collect();
            let key = quoted(key);
            let selector = Selector::parse(&format!("document = {key} or target_key = {key}"))?;
            let counted = shared.index.stats(&selector, shared.clock.millis())?;
            flows.extend(counted.by_flow.into_keys());
            flows.sort();
            flows.dedup();
            Ok::<_, Fault>(flows)
        });
        let mut flows = found.map_err(|fault| status(&fault))?;
        if let Some(visible) = shared.visible(caller) {
            flows.retain(|flow| visible.contains(flow));
        }
        match flows.as_slice() {
            [flow] => Ok(flow.clone()),
            [] => Err(status(&unknown(key))),
            several => {
                let names: Vec<&str> = several.iter().map(FlowName::as_str).collect();
                let fault = Fault::new(Code::RequestInvalid, format!("{} know this document", names.join(", ")));
                Err(status(&fault.at_path("$.flow").hint("name one of these flows")))
            }
        }
    }

    /// What the ledger topic still shows of a target key: the saves that were begun, in which batch, and what was noted
    /// of them.
    async fn in_the_ledger(&self, flow: &FlowName, key: &TargetKey, oldest: u64) -> Result<Vec<v1::TraceStep>, Status> {
        let topic = topic::ledger(flow);
        let from = i64::try_from(oldest / 1000).unwrap_or_default() - EARLIER;
        let count = self.0.admin.partitions(&topic).await.map_err(|error| status(&error.fault()))?;
        let mut steps = Vec::new();
        for partition in 0..count.unwrap_or_default() {
            let at = TopicPartition::new(topic.clone(), partition);
            let begin = self.0.peek.at_time(at, from).await.map_err(|error| status(&error.fault()))?;
            let wanted = key.clone();
            let found = self.0.peek.stretch(begin, LOOKED_AT, move |record| Noted::of(record, &wanted).is_some());
            let found = found.await.map_err(|error| status(&error.fault()))?;
            steps.extend(found.iter().filter_map(|record| {
                let place = format!("{topic}/{partition}@{}", record.offset);
                Some(match Noted::of(record, key)? {
                    Noted::Entry(entry) => ledger_step(place, &entry),
                    Noted::Intent(intent) => intent_step(place, &intent),
                })
            }));
        }
        Ok(steps)
    }

    /// What ledger and letters know of a document, by either of its keys.
    fn known(&self, flow: &FlowName, key: &str) -> Result<(Vec<End>, Vec<crate::index::LetterRow>), Fault> {
        let index = &self.0.index;
        let mut ends = index.ends_of_document(&key.into(), Some(flow))?;
        ends.extend(index.ends_of_target(&TargetKey(key.to_owned()), Some(flow))?);
        ends.dedup();
        let mut keys = vec![quoted(key)];
        keys.extend(ends.iter().map(|end| quoted(end.entry.document.as_str())));
        let keys = keys.join(", ");
        let text = format!("flow = {} and (document in ({keys}) or target_key in ({keys}))", quoted(flow.as_str()));
        let selector = Selector::parse(&text)?;
        let list = List {
            selector: &selector,
            order: Order::FirstFailed,
            descending: false,
            page_token: None,
            limit: LETTERS,
            now: self.0.clock.millis(),
        };
        Ok((ends, index.list(&list)?.items))
    }

    /// The records of one version in both data topics. A version is the time of its observation in microseconds, so its
    /// records are looked for from a little earlier on.
    async fn on_the_road(
        &self,
        flow: &FlowName,
        document: &DocumentKey,
        target: Option<&TargetKey>,
        version: u64,
    ) -> Result<Vec<v1::TraceStep>, Status> {
        let mut steps = Vec::new();
        let from = i64::try_from(version / 1000).unwrap_or_default() - EARLIER;
        let keys = [
            (topic::extracted(flow), Some(document.as_str()), "extracted"),
            (topic::mapped(flow), target.map(TargetKey::as_str), "mapped"),
        ];
        for (topic, key, kind) in keys {
            let Some(key) = key.map(|key| key.as_bytes().to_vec()) else { continue };
            let count = self.0.admin.partitions(&topic).await.map_err(|error| status(&error.fault()))?;
            for partition in 0..count.unwrap_or_default() {
                let at = TopicPartition::new(topic.clone(), partition);
                let begin = self.0.peek.at_time(at, from).await.map_err(|error| status(&error.fault()))?;
                let (key, wanted) = (key.clone(), version.to_string());
                let found = self.0.peek.stretch(begin, LOOKED_AT, move |record| {
                    record.record.key == key && record.record.headers.get("sb-version") == Some(wanted.as_str())
                });
                let found = found.await.map_err(|error| status(&error.fault()))?;
                steps.extend(found.iter().map(|record| road_step(record, kind, version)));
            }
        }
        Ok(steps)
    }
}

fn road_step(record: &Received, kind: &str, version: u64) -> v1::TraceStep {
    let header = |name: &str| record.record.headers.get(name).unwrap_or_default().to_owned();
    let trace = header("traceparent");
    v1::TraceStep {
        kind: kind.to_owned(),
        at: record.timestamp.map(show::time),
        version,
        place: format!("{}/{}@{}", record.topic, record.partition, record.offset),
        flow_version: header("sb-flow-version"),
        replay_job: header("sb-replay"),
        what: format!("{} bytes", record.record.value.as_ref().map_or(0, Vec::len)),
        trace_id: trace.split('-').nth(1).unwrap_or_default().to_owned(),
        batch: String::new(),
    }
}

/// A text as selectors have it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn unknown(key: &str) -> Fault {
    let fault = Fault::new(Code::LetterUnknown, "neither ledger nor letters know this document");
    fault.of_record(key.to_owned()).hint("give its key in the source or in the target")
}

/// What a record of the ledger tells of a target key.
enum Noted {
    Entry(Box<Entry>),
    Intent(Intent),
}

impl Noted {
    fn of(record: &Received, key: &TargetKey) -> Option<Self> {
        let value = record.record.value.as_deref()?;
        if ledger::target_key(&record.record.key).as_ref() == Some(key) {
            return ledger::read(value).ok().map(|entry| Self::Entry(Box::new(entry)));
        }
        let batch = ledger::intent(&record.record.key)?;
        ledger::read_intent(batch, key, value).map(Self::Intent)
    }
}

/// Whether a step tells what an entry says.
fn is_of(step: &v1::TraceStep, entry: &Entry) -> bool {
    step.kind == "ledger" && step.version == entry.version.0 && step.at == Some(show::time(entry.at))
}

fn intent_step(place: String, intent: &Intent) -> v1::TraceStep {
    v1::TraceStep {
        kind: "intent".to_owned(),
        at: Some(show::time(intent.at)),
        version: intent.version.0,
        place,
        what: format!("save begun in batch {} with {} documents of its partition", intent.batch, intent.documents),
        batch: intent.batch.clone(),
        ..v1::TraceStep::default()
    }
}

fn ledger_step(place: String, entry: &Entry) -> v1::TraceStep {
    let target = entry.target.as_ref().map(|target| format!(", in the target as {}", target.id)).unwrap_or_default();
    let letter = entry.letter.as_ref().map(|letter| format!(", letter {letter}")).unwrap_or_default();
    v1::TraceStep {
        kind: "ledger".to_owned(),
        at: Some(show::time(entry.at)),
        version: entry.version.0,
        place,
        flow_version: entry.flow_version.to_string(),
        replay_job: entry.replays.last().cloned().unwrap_or_default(),
        what: format!("{}{target}{letter}", entry.end.map_or("in progress", end_word)),
        trace_id: String::new(),
        batch: String::new(),
    }
}

fn letter_step(letter: &crate::index::LetterRow, trace: Option<TraceParent>) -> v1::TraceStep {
    v1::TraceStep {
        kind: "dead_letter".to_owned(),
        at: Some(show::time(letter.last_failed)),
        version: letter.version.0,
        place: format!("{}/{}", topic::DEAD_LETTERS, letter.id),
        flow_version: letter.flow_version.to_string(),
        replay_job: letter.replay.clone().unwrap_or_default(),
        what: format!("{} in {}: {}", letter.code, letter.stage, letter.message),
        trace_id: trace.map(|trace| hex::encode(trace.trace_id)).unwrap_or_default(),
        batch: String::new(),
    }
}

fn end_word(end: Ended) -> &'static str {
    match end {
        Ended::Applied => "applied",
        Ended::Parked => "parked",
        Ended::InDoubt => "in_doubt",
    }
}
