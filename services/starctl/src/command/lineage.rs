//! `starctl lineage`: where fields of the target come from, read off a flow on disk or a published one.

use std::path::Path;

use document::{Code, Fault};
use flow::lineage::{self, Line};
use flow::{Flow, FlowBundle};
use serde_json::{Map, Value, json};
use starbridge_proto::v1;

use super::{Session, view};
use crate::cli::lineage::{LineageCommand, WhichFlow};
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::place::FlowFolder;

pub(super) fn flow_of(command: &LineageCommand) -> &WhichFlow {
    match command {
        LineageCommand::Flow { flow } | LineageCommand::Field { flow, .. } => flow,
    }
}

/// Of a flow on this machine.
pub(super) fn offline(command: &LineageCommand, output: &Output) -> Result<u8, Failure> {
    let which = flow_of(command);
    if which.version.is_some() {
        return Err(Failure::usage("--at belongs to a published flow"));
    }
    let folder = FlowFolder::read(Path::new(&which.flow))?;
    match flow::compile(&folder.bundle) {
        Ok(compiled) => show(command, &compiled.flow, output),
        Err(faults) => refuse(output, faults.into_iter().map(|fault| folder.placed(fault))),
    }
}

/// Of a published flow.
pub(super) async fn published(command: &LineageCommand, session: &Session) -> Result<u8, Failure> {
    let which = flow_of(command);
    let name = which.flow.strip_prefix("flow/").unwrap_or(&which.flow).to_owned();
    let version = which.version.clone().unwrap_or_default();
    let answer = session.client.ask(v1::GetFlowRequest { name, version }).await?;
    let v1::FlowBundle { flow, source, target, collections } = answer.bundle.unwrap_or_default();
    let bundle = FlowBundle { flow, source, target, collections: collections.into_iter().collect() };
    match flow::compile(&bundle) {
        Ok(compiled) => show(command, &compiled.flow, &session.output),
        Err(faults) => refuse(&session.output, faults),
    }
}

fn refuse(output: &Output, faults: impl IntoIterator<Item = Fault>) -> Result<u8, Failure> {
    for fault in faults {
        let _code = output.failure(&Failure::of(fault, exit::INVALID));
    }
    Ok(exit::INVALID)
}

fn show(command: &LineageCommand, flow: &Flow, output: &Output) -> Result<u8, Failure> {
    let lines = match command {
        LineageCommand::Flow { .. } => lineage::of_flow(flow),
        LineageCommand::Field { field, .. } => lineage::of_field(flow, field).map_err(|near| {
            let fault =
                Fault::new(Code::FieldUnknown, format!("flow {} has no field {field} on either side", flow.name));
            let fault = fault.of_record(field.clone());
            let hint = near.map(|near| format!("did you mean {near}?"));
            Failure::of(hint.into_iter().fold(fault, Fault::hint), exit::NOT_FOUND)
        })?,
    };
    let items: Vec<Value> = lines.iter().map(item).collect();
    let more = [("flow", flow.name.to_string()), ("version", flow.version.to_string())];
    let more: Map<String, Value> = more.into_iter().map(|(key, text)| (key.to_owned(), Value::from(text))).collect();
    output.list(&view::LINEAGE, &items, &more).map(|()| exit::DONE)
}

/// A line as data: inputs whole, and in short for people.
fn item(line: &Line) -> Value {
    let columns = line.inputs.iter().map(|input| input.column.as_deref().unwrap_or(&input.field));
    let from: Vec<&str> = columns.collect();
    json!({
        "target": line.target,
        "how": line.how,
        "from": from,
        "expression": line.expression,
        "inputs": line.inputs,
        "collections": line.collections,
        "place": line.place,
    })
}
