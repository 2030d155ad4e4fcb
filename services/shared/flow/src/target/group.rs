//! From records to bills: rows of one number, `merge`, `groupCalculate`.

use std::borrow::Cow;
use std::collections::HashMap;

use document::{Code, Fault};
use rust_decimal::Decimal;
use serde_json::{Map, Value};

use crate::metadata::coerce::{decimal, to_number};
use crate::number;
use crate::reference::{Path, walk};
use crate::text::interpolate;

/// Records that become one bill.
#[derive(Debug, Clone)]
pub(crate) struct Bill<'a> {
    /// Indexes of the records, in order; the first is the bill's own.
    pub(crate) records: Vec<usize>,
    /// What the document is rendered from: the records themselves, or the one record made of them.
    pub(crate) rows: Cow<'a, [Value]>,
}

/// Why the records of a bill cannot be put together.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) records: Vec<usize>,
    pub(crate) fault: Fault,
}

/// How records become bills.
#[derive(Debug, Clone)]
pub(crate) enum Grouping {
    /// One record is one bill.
    Single,
    /// Records of equal number are one bill.
    ByNumber {
        id: Path,
        number: Path,
    },
    Merge(Merge),
    Calculate(Calculate),
}

/// `operation.method = merge`.
#[derive(Debug, Clone)]
pub(crate) struct Merge {
    pub(crate) fields: Vec<Path>,
    pub(crate) body_name: String,
    /// `None` is all members.
    pub(crate) header: Option<Vec<Path>>,
    pub(crate) body: Option<Vec<Path>>,
    pub(crate) body_sum: Vec<Path>,
}

/// `groupCalculate`.
#[derive(Debug, Clone)]
pub(crate) struct Calculate {
    pub(crate) header: Vec<Path>,
    pub(crate) body: Vec<Path>,
    pub(crate) body_name: String,
    pub(crate) max_lines: usize,
    pub(crate) functions: Vec<(Path, Function)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Sum,
    Avg,
    Min,
    Max,
    First,
    Last,
    Push,
    AddToSet,
}

/// Names of the functions of `groupCalculate`.
pub(crate) const FUNCTIONS: [&str; 8] = ["$sum", "$avg", "$min", "$max", "$first", "$last", "$push", "$addToSet"];

impl Function {
    pub(crate) fn named(name: &str) -> Option<Function> {
        Some(match name {
            "$sum" => Function::Sum,
            "$avg" => Function::Avg,
            "$min" => Function::Min,
            "$max" => Function::Max,
            "$first" => Function::First,
            "$last" => Function::Last,
            "$push" => Function::Push,
            "$addToSet" => Function::AddToSet,
            _ => return None,
        })
    }

    fn of(self, field: &Path, rows: &[&Value]) -> Result<Value, Fault> {
        let values = || rows.iter().filter_map(|row| walk(row, field)).filter(|value| !value.is_null());
        let numbers = || -> Result<Vec<Decimal>, Fault> {
            values().filter(|value| value.as_str() != Some("")).map(|value| numeric(field, value)).collect()
        };
        let sum = |numbers: &[Decimal]| numbers.iter().try_fold(Decimal::ZERO, |sum, next| number::add(sum, *next));
        Ok(match self {
            Function::Sum => match numbers()?.as_slice() {
                [] => Value::Null,
                some => to_number(sum(some)?),
            },
            Function::Avg => match numbers()?.as_slice() {
                [] => Value::Null,
                some => {
                    let average = number::divide(sum(some)?, Decimal::from(some.len()))?;
                    average.map_or(Value::Null, to_number)
                }
            },
            Function::Min => numbers()?.into_iter().min().map_or(Value::Null, to_number),
            Function::Max => numbers()?.into_iter().max().map_or(Value::Null, to_number),
            Function::First => rows.first().and_then(|row| walk(row, field)).cloned().unwrap_or(Value::Null),
            Function::Last => rows.last().and_then(|row| walk(row, field)).cloned().unwrap_or(Value::Null),
            Function::Push => values().cloned().collect(),
            Function::AddToSet => {
                let mut set: Vec<Value> = Vec::new();
                for value in values() {
                    if !set.contains(value) {
                        set.push(value.clone());
                    }
                }
                Value::Array(set)
            }
        })
    }
}

impl Grouping {
    /// Bills in order of first appearance.
    pub(crate) fn bills<'a>(&self, rows: &'a [Value]) -> Vec<Result<Bill<'a>, Broken>> {
        match self {
            Grouping::Single => {
                let bill = |(index, row)| Bill { records: vec![index], rows: Cow::Borrowed(std::slice::from_ref(row)) };
                rows.iter().enumerate().map(bill).map(Ok).collect()
            }
            Grouping::ByNumber { id, number } => {
                let key = |row: &Value| match (text_at(row, number), text_at(row, id)) {
                    // A record without number is a bill of its own.
                    (empty, id) if empty.is_empty() => vec![String::new(), id],
                    (number, _) => vec![number],
                };
                let groups = group(rows.iter().map(key));
                // The rows of one document alone are one bill already.
                if groups.len() == 1 {
                    return vec![Ok(Bill { records: (0..rows.len()).collect(), rows: Cow::Borrowed(rows) })];
                }
                let of = |records: &[usize]| records.iter().map(|at| rows[*at].clone()).collect::<Vec<Value>>();
                groups.into_iter().map(|records| Ok(Bill { rows: of(&records).into(), records })).collect()
            }
            Grouping::Merge(merge) => {
                let groups = group(rows.iter().map(|row| texts_at(row, &merge.fields)));
                groups.into_iter().map(|records| merge.bill(records, rows)).collect()
            }
            Grouping::Calculate(calculate) => {
                let groups = group(rows.iter().map(|row| texts_at(row, &calculate.header)));
                groups.into_iter().flat_map(|records| calculate.bills(records, rows)).collect()
            }
        }
    }

    /// The name of the body in the record that grouping makes.
    pub(crate) fn body_name(&self) -> Option<&str> {
        match self {
            Grouping::Single | Grouping::ByNumber { .. } => None,
            Grouping::Merge(merge) => Some(&merge.body_name),
            Grouping::Calculate(calculate) => (!calculate.body.is_empty()).then_some(&calculate.body_name),
        }
    }

    /// The fields whose equal values make one bill, where the document names them.
    pub(crate) fn key_fields(&self) -> Option<&[Path]> {
        match self {
            Grouping::Single | Grouping::ByNumber { .. } => None,
            Grouping::Merge(merge) => Some(&merge.fields),
            Grouping::Calculate(calculate) => Some(&calculate.header),
        }
    }
}

impl Merge {
    fn bill(&self, records: Vec<usize>, rows: &[Value]) -> Result<Bill<'static>, Broken> {
        let members: Vec<&Value> = records.iter().map(|at| &rows[*at]).collect();
        match self.record(&members) {
            Ok(record) => Ok(Bill { records, rows: vec![record].into() }),
            Err(fault) => Err(Broken { records, fault }),
        }
    }

    fn record(&self, rows: &[&Value]) -> Result<Value, Fault> {
        let mut record = rows.first().map_or_else(Map::new, |first| pick(first, self.header.as_deref()));
        let lines: Vec<Map<String, Value>> = rows.iter().map(|row| pick(row, self.body.as_deref())).collect();
        let body = match self.body_sum.is_empty() {
            true => lines,
            false => self.summed(rows, lines)?,
        };
        record.insert(self.body_name.clone(), body.into_iter().map(Value::Object).collect());
        Ok(Value::Object(record))
    }

    /// Lines equal in everything that is not summed become one.
    fn summed(&self, rows: &[&Value], mut lines: Vec<Map<String, Value>>) -> Result<Vec<Map<String, Value>>, Fault> {
        let is_summed = |name: &String| self.body_sum.iter().any(|field| field.as_str() == name);
        let key = |line: &Map<String, Value>| -> Vec<String> {
            let rest = line.iter().filter(|(name, _)| !is_summed(name));
            rest.map(|(name, value)| format!("{name}={}", interpolate(value, false))).collect()
        };
        let mut summed = Vec::new();
        for at in group(lines.iter().map(key)) {
            let Some(first) = at.first() else { continue };
            let members: Vec<&Value> = at.iter().map(|index| rows[*index]).collect();
            let mut line = std::mem::take(&mut lines[*first]);
            for field in &self.body_sum {
                line.insert(field.as_str().to_owned(), Function::Sum.of(field, &members)?);
            }
            summed.push(line);
        }
        Ok(summed)
    }
}

impl Calculate {
    fn bills(&self, records: Vec<usize>, rows: &[Value]) -> Vec<Result<Bill<'static>, Broken>> {
        let members: Vec<&Value> = records.iter().map(|at| &rows[*at]).collect();
        let header = members.first().map_or_else(Map::new, |first| pick(first, Some(&self.header)));
        if self.body.is_empty() {
            let mut header = header;
            return vec![match self.calculated(&mut header, &members) {
                Ok(()) => Ok(Bill { records, rows: vec![Value::Object(header)].into() }),
                Err(fault) => Err(Broken { records, fault }),
            }];
        }
        let mut lines = Vec::new();
        for at in group(members.iter().map(|row| texts_at(row, &self.body))) {
            let group: Vec<&Value> = at.iter().map(|index| members[*index]).collect();
            let mut line = group.first().map_or_else(Map::new, |first| pick(first, Some(&self.body)));
            if let Err(fault) = self.calculated(&mut line, &group) {
                return vec![Err(Broken { records, fault })];
            }
            let own: Vec<usize> = at.iter().map(|index| records[*index]).collect();
            lines.push((own, Value::Object(line)));
        }
        lines
            .chunks(self.max_lines)
            .map(|lines| {
                let mut record = header.clone();
                record.insert(self.body_name.clone(), lines.iter().map(|(_, line)| line.clone()).collect());
                let mut records: Vec<usize> = lines.iter().flat_map(|(own, _)| own.iter().copied()).collect();
                records.sort_unstable();
                Ok(Bill { records, rows: vec![Value::Object(record)].into() })
            })
            .collect()
    }

    fn calculated(&self, line: &mut Map<String, Value>, rows: &[&Value]) -> Result<(), Fault> {
        for (field, function) in &self.functions {
            line.insert(field.as_str().to_owned(), function.of(field, rows)?);
        }
        Ok(())
    }
}

fn numeric(field: &Path, value: &Value) -> Result<Decimal, Fault> {
    decimal(value).ok_or_else(|| {
        let shown: String = interpolate(value, false).chars().take(60).collect();
        Fault::new(Code::GroupValue, format!("{shown:?} is no number")).at_column(field.as_str())
    })
}

/// The named members under the names as written; all members when none are named.
fn pick(row: &Value, fields: Option<&[Path]>) -> Map<String, Value> {
    match fields {
        Some(fields) => {
            fields.iter().filter_map(|field| Some((field.as_str().to_owned(), walk(row, field)?.clone()))).collect()
        }
        None => row.as_object().cloned().unwrap_or_default(),
    }
}

fn text_at(row: &Value, path: &Path) -> String {
    walk(row, path).map_or_else(String::new, |value| interpolate(value, false))
}

fn texts_at(row: &Value, paths: &[Path]) -> Vec<String> {
    paths.iter().map(|path| text_at(row, path)).collect()
}

/// Indexes of equal keys, in order of first appearance.
fn group(keys: impl Iterator<Item = Vec<String>>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut seen: HashMap<Vec<String>, usize> = HashMap::new();
    for (index, key) in keys.enumerate() {
        let next = groups.len();
        let at = *seen.entry(key).or_insert(next);
        if at == next {
            groups.push(Vec::new());
        }
        groups[at].push(index);
    }
    groups
}
