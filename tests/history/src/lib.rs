//! Reads what a run left behind into a history that `history_checker` judges: the orders file, both systems through their
//! WebAPI, the request logs of both, and the bytes of the topics as the broker has them on disk. Shares no code and no
//! record types with the services.

pub mod command;
pub mod log;
pub mod orders;
pub mod partition;
pub mod positions;
pub mod report;
pub mod requests;
pub mod run;
pub mod segment;
pub mod topics;
pub mod webapi;
