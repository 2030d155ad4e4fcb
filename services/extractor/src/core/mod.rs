//! The thinking: events in, actions out. No I/O, no clock, no randomness; all of them are arguments.
//!
//! [`scan::Scan`] walks a form by key, [`rows::RowScan`] by row number, [`lookback::Lookback`] takes the slow second
//! look. [`run::Run`] drives one of them from a [`checkpoint::Checkpoint`] to the next, [`emit`] decides what becomes
//! of a bill, [`schedule::Board`] who is due, and [`reply`] says what an answer of the source means.

#[cfg(feature = "ablation")]
pub mod ablation;
pub mod checkpoint;
pub mod columns;
pub mod emit;
pub mod key;
pub mod lookback;
pub mod reply;
pub mod rows;
pub mod run;
pub mod scan;
pub mod schedule;
pub mod seen;
pub mod window;

#[cfg(test)]
pub(crate) mod sim;
