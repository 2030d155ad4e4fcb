//! The real processes under faults: a nemesis draws what happens by seed, then everything is healed, drained and compared.

pub mod proxy;
