//! How documents travel: the only crate that knows the Kafka client.
//!
//! Two ways of working. A stage without state is a [`Consumer`] and a [`Producer`]: read, write, wait for every
//! report, save the offsets; a crash leaves copies, which are dropped by identity downstream. A stage that holds state
//! is a [`Session`]: a static group member and a transactional producer under one name, fenced together by the group's
//! generation. What it knows lies in compacted topics under the partition number of its input, read as a [`Table`]
//! from an embedded store that may be lost at any time, and trusted only behind a barrier.
//!
//! Rules that hold everywhere: nothing is skipped silently (`auto.offset.reset` is `error`), a transaction is never
//! aborted but its session given up (the client would repeat an old commit into the next transaction), facts follow
//! data, and every queue of the client is capped.

pub mod admin;
mod cluster;
mod consumer;
mod error;
mod follower;
mod member;
mod message;
mod offset;
mod producer;
pub mod registry;
mod session;
mod table;
pub mod topics;
mod watchdog;

pub use admin::{Admin, Lag};
pub use cluster::{Cluster, MAX_RECORD_BYTES, Mechanism, Security};
pub use consumer::Consumer;
pub use error::Error;
pub use follower::{Follower, Found, Peek};
pub use offset::{Next, TopicPartition};
pub use producer::{Outgoing, Producer};
pub use registry::{Canary, Deleted, FlowRegistry, Paused, Published};
pub use session::{Event, Origin, Session, SessionSettings, Timing, Transaction, Written};
pub use table::{Entries, Table, is_own_key};
pub use topics::{Cleanup, TopicSpec};
