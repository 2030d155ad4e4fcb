//! Running the cases of a file against its document.

use std::collections::{HashMap, HashSet};

use document::{Code, Fault};
use serde_json::{Map, Value, json};

use super::compare::{Difference, compare};
use super::{Case, CaseFile, Side};
use crate::collections::{Shelf, Written};
use crate::function::{Page, Run};
use crate::metadata::report::Report;
use crate::source::{SourceDocument, SourceRecord};
use crate::target::{Identity, TargetDocument};
use crate::text::interpolate;

/// What became of one case.
#[derive(Debug, Clone)]
pub struct CaseOutcome {
    /// Its place in the file, from 0.
    pub index: usize,
    /// What it shows.
    pub name: String,
    /// Expectations that were not met; empty when the case passed.
    pub differences: Vec<Difference>,
    /// What kept the case from being run at all, or faults of rows and bills it did not expect.
    pub faults: Vec<Fault>,
}

impl CaseOutcome {
    /// Whether everything expected came out.
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    /// The outcome as one fault of the catalogue; `None` when the case passed.
    pub fn fault(&self, file: &str) -> Option<Fault> {
        let first = self.differences.first()?;
        let keys: Vec<&str> = self.differences.iter().map(|difference| difference.key).collect();
        let detail = format!("case {:?} differs in {}", self.name, keys.join(", "));
        let path = format!("$.cases[{}].expect.{}", self.index, first.key);
        Some(Fault::new(Code::CaseFailed, detail).in_file(file).at_path(path))
    }
}

/// What came out of one case, under the keys of `expect`.
type Actual = Vec<(&'static str, Value)>;

impl CaseFile {
    /// Runs every case against the document's text. Lookups see `collections`, and those of the case in their place.
    ///
    /// # Errors
    /// Every fault of the document, when it does not load.
    pub fn run(&self, document: &str, collections: &Shelf) -> Result<Vec<CaseOutcome>, Vec<Fault>> {
        let mut report = Report::new(&self.metadata);
        match self.side {
            Side::Source => {
                let source = SourceDocument::compile(document, &self.metadata, None, &mut report);
                let source = source.map(|source| source.looking_into(collections.clone()));
                let source = source.filter(|_| report.faults.is_empty()).ok_or(report.faults)?;
                Ok(self.each(|case, run, faults| run_source(&source, case, run, faults)))
            }
            Side::Target => {
                let identity = self.source.as_ref().map(|source| Identity {
                    id: source.id.clone(),
                    number: source.number.clone().unwrap_or_else(|| source.id.clone()),
                });
                let target = TargetDocument::compile(document, &self.metadata, identity, None, &mut report);
                let target = target.filter(|_| report.faults.is_empty()).ok_or(report.faults)?;
                Ok(self
                    .each(|case, run, faults| run_target(&target, case, &self.shelf(case, collections), run, faults)))
            }
        }
    }

    fn each(&self, run_case: impl Fn(&Case, &Run, &mut Vec<Fault>) -> Actual) -> Vec<CaseOutcome> {
        let cases = self.cases.iter().enumerate();
        cases
            .map(|(index, case)| {
                let mut faults = Vec::new();
                let differences = match self.variables(index, case) {
                    Ok(run) => differences(case, &run_case(case, &run, &mut faults)),
                    Err(fault) => {
                        let diff = format!("{fault}\n");
                        faults.push(fault);
                        vec![Difference { key: "context", diff }]
                    }
                };
                CaseOutcome { index, name: case.name.clone(), differences, faults }
            })
            .collect()
    }

    /// What the lookups of a case see.
    fn shelf(&self, case: &Case, collections: &Shelf) -> Shelf {
        let mut shelf = collections.clone();
        for (scheme, records) in &case.collections {
            shelf.put(scheme, records.iter().cloned().map(Written::stored).collect());
        }
        shelf
    }

    fn variables(&self, index: usize, case: &Case) -> Result<Run, Fault> {
        let zone = case.context.tz.as_deref().unwrap_or("Asia/Shanghai");
        let zone = zone.parse().map_err(|_| {
            let path = format!("$.cases[{index}].context.tz");
            Fault::new(Code::Zone, format!("{zone:?} is not a time zone")).in_file(self.name()).at_path(path)
        })?;
        Ok(Run { now: case.context.now, last_sync_time: case.context.last_sync_time, zone, page: None })
    }
}

fn differences(case: &Case, actual: &Actual) -> Vec<Difference> {
    let expect = &case.expect;
    let expected = [
        ("requests", &expect.requests),
        ("records", &expect.records),
        ("repeat", &expect.repeat),
        ("documents", &expect.documents),
        ("other", &expect.other),
        ("batches", &expect.batches),
        ("errors", &expect.errors),
    ];
    let mut found = Vec::new();
    for (key, expected) in expected {
        let Some(expected) = expected else { continue };
        match actual.iter().find(|(name, _)| *name == key) {
            Some((_, actual)) => found.extend(compare(key, expected, actual)),
            None => found.push(Difference { key, diff: format!("  {key} is not known on this side\n") }),
        }
    }
    // A bill that failed unexpectedly must not hide behind an absent key.
    if expect.errors.is_none()
        && let Some((_, errors)) = actual.iter().find(|(name, _)| *name == "errors")
    {
        found.extend(compare("errors", &json!([]), errors));
    }
    found
}

fn run_target(target: &TargetDocument, case: &Case, shelf: &Shelf, run: &Run, faults: &mut Vec<Fault>) -> Actual {
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    for bill in target.render_bills(&case.input, run, shelf) {
        match bill.outcome {
            Ok(document) => documents.push(Value::Object(document)),
            Err(fault) => {
                errors.push(json!({"record": bill.records.first(), "code": fault.code}));
                faults.push(fault);
            }
        }
    }
    let indexes: Vec<usize> = (0..documents.len()).collect();
    let batches = indexes.chunks(target.bills_per_call()).map(|call| json!(call)).collect();
    let other = match target.other(&target.first_bill(&case.input), run, shelf) {
        Ok(other) => Value::Object(other),
        Err(fault) => {
            let code = json!({"code": fault.code});
            faults.push(fault);
            code
        }
    };
    vec![
        ("documents", Value::Array(documents)),
        ("other", other),
        ("batches", batches),
        ("errors", Value::Array(errors)),
    ]
}

fn run_source(source: &SourceDocument, case: &Case, run: &Run, faults: &mut Vec<Fault>) -> Actual {
    let mut store = Store::new(source.id_check(), &case.stored);
    let mut requests = Vec::new();
    let mut errors = Vec::new();
    let mut first_row = 0;
    for (index, page) in (0_u64..).zip(&case.input) {
        let size = u64::from(source.page_size());
        let run = Run { page: Some(Page { size, start_row: index * size, start_page: index + 1 }), ..run.clone() };
        match source.parameters(&run) {
            Ok(parameters) => requests.push(Value::Object(parameters)),
            Err(fault) => {
                requests.push(json!({"code": fault.code}));
                faults.push(fault);
            }
        }
        let rows = page.as_array().cloned().unwrap_or_default();
        if rows.is_empty() {
            break;
        }
        let count = rows.len();
        let (rows, broken) = objects(source, rows, &run);
        let mut rejected: Vec<(usize, Fault)> = broken;
        let (indexes, rows): (Vec<usize>, Vec<Map<String, Value>>) = rows.into_iter().unzip();
        let shaped = source.shape_each(rows, &run);
        rejected.extend(shaped.rejected.into_iter().map(|(at, fault)| (indexes[at], fault)));
        rejected.sort_by_key(|(at, _)| *at);
        for (at, fault) in rejected {
            errors.push(json!({"record": first_row + at, "code": fault.code}));
            faults.push(fault);
        }
        shaped.records.into_iter().for_each(|record| store.take(record));
        first_row += count;
    }
    vec![
        ("requests", Value::Array(requests)),
        ("records", store.records()),
        ("repeat", json!(store.repeat)),
        ("errors", Value::Array(errors)),
    ]
}

/// Rows of a page as objects: a bill query answers lists, other interfaces objects.
#[expect(clippy::type_complexity, reason = "two plain lists, each with the row's index")]
fn objects(
    source: &SourceDocument,
    rows: Vec<Value>,
    run: &Run,
) -> (Vec<(usize, Map<String, Value>)>, Vec<(usize, Fault)>) {
    let mut good = Vec::new();
    let mut broken = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        let object = match row {
            Value::Object(members) => Ok(members),
            Value::Array(values) => source.query(run).and_then(|query| query.row(values)),
            _ => Err(Fault::new(Code::RowShape, "a row is an object or a list")),
        };
        match object {
            Ok(members) => good.push((index, members)),
            Err(fault) => broken.push((index, fault)),
        }
    }
    (good, broken)
}

/// The records of a scheme while a case runs.
struct Store {
    id_check: bool,
    seen: HashSet<String>,
    at: HashMap<String, usize>,
    records: Vec<SourceRecord>,
    repeat: Vec<String>,
}

impl Store {
    fn new(id_check: bool, stored: &[Value]) -> Self {
        let seen = stored.iter().map(|id| interpolate(id, false)).collect();
        Self { id_check, seen, at: HashMap::new(), records: Vec::new(), repeat: Vec::new() }
    }

    fn take(&mut self, record: SourceRecord) {
        let is_new = self.seen.insert(record.id.clone());
        match self.at.get(&record.id) {
            _ if !is_new && self.id_check => self.repeat.push(record.id),
            Some(at) => self.records[*at] = record,
            None => {
                self.at.insert(record.id.clone(), self.records.len());
                self.records.push(record);
            }
        }
    }

    fn records(&self) -> Value {
        let shown = |record: &SourceRecord| json!({"id": record.id, "number": record.number, "content": Value::Object(record.content.clone())});
        self.records.iter().map(shown).collect()
    }
}
