//! `_function`: MySQL expressions over a record, compiled once and computed with exact decimals.
//!
//! References are bound, never pasted: inside quotes a reference adds its interpolation text, outside quotes it is the
//! field's value, where numeric text counts as a number and a missing field or `""` is NULL. The text is read by an SQL
//! parser when a document is loaded and kept as a small tree of our own.
//!
//! Limits of one computation: 100,000 steps, depth 64, text of 1 MiB, lists of 10,000, decimals of 28 digits; over any
//! of them the fault is `E_LIMIT`. Everything else that cannot be computed is `E_FUNCTION`.

use document::Fault;
use serde_json::Value;

use crate::lookup::Lookup;
use crate::reference::Reference;

mod calendar;
mod calls_date;
mod calls_number;
mod calls_text;
mod catalogue;
mod compile;
mod compile_call;
mod datum;
mod evaluate;
mod format;
mod like;
mod node;
mod prepare;
mod scope;
mod types;
mod visit;

pub use scope::{Page, Run, Scope, render, resolve, resolve_all};

/// The word an expression begins with, with its blank.
pub const FUNCTION: &str = "_function ";

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Program {
    root: node::Node,
    references: Vec<Reference>,
    lookups: Vec<Lookup>,
    clock: bool,
}

impl Program {
    /// Compiles the text after `_function `. Columns count from its first character.
    ///
    /// # Errors
    /// `E_FUNCTION` with the column for a mistake of grammar or an unknown function, `E_LOOKUP` for a lookup that does
    /// not split, `E_FILTER` for an unknown filter, `E_LIMIT` for an expression that is too long or too deep.
    pub fn compile(text: &str) -> Result<Self, Fault> {
        Self::compile_from(text, 1)
    }

    /// Compiles a text whose first character stands in the given column of a longer one.
    ///
    /// # Errors
    /// As [`Program::compile`].
    pub fn compile_from(text: &str, first_column: usize) -> Result<Self, Fault> {
        let root = compile::compile(text, first_column)?;
        let mut found = visit::Found::default();
        found.visit(&root);
        Ok(Self { root, references: found.references, lookups: found.lookups, clock: found.clock })
    }

    /// Every reference of the expression, those of its lookups included, in order.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Every `_findCollection` of the expression, in order.
    pub fn lookups(&self) -> &[Lookup] {
        &self.lookups
    }

    /// Whether it asks for the time of the run by a function such as `now()`.
    pub fn reads_clock(&self) -> bool {
        self.clock
    }

    /// Computes the expression. NULL is null, comparisons are booleans, numbers have no trailing zeros.
    ///
    /// # Errors
    /// `E_FUNCTION` with the column for a division by zero and the like, `E_FILTER` when a filter cannot read a value,
    /// `E_LIMIT` when a limit is passed.
    pub fn evaluate(&self, scope: &dyn Scope, run: &Run) -> Result<Value, Fault> {
        evaluate::Machine::new(scope, run).compute(&self.root).map(datum::Datum::into_json)
    }
}

#[cfg(test)]
mod tests;
