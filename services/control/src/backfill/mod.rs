//! Backfills: a part of the past is read from the source of a flow, window after window.
//!
//! The extractor is asked for one window at a time, and counts in its own checkpoint what a backfill brought, so that a
//! window is done exactly when its records are readable. Whoever writes next goes on from there: what was asked for and not
//! read is asked for again, and what was read already is not read twice.
//!
//! [`job`] thinks, [`run`] asks, and [`crate::extracts`] tells how far the extractor is.

pub mod job;
pub mod run;

pub use job::{Backfill, Status};
