//! The real broker, and what `queue` makes of it. One broker for all; names keep the tests apart.

mod child;
mod consumer;
mod faults;
mod fencing;
mod house;
mod log;
mod own;
mod price;
mod registry;
mod session;
mod tables;
mod transactions;
