//! What a payload shows to those who may not see it as it is.
//!
//! Two things are masked: the values of fields that a rule names ([`rule`]), and whatever looks like a mobile number, an
//! identity card, a bank card or an e-mail address inside any text ([`pattern`]). Everything else stays as it was, in
//! its order and its spelling. Where it cannot be told what a payload holds, it is withheld.

mod json;
pub mod pattern;
pub mod rule;

use std::borrow::Cow;

use document::Fault;
use serde_json::Value;

pub use rule::{DEFAULT_RULES, FieldRule};

use crate::audit::Hash;

/// Stands for what is masked. Its length tells nothing.
pub const MASK: &str = "***";

/// A payload as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Masked {
    /// JSON without blanks, its members in their order; equal keys stay.
    Json(String),
    /// Text that is no JSON.
    Text(String),
    /// Neither: bytes that are not UTF-8, or what begins as JSON and is not, so that no field can be told.
    Withheld {
        /// How many bytes there are.
        bytes: usize,
        /// Their hash.
        digest: Hash,
    },
}

/// Masks payloads by a list of field rules and by the patterns.
#[derive(Debug, Clone)]
pub struct Masker {
    rules: Vec<FieldRule>,
}

impl Masker {
    /// Masks the fields that `rules` name; see [`FieldRule`] for their form.
    ///
    /// # Errors
    /// A [`Fault`] with [`document::Code::MaskRule`] at the rule that does not read.
    pub fn new<R: AsRef<str>>(rules: impl IntoIterator<Item = R>) -> Result<Self, Fault> {
        let read = |(number, rule): (usize, R)| {
            rule.as_ref().parse().map_err(|fault: Fault| fault.at_path(format!("$.fields[{number}]")))
        };
        Ok(Self { rules: rules.into_iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }

    /// `payload` as it may be shown.
    pub fn mask(&self, payload: &[u8]) -> Masked {
        let withheld = || Masked::Withheld { bytes: payload.len(), digest: Hash::of(payload) };
        let Ok(text) = std::str::from_utf8(payload) else { return withheld() };
        match json::mask(text, &self.rules) {
            Some(json) => Masked::Json(json),
            None if text.trim_start().starts_with(['{', '[']) => withheld(),
            None => Masked::Text(pattern::mask(text).unwrap_or_else(|| text.to_owned())),
        }
    }
}

impl Masker {
    /// Whether a rule names the field that lies at these members, or one that it lies in.
    pub fn names<'a>(&self, members: impl IntoIterator<Item = &'a str>) -> bool {
        let mut path = Vec::new();
        let mut names = members.into_iter().flat_map(rule::path_of);
        names.any(|name| {
            path.push(name);
            self.rules.iter().any(|rule| rule.names(&path))
        })
    }

    /// A value of a payload as it may be shown, by the members that lead to it; nothing where that is as it is.
    pub fn value(&self, members: &[impl AsRef<str>], value: &Value) -> Option<Value> {
        let masked = json::mask_within(members, &value.to_string(), &self.rules)?;
        Some(serde_json::from_str(&masked).expect("a JSON value stays one"))
    }
}

/// A single value as it may be shown, whatever field it stands in: what patterns find in it is masked, and so is a text
/// that holds JSON.
pub fn shown(value: &Value) -> Cow<'_, Value> {
    let masked = match value {
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => Some(MASK.to_owned()),
        Value::String(text) => pattern::mask(text),
        Value::Number(number) => pattern::is_number(&number.to_string()).then(|| MASK.to_owned()),
        _ => None,
    };
    masked.map_or(Cow::Borrowed(value), |text| Cow::Owned(Value::String(text)))
}

impl Default for Masker {
    /// Masks the fields of [`DEFAULT_RULES`].
    fn default() -> Self {
        Self::new(DEFAULT_RULES).expect("the default rules read")
    }
}

#[cfg(test)]
mod tests;
