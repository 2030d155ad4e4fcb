//! Keys of the installation, and the secrets they seal.
//!
//! Each write of a secret has a data key of its own, and master keys wrap data keys ([`envelope`]). So replacing the
//! master key ([`master`]) rewraps some bytes per secret and never needs the secrets themselves. Keys come from mounted
//! files ([`file`]) and randomness from the caller.

pub mod envelope;
pub mod file;
mod key;
pub mod master;

pub use envelope::{Envelope, Subject, Unopened};
pub use key::Key;
pub use master::MasterKeys;
