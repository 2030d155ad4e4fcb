//! What can go wrong in the extractor, and what is wrong with an answer that is not what was asked.

use document::{Code, Fault};

use crate::core::key::Key;

/// An answer of the source that must not be taken for data.
///
/// Rows are counted from 0, as in the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A row has another number of cells than columns were asked for.
    #[error("row {row} has {found} cells where {expected} columns were asked for")]
    Arity {
        /// The row.
        row: usize,
        /// Columns asked for.
        expected: usize,
        /// Cells found.
        found: usize,
    },
    /// The error object in the shape of a row.
    #[error("the answer is an error object in the shape of a row")]
    ErrorObject,
    /// A cell that the scan goes by does not read.
    #[error("row {row}: the cell of {column} is not what that column holds")]
    Unreadable {
        /// The row.
        row: usize,
        /// The Kingdee key of the column.
        column: String,
    },
    /// A row without an id in a key-paged scan.
    #[error("row {row} has no id")]
    WithoutKey {
        /// The row.
        row: usize,
    },
    /// Ids or line ids go down, or an id comes back after others.
    #[error("row {row}: id {after} comes after {before}")]
    GoesDown {
        /// The row.
        row: usize,
        /// The id before it.
        before: String,
        /// Its own.
        after: String,
    },
    /// An id that was not asked for.
    #[error("row {row}: id {key} lies outside what was asked for")]
    Outside {
        /// The row.
        row: usize,
        /// Its id.
        key: Key,
    },
    /// A line twice in one answer.
    #[error("row {row}: line {entry} of bill {key} comes twice")]
    LineTwice {
        /// The row.
        row: usize,
        /// The bill.
        key: Key,
        /// The line.
        entry: String,
    },
    /// Several rows of one bill where the query has no line id to tell them apart.
    #[error("row {row}: bill {key} has several rows, and no line id is known to tell them apart")]
    HeadTwice {
        /// The row.
        row: usize,
        /// The bill.
        key: Key,
    },
    /// The same ids again: the source leaves the paging parameters aside.
    #[error("row {row}: id {id} came before; the source does not page")]
    Repeated {
        /// The row.
        row: usize,
        /// The id.
        id: String,
    },
    /// A bill that changed whenever it was read.
    #[error("bill {key} changed each time it was read")]
    KeepsMoving {
        /// The bill.
        key: Key,
    },
    /// More rows than row-number paging can watch over.
    #[error("more than {0} rows without a key to page by")]
    TooManyRows(usize),
}

impl Rejected {
    /// The entry of the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Rejected::Arity { .. }
            | Rejected::ErrorObject
            | Rejected::Unreadable { .. }
            | Rejected::WithoutKey { .. }
            | Rejected::TooManyRows(_) => Code::SourcePage,
            Rejected::GoesDown { .. } | Rejected::Outside { .. } => Code::SourceOrder,
            Rejected::LineTwice { .. } | Rejected::Repeated { .. } => Code::SourceRepeatedPage,
            Rejected::HeadTwice { .. } => Code::SourceEntryKey,
            Rejected::KeepsMoving { .. } => Code::SourceMoving,
        }
    }

    /// The fault to report: record = the flow, path = the row in the answer.
    pub fn fault(&self, flow: &str) -> Fault {
        let fault = Fault::new(self.code(), self.to_string()).of_record(flow);
        match self {
            Rejected::Unreadable { row, column } => fault.at_path(format!("$[{row}]")).at_column(column),
            Rejected::Arity { row, .. }
            | Rejected::WithoutKey { row }
            | Rejected::GoesDown { row, .. }
            | Rejected::Outside { row, .. }
            | Rejected::LineTwice { row, .. }
            | Rejected::Repeated { row, .. } => fault.at_path(format!("$[{row}]")),
            Rejected::HeadTwice { row, .. } => {
                fault.at_path(format!("$[{row}]")).hint("name the line's id as source.entry_key in the flow file")
            }
            Rejected::ErrorObject => fault.at_path("$[0][0].Result"),
            Rejected::KeepsMoving { .. } | Rejected::TooManyRows(_) => fault,
        }
    }
}

/// What ends the service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka cannot be used with these settings.
    #[error("kafka cannot be used")]
    Kafka(#[from] queue::Error),
    /// Flows are wrong; told when only that was asked.
    #[error("{} faults in the flows", .0.len())]
    Flows(Vec<Fault>),
}

impl Error {
    /// The entry of the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Error::Kafka(error) => error.code(),
            Error::Flows(faults) => faults.first().map_or(Code::FlowsFolder, |fault| fault.code),
        }
    }
}
