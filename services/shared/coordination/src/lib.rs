//! What replicas agree on *now*: how many calls they make, and which session they use.
//!
//! Everything here may vanish at any instant. Redis down, slow, flushed or holding something else under our keys costs
//! speed, never correctness: the [`Limiter`] falls back to a small pool of this process, whose share was left out of the
//! common rate for that purpose, and the [`SessionStore`] to the memory of this process.
//!
//! The thinking ([`gcra`], [`split`], [`quota`], [`breaker`]) does no I/O and takes its time as an argument.

pub mod breaker;
pub mod error;
pub mod gcra;
pub mod limiter;
mod link;
pub mod quota;
pub mod sessions;
pub mod settings;
pub mod split;

pub use breaker::{Breaker, BreakerSettings, Gate};
pub use error::Error;
pub use limiter::{Lane, Limiter, Permit};
pub use sessions::{Held, SessionStore, Turn};
pub use settings::RedisSettings;
pub use split::Limit;
