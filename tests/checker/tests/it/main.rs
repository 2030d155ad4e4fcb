//! The checker accepts good histories and rejects corrupted ones.
#![allow(clippy::unwrap_used)]

mod corrupted;
mod good;
mod mutated;
