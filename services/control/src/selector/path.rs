//! `payload.…`: a path into the body of a letter.
//!
//! A name step on a list asks each of its elements, as `[*]` does: the body of a letter from the transformer is a
//! list of records, that of one from the loader a single document, and one selector serves both.

use std::fmt;

use serde_json::Value;

/// Steps from the root of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    steps: Vec<Step>,
    as_shown: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into the member of that name.
    Name(String),
    /// To the element at that place, from 0.
    Index(usize),
    /// To every element.
    Any,
}

impl Path {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self { steps, as_shown: false }
    }

    /// The steps, from the root.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The names of the members that it leads through.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) | Step::Any => None,
        })
    }

    /// Whether values are compared as they are shown to whoever may not see them as they are.
    pub(super) fn is_as_shown(&self) -> bool {
        self.as_shown
    }

    pub(super) fn show_only(&mut self) {
        self.as_shown = true;
    }

    /// Whether some value at the path satisfies `holds`; a missing one does not.
    pub(crate) fn any(&self, body: &Value, holds: &mut dyn FnMut(&Value) -> bool) -> bool {
        any(body, &self.steps, holds)
    }
}

fn any(at: &Value, steps: &[Step], holds: &mut dyn FnMut(&Value) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else { return holds(at) };
    match (step, at) {
        (Step::Name(name), Value::Object(members)) => members.get(name).is_some_and(|value| any(value, rest, holds)),
        // Not into lists within lists: one name step goes through one list.
        (Step::Name(name), Value::Array(items)) => {
            items.iter().filter_map(|item| item.get(name)).any(|value| any(value, rest, holds))
        }
        (Step::Index(index), Value::Array(items)) => items.get(*index).is_some_and(|item| any(item, rest, holds)),
        (Step::Any, Value::Array(items)) => items.iter().any(|item| any(item, rest, holds)),
        _ => false,
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("payload")?;
        for step in &self.steps {
            match step {
                Step::Name(name) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => write!(f, ".{name}")?,
                Step::Name(name) => write!(f, "[{name:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Any => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(steps: &[Step], body: &Value) -> Vec<Value> {
        let mut found = Vec::new();
        Path::new(steps.to_vec()).any(body, &mut |value| {
            found.push(value.clone());
            false
        });
        found
    }

    #[test]
    fn a_path_reaches_members_elements_and_every_element() {
        let name = |name: &str| Step::Name(name.to_owned());
        let body = json!({"FEntity": [{"FQty": 1}, {"FQty": 2}, {}], "单号": "A"});
        assert_eq!(found(&[name("单号")], &body), [json!("A")]);
        assert_eq!(found(&[name("FEntity"), Step::Index(1), name("FQty")], &body), [json!(2)]);
        assert_eq!(found(&[name("FEntity"), Step::Any, name("FQty")], &body), [json!(1), json!(2)]);
        assert_eq!(found(&[name("FEntity"), name("FQty")], &body), [json!(1), json!(2)]);
        assert_eq!(found(&[name("FEntity"), Step::Index(9)], &body), Vec::<Value>::new());
        assert_eq!(found(&[name("FQty")], &json!([{"FQty": 3}])), [json!(3)]);
    }
}
