//! Secrets come from files; `document::secret` judges them.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use document::{Fault, SecretFile};
use secrecy::{SecretSlice, SecretString};

fn opened(path: &Path) -> io::Result<(u32, File)> {
    File::open(path).and_then(|file| Ok((file.metadata()?.permissions().mode(), file)))
}

/// The secret in the file that `setting` names.
///
/// # Errors
/// As [`SecretFile::text`].
pub fn text(path: &Path, setting: &str) -> Result<SecretString, Fault> {
    SecretFile { path, setting, allow_world_readable: false }.text(opened(path))
}

/// The bytes of a secret that need not be text.
///
/// # Errors
/// As [`SecretFile::bytes`].
pub fn bytes(path: &Path, setting: &str) -> Result<SecretSlice<u8>, Fault> {
    SecretFile { path, setting, allow_world_readable: false }.bytes(opened(path))
}
