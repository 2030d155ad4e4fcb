//! Submit, Audit, UnAudit, CancelAssign, Delete and the generic operations: status by status, document by document.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::options::Precedence;
use crate::query::Package;
use crate::reply::{Ended, Problem, Reply, empty_parameter, unknown_numbers};
use crate::rules::Stage;
use crate::save::Context;
use crate::schema::Form;
use crate::store::Store;
use crate::value::Cell;

/// What is done to the selected documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A or D to B.
    Submit,
    /// B to C.
    Audit,
    /// C to D.
    UnAudit,
    /// B to D.
    CancelAssign,
    /// Takes Z, A and D out.
    Delete,
    /// Disables.
    Forbid,
    /// Enables.
    Enable,
}

impl Operation {
    /// The operation of this name, without regard to case.
    pub fn named(name: &str) -> Option<Self> {
        let known = [
            ("submit", Self::Submit),
            ("audit", Self::Audit),
            ("unaudit", Self::UnAudit),
            ("cancelassign", Self::CancelAssign),
            ("delete", Self::Delete),
            ("forbid", Self::Forbid),
            ("enable", Self::Enable),
        ];
        known.into_iter().find(|(known, _)| name.trim().eq_ignore_ascii_case(known)).map(|(_, operation)| operation)
    }
}

/// Runs an operation. Documents are taken by id in ascending order and DIndex counts them, not the request; what is
/// missing is passed over while anything is found.
///
/// # Errors
///
/// MsgCode 8 when nothing was selected, 9 when nothing selected exists.
pub fn run(
    store: &mut Store,
    table: usize,
    operation: Operation,
    data: &Map<String, Value>,
    context: Context<'_>,
) -> Result<Reply, Problem> {
    let ids = select(store, table, &Package(data), context.rules.selection)?;
    let form = Arc::clone(&store.table(table).form);
    let mut ended = Vec::with_capacity(ids.len());
    for (index, id) in ids.into_iter().enumerate() {
        let number = store.table(table).get(id).and_then(|document| document.number(&form).map(str::to_owned));
        let outcome = match operation {
            Operation::Submit => submit(store, table, id, context),
            Operation::Audit => audit(store, table, id, Some(index), context),
            Operation::UnAudit => step(store, table, id, &["C"], "D", "单据未审核，不允许反审核！", context),
            Operation::CancelAssign => step(store, table, id, &["B"], "D", "单据不在审核中，不允许撤销！", context),
            Operation::Delete => delete(store, table, id),
            Operation::Forbid => forbid(store, table, id, "B"),
            Operation::Enable => forbid(store, table, id, "A"),
        };
        ended.push(Ended { index, number, outcome: outcome.map(|()| id).map_err(|problem| vec![problem]) });
    }
    Ok(Reply::of_documents(ended, Vec::new(), Map::new()))
}

fn select(store: &Store, table: usize, package: &Package<'_>, wins: Precedence) -> Result<Vec<i64>, Problem> {
    let (mut ids, mut numbers) = (package.list("Ids"), package.list("Numbers"));
    if ids.is_empty() && numbers.is_empty() {
        return Err(empty_parameter("Numbers"));
    }
    match wins {
        Precedence::Ids if !ids.is_empty() => numbers.clear(),
        Precedence::Numbers if !numbers.is_empty() => ids.clear(),
        Precedence::Ids | Precedence::Numbers | Precedence::Both => {}
    }
    let known = store.table(table);
    let by_id = ids.iter().filter_map(|id| id.trim().parse::<i64>().ok()).filter(|id| known.get(*id).is_some());
    let by_number = numbers.iter().flat_map(|number| known.by_number(number)).copied();
    let mut found: Vec<i64> = by_id.chain(by_number).collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        ids.append(&mut numbers);
        return Err(unknown_numbers(&ids));
    }
    Ok(found)
}

/// A or D to B.
pub(crate) fn submit(store: &mut Store, table: usize, id: i64, context: Context<'_>) -> Result<(), Problem> {
    let form = Arc::clone(&store.table(table).form);
    match status_of(store, table, id, &form).as_str() {
        "B" => Err(refuse(store, table, id, &form, 11, "单据已经提交！")),
        "C" => Err(refuse(store, table, id, &form, 11, "单据已经审核！")),
        _ => step(store, table, id, &["A", "D"], "B", "单据未保存，不允许提交！", context),
    }
}

/// B to C. `index` is where a fault would look for the document.
pub(crate) fn audit(
    store: &mut Store,
    table: usize,
    id: i64,
    index: Option<usize>,
    context: Context<'_>,
) -> Result<(), Problem> {
    let form = Arc::clone(&store.table(table).form);
    if status_of(store, table, id, &form) == "C" {
        return Err(refuse(store, table, id, &form, 11, "单据已经审核！"));
    }
    let number = store.table(table).get(id).and_then(|document| document.number(&form)).unwrap_or_default().to_owned();
    if let Some(problem) = context.refusals.find(Stage::Audit, index, &number) {
        return Err(problem);
    }
    step(store, table, id, &["B"], "C", "单据未提交，不允许审核！", context)
}

fn step(
    store: &mut Store,
    table: usize,
    id: i64,
    from: &[&str],
    to: &str,
    otherwise: &str,
    context: Context<'_>,
) -> Result<(), Problem> {
    let form = Arc::clone(&store.table(table).form);
    if !from.contains(&status_of(store, table, id, &form).as_str()) {
        return Err(refuse(store, table, id, &form, 11, otherwise));
    }
    let Some(mut document) = store.table(table).get(id).cloned() else { return Ok(()) };
    document.maintain(form.maintained.status, Cell::text(to));
    match to {
        "C" => document.maintain(form.maintained.approved, Cell::Time(context.now)),
        "D" => document.maintain(form.maintained.approved, Cell::Null),
        _ => {}
    }
    store.table_mut(table).put(document);
    Ok(())
}

fn delete(store: &mut Store, table: usize, id: i64) -> Result<(), Problem> {
    let form = Arc::clone(&store.table(table).form);
    match status_of(store, table, id, &form).as_str() {
        "C" => Err(refuse(store, table, id, &form, 12, "单据已经审核，不允许删除！")),
        "B" => Err(refuse(store, table, id, &form, 12, "单据正在审核中，不允许删除！")),
        _ => {
            store.table_mut(table).remove(id);
            Ok(())
        }
    }
}

fn forbid(store: &mut Store, table: usize, id: i64, to: &str) -> Result<(), Problem> {
    let form = Arc::clone(&store.table(table).form);
    let Some(mut document) = store.table(table).get(id).cloned() else { return Ok(()) };
    let Some(index) = form.maintained.forbidden else {
        return Err(refuse(store, table, id, &form, 12, "不支持禁用与反禁用！"));
    };
    if document.head.get(index).and_then(Cell::as_text).unwrap_or("A") == to {
        return Err(refuse(store, table, id, &form, 11, if to == "B" { "已经禁用！" } else { "未被禁用！" }));
    }
    document.maintain(Some(index), Cell::text(to));
    store.table_mut(table).put(document);
    Ok(())
}

fn status_of(store: &Store, table: usize, id: i64, form: &Form) -> String {
    store.table(table).get(id).map(|document| document.status(form)).unwrap_or_default().to_owned()
}

fn refuse(store: &Store, table: usize, id: i64, form: &Form, code: u32, why: &str) -> Problem {
    let number = store.table(table).get(id).and_then(|document| document.number(form)).unwrap_or_default();
    Problem::new(code, format!("单据编号为“{number}”的{}，{why}", form.name))
}
