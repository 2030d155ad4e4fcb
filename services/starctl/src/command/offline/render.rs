//! `starctl flow render`: the target documents that sample rows become.

use std::path::Path;

use document::{Code, Fault};
use flow::Flow;
use serde_json::{Value, json};

use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::place::{self, FlowFolder};

/// What to render, and when it is.
pub(super) struct Sample<'a> {
    pub(super) rows: &'a Path,
    pub(super) now: Option<i64>,
    pub(super) last_sync_time: Option<i64>,
}

pub(super) fn run(path: &Path, sample: &Sample<'_>, output: &Output) -> Result<u8, Failure> {
    let folder = FlowFolder::read(path)?;
    let compiled = match flow::compile(&folder.bundle) {
        Ok(compiled) => compiled,
        Err(faults) => {
            faults.into_iter().try_for_each(|fault| output.remark(&folder.placed(fault).to_string()))?;
            return Ok(exit::INVALID);
        }
    };
    for note in &compiled.notes {
        output.remark(&format!("note: {note}"))?;
    }
    let flow = compiled.flow;
    let now = sample.now.unwrap_or_else(|| chrono::Utc::now().timestamp());
    let run = flow.run(now, sample.last_sync_time.unwrap_or_else(|| flow.start_from.timestamp()));
    let rows = rows(&flow, &run, sample.rows)?;
    let bills = flow.target.render_bills(&rows, &run, &flow.collections);
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    for bill in bills {
        match bill.outcome {
            Ok(mut document) => {
                let first = bill.records.first().and_then(|at| rows.get(*at));
                if let Some(key) = first.and_then(|row| flow.document_key(row)) {
                    flow.mark(&mut document, &key);
                }
                documents.push(json!({"records": bill.records, "document": document}));
            }
            Err(fault) => errors.push((bill.records, folder.placed(fault))),
        }
    }
    let code = if errors.is_empty() { exit::DONE } else { exit::SOME_FAILED };
    if output.is_document() {
        let errors: Vec<Value> = errors
            .iter()
            .map(|(records, fault)| json!({"records": records, "error": output.fault_value(fault)}))
            .collect();
        output.document(&json!({"documents": documents, "errors": errors}))?;
        return Ok(code);
    }
    for (index, document) in documents.iter().enumerate() {
        output.line(&format!("# document {} of records {}", index + 1, document["records"]))?;
        output.json(&document["document"])?;
    }
    for (_, fault) in &errors {
        output.fault("fault", fault)?;
    }
    output.remark(&format!("{} documents, {} bills failed", documents.len(), errors.len()))?;
    Ok(code)
}

/// The rows of a file: objects as stored, or lists as a bill query answers them, which are shaped first.
fn rows(flow: &Flow, run: &flow::Run, path: &Path) -> Result<Vec<Value>, Failure> {
    let name = path.display().to_string();
    let Value::Array(rows) = json_of(path)? else {
        return Err(refuse(Fault::new(Code::RowShape, "the rows are no JSON list").in_file(name).at_path("$")));
    };
    let mut shaped = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let at = |fault: Fault| refuse(fault.in_file(&name).at_path(format!("$[{index}]")));
        match row {
            Value::Object(_) => shaped.push(row),
            Value::Array(values) => {
                let query = flow.source.query(run).map_err(at)?;
                let row = query.row(values).map_err(at)?;
                let records = flow.source.shape(vec![row], run).map_err(at)?;
                shaped.extend(records.into_iter().map(|record| Value::Object(record.content)));
            }
            _ => return Err(at(Fault::new(Code::RowShape, "a row is an object or a list"))),
        }
    }
    Ok(shaped)
}

fn json_of(path: &Path) -> Result<Value, Failure> {
    let text = place::read(path)?;
    serde_json::from_str(&text).map_err(|source| {
        let fault = Fault::new(Code::Json, source.to_string()).in_file(path.display().to_string());
        refuse(fault.at_line(source.line() as u64, source.column().to_string()))
    })
}

fn refuse(fault: Fault) -> Failure {
    Failure::Fault { fault: Box::new(fault), exit: exit::INVALID }
}
