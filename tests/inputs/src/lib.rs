//! Bad input on purpose: good samples, what can be done to them, and a tally of the faults that come of it.
//!
//! The tests beside it ask two things of every reader of what others write. `bad` goes through known damages one by
//! one: each is refused with a code and a place, and none passes for good. `fuzz` throws anything at them: no panic,
//! nothing without end, and what reads well reads the same again.

pub mod damage;
pub mod sample;
pub mod tally;

pub use tally::Tally;
