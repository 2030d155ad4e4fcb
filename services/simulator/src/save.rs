//! Save, BatchSave and Draft: each document in a transaction of its own.

use std::sync::Arc;

use chrono::NaiveDateTime;
use serde_json::{Map, Value, json};

use crate::model::{Work, find, id_of};
use crate::query::Package;
use crate::reply::{Ended, Problem, Reply, empty_parameter, number_taken};
use crate::rules::{Refusals, Rules, Stage};
use crate::schema::Form;
use crate::store::{Document, Store};
use crate::value::Cell;
use crate::workflow;

/// How a Model is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Save: everything is checked.
    Save,
    /// Draft: status Z, nothing required.
    Draft,
    /// By the admin port: maintained fields are taken from the Model, audited documents may be changed.
    Plant,
}

/// What a save needs beside the store.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Server local time.
    pub now: NaiveDateTime,
    /// Switches.
    pub rules: &'a Rules,
    /// Refusals that a fault asks for.
    pub refusals: &'a Refusals,
}

/// The flags of the package that matter to one document.
#[derive(Debug, Clone)]
pub(crate) struct Flags {
    pub(crate) only: Vec<String>,
    pub(crate) delete_entries: bool,
    pub(crate) verify_base_data: bool,
    pub(crate) by_number: bool,
    validate: bool,
    pub(crate) round: bool,
    /// Base data that is missing is created: for planting only.
    pub(crate) create_base_data: bool,
}

impl Flags {
    pub(crate) fn read(package: &Package<'_>) -> Self {
        Self {
            only: package.list("NeedUpDateFields"),
            delete_entries: package.flag("IsDeleteEntry", true),
            verify_base_data: package.flag("IsVerifyBaseDataField", false),
            by_number: package.flag("NumberSearch", true),
            validate: package.flag("ValidateFlag", true),
            round: package.flag("IsControlPrecision", false),
            create_base_data: package.flag("CreateBaseData", false),
        }
    }
}

/// Runs Save (`batch` false), BatchSave (`batch` true) or Draft.
///
/// # Errors
///
/// Only what refuses the package as a whole; documents end one by one in the reply.
pub fn run(
    store: &mut Store,
    table: usize,
    data: &Map<String, Value>,
    batch: bool,
    mode: Mode,
    context: Context<'_>,
) -> Result<Reply, Problem> {
    let package = Package(data);
    let models = models(&package, batch)?;
    let flags = Flags::read(&package);
    let go_on = mode == Mode::Save && package.flag("IsAutoSubmitAndAudit", false);
    let wanted = package.list("NeedReturnFields");
    let mut ended = Vec::with_capacity(models.len());
    let mut returned = Vec::new();
    for (index, model) in models.iter().enumerate() {
        let number = number_of(&store.table(table).form, model);
        let outcome = transaction(store, table, model, &flags, mode, go_on, index, context);
        let number = match &outcome {
            Ok(id) => {
                returned.push(give_back(store, table, *id, &wanted));
                store.table(table).get(*id).and_then(|saved| saved.number(&store.table(table).form).map(str::to_owned))
            }
            Err(_) => number,
        };
        ended.push(Ended { index, number, outcome });
    }
    let mut extra = Map::new();
    if !batch {
        let one = ended.first().and_then(|one| one.outcome.as_ref().ok().map(|id| (id, one.number.clone())));
        extra.insert("Id".to_owned(), one.as_ref().map_or("".into(), |(id, _)| json!(id)));
        extra.insert("Number".to_owned(), one.map_or("".into(), |(_, number)| json!(number.unwrap_or_default())));
    }
    if returned.is_empty() && !batch {
        returned.push(json!({}));
    }
    extra.insert("NeedReturnData".to_owned(), returned.into());
    Ok(Reply::of_documents(ended, Vec::new(), extra))
}

/// The number in a Model, for logs and faults.
pub fn number_of(form: &Form, model: &Map<String, Value>) -> Option<String> {
    let key = &form.head.get(form.number)?.key;
    let value = model.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)?;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The Models of a package: an object or an array, also as JSON text.
///
/// # Errors
///
/// MsgCode 8 when there is none.
pub fn models(package: &Package<'_>, batch: bool) -> Result<Vec<Map<String, Value>>, Problem> {
    let value = match package.get("Model") {
        Some(Value::String(text)) => serde_json::from_str(text)
            .map_err(|error| Problem::new(8, format!("data数据包中的参数Model不是有效的JSON：{error}")))?,
        Some(value) => value.clone(),
        None => Value::Null,
    };
    let models = match value {
        Value::Object(model) if !model.is_empty() => vec![model],
        Value::Array(items) if batch && !items.is_empty() => items
            .into_iter()
            .map(|item| match item {
                Value::Object(model) => model,
                // An element that is no object is an empty document: it fails at its own index.
                _ => Map::new(),
            })
            .collect(),
        _ => return Err(empty_parameter("Model")),
    };
    Ok(models)
}

#[expect(clippy::too_many_arguments, reason = "one transaction has this many parts")]
fn transaction(
    store: &mut Store,
    table: usize,
    model: &Map<String, Value>,
    flags: &Flags,
    mode: Mode,
    go_on: bool,
    index: usize,
    context: Context<'_>,
) -> Result<i64, Vec<Problem>> {
    let number = number_of(&store.table(table).form, model).unwrap_or_default();
    if let Some(problem) = context.refusals.find(Stage::Save, Some(index), &number) {
        return Err(vec![problem]);
    }
    let (id, before) = save_one(store, table, model, flags, mode, context)?;
    if !go_on {
        return Ok(id);
    }
    let audited = workflow::submit(store, table, id, context)
        .and_then(|()| workflow::audit(store, table, id, Some(index), context));
    if let Err(problem) = audited {
        if context.rules.audit_failure_rolls_back {
            match before {
                Some(before) => store.table_mut(table).put(before),
                None => store.table_mut(table).remove(id),
            };
        }
        return Err(vec![problem]);
    }
    Ok(id)
}

/// Saves one Model; gives the id and the document that was there before.
pub(crate) fn save_one(
    store: &mut Store,
    table: usize,
    model: &Map<String, Value>,
    flags: &Flags,
    mode: Mode,
    context: Context<'_>,
) -> Result<(i64, Option<Document>), Vec<Problem>> {
    let form = Arc::clone(&store.table(table).form);
    let given = find(model, &form.pk).and_then(id_of);
    let before = match given {
        None => None,
        Some(id) => match store.table(table).get(id) {
            Some(document) => Some(document.clone()),
            None => return Err(vec![Problem::new(9, format!("内码值[\"{id}\"]不存在")).of_field(&form.pk)]),
        },
    };
    if let Some(document) = &before
        && mode != Mode::Plant
        && !matches!(document.status(&form), "Z" | "A" | "D")
    {
        let number = document.number(&form).unwrap_or_default();
        let what = if document.status(&form) == "C" { "已经审核" } else { "正在审核中" };
        return Err(vec![Problem::new(12, format!("单据编号为“{number}”的{}，单据{what}，不允许修改！", form.name))]);
    }
    let mut work = Work { store, form: &form, flags, context, update: before.is_some(), mode, problems: Vec::new() };
    let mut document = before.clone().unwrap_or_else(|| Document::empty(&form, 0));
    work.fill(&mut document, model);
    if before.is_none() {
        work.defaults(&mut document);
    }
    if flags.validate && mode == Mode::Save && context.rules.required_fields {
        work.require(&document);
    }
    let mut problems = work.problems;
    // An update without a number keeps the one it has; a draft may stay without.
    let renumbered = mode == Mode::Save && before.is_none() && !context.rules.kept_numbers;
    if renumbered || (document.number(&form).is_none() && mode != Mode::Draft) {
        let number = store.allot_number(table);
        document.maintain(Some(form.number), Cell::text(&number));
    }
    if let Some(number) = document.number(&form)
        && context.rules.unique_numbers
        && store.table(table).by_number(number).iter().any(|id| *id != document.id)
    {
        let key = form.head.get(form.number).map_or("FBillNo", |field| field.key.as_str());
        problems.push(number_taken(key, number));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    if document.id == 0 {
        document.id = store.allot_id();
    }
    stamp(store, &form, &mut document, model, before.is_none(), mode, context.now);
    let id = document.id;
    Ok((id, store.table_mut(table).put(document)))
}

/// Sets status and dates.
fn stamp(
    store: &Store,
    form: &Form,
    document: &mut Document,
    model: &Map<String, Value>,
    new: bool,
    mode: Mode,
    now: NaiveDateTime,
) {
    let kept = &form.maintained;
    match mode {
        Mode::Plant if new => {
            // What the Model names stays as it names it, also nothing.
            let given = document.clone();
            store.finish_planting(form, document, now);
            if given.status(form) != "C" {
                document.maintain(kept.approved, Cell::Null);
            }
            for index in [kept.status, kept.created, kept.modified, kept.approved].into_iter().flatten() {
                let named = form.head.get(index).is_some_and(|field| find(model, &field.key).is_some());
                if let Some(cell) = given.head.get(index).filter(|_| named) {
                    document.maintain(Some(index), cell.clone());
                }
            }
        }
        Mode::Plant => {}
        Mode::Save | Mode::Draft => {
            document.maintain(kept.modified, Cell::Time(now));
            if new {
                document.maintain(kept.created, Cell::Time(now));
            }
            match (mode, document.status(form)) {
                (Mode::Draft, _) if new => document.maintain(kept.status, Cell::text("Z")),
                (Mode::Save, "D") | (Mode::Draft, _) => {}
                _ => document.maintain(kept.status, Cell::text("A")),
            }
        }
    }
}

/// One element of NeedReturnData.
fn give_back(store: &Store, table: usize, id: i64, wanted: &[String]) -> Value {
    let form = &store.table(table).form;
    let mut object = Map::new();
    let Some(document) = store.table(table).get(id) else { return Value::Object(object) };
    for key in wanted {
        let Some(slot) = form.slot(key) else { continue };
        let name = key.rsplit('.').next().unwrap_or(key);
        let Some(entity) = slot.entity() else {
            object.insert(name.to_owned(), Store::seen(document, None, slot).json());
            continue;
        };
        let (Some(entity), Some(rows)) = (form.entities.get(entity), document.entries.get(entity)) else { continue };
        let list = object.entry(entity.key.clone()).or_insert_with(|| vec![json!({}); rows.len()].into());
        for (index, (row, given)) in rows.iter().zip(list.as_array_mut().into_iter().flatten()).enumerate() {
            if let Value::Object(given) = given {
                given.insert(name.to_owned(), Store::seen(document, Some((index + 1, row)), slot).json());
            }
        }
    }
    Value::Object(object)
}
