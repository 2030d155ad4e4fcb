//! Reads the bills of letters anew from their source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use document::{Code, DeadLetterId, DocumentKey, Fault, FlowName, topic};
use starbridge_proto::v1;
use tonic::Status;

use super::super::{Shared, blocking};
use super::{Many, noted};
use crate::core::Effects;
use crate::letter::State;
use crate::reconcile::{plan, read};
use crate::systems::look::Calls;
use crate::writer::desk::Desk;
use crate::writer::request::{Decided, Jobs};

/// Calls of one request, and how long they may take.
const CALLS: usize = 200;
const WITHIN: Duration = Duration::from_secs(60);

/// The document of a letter.
type Document = Result<(FlowName, DocumentKey), Fault>;
/// What is known of the bill of a letter.
type Known = Result<(FlowName, Vec<i64>), Fault>;

/// Looks the bills up, and has them read again unless it is a dry run.
pub(super) async fn refetch(
    shared: &Shared,
    many: Many,
    change: Option<&v1::Change>,
) -> Result<v1::RefetchDeadLettersResponse, Status> {
    let known = look(shared, &many.selected.ids).await;
    let decide = move |_: &mut Desk<'_>, _: &Jobs<'_>| {
        let mut outcome = v1::Outcome::default();
        let mut stamps: BTreeMap<FlowName, Vec<i64>> = BTreeMap::new();
        for (id, known) in known {
            let done = known.map(|(flow, dates)| stamps.entry(flow).or_default().extend(dates));
            noted(&mut outcome, id.0, done);
        }
        let mut effects = Effects::default();
        for (flow, stamps) in stamps {
            let windows = plan::windows(stamps).into_iter();
            effects.records.extend(windows.map(|window| (topic::COMMANDS.to_owned(), plan::command(&flow, window))));
        }
        let response = v1::RefetchDeadLettersResponse { outcome: Some(outcome) };
        Ok((Decided { effects, ..Decided::default() }, response))
    };
    shared.change(many.meta, change, true, decide).await
}

/// The dates of the bills of letters, in the order of the letters.
async fn look(shared: &Shared, ids: &[DeadLetterId]) -> Vec<(DeadLetterId, Known)> {
    let found: Vec<(DeadLetterId, Document)> =
        blocking(|| ids.iter().map(|id| (id.clone(), letter(shared, id))).collect());
    let mut documents: BTreeMap<FlowName, Vec<String>> = BTreeMap::new();
    for (flow, document) in found.iter().filter_map(|(_, letter)| letter.as_ref().ok()) {
        documents.entry(flow.clone()).or_default().push(document.to_string());
    }
    let mut calls = Calls::at_most(CALLS, WITHIN);
    let mut dates = BTreeMap::new();
    for (name, documents) in documents {
        dates.insert(name.clone(), of_flow(shared, &name, &documents, &mut calls).await);
    }
    let known = |letter: Document| {
        let (flow, document) = letter?;
        let of_flow = dates[&flow].as_ref().map_err(Clone::clone)?;
        let stamps = of_flow.get(&document).cloned().unwrap_or_default();
        if stamps.is_empty() {
            let detail = "the source does not show this flow a bill of this key any more";
            return Err(Fault::new(Code::SourceRetracted, detail).of_record(document.to_string()));
        }
        Ok((flow, stamps))
    };
    found.into_iter().map(|(id, letter)| (id, known(letter))).collect()
}

fn letter(shared: &Shared, id: &DeadLetterId) -> Document {
    let unknown = || Fault::new(Code::LetterUnknown, "there is no dead letter of this id").of_record(id.0.clone());
    let row = shared.index.get(id)?.ok_or_else(unknown)?.row;
    match row.state {
        Some(State::Open | State::Parked) => Ok((row.flow, row.document)),
        _ => Err(Fault::new(Code::LetterState, "the letter is neither open nor parked").of_record(id.0.clone())),
    }
}

async fn of_flow(
    shared: &Shared,
    name: &FlowName,
    documents: &[String],
    calls: &mut Calls,
) -> Result<BTreeMap<DocumentKey, Vec<i64>>, Fault> {
    let flow = shared.flows.current().into_iter().find(|flow| flow.name == *name).ok_or_else(|| {
        Fault::new(Code::FlowUnknown, format!("{name} is not published, or cannot be used")).of_record(name.as_str())
    })?;
    let source = Arc::clone(shared.systems.get(&flow.settings.source.connection)?);
    read::stamps(&source, &flow, documents, calls).await
}
