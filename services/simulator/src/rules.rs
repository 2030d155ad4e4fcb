//! The switches that documents meet, and the refusals that faults ask for.

use crate::options::{AuditFailure, EmptyText, OnOff, Options, Precedence, Spelling};
use crate::query::Ceiling;
use crate::reply::Problem;

/// Switches of the server, from its settings.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whether a number may be carried once only.
    pub unique_numbers: bool,
    /// Whether a new document keeps the number it was sent with.
    pub kept_numbers: bool,
    /// Whether required fields are demanded.
    pub required_fields: bool,
    /// How a text that was never given reads.
    pub empty_text: EmptyText,
    /// Whether a refused audit undoes the save it came with.
    pub audit_failure_rolls_back: bool,
    /// Which selection wins.
    pub selection: Precedence,
    /// Ceiling of Limit.
    pub ceiling: Ceiling,
    /// Known spelling of the generic operation.
    pub spelling: Spelling,
}

impl Rules {
    /// The switches in `options`.
    pub fn of(options: &Options) -> Self {
        let (rows, refuse) = options.page();
        Self {
            unique_numbers: options.unique_numbers == OnOff::On,
            kept_numbers: options.kept_numbers == OnOff::On,
            required_fields: options.required_fields == OnOff::On,
            empty_text: options.empty_text,
            audit_failure_rolls_back: options.audit_failure == AuditFailure::Rollback,
            selection: options.selection,
            ceiling: Ceiling { rows, refuse },
            spelling: options.operation_spelling,
        }
    }
}

/// Where a document is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// While it is saved.
    Save,
    /// While it is audited.
    Audit,
}

/// A refusal that a fault asks for.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Where.
    pub stage: Stage,
    /// Indexes in the request.
    pub indexes: Vec<usize>,
    /// Numbers; with neither indexes nor numbers every document is meant.
    pub numbers: Vec<String>,
    /// What is said.
    pub problem: Problem,
}

/// The refusals of one call.
#[derive(Debug, Clone, Default)]
pub struct Refusals(pub Vec<Refusal>);

impl Refusals {
    /// Why the document at `index` with `number` is refused at `stage`, if it is.
    pub fn find(&self, stage: Stage, index: Option<usize>, number: &str) -> Option<Problem> {
        let refusal = self.0.iter().find(|refusal| {
            let all = refusal.indexes.is_empty() && refusal.numbers.is_empty();
            let by_index = index.is_some_and(|index| refusal.indexes.contains(&index));
            refusal.stage == stage && (all || by_index || refusal.numbers.iter().any(|known| known == number))
        });
        refusal.map(|refusal| refusal.problem.clone())
    }
}
