//! Exit codes, the same for every command. Wrong usage is 2; the argument parser gives that one by itself.

/// Done.
pub(crate) const DONE: u8 = 0;
/// Some other failure.
pub(crate) const OTHER: u8 = 1;
/// A file that was named is not there.
pub(crate) const NOT_FOUND: u8 = 3;
/// Finished, but some records failed.
pub(crate) const SOME_FAILED: u8 = 6;
/// Validation or test failed.
pub(crate) const INVALID: u8 = 9;
