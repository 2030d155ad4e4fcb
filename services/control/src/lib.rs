//! The control plane: what operators and their tools ask of Starbridge, over gRPC.
//!
//! Lists answer from an index of the dead letters that a restart rebuilds from Kafka; every change is authorised,
//! audited before its effect, and made by the one replica that owns the audit topic.

pub mod core;
pub mod letter;
pub mod access;
