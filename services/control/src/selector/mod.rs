//! The language in which dead letters are chosen: `-l` of the CLI, the same in the API.
//!
//! ```text
//! flow = misc-inbound and category in (reference_missing, validation) and code ~ "^E_REF" and age > 10m
//!     and attempts < 3 and payload.FBillNo = "X1"
//! ```
//!
//! Conditions are joined by `and`, `or`, `not` and parentheses. Operators are `= != < <= > >=`, `in (…)`,
//! `not in (…)`, `between … and …`, `~` (a pattern, found anywhere) and `exists(…)`. Values go without quotes where
//! they are one word; in double quotes `\"` and `\\` are escapes, in single quotes only `''` is. Fields are those of
//! [`Field`] and `payload` with a path into the body, such as `payload.FEntity[0].FQty`, `payload[0].FBillNo`,
//! `payload.FEntity[*].FQty` (any of them) or `payload["a name"]`.
//!
//! A letter that lacks a field satisfies no comparison of it; `!=` and `not in` are the opposites of `=` and `in` and
//! hold there. Durations are `10s`, `5m`, `2h`, `3d` or `1h30m`; times are RFC 3339 or a date, which is its first instant
//! in UTC. Numbers compare as exact decimals, times as instants, text by code point. In the body a value without
//! quotes that reads as a number or a time compares as one, also with text that reads so; a quoted one is text. Messages
//! are met as everybody may see them, without personal numbers.

mod evaluate;
mod explain;
mod expression;
mod field;
mod lexer;
mod literal;
mod parser;
mod part;
mod path;

use std::fmt;
use std::str::FromStr;

use document::Fault;

pub(crate) use evaluate::{Fact, Facts, Unanswered, holds};
pub use explain::Explanation;
pub use expression::{Check, Cost, Expression, Literal, Operator, Pattern, Subject, Test};
pub use field::{Field, Kind};
pub use parser::{MAX_DEPTH, MAX_LENGTH, MAX_PATTERN_BYTES, MAX_STEPS, MAX_TESTS, MAX_VALUES};
pub(crate) use part::Paths;
pub use path::{Path, Step};

/// A selector that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    text: String,
    expression: Expression,
}

impl Selector {
    /// Every letter.
    pub fn all() -> Self {
        Self { text: String::new(), expression: Expression::And(Vec::new()) }
    }

    /// Reads a selector. Blanks alone select every letter.
    ///
    /// # Errors
    /// `E_SELECTOR`, `E_SELECTOR_FIELD`, `E_SELECTOR_VALUE` and `E_SELECTOR_LIMIT`, each at its column.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        Ok(Self { text: text.trim().to_owned(), expression: parser::parse(text)? })
    }

    /// The letters that both select, as a caller's scope and wish.
    #[must_use]
    pub fn and(&self, other: &Selector) -> Selector {
        let parts: Vec<&Selector> = [self, other].into_iter().filter(|part| !part.text.is_empty()).collect();
        match parts.as_slice() {
            [] => Selector::all(),
            [only] => (*only).clone(),
            parts => Selector {
                text: parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" and "),
                // One list of conditions, so that each is answered where it is answered best.
                expression: Expression::And(
                    parts.iter().flat_map(|part| part.expression.conjuncts()).cloned().collect(),
                ),
            },
        }
    }

    /// The same, with values in bodies compared as they are shown to whoever may not see them as they are: a condition must
    /// not tell, question by question, what is masked.
    #[must_use]
    pub fn as_shown(mut self) -> Selector {
        self.expression.paths_mut().into_iter().for_each(Path::show_only);
        self
    }

    /// As it was written, without blanks around it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tree.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// What it means, in plain words, and what answering it takes.
    pub fn explain(&self) -> Explanation {
        explain::explain(&self.expression)
    }
}

impl FromStr for Selector {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
