//! What a flow says: which documents to take, how to write them down for the target, when, and in what portions.
//!
//! A flow is a few texts ([`FlowBundle`]): a flow file in TOML, the two documents of the published integration metadata
//! format, and the records that lookups search. [`compile`] turns them into a [`Flow`] once, with every fault and every note; after that nothing
//! is parsed any more. The crate is pure: rows and run variables go in, requests and documents come out.
//!
//! The value language (references, filters, `_function`, lookups) lives in [`reference`], [`text`], [`number`],
//! [`datetime`], [`function`] and [`lookup`]; the documents and all that surrounds them in the other modules.

pub mod datetime;
pub mod function;
pub mod lookup;
pub mod number;
pub mod reference;
pub mod text;

pub mod api;
mod bundle;
pub mod cases;
pub mod change;
pub mod collections;
mod delivery;
pub mod file;
mod flow;
pub mod lineage;
pub mod lint;
mod metadata;
pub mod schedule;
pub mod source;
mod strict;
pub mod suggest;
pub mod target;

pub use bundle::{FileNames, FlowBundle, MAX_BUNDLE_BYTES};
pub use collections::{Collections, NoCollections, Shelf};
pub use file::FlowFile;
pub use flow::{Compiled, FLOW_FILE, Flow, LookbackPlan, compile};
pub use function::{Page, Run};
pub use schedule::Plan;
pub use source::{Column, Shaped, SourceDocument, SourceQuery, SourceRecord};
pub use target::{Operation, RenderedBill, SaveCall, TargetDocument};
