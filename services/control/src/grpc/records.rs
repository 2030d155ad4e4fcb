//! `RecordService`.

use std::sync::Arc;

use document::{Code, DocumentKey, Fault, FlowName, Received, TargetKey, topic};
use queue::TopicPartition;
use starbridge_proto::v1;
use starbridge_proto::v1::record_service_server::RecordService;
use tonic::{Request, Response, Status};

use super::status::status;
use super::{Shared, blocking, show};
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
        let flow = FlowName::new(request.flow.clone())
            .map_err(|error| status(&Fault::new(Code::RequestInvalid, error.to_string()).at_path("$.flow")))?;
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
        steps.extend(ends.iter().map(|end| ledger_step(&flow, end)));
        steps.extend(letters.iter().map(letter_step));
        if steps.is_empty() {
            let fault = Fault::new(Code::LetterUnknown, "neither ledger nor letters know this document");
            return Err(status(&fault.of_record(request.key).hint("give its key in the source or in the target")));
        }
        steps.sort_by_key(|step| step.at.map(|at| (at.seconds, at.nanos)));
        Ok(Response::new(v1::TraceRecordResponse {
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
    /// What ledger and letters know of a document, by either of its keys.
    fn known(&self, flow: &FlowName, key: &str) -> Result<(Vec<End>, Vec<crate::index::LetterRow>), Fault> {
        let index = &self.0.index;
        let mut ends = index.ends_of_document(&key.into(), Some(flow))?;
        ends.extend(index.ends_of_target(&TargetKey(key.to_owned()), Some(flow))?);
        ends.dedup();
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
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
    }
}

fn ledger_step(flow: &FlowName, end: &End) -> v1::TraceStep {
    let entry = &end.entry;
    let target = entry.target.as_ref().map(|target| format!(", in the target as {}", target.id)).unwrap_or_default();
    let letter = entry.letter.as_ref().map(|letter| format!(", letter {letter}")).unwrap_or_default();
    v1::TraceStep {
        kind: "ledger".to_owned(),
        at: Some(show::time(entry.at)),
        version: entry.version.0,
        place: topic::ledger(flow),
        flow_version: entry.flow_version.to_string(),
        replay_job: entry.replays.last().cloned().unwrap_or_default(),
        what: format!("{}{target}{letter}", entry.end.map_or("in progress", end_word)),
        trace_id: String::new(),
    }
}

fn letter_step(letter: &crate::index::LetterRow) -> v1::TraceStep {
    v1::TraceStep {
        kind: "dead_letter".to_owned(),
        at: Some(show::time(letter.last_failed)),
        version: letter.version.0,
        place: format!("{}/{}", topic::DEAD_LETTERS, letter.id),
        flow_version: letter.flow_version.to_string(),
        replay_job: letter.replay.clone().unwrap_or_default(),
        what: format!("{} in {}: {}", letter.code, letter.stage, letter.message),
        trace_id: String::new(),
    }
}

fn end_word(end: Ended) -> &'static str {
    match end {
        Ended::Applied => "applied",
        Ended::Parked => "parked",
        Ended::InDoubt => "in_doubt",
    }
}
