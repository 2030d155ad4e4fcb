//! Reconciliation: both systems are asked themselves what they hold, and whatever does not agree is named.
//!
//! A report is about the bills of one flow whose watermark date lies in a window. It reads the heads of the source, then
//! what ledger and letters say of each document, and only then the target: what the ledger calls applied was in the
//! target before it was looked at, so a document on its way is never taken for a missing one. A sample of the documents,
//! and every one that looks wrong, is compared field by field with what the flow makes of the source's bill. Whatever
//! looks wrong is looked at once more after a time of grace, and named only if it still does.
//!
//! [`find`] says what is asked in which order, [`judge`] and [`plan`] think, [`expected`] computes what the target must hold,
//! [`read`] asks the systems, [`run`] makes the reports that were asked for or are due. Nothing is written to a system.

pub mod expected;
pub mod find;
pub mod judge;
pub mod plan;
pub mod read;
pub mod report;
pub mod run;

pub use report::{Finding, Kind, Reconciliation, Spec, Status};
