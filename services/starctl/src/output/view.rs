//! What is shown of a thing where not everything is.

use serde_json::Value;

/// How a value is shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As it is.
    Text,
    /// An RFC 3339 instant.
    Time,
    /// Yes or no.
    Flag,
    /// A word of the interface, without this beginning that all words of its kind share; in Chinese with its meaning before.
    Word(&'static str),
}

/// One column of a table, or one line of a single thing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// The path of the value in the thing, by dots: also the heading in CSV.
    pub(crate) key: &'static str,
    pub(crate) english: &'static str,
    pub(crate) chinese: &'static str,
    pub(crate) kind: Kind,
    /// Whether only `-o wide` shows it in a table.
    pub(crate) wide: bool,
}

impl Column {
    pub(crate) const fn new(key: &'static str, english: &'static str, chinese: &'static str) -> Self {
        Self { key, english, chinese, kind: Kind::Text, wide: false }
    }

    pub(crate) const fn as_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) const fn if_wide(mut self) -> Self {
        self.wide = true;
        self
    }

    /// The value of this column in a thing; null where it has none.
    pub(crate) fn of<'a>(&self, item: &'a Value) -> &'a Value {
        at(item, self.key)
    }
}

/// How things of one kind are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// The kind, as JSON and YAML name it.
    pub(crate) kind: &'static str,
    /// What stands before the name in `-o name`, such as `dead_letter`.
    pub(crate) noun: &'static str,
    /// The path of the name.
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
}

impl View {
    /// The thing's name as commands take it: `dead_letter/ID`.
    pub(crate) fn name_of(&self, item: &Value) -> String {
        format!("{}/{}", self.noun, plain(at(item, self.name)))
    }

    /// Sorts things by one of the view's fields; a dash before its name turns the order round. Answers whether there is
    /// such a field.
    pub(crate) fn sort(&self, items: &mut [Value], by: &str) -> bool {
        let (key, backward) = by.strip_prefix('-').map_or((by, false), |key| (key, true));
        if !self.columns.iter().any(|column| column.key == key) {
            return false;
        }
        items.sort_by(|one, other| {
            let (one, other) = (at(one, key), at(other, key));
            let order = match (one.as_f64(), other.as_f64()) {
                (Some(one), Some(other)) => one.total_cmp(&other),
                _ => plain(one).cmp(&plain(other)),
            };
            if backward { order.reverse() } else { order }
        });
        true
    }
}

fn at<'a>(item: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(item, |value, key| &value[key])
}

/// A value as one text: nothing for null, a list by commas, an object as JSON.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const VIEW: View = View {
        kind: "ThingList",
        noun: "thing",
        name: "id",
        columns: &[Column::new("id", "id", "编号"), Column::new("a.n", "n", "数")],
    };

    #[test]
    fn numbers_sort_as_numbers_and_a_dash_turns_round() {
        let mut items = [json!({"id": "x", "a": {"n": 9}}), json!({"id": "y", "a": {"n": 10}})];
        assert!(VIEW.sort(&mut items, "-a.n"));
        assert_eq!(items.iter().map(|item| VIEW.name_of(item)).collect::<Vec<_>>(), ["thing/y", "thing/x"]);
        assert!(!VIEW.sort(&mut items, "b"));
    }
}
