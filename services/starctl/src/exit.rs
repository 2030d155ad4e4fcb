//! Exit codes, the same for every command.

/// Done.
pub(crate) const DONE: u8 = 0;
/// Some other failure.
pub(crate) const OTHER: u8 = 1;
/// Wrong arguments or settings, or a confirmation that was not given. The argument parser gives it by itself.
pub(crate) const USAGE: u8 = 2;
/// What was named is not there.
pub(crate) const NOT_FOUND: u8 = 3;
/// Not signed in, or not allowed.
pub(crate) const DENIED: u8 = 4;
/// Something is not in the state that the request needs.
pub(crate) const CONFLICT: u8 = 5;
/// Finished, but some records failed.
pub(crate) const SOME_FAILED: u8 = 6;
/// Not reached, or no answer in time; a change may or may not have happened.
pub(crate) const UNREACHABLE: u8 = 7;
/// Too many requests.
pub(crate) const LIMITED: u8 = 8;
/// Validation or test failed.
pub(crate) const INVALID: u8 = 9;
/// Interrupted; what was started goes on.
pub(crate) const INTERRUPTED: u8 = 130;
