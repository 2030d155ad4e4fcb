//! A Kingdee Cloud Galaxy (K3Cloud) on the wire: the part of its WebAPI that integrations use, over documents in
//! memory, with faults on demand.
//!
//! It shares no code with the services it is there to judge. `kingdee-webapi.md` is its specification; README.md of
//! this crate lists each behaviour with its section and each open point with its switch.

pub mod admin;
pub mod clock;
pub mod door;
pub mod fault;
pub mod filter;
pub mod galaxy;
pub mod journal;
pub mod limit;
pub mod options;
pub mod orders;
pub mod query;
pub mod reply;
pub mod rules;
pub mod save;
pub mod schema;
pub mod server;
pub mod session;
pub mod signature;
pub mod store;
pub mod target;
pub mod value;
pub mod view;
pub mod wire;
pub mod workflow;

mod model;
mod start;

pub use options::Options;
pub use start::{Running, StartError, start};
