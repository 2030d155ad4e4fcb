//! The integration metadata format: field entries, the forms of their values, types and parsers.
//!
//! Everything here is compiled once when a document is read; rendering walks the compiled entries.

pub(crate) mod coerce;
pub(crate) mod document;
pub(crate) mod entry;
pub(crate) mod parser;
pub(crate) mod render;
pub(crate) mod report;
pub(crate) mod scope;
pub(crate) mod value;
