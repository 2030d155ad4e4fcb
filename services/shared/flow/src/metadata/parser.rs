//! Parsers: the last step of a field's evaluation, named in the document.

use document::{Code, Fault};
use serde_json::{Map, Value, json};

use super::coerce;
use super::report::Report;
use crate::{suggest, text};

/// One parser with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parser {
    /// `"100"` → `{"FNumber":"100"}`.
    ConvertObject { member: String },
    /// `"138"` → `{"value":{"phone":"138"}}`.
    ConvertTwoStageObject { outer: String, inner: String },
    /// `"a,b"` → `["a","b"]`.
    StringToArray { separator: String },
    /// `["a","b"]` → `"a,b"`.
    ArrayToString { separator: String },
    /// First occurrences kept.
    ArrayUnique,
    /// `{"1033":"A"}` → `[{"Key":1033,"Value":"A"}]`.
    ConvertJson,
    /// `"603"` → `[{"keyName":"物料短代码","keyValue":"603"}]`.
    K3WiseHeiHuCustom { key_name: String },
    /// `"X"` → `{"fieldName":…,"fieldValue":"X","view":…,"edit":…,"fieldId":…}`.
    WorkflowRequestTableFields { field: String, view: Option<Value>, edit: Option<Value>, field_id: Option<Value> },
}

const NAMES: [&str; 8] = [
    "ConvertObjectParser",
    "ConvertTwoStageObjectParser",
    "StringToArray",
    "ArrayToString",
    "ArrayUnique",
    "ConvertJson",
    "K3WiseHeiHuCustomParser",
    "workflowRequestTableFields",
];

/// Reads the `parser` of the entry `field`: one object, or a list of them, applied from left to right.
pub(crate) fn compile(declared: &Value, field: &str, path: &str, report: &mut Report) -> Vec<Parser> {
    let mut parsers = Vec::new();
    match declared {
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                parsers.extend(compile_one(item, field, &format!("{path}[{index}]"), report));
            }
        }
        one => parsers.extend(compile_one(one, field, path, report)),
    }
    parsers
}

/// One declared parser; a comma list in its `name` makes several.
fn compile_one(declared: &Value, field: &str, path: &str, report: &mut Report) -> Vec<Parser> {
    let empty = Map::new();
    let (members, names) = match declared {
        Value::Object(members) => (members, report.text(members, "name", path)),
        Value::String(name) => (&empty, Some(name.as_str())),
        other => {
            report.wrong_kind(other, "a parser", path);
            return Vec::new();
        }
    };
    let Some(names) = names else {
        let fault = report.fault(Code::Parser, path, "the parser has no name");
        fault.hint = Some(suggest::hint("", NAMES));
        return Vec::new();
    };
    report.unknown_keys(members, &["name", "params", "params1", "params2", "view", "edit", "fieldId"], path);
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let mut parsers = Vec::new();
    for (index, name) in names.iter().enumerate() {
        // One list of parameters beside several names gives each its own.
        let params = match members.get("params") {
            Some(Value::Array(items)) if names.len() > 1 && items.len() == names.len() => items.get(index),
            other => other,
        };
        let declared = Declared { name, members, params: params.unwrap_or(&Value::Null), field };
        match declared.parser() {
            Ok(parser) => parsers.push(parser),
            Err(fault) => {
                report.push_fault(fault, path);
            }
        }
    }
    parsers
}

struct Declared<'a> {
    name: &'a str,
    members: &'a Map<String, Value>,
    params: &'a Value,
    field: &'a str,
}

impl Declared<'_> {
    fn parser(&self) -> Result<Parser, Fault> {
        Ok(match self.name {
            "ConvertObjectParser" => Parser::ConvertObject { member: self.text(0, "\"FNumber\"")? },
            "ConvertTwoStageObjectParser" => {
                Parser::ConvertTwoStageObject { outer: self.stage("params1", 0)?, inner: self.stage("params2", 1)? }
            }
            "StringToArray" => Parser::StringToArray { separator: self.separator() },
            "ArrayToString" => Parser::ArrayToString { separator: self.separator() },
            "ArrayUnique" => Parser::ArrayUnique,
            "ConvertJson" => Parser::ConvertJson,
            "K3WiseHeiHuCustomParser" => Parser::K3WiseHeiHuCustom { key_name: self.text(0, "\"物料短代码\"")? },
            "workflowRequestTableFields" => Parser::WorkflowRequestTableFields {
                field: self.field.to_owned(),
                view: self.member("view", 0).map(|value| truth_or_itself(&value)),
                edit: self.member("edit", 1).map(|value| truth_or_itself(&value)),
                field_id: self.member("fieldId", 2).map(|value| Value::String(text::interpolate(&value, false))),
            },
            other => {
                let fault = Fault::new(Code::Parser, format!("unknown parser {other}"));
                return Err(fault.hint(suggest::hint(other, NAMES)));
            }
        })
    }

    /// A parameter that must be there: `params` itself, or its element.
    fn text(&self, index: usize, example: &str) -> Result<String, Fault> {
        let value = match self.params {
            Value::Array(items) => items.get(index),
            other => Some(other),
        };
        match value.map(|value| text::interpolate(value, false)) {
            Some(text) if !text.is_empty() => Ok(text),
            _ => {
                let fault = Fault::new(Code::ParserParams, format!("{} has no params", self.name));
                Err(fault.hint(format!("write \"params\": {example}")))
            }
        }
    }

    /// A member name of the two-stage parser: its own key, or an element of `params`, list or comma text.
    fn stage(&self, key: &str, index: usize) -> Result<String, Fault> {
        let text = match (self.members.get(key), self.params) {
            (Some(own), _) => Some(text::interpolate(own, false)),
            (None, Value::String(list)) => list.split(',').nth(index).map(|name| name.trim().to_owned()),
            (None, Value::Array(items)) => items.get(index).map(|item| text::interpolate(item, false)),
            (None, Value::Object(members)) => members.get(key).map(|item| text::interpolate(item, false)),
            (None, _) => None,
        };
        text.filter(|text| !text.is_empty()).ok_or_else(|| {
            Fault::new(Code::ParserParams, format!("{} has no {key}", self.name))
                .hint("write \"params1\": \"value\", \"params2\": \"phone\"")
        })
    }

    /// A member of the parser itself, of its `params` object, or an element of its `params` list.
    fn member(&self, key: &str, index: usize) -> Option<Value> {
        let inner = match self.params {
            Value::Object(members) => members.get(key),
            Value::Array(items) => items.get(index),
            _ => None,
        };
        self.members.get(key).or(inner).filter(|value| !value.is_null()).cloned()
    }

    fn separator(&self) -> String {
        match self.params {
            Value::String(text) if !text.is_empty() => text.clone(),
            _ => ",".to_owned(),
        }
    }
}

fn truth_or_itself(value: &Value) -> Value {
    coerce::truth(value).map_or_else(|| value.clone(), Value::Bool)
}

impl Parser {
    /// Converts a value that is not null.
    ///
    /// # Errors
    /// [`Code::ParserValue`] when the value is of no form the parser takes.
    pub(crate) fn apply(&self, value: Value) -> Result<Value, Fault> {
        Ok(match self {
            Parser::ConvertObject { member } => object(member, value),
            Parser::ConvertTwoStageObject { outer, inner } => object(outer, object(inner, value)),
            Parser::StringToArray { separator } => match value {
                Value::Array(_) => value,
                other => {
                    let text = text::interpolate(&other, false);
                    match text.trim().is_empty() {
                        true => json!([]),
                        false => text.split(separator.as_str()).map(Value::from).collect(),
                    }
                }
            },
            Parser::ArrayToString { separator } => Value::String(match &value {
                Value::Array(items) => {
                    let texts: Vec<String> = items.iter().map(|item| text::interpolate(item, false)).collect();
                    texts.join(separator)
                }
                scalar => text::interpolate(scalar, false),
            }),
            Parser::ArrayUnique => match value {
                Value::Array(items) => {
                    let mut kept: Vec<Value> = Vec::with_capacity(items.len());
                    for item in items {
                        if !kept.contains(&item) {
                            kept.push(item);
                        }
                    }
                    Value::Array(kept)
                }
                other => other,
            },
            Parser::ConvertJson => convert_json(&value)?,
            Parser::K3WiseHeiHuCustom { key_name } => json!([{"keyName": key_name, "keyValue": value}]),
            Parser::WorkflowRequestTableFields { field, view, edit, field_id } => {
                let mut members = Map::new();
                members.insert("fieldName".to_owned(), Value::String(field.clone()));
                members.insert("fieldValue".to_owned(), value);
                for (name, member) in [("view", view), ("edit", edit), ("fieldId", field_id)] {
                    if let Some(member) = member {
                        members.insert(name.to_owned(), member.clone());
                    }
                }
                Value::Object(members)
            }
        })
    }
}

fn object(member: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(member.to_owned(), value)]))
}

/// Members of an object, or of the JSON text of one, as a list of key and value.
fn convert_json(value: &Value) -> Result<Value, Fault> {
    let refuse = || {
        let shown: String = text::interpolate(value, false).chars().take(60).collect();
        Fault::new(Code::ParserValue, format!("ConvertJson takes an object or its JSON text, not {shown:?}"))
    };
    let members = match value {
        Value::Object(members) => members.clone(),
        Value::String(text) => {
            let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            if joined.trim().is_empty() {
                return Ok(json!([]));
            }
            serde_json::from_str(&joined).map_err(|_| refuse())?
        }
        _ => return Err(refuse()),
    };
    Ok(members
        .into_iter()
        .map(|(key, value)| {
            let key = key.parse::<i64>().map_or_else(|_| Value::String(key), Value::from);
            json!({"Key": key, "Value": value})
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsers(declared: Value) -> Vec<Parser> {
        let mut report = Report::new("target.json");
        let parsers = compile(&declared, "wldwlx", "$.request[0].parser", &mut report);
        assert_eq!(report.faults, Vec::new(), "{declared}");
        parsers
    }

    fn run(declared: Value, value: Value) -> Result<Value, Code> {
        parsers(declared).iter().try_fold(value, |value, parser| parser.apply(value)).map_err(|fault| fault.code)
    }

    #[test]
    fn parsers_convert_as_published() {
        for (declared, value, wanted) in [
            (json!({"name": "ConvertObjectParser", "params": "FNumber"}), json!("100"), json!({"FNumber": "100"})),
            (json!({"name": "ConvertObjectParser", "params": "FNUMBER"}), json!(""), json!({"FNUMBER": ""})),
            (
                json!({"name": "ConvertTwoStageObjectParser", "params1": "value", "params2": "phone"}),
                json!("138"),
                json!({"value": {"phone": "138"}}),
            ),
            (
                json!({"name": "ConvertTwoStageObjectParser", "params": ["value", "phone"]}),
                json!("138"),
                json!({"value": {"phone": "138"}}),
            ),
            (json!({"name": "StringToArray", "params": ","}), json!("a, b"), json!(["a", " b"])),
            (json!({"name": "StringToArray", "params": "；"}), json!("甲；乙"), json!(["甲", "乙"])),
            (json!({"name": "StringToArray"}), json!("  "), json!([])),
            (json!({"name": "StringToArray"}), json!(["x"]), json!(["x"])),
            (json!({"name": "ArrayToString", "params": ","}), json!(["a", 1, "b"]), json!("a,1,b")),
            (json!({"name": "ArrayToString"}), json!(12), json!("12")),
            (json!({"name": "ArrayUnique"}), json!(["b", "a", "b", 1, "1"]), json!(["b", "a", 1, "1"])),
            (
                json!({"name": "ConvertJson"}),
                json!("{\"1033\":\"A\",\n\"2052\":\"B\",\"x\":1}"),
                json!([{"Key": 1033, "Value": "A"}, {"Key": 2052, "Value": "B"}, {"Key": "x", "Value": 1}]),
            ),
            (
                json!({"name": "K3WiseHeiHuCustomParser", "params": "物料短代码"}),
                json!("603"),
                json!([{"keyName": "物料短代码", "keyValue": "603"}]),
            ),
            (
                json!({"name": "workflowRequestTableFields", "view": "true", "edit": true, "fieldId": 12258}),
                json!("X"),
                json!({"fieldName": "wldwlx", "fieldValue": "X", "view": true, "edit": true, "fieldId": "12258"}),
            ),
        ] {
            assert_eq!(run(declared.clone(), value), Ok(wanted), "{declared}");
        }
    }

    #[test]
    fn several_parsers_run_from_left_to_right() {
        let listed = json!([{"name": "StringToArray", "params": ","}, {"name": "ArrayUnique"}, {"name": "ArrayToString", "params": "|"}]);
        assert_eq!(run(listed, json!("b,a,b")), Ok(json!("b|a")));
        let named = json!({"name": "StringToArray,ArrayUnique", "params": ","});
        assert_eq!(run(named, json!("b,a,b")), Ok(json!(["b", "a"])));
        let aligned = json!({"name": "StringToArray,ArrayToString", "params": [",", "|"]});
        assert_eq!(run(aligned, json!("b,a")), Ok(json!("b|a")));
    }

    #[test]
    fn a_value_that_is_no_object_fails_the_json_parser() {
        assert_eq!(run(json!({"name": "ConvertJson"}), json!("甲")), Err(Code::ParserValue));
        assert_eq!(run(json!({"name": "ConvertJson"}), json!([1])), Err(Code::ParserValue));
        assert_eq!(run(json!({"name": "ConvertJson"}), json!("")), Ok(json!([])));
    }

    #[test]
    fn unknown_parsers_and_missing_parameters_are_load_faults() {
        let mut report = Report::new("target.json");
        let declared = json!([{"name": "ConvertObject"}, {"name": "ConvertObjectParser"}, {"type": "regex"}, 7]);
        assert_eq!(compile(&declared, "F", "$.request[3].parser", &mut report), Vec::new());
        let seen: Vec<(Code, Option<&str>)> =
            report.faults.iter().map(|fault| (fault.code, fault.place.path.as_deref())).collect();
        assert_eq!(
            seen,
            [
                (Code::Parser, Some("$.request[3].parser[0]")),
                (Code::ParserParams, Some("$.request[3].parser[1]")),
                (Code::Parser, Some("$.request[3].parser[2]")),
                (Code::DocumentShape, Some("$.request[3].parser[3]")),
            ]
        );
        assert_eq!(report.faults[0].hint.as_deref(), Some("did you mean ConvertObjectParser?"));
    }
}
