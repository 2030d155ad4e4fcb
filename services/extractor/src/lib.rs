//! The extractor: bills out of their source, each version once, none torn, none lost.
//!
//! One flow has one owner: whoever owns its partition of `starbridge.commands`. The owner scans the source by key from
//! the watermark on ([`core`]), writes records, what was seen and its checkpoint in one transaction ([`log`]), and is
//! fenced by the group's generation, so that a successor goes on exactly where it stopped. [`service`] is the loop,
//! [`owner`] what it owns, [`work`] one run, [`source`] and [`log`] the doors.

pub mod behind;
pub mod check;
pub mod commands;
pub mod config;
pub mod core;
pub mod error;
pub mod folder;
pub mod follow;
pub mod log;
pub mod metrics;
pub mod owner;
pub mod query;
pub mod service;
pub mod source;
pub mod unit;
pub mod work;

#[cfg(test)]
mod testing;

pub use config::{Config, DEFAULTS};
pub use error::Error;
pub use service::{CONDITIONS, Extractor, Surroundings};
