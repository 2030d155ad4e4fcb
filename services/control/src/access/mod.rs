//! Who may do what.
//!
//! A caller is known by a signed token ([`token`]) or a client certificate, and may do what a role of theirs grants where
//! the role holds ([`permission`]). What nobody granted is denied. [`policy`] says for every call of the interface which
//! permission it needs and what is audited.
//!
//! The first administrator comes from a credential that serves once ([`bootstrap`]), and whoever fails to sign in too often
//! waits ([`lockout`]).
//!
//! Nothing here does I/O: time, randomness and keys are arguments.

pub mod bootstrap;
pub mod keys;
pub mod lockout;
pub mod permission;
pub mod policy;
pub mod principal;
pub mod revocation;
pub mod role;
pub mod scope;
pub mod token;
pub(crate) mod words;

pub use bootstrap::Bootstrap;
pub use keys::{KeyRing, PublicKey, SigningKey};
pub use lockout::Lockout;
pub use permission::{Binding, Decision, admit, decide, decide_anywhere};
pub use principal::{Credential, Principal};
pub use revocation::Revocations;
pub use role::{Object, Role, Verb};
pub use scope::{Pattern, Scope};
pub use token::Denial;
