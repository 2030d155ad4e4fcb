//! Secrets come from files, and settings only name the file.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use document::Fault;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// The path of a file that holds one secret. The path may be shown, the content never is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretFile(pub PathBuf);

impl SecretFile {
    /// The secret, without line ends after it.
    ///
    /// # Errors
    /// A [`Fault`] with [`Code::SettingsSecretFile`](document::Code::SettingsSecretFile) at the file and the setting
    /// `key` (`$.redis.password_file`): see [`document::SecretFile::text`]. What every user may read is refused.
    pub fn read(&self, key: &str) -> Result<SecretString, Fault> {
        let path = self.0.as_path();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.permissions().mode(), file)));
        document::SecretFile { path, setting: key, allow_world_readable: false }.text(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Code;
    use secrecy::ExposeSecret;

    fn file(folder: &tempfile::TempDir, name: &str, mode: u32) -> SecretFile {
        let path = folder.path().join(name);
        std::fs::write(&path, "钥匙 1\r\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode set");
        SecretFile(path)
    }

    #[test]
    fn a_secret_is_read_through_the_links_of_a_mounted_one() {
        let folder = tempfile::tempdir().expect("folder");
        file(&folder, "..2026_01_01", 0o440);
        let link = folder.path().join("password");
        std::os::unix::fs::symlink("..2026_01_01", &link).expect("a link");
        assert_eq!(SecretFile(link).read("$.a").expect("read").expose_secret(), "钥匙 1");
    }

    #[test]
    fn missing_and_open_files_are_refused_where_they_are_named() {
        let folder = tempfile::tempdir().expect("folder");
        for file in [SecretFile(folder.path().join("none")), file(&folder, "open", 0o644)] {
            let fault = file.read("$.redis.password_file").expect_err("refused");
            assert_eq!(fault.code, Code::SettingsSecretFile);
            assert_eq!(fault.place.file, Some(file.0.display().to_string()));
            assert_eq!(fault.place.path.as_deref(), Some("$.redis.password_file"));
        }
    }
}
