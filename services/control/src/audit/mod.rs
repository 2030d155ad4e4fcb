//! Who did what, in a chain that shows every later change.
//!
//! Each entry carries the hash of the one before it ([`entry`]), so an entry cannot be changed, moved or taken out without
//! breaking the chain ([`chain`]). Whoever could write the topic could still rewrite it from some entry to its end, or cut
//! the end off; that shows against a head that was signed before and is kept elsewhere ([`head`]).
//!
//! An entry is durable before the deed it tells of has its effect.

pub mod chain;
pub mod entry;
pub mod head;
pub mod proof;

pub use chain::{Flaw, Tampering, Verifier, append, verify};
pub use entry::{Deed, Entry, Hash, Head, Outcome};
pub use head::{Pace, SignedHead};
pub use proof::{Proof, prove};

#[cfg(test)]
mod tests;
