//! Keys of the installation, and what they seal.

mod key;

pub use key::Key;
