//! The command line against a control plane that is played by the test, over real TLS on a free port.

mod access;
mod backfills;
mod bed;
mod connections;
mod contexts;
mod desk;
mod doctor;
mod errors;
mod flows;
mod help;
mod letters;
mod reconciliations;
mod replays;
mod schedules;
mod secrets;
mod terminal;
