//! The house under test: real servers, our binaries as child processes, and the comparison that judges them.

pub mod compare;
pub mod demo;
pub mod drills;
pub mod faults;
pub mod fleet;
pub mod history;
pub mod mend;
pub mod road;
pub mod servers;
pub mod soak;
