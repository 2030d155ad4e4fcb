//! The canonical form of flow files and documents. Only white space between words is moved: what a text says, and what its
//! comments say, is the same before and after, and that is looked at before anything is given back.

use document::{Code, Fault};
use serde_json::Value;
use toml_edit::{Decor, DocumentMut, Item, KeyMut, Table};

/// JSON in two spaces a level, a member and an element a line; numbers and texts as they are written.
///
/// # Errors
/// `E_JSON` with line and column.
pub(super) fn json(text: &str) -> Result<String, Fault> {
    let text = text.trim_start_matches('\u{feff}');
    let _valid: Value = serde_json::from_str(text).map_err(|source| {
        Fault::new(Code::Json, source.to_string()).at_line(source.line() as u64, source.column().to_string())
    })?;
    let mut formatted = String::with_capacity(text.len());
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if quoted {
            formatted.push(character);
            quoted = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            '"' => {
                quoted = true;
                formatted.push(character);
            }
            '{' | '[' => {
                formatted.push(character);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => formatted.push(end),
                    None => {
                        depth += 1;
                        line(&mut formatted, depth);
                    }
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut formatted, depth);
                formatted.push(character);
            }
            ',' => {
                formatted.push(character);
                line(&mut formatted, depth);
            }
            ':' => formatted.push_str(": "),
            character if character.is_ascii_whitespace() => {}
            character => formatted.push(character),
        }
    }
    formatted.push('\n');
    let same = serde_json::from_str::<Value>(&formatted).ok() == serde_json::from_str(text).ok();
    kept(text, formatted, same, Code::Json)
}

fn line(formatted: &mut String, depth: usize) {
    formatted.push('\n');
    formatted.extend(std::iter::repeat_n("  ", depth));
}

/// TOML with one space around `=`, an empty line before a table, nothing indented; comments stay where they stand.
///
/// # Errors
/// `E_TOML` with line and column.
pub(super) fn toml(text: &str) -> Result<String, Fault> {
    let text = text.trim_start_matches('\u{feff}');
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let line = before.matches('\n').count() as u64 + 1;
        Fault::new(Code::Toml, error.message()).at_line(line, column.to_string())
    })?;
    table(document.as_table_mut());
    let trailing = document.trailing().as_str().map(|trailing| comments(trailing, false)).unwrap_or_default();
    document.set_trailing(trailing);
    let formatted = format!("{}\n", document.to_string().trim_matches('\n'));
    let same = formatted.parse::<toml::Table>().ok() == text.parse::<toml::Table>().ok();
    kept(text, formatted, same, Code::Toml)
}

fn table(table: &mut Table) {
    for (mut key, item) in table.iter_mut() {
        match item {
            Item::Value(value) => {
                leaf(&mut key);
                if let Some(inline) = value.as_inline_table_mut()
                    && !inline.to_string().contains(['\n', '#'])
                {
                    inline.fmt();
                }
                around(value.decor_mut(), " ");
            }
            Item::Table(inner) if inner.is_dotted() => self::table(inner),
            Item::Table(inner) => {
                key.leaf_decor_mut().clear();
                header(inner);
            }
            Item::ArrayOfTables(tables) => {
                key.leaf_decor_mut().clear();
                tables.iter_mut().for_each(header);
            }
            Item::None => {}
        }
        key.dotted_decor_mut().clear();
    }
}

fn leaf(key: &mut KeyMut<'_>) {
    let decor = key.leaf_decor_mut();
    let before = decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
    let before = comments(before, false);
    decor.set_prefix(before);
    decor.set_suffix(" ");
}

/// A table's head, and what it holds.
fn header(inner: &mut Table) {
    let decor = inner.decor_mut();
    let before = decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
    let before = comments(before, true);
    around(decor, "");
    decor.set_prefix(before);
    table(inner);
}

/// Sets what stands before a value or head; a comment behind it stands one space apart.
fn around(decor: &mut Decor, before: &str) {
    let behind = decor.suffix().and_then(|suffix| suffix.as_str()).unwrap_or_default().trim();
    let behind = if behind.is_empty() { String::new() } else { format!(" {behind}") };
    decor.set_prefix(before);
    decor.set_suffix(behind);
}

/// The comments that stand before something, none indented, with an empty line at most between them; before a table there
/// is always one.
fn comments(text: &str, is_table: bool) -> String {
    let mut lines: Vec<&str> = text.split('\n').map(str::trim).collect();
    // Behind the last line break stands what was indented.
    lines.pop();
    let mut formatted = String::new();
    let mut empty = false;
    if is_table {
        formatted.push('\n');
        empty = true;
    }
    for line in lines {
        if !(line.is_empty() && empty) {
            formatted.push_str(line);
            formatted.push('\n');
        }
        empty = line.is_empty();
    }
    formatted
}

/// The formatted text, once it is sure that it says the same.
fn kept(text: &str, formatted: String, same: bool, code: Code) -> Result<String, Fault> {
    let words = |text: &str| text.chars().filter(|character| !character.is_whitespace()).collect::<String>();
    if same && words(text) == words(&formatted) {
        return Ok(formatted);
    }
    Err(Fault::new(code, "it cannot be formatted without changing what it says").hint("format this file by hand"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_order_its_numbers_and_its_texts() {
        let text = "\u{feff}{\"b\":[ ],\"a\" :{\r\n},\"n\":[1.50,1E+5,-0,12345678901234567890.10],\"t\":\"a\\\"{,: \\u4e2d\\\\\"}";
        let formatted = json(text).expect("formatted");
        assert_eq!(
            formatted,
            "{\n  \"b\": [],\n  \"a\": {},\n  \"n\": [\n    1.50,\n    1E+5,\n    -0,\n    12345678901234567890.10\n  ],\n  \"t\": \"a\\\"{,: \\u4e2d\\\\\"\n}\n"
        );
        assert_eq!(json(&formatted).expect("formatted again"), formatted);
        let broken = json("{\n  \"a\": }").expect_err("no JSON");
        assert_eq!((broken.code, broken.place.line), (Code::Json, Some(2)));
    }

    #[test]
    fn toml_keeps_every_comment_and_every_spelling() {
        let text = "\n\n# The flow.\n  flow='x'   # its name\n\n\n\n#a\n# b\ntitle   =\"\"\"\n  two  lines\n\"\"\"\nn = 1_000\na . b=0x1F\n[source]# where from\n   # the system\n   connection = \"a\"\n\n   lookback={cron=\"0 3 * * *\",days=3}\n# the end of source\n[ target ]\nlist = [ 1,\n  2 ] # as it was\n\n\n[[more]]\nx=1\n\n# done\n\n";
        let wanted = "# The flow.\nflow = 'x' # its name\n\n#a\n# b\ntitle = \"\"\"\n  two  lines\n\"\"\"\nn = 1_000\na.b = 0x1F\n\n[source] # where from\n# the system\nconnection = \"a\"\n\nlookback = { cron = \"0 3 * * *\", days = 3 }\n\n# the end of source\n[target]\nlist = [ 1,\n  2 ] # as it was\n\n[[more]]\nx = 1\n\n# done\n";
        let formatted = toml(text).expect("formatted");
        assert_eq!(formatted, wanted);
        assert_eq!(toml(&formatted).expect("formatted again"), formatted);
        let broken = toml("a = 1\nb = \n").expect_err("no TOML");
        assert_eq!((broken.code, broken.place.line), (Code::Toml, Some(2)));
    }
}
