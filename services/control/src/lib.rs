//! The control plane: what operators and their tools ask of Starbridge, over gRPC.
//!
//! Lists answer from an index of the dead letters that a restart rebuilds from Kafka; every change is authorised,
//! audited before its effect, and made by the one replica that owns the audit topic.

pub mod access;
pub mod audit;
pub mod core;
pub mod follow;
pub mod index;
pub mod letter;
pub mod mirror;
pub mod selector;
pub mod mask;
pub mod vault;
pub mod writer;
