//! Files that nobody else may read: contexts, tokens, keys.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use document::{Code, Fault};

use crate::exit;
use crate::output::failure::Failure;

/// The text of a file; nothing where there is no file. A file that others may read or write is refused.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Failure> {
    let refuse = |detail: String| {
        Failure::of(Fault::new(Code::CliPrivateFile, detail).in_file(path.display().to_string()), exit::USAGE)
    };
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refuse(error.to_string())),
    };
    if mode & 0o077 != 0 {
        return Err(refuse(format!("its mode is {mode:04o}; others may read or change it")));
    }
    fs::read_to_string(path).map(Some).map_err(|error| refuse(error.to_string()))
}

/// Writes a file that only its owner may read, whole or not at all. Makes its folder where there is none.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let attempt = || -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let fresh = folder.join(format!(".{}", uuid::Uuid::new_v4()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.and_then(|()| fs::rename(&fresh, path)).inspect_err(|_| {
            // What could not be put in place must not stay beside it; that it went wrong is told either way.
            fs::remove_file(&fresh).unwrap_or_default();
        })
    };
    attempt().map_err(|error| {
        Failure::of(
            Fault::new(Code::CliPrivateFile, error.to_string()).in_file(path.display().to_string()),
            exit::OTHER,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_the_owners_alone() {
        let folder = tempfile::TempDir::new().expect("a scratch folder");
        let path = folder.path().join("a/b/token");
        write(&path, "one").expect("written");
        write(&path, "two").expect("written again");
        assert_eq!(read(&path).expect("readable"), Some("two".to_owned()));
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path().join("a"))), (0o600, 0o700));
        assert_eq!(fs::read_dir(folder.path().join("a/b")).expect("a folder").count(), 1);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_by_name() {
        let folder = tempfile::TempDir::new().expect("a scratch folder");
        let path = folder.path().join("token");
        write(&path, "secret-text").expect("written");
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            let failure = read(&path).expect_err("refused");
            let Failure::Fault { fault, exit } = &failure else { panic!("{failure}") };
            assert_eq!((fault.code, *exit), (Code::CliPrivateFile, exit::USAGE));
            assert!(fault.to_string().contains("token") && !fault.to_string().contains("secret-text"), "{fault}");
        }
        assert_eq!(read(&folder.path().join("none")).expect("no file is no fault"), None);
    }
}
