//! The array form of FilterString, turned into the text form.

use serde_json::Value;

use crate::reply::{Problem, bad_filter};

/// The text form of `[{"Left","FieldName","Compare","Value","Right","Logic"}, …]`; AND binds tighter than OR, as in SQL.
///
/// # Errors
///
/// MsgCode 4 for a member or operator that is not known.
pub(super) fn to_text(conditions: &[Value]) -> Result<String, Problem> {
    let mut text = String::new();
    for (index, condition) in conditions.iter().enumerate() {
        let Some(object) = condition.as_object() else { return Err(bad_filter("a condition is an object")) };
        let part = |name: &str| {
            let value = object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
            match value {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            }
        };
        for (name, bracket) in [("Left", '('), ("Right", ')')] {
            if part(name).chars().any(|character| character != bracket && character != ' ') {
                return Err(bad_filter(&format!("{name} holds more than brackets")));
            }
        }
        let field = part("FieldName");
        let is_path = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
        if field.is_empty() || !is_path(&field) {
            return Err(bad_filter(&format!("{field:?} is not a field name")));
        }
        text += &part("Left");
        text += &field;
        text += &comparison(&part("Compare"), &part("Value"))?;
        text += &part("Right");
        if index + 1 < conditions.len() {
            text += match part("Logic").trim().to_ascii_lowercase().as_str() {
                "" | "0" | "and" => " AND ",
                "1" | "or" => " OR ",
                other => return Err(bad_filter(&format!("the logic {other:?} is not known"))),
            };
        }
    }
    Ok(text)
}

/// Operator and value as text. `67` is the operator id of the official sample, taken as "equals".
fn comparison(compare: &str, value: &str) -> Result<String, Problem> {
    let quoted = quote(value);
    Ok(match compare.trim().to_ascii_lowercase().as_str() {
        "67" | "=" | "==" | "equal" | "equalto" | "statusequalto" => format!(" = {quoted}"),
        "<>" | "!=" | "notequal" | "notequalto" | "statusnotequalto" => format!(" <> {quoted}"),
        ">" | "greaterthan" => format!(" > {quoted}"),
        ">=" | "greaterthanequal" | "greaterthanequalto" => format!(" >= {quoted}"),
        "<" | "lessthan" => format!(" < {quoted}"),
        "<=" | "lessthanequal" | "lessthanequalto" => format!(" <= {quoted}"),
        "like" => format!(" LIKE {quoted}"),
        "not like" | "notlike" => format!(" NOT LIKE {quoted}"),
        "in" => format!(" IN ({})", list(value)),
        "not in" | "notin" => format!(" NOT IN ({})", list(value)),
        "is null" | "isnull" => " IS NULL".to_owned(),
        "is not null" | "isnotnull" => " IS NOT NULL".to_owned(),
        other => return Err(bad_filter(&format!("the operator {other:?} is not known"))),
    })
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn list(values: &str) -> String {
    values.split(',').map(|value| quote(value.trim())).collect::<Vec<_>>().join(", ")
}
