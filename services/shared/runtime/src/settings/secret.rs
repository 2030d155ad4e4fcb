//! Secrets come from files, and settings only name the file.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use document::{Code, Fault};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// The path of a file that holds one secret. The path may be shown, the content never is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretFile(pub PathBuf);

impl SecretFile {
    /// The secret, without line ends after it. See [`read_secret`].
    ///
    /// # Errors
    /// A [`Fault`] with [`Code::SettingsSecretFile`] at the file and the setting `key` (`$.redis.password_file`).
    pub fn read(&self, key: &str) -> Result<SecretString, Fault> {
        read_secret(&self.0).map_err(|fault| fault.at_path(key))
    }
}

/// Reads the secret in `path`, without line ends after it.
///
/// # Errors
/// A [`Fault`] with [`Code::SettingsSecretFile`] at the file, when it is missing, empty, not UTF-8, or readable by
/// users other than its owner and group.
pub fn read_secret(path: &Path) -> Result<SecretString, Fault> {
    let refused = |detail: String| {
        Fault::new(Code::SettingsSecretFile, detail)
            .in_file(path.display().to_string())
            .hint("write the secret into the file and take read permission from others: chmod o-rwx")
    };
    let metadata = std::fs::metadata(path).map_err(|error| refused(format!("cannot be read: {}", error.kind())))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(refused(format!("is open to every user of the machine (mode {mode:03o})")));
    }
    let bytes = std::fs::read(path).map_err(|error| refused(format!("cannot be read: {}", error.kind())))?;
    let text = String::from_utf8(bytes).map_err(|_| refused("is not UTF-8 text".to_owned()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(refused("is empty".to_owned())),
        secret => Ok(SecretString::from(secret.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn file(folder: &tempfile::TempDir, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode set");
        path
    }

    #[test]
    fn a_secret_is_read_without_its_line_end() {
        let folder = tempfile::tempdir().expect("folder");
        let path = file(&folder, "secret", "钥匙 1\r\n".as_bytes(), 0o440);
        assert_eq!(read_secret(&path).expect("read").expose_secret(), "钥匙 1");
    }

    #[test]
    fn missing_empty_open_and_binary_files_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let cases = [
            (folder.path().join("none"), "cannot be read: entity not found"),
            (file(&folder, "empty", b"\n", 0o600), "is empty"),
            (file(&folder, "open", b"hunter2", 0o644), "is open to every user of the machine (mode 644)"),
            (file(&folder, "binary", b"\xff\xfe", 0o600), "is not UTF-8 text"),
        ];
        for (path, detail) in cases {
            let fault = SecretFile(path.clone()).read("$.redis.password_file").expect_err("refused");
            assert_eq!(fault.code, Code::SettingsSecretFile);
            assert_eq!(fault.place.file, Some(path.display().to_string()));
            assert_eq!(fault.place.path.as_deref(), Some("$.redis.password_file"));
            assert_eq!(fault.detail, detail);
        }
    }
}
