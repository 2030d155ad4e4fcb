//! The simulator as its clients and its drivers meet it, over HTTP.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod admin;
mod faults;
mod filters;
mod harness;
mod limit;
mod logins;
mod orders;
mod process;
mod query;
mod save;
mod signature;
mod switches;
mod workflow;
