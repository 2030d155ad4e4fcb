//! The core in a small world: what each kind of reply leads to, and what survives crashes.

mod breakers;
mod crashes;
mod ends;
mod erp;
mod guard;
mod lanes;
mod numbers;
mod quota;
mod random;
mod refusals;
mod replays;
mod saves;
mod searches;
mod steps;
mod waits;
mod watched;
mod world;
