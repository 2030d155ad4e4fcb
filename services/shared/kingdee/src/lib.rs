//! The K3Cloud (Kingdee Cloud Galaxy) WebAPI on the wire.
//!
//! A [`Client`] speaks to one account of one server: it signs or logs in, queries, saves and runs the workflow
//! operations. What a reply means is decided by pure functions over its status and bytes ([`query`], [`reply`],
//! [`operations`]), because the hard part of this protocol is not sending a call but knowing what happened after it:
//! errors arrive with status 200, a lost session looks like a refused password, and a batch may be saved in part.
//!
//! The client never repeats a write and never waits out a failure. A read may be repeated by the caller; the one call
//! the client repeats by itself is a read that came back with a lost session, once, after a new login.
//!
//! Calls lead only to servers that the deployment lists, and to addresses that are looked at before each connection
//! ([`outbound`]); nothing is redirected, no proxy is asked, no reply is read beyond its limits of size, depth and time.
//!
//! Every text that goes into a `FilterString` is written by [`filter`], the only escaping writer.

pub mod business;
pub mod client;
mod duration;
pub mod error;
pub mod filter;
pub mod form;
mod json;
mod keeper;
pub mod login;
pub mod operations;
pub mod outbound;
pub mod query;
pub mod reach;
pub mod reply;
mod resolve;
pub mod session;
pub mod settings;
pub mod sign;
pub mod status;
mod wire;

pub use business::BusinessError;
pub use client::Client;
pub use error::{Class, Error};
pub use form::Form;
pub use operations::{Extra, Operation, OperationOutcome, OperationReply, Selection};
pub use outbound::Outbound;
pub use query::{BillPage, BillQuery};
pub use reply::{DocumentOutcome, SaveReply, UnknownReason};
pub use session::{HeldSession, LoginTurn, MemorySessions, NoLimit, Permits, SessionCache};
pub use settings::{LoginMode, Settings};
