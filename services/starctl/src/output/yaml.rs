//! JSON values as YAML: blocks for people to read, texts quoted as JSON quotes them, which YAML 1.2 takes as it is.
//! Numbers keep every digit they came with.

use serde_json::Value;

/// A value as a YAML document.
pub(crate) fn write(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// Writes a value that begins at the start of a line or behind `- `, and ends the line.
fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (index, (key, value)) in fields.iter().enumerate() {
                indent(if index == 0 { 0 } else { depth }, text);
                text.push_str(&scalar_text(key));
                text.push(':');
                below(value, depth, text);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (index, value) in values.iter().enumerate() {
                indent(if index == 0 { 0 } else { depth }, text);
                text.push_str("- ");
                block(value, depth + 1, text);
            }
        }
        scalar => {
            text.push_str(&scalar_of(scalar));
            text.push('\n');
        }
    }
}

/// Writes a value behind `key:`.
fn below(value: &Value, depth: usize, text: &mut String) {
    let nested = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    if nested {
        text.push('\n');
        indent(depth + 1, text);
        block(value, depth + 1, text);
    } else {
        text.push(' ');
        block(value, depth, text);
    }
}

fn indent(depth: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", depth));
}

fn scalar_of(value: &Value) -> String {
    match value {
        Value::String(text) => scalar_text(text),
        other => other.to_string(),
    }
}

/// A text: plain where no reader could take it for anything else, quoted otherwise.
fn scalar_text(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "nan" | "inf"
    );
    // Digits with an `e`, and hexadecimal ones, are numbers to some readers.
    if begins && plain && !word { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text)
        .expect("a text can be written as JSON")
        .chars()
        .map(|character| match character {
            // JSON lets these through; YAML does not, or takes them for ends of lines.
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => format!("\\u{:04x}", character as u32),
            other => other.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn blocks_read_well() {
        let value = json!({"kind": "X", "items": [{"id": "a", "parts": [1, [2, 3], {}], "none": []}, {"id": "b c"}], "end": null});
        let wanted = "\
kind: X
items:
  - id: a
    parts:
      - 1
      - - 2
        - 3
      - {}
    none: []
  - id: \"b c\"
end: null
";
        assert_eq!(write(&value), wanted);
    }

    #[test]
    fn a_reader_gets_the_same_value_back() {
        let texts = [
            "",
            "no",
            "12",
            "1e3",
            "0x1f",
            "~",
            "- a",
            "a: b",
            "#",
            "银行\n\t\u{85}\u{2028}\"\\",
            "2026-01-01",
            ".5",
            "e1",
            "=",
            "<<",
        ];
        let value =
            json!({"texts": texts, "numbers": [1, -2, 0.5], "deep": {"a b": {"yes": [[], [[true]]]}, "": null}});
        let back: Value = serde_saphyr::from_str(&write(&value)).expect("YAML");
        // Another reader makes its numbers in its own way; their text is compared.
        assert_eq!(back.to_string(), value.to_string());
    }

    #[test]
    fn numbers_keep_their_digits() {
        let value: Value = serde_json::from_str("[12.50, 123456789012345678901234567890.1]").expect("JSON");
        assert_eq!(write(&value), "- 12.50\n- 123456789012345678901234567890.1\n");
    }
}
