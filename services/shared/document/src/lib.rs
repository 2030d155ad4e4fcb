//! What travels through Starbridge, and nothing about how it travels.
//!
//! A source bill becomes an [`Extracted`] record, a mapped bill a [`Mapped`] record, a failure a
//! [`DeadLetter`]. Their facts ride in Kafka headers ([`header`]), their payload is plain JSON that any Kafka
//! tool can read. A thing that went wrong is a [`Fault`]: a [`Code`] of the catalogue and the [`Place`] it
//! happened at.
//!
//! This crate does no I/O, has no clock and knows neither Kafka nor HTTP.

pub mod backfill;
pub mod code;
pub mod dead_letter;
pub mod digest;
pub mod fault;
pub mod header;
pub mod name;
pub mod record;
pub mod secret;
pub mod topic;
pub mod trace;

pub use backfill::{BackfillId, BackfillMark, BackfillMarks};
pub use code::{Category, Code};
pub use dead_letter::{DeadLetter, DeadLetterId, Stage};
pub use digest::Digest;
pub use fault::{Fault, Place};
pub use header::{Headers, RecordError};
pub use name::{DocumentKey, FlowName, FlowVersion, InvalidName, TargetKey, Tenant, Version};
pub use record::{Extracted, ExtractedAt, Mapped, Received, Record};
pub use secret::SecretFile;
pub use trace::TraceParent;
