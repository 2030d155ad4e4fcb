//! Masking inside JSON. Values are copied as they are written unless they are masked, so numbers keep their text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::rule::{FieldRule, path_of};
use super::{MASK, pattern};

/// The deepest nesting that is looked into. What lies deeper is masked.
const DEPTH: usize = 64;

/// `text` masked, if it is JSON.
pub(super) fn mask(text: &str, rules: &[FieldRule]) -> Option<String> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    let mut walk = Walk { rules, path: Vec::new(), depth: 0, masked: 0, out: String::with_capacity(text.len()) };
    walk.value(value, false);
    Some(walk.out)
}

/// The JSON `text` as the value behind `members`, masked; nothing where nothing is.
pub(super) fn mask_within(members: &[impl AsRef<str>], text: &str, rules: &[FieldRule]) -> Option<String> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    let mut walk = Walk { rules, path: Vec::new(), depth: members.len(), masked: 0, out: String::new() };
    let mut hidden = false;
    for name in members.iter().flat_map(|member| path_of(member.as_ref())) {
        walk.path.push(name);
        hidden = hidden || rules.iter().any(|rule| rule.names(&walk.path));
    }
    walk.value(value, hidden);
    (walk.masked > 0).then_some(walk.out)
}

/// The members of an object in their order. Equal keys stay: the later one must not hide the earlier from masking.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

struct Walk<'a> {
    rules: &'a [FieldRule],
    /// Where we are, as rules see it.
    path: Vec<String>,
    depth: usize,
    /// How many values and keys were masked so far.
    masked: usize,
    out: String,
}

impl Walk<'_> {
    /// Writes `value`; where `hidden`, as part of a field that a rule names.
    fn value(&mut self, value: &RawValue, hidden: bool) {
        let text = value.get();
        match text.chars().next() {
            Some('{' | '[') if self.depth == DEPTH => self.mask(),
            Some('{') => match serde_json::from_str(text) {
                Ok(members) => self.object(members, hidden),
                Err(_) => self.mask(),
            },
            Some('[') => match serde_json::from_str(text) {
                Ok(items) => self.array(items, hidden),
                Err(_) => self.mask(),
            },
            Some('"') => match serde_json::from_str::<String>(text) {
                Ok(decoded) => self.text(text, &decoded, hidden),
                // Half a surrogate pair: no text that could be looked at.
                Err(_) => self.mask(),
            },
            Some('t' | 'f' | 'n') => self.out.push_str(text),
            _ if hidden || pattern::is_number(text) => self.mask(),
            _ => self.out.push_str(text),
        }
    }

    fn object(&mut self, members: Members<'_>, hidden: bool) {
        self.depth += 1;
        self.out.push('{');
        for (number, (key, value)) in members.0.into_iter().enumerate() {
            if number > 0 {
                self.out.push(',');
            }
            let masked_key = pattern::mask(&key);
            self.masked += usize::from(masked_key.is_some());
            self.out.push_str(&quoted(masked_key.as_deref().unwrap_or(&key)));
            self.out.push(':');
            let outside = self.path.len();
            let mut named = hidden;
            for name in path_of(&key) {
                self.path.push(name);
                named = named || self.rules.iter().any(|rule| rule.names(&self.path));
            }
            self.value(value, named);
            self.path.truncate(outside);
        }
        self.out.push('}');
        self.depth -= 1;
    }

    fn array(&mut self, items: Vec<&RawValue>, hidden: bool) {
        self.depth += 1;
        self.out.push('[');
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                self.out.push(',');
            }
            self.value(item, hidden);
        }
        self.out.push(']');
        self.depth -= 1;
    }

    /// Writes a text. `written` is its form in the payload. JSON inside a text is masked as JSON: calls to Kingdee carry
    /// their documents so.
    fn text(&mut self, written: &str, decoded: &str, hidden: bool) {
        if hidden {
            return self.mask();
        }
        let inner = match decoded.trim_start().starts_with(['{', '[']) {
            true => serde_json::from_str::<&RawValue>(decoded).ok(),
            false => None,
        };
        let Some(inner) = inner else {
            match pattern::mask(decoded) {
                Some(masked) => {
                    self.masked += 1;
                    self.out.push_str(&quoted(&masked));
                }
                None => self.out.push_str(written),
            }
            return;
        };
        let before = self.masked;
        let outer = std::mem::take(&mut self.out);
        self.value(inner, false);
        let masked = std::mem::replace(&mut self.out, outer);
        match self.masked == before {
            true => self.out.push_str(written),
            false => self.out.push_str(&quoted(&masked)),
        }
    }

    fn mask(&mut self) {
        self.masked += 1;
        self.out.push_str(&quoted(MASK));
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written as JSON")
}
