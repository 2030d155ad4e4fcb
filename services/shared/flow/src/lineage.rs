//! Lineage: which field of the target came from which field of the source, through which expression.
//!
//! It is read off the compiled flow, so it says what the stages do and not what a comment claims.

use serde::Serialize;

use crate::flow::Flow;
use crate::metadata::entry::{Detail, Entry};
use crate::metadata::value::Form;
use crate::reference::{Path, Reference};
use crate::suggest;

/// How the value of a target field comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is always the same.
    Constant,
    /// A field of the record, perhaps through filters.
    Reference,
    /// Text around fields.
    Template,
    /// Computed by a `_function`.
    Function,
    /// Found in a collection.
    Lookup,
    /// One element per element of an array, or per row of the bill.
    Lines,
    /// Flow and document key, by which the bill is found.
    Marker,
    /// Made of the fields below it, or always empty.
    Nothing,
}

impl How {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            How::Constant => "constant",
            How::Reference => "reference",
            How::Template => "template",
            How::Function => "function",
            How::Lookup => "lookup",
            How::Lines => "lines",
            How::Marker => "marker",
            How::Nothing => "nothing",
        }
    }
}

/// One thing that a value is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Input {
    /// The field of the stored record, `[]` after the name of an array; for a run variable its name.
    pub field: String,
    /// The field of the source system that is queried for it; absent for run variables and where the source lists none.
    pub column: Option<String>,
    /// What the source side does to it first, such as `formatResponse date of FDate`.
    pub through: Option<String>,
}

/// Where one field of the target comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The field of the target document, names from the top joined by points, `[]` after the name of an array.
    pub target: String,
    /// How its value comes about.
    pub how: How,
    /// The value as the target document writes it; empty where it writes none.
    pub expression: String,
    /// What goes into it, in the order in which it is written, each once.
    pub inputs: Vec<Input>,
    /// The collections that are searched for it.
    pub collections: Vec<String>,
    /// The entry in the target document: file and JSON path.
    pub place: String,
}

/// The lines of a flow, in the order of its target document.
pub fn of_flow(flow: &Flow) -> Vec<Line> {
    let mut lines = Vec::new();
    for entry in flow.target.entries() {
        trace(flow, entry, "", &mut Vec::new(), &mut lines);
    }
    if let Some(marker) = &flow.settings.target.marker {
        let document = [flow.source.number_field(), flow.source.id_field()].map(Path::lenient);
        let mut inputs: Vec<Input> = document.iter().map(|path| input(flow, path, &[])).collect();
        inputs.dedup();
        lines.push(Line {
            target: marker.clone(),
            how: How::Marker,
            expression: format!("{}/DOCUMENT", flow.name),
            inputs,
            collections: Vec::new(),
            place: format!("{} $.target.marker", crate::FLOW_FILE),
        });
    }
    lines
}

/// The lines about one field: of the target, whole or by its last name, or of the source, by record field or column.
///
/// # Errors
/// The nearest name that there is, where no line is about it.
pub fn of_field(flow: &Flow, field: &str) -> Result<Vec<Line>, Option<String>> {
    let all = of_flow(flow);
    let plain = |text: &str| text.replace("[]", "");
    let last = |text: &str| plain(text).rsplit('.').next().map(str::to_owned).unwrap_or_default();
    let wanted = plain(field);
    let about = |name: &str| plain(name) == wanted || last(name) == wanted;
    let is_about = |line: &&Line| {
        about(&line.target)
            || line.inputs.iter().any(|input| about(&input.field) || input.column.as_deref() == Some(field))
    };
    let found: Vec<Line> = all.iter().filter(is_about).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let names = all.iter().flat_map(|line| {
        let inputs = line.inputs.iter().flat_map(|input| [Some(last(&input.field)), input.column.clone()]);
        inputs.flatten().chain([last(&line.target)])
    });
    let names: Vec<String> = names.collect();
    Err(suggest::nearest(&wanted, &names.iter().map(String::as_str).collect::<Vec<_>>()).map(str::to_owned))
}

/// Notes an entry and those below it. `arrays`: the source arrays around it, outermost first.
fn trace(flow: &Flow, entry: &Entry, above: &str, arrays: &mut Vec<Path>, lines: &mut Vec<Line>) {
    let array = if entry.detail == Detail::None { "" } else { "[]" };
    let target = format!("{above}{}{array}", entry.field);
    let (how, references): (How, Vec<&Reference>) = match &entry.detail {
        Detail::Source(_) | Detail::Rows => (How::Lines, Vec::new()),
        Detail::None | Detail::Computed => (how(&entry.form), entry.form.references()),
    };
    let mut inputs: Vec<Input> = Vec::new();
    let paths = references.iter().map(|reference| &reference.path);
    let of_detail = match &entry.detail {
        Detail::Source(path) => Some(path),
        Detail::None | Detail::Rows | Detail::Computed => None,
    };
    for path in paths.chain(of_detail) {
        let found = input(flow, path, arrays);
        if !inputs.contains(&found) {
            inputs.push(found);
        }
    }
    let constant = match &entry.form {
        Form::Constant(value) => Some(value.to_string()),
        _ => None,
    };
    lines.push(Line {
        target: target.clone(),
        how,
        expression: entry.written.clone().or(constant).unwrap_or_default(),
        inputs,
        collections: entry.form.schemes().into_iter().map(str::to_owned).collect(),
        place: format!("{} {}", flow.settings.target.document, entry.place),
    });
    let inner = of_detail.cloned();
    let pushed = inner.is_some();
    arrays.extend(inner);
    for child in &entry.children {
        trace(flow, child, &format!("{target}."), arrays, lines);
    }
    if pushed {
        arrays.pop();
    }
}

fn how(form: &Form) -> How {
    match form {
        Form::Absent => How::Nothing,
        Form::Constant(_) => How::Constant,
        Form::Lookup(_) => How::Lookup,
        Form::Function { .. } => How::Function,
        Form::Reference(_) => How::Reference,
        Form::Template(_) => How::Template,
    }
}

/// What a path names, by the rules by which values see it: the array it begins with, the record, the array around it.
fn input(flow: &Flow, path: &Path, arrays: &[Path]) -> Input {
    if Reference::to_path(path.clone()).variable().is_some() {
        return Input { field: path.to_string(), column: None, through: None };
    }
    for array in arrays.iter().rev() {
        if let Some(rest) = path.below(array) {
            return of_array(flow, array, &rest);
        }
    }
    let first = path.segments().first().map_or("", |segment| segment.name());
    let known = flow.source.known_fields();
    let is_known = known.contains(&first) || known.contains(&path.as_str());
    match arrays.last() {
        Some(array) if !is_known && path != array => of_array(flow, array, path),
        _ => of_record(flow, path, path.to_string()),
    }
}

fn of_array(flow: &Flow, array: &Path, rest: &Path) -> Input {
    let field = format!("{array}[].{rest}");
    // The lines that a flow gathers itself are records again.
    match flow.target.body_name() == Some(array.as_str()) {
        true => of_record(flow, rest, field),
        false => Input { field, column: None, through: None },
    }
}

fn of_record(flow: &Flow, path: &Path, field: String) -> Input {
    let (column, through) = flow.source.origin(path);
    Input { field, column, through }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FlowBundle, compile};
    use serde_json::json;

    const FLOW: &str = r#"flow = "f"
start_from = "2024-01-01T00:00:00+08:00"
[source]
connection = "a"
[target]
connection = "b"
marker = "FMark"
[collections]
u1 = "units.json"
"#;

    fn flow() -> Flow {
        let source = json!({
            "api": "executeBillQuery", "id": "id", "number": "no",
            "request": [
                {"field": "id", "value": "FID"}, {"field": "no", "value": "FBillNo"},
                {"field": "day", "value": "FDate"}, {"field": "qty", "value": "FEntity.FQty"},
                {"field": "unit", "value": "FUnitID.FNumber"}
            ],
            "formatResponse": [{"old": "day", "new": "short", "format": "date"}],
            "otherRequest": [{"field": "FormId", "value": "X"}]
        });
        let target = json!({
            "api": "batchSave",
            "operation": {"method": "merge", "field": "no", "bodyName": "list", "bodySum": []},
            "request": [
                {"field": "FBillNo", "type": "string", "value": "{{no}}"},
                {"field": "FType", "type": "string", "value": "SYS"},
                {"field": "FDate", "type": "string", "value": "{{short}}"},
                {"field": "FNote", "type": "string", "value": "数量 {{qty}} @{{CURRENT_TIME|datetime}}"},
                {"field": "FEntity", "type": "array", "value": "list", "children": [
                    {"field": "FQty", "type": "string", "value": "_function {{list.qty}} * {{qty}}"},
                    {"field": "FUnit", "type": "string", "value": "_findCollection find content.FID from u1 where number={unit}"}
                ]}
            ],
            "otherRequest": [{"field": "FormId", "value": "X"}]
        });
        let bundle = FlowBundle {
            flow: FLOW.to_owned(),
            source: source.to_string(),
            target: target.to_string(),
            collections: [("u1".to_owned(), "[]".to_owned())].into(),
        };
        compile(&bundle).unwrap_or_else(|faults| panic!("{faults:?}")).flow
    }

    fn told(line: &Line) -> String {
        let inputs =
            line.inputs.iter().map(|input| format!(" {}={}", input.field, input.column.as_deref().unwrap_or("")));
        format!("{} {}{}", line.target, line.how.as_str(), inputs.collect::<String>())
    }

    #[test]
    fn every_target_field_names_what_it_is_made_of() {
        let lines = of_flow(&flow());
        let seen: Vec<String> = lines.iter().map(told).collect();
        let expected = [
            "FBillNo reference no=FBillNo",
            "FType constant",
            "FDate reference short=FDate",
            "FNote template qty=FEntity.FQty CURRENT_TIME=",
            "FEntity[] lines list=",
            "FEntity[].FQty function list[].qty=FEntity.FQty qty=FEntity.FQty",
            "FEntity[].FUnit lookup unit=FUnitID.FNumber",
            "FMark marker no=FBillNo id=FID",
        ];
        assert_eq!(seen, expected);
        assert_eq!(lines[1].expression, "SYS");
        assert_eq!(lines[2].inputs[0].through.as_deref(), Some("formatResponse date of day"));
        assert_eq!(lines[5].expression, "_function {{list.qty}} * {{qty}}");
        assert_eq!(lines[6].collections, ["u1"]);
        assert_eq!(lines[6].place, "target.json $.request[4].children[1]");
    }

    #[test]
    fn a_field_is_found_from_either_side_and_a_wrong_one_has_a_neighbour() {
        let targets = |field: &str| {
            let lines = of_field(&flow(), field).expect(field);
            lines.into_iter().map(|line| line.target).collect::<Vec<_>>()
        };
        assert_eq!(targets("FEntity.FUnit"), ["FEntity[].FUnit"]);
        assert_eq!(targets("FUnit"), ["FEntity[].FUnit"]);
        assert_eq!(targets("FUnitID.FNumber"), ["FEntity[].FUnit"]);
        assert_eq!(targets("qty"), ["FNote", "FEntity[].FQty"]);
        assert_eq!(of_field(&flow(), "FQtyy").expect_err("none").as_deref(), Some("FQty"));
    }
}
