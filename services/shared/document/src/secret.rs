//! What the file of a secret must be before its content is believed.
//!
//! Settings never hold a secret, they name its file. Whoever needs the secret opens the file; judging and reading what
//! was opened is done here, the same for Kafka, Redis and every connection.

use std::io::{self, Read};
use std::path::Path;

use secrecy::{SecretSlice, SecretString};

use crate::code::Code;
use crate::fault::Fault;

/// The file of a secret, as settings name it.
#[derive(Debug, Clone, Copy)]
pub struct SecretFile<'a> {
    /// Where it lies. May be a link, as those of a mounted Kubernetes secret are: what it leads to is judged.
    pub path: &'a Path,
    /// The setting that names it, such as `app_secret_file`.
    pub setting: &'a str,
    /// Whether the settings permit a file that every user of the machine may read.
    pub allow_world_readable: bool,
}

impl SecretFile<'_> {
    /// The secret in a file that was opened: its permission bits and what reads from it. Line ends at the end, which
    /// editors leave there, do not count.
    ///
    /// # Errors
    /// A [`Fault`] with [`Code::SettingsSecretFile`] at file and setting: it could not be opened or read, every user may
    /// read it (unless permitted) or write it, it is empty or not UTF-8.
    pub fn text(&self, opened: io::Result<(u32, impl Read)>) -> Result<SecretString, Fault> {
        let mut text = String::from_utf8(self.content(opened)?).map_err(|_| self.refused("is not UTF-8 text"))?;
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        if text.is_empty() {
            return Err(self.refused("is empty"));
        }
        Ok(text.into())
    }

    /// The same for a secret that need not be text; every byte counts.
    ///
    /// # Errors
    /// As [`SecretFile::text`], except that any bytes are taken.
    pub fn bytes(&self, opened: io::Result<(u32, impl Read)>) -> Result<SecretSlice<u8>, Fault> {
        let content = self.content(opened)?;
        if content.is_empty() {
            return Err(self.refused("is empty"));
        }
        Ok(content.into())
    }

    fn content(&self, opened: io::Result<(u32, impl Read)>) -> Result<Vec<u8>, Fault> {
        let unreadable = |error: io::Error| self.refused(&format!("cannot be read: {error}"));
        let (mode, mut file) = opened.map_err(unreadable)?;
        // The group may read: that is how a pod gets at a mounted secret that belongs to root (fsGroup, mode 0440).
        let (readable, writable) = (mode & 0o004 != 0, mode & 0o002 != 0);
        if writable || (readable && !self.allow_world_readable) {
            let deed = if writable { "written" } else { "read" };
            let hint = "take the permissions of others from it (chmod o-rwx; in a pod defaultMode: 0440 and fsGroup)";
            let way_out = if writable {
                hint.to_owned()
            } else {
                format!("{hint}, or set allow_world_readable_secrets where no other user is on the machine")
            };
            let detail = format!("can be {deed} by every user of the machine (mode {:04o})", mode & 0o7777);
            return Err(self.refused(&detail).hint(way_out));
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(unreadable)?;
        Ok(content)
    }

    fn refused(&self, detail: &str) -> Fault {
        Fault::new(Code::SettingsSecretFile, detail)
            .in_file(self.path.display().to_string())
            .at_path(self.setting)
            .hint("write the secret into the file that the setting names, and nothing else")
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn file(allow_world_readable: bool) -> SecretFile<'static> {
        SecretFile { path: Path::new("/run/secrets/app"), setting: "app_secret_file", allow_world_readable }
    }

    fn text(mode: u32, content: &[u8]) -> Result<String, Fault> {
        file(false).text(Ok((mode, content))).map(|secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn a_secret_is_read_without_its_line_end() {
        assert_eq!(text(0o100_600, "钥匙 1\r\n".as_bytes()).expect("read"), "钥匙 1");
        assert_eq!(text(0o100_400, b" kept \n\n").expect("read"), " kept ");
    }

    #[test]
    fn a_file_of_a_pod_is_read_and_one_open_to_everybody_is_not() {
        for mode in [0o400, 0o440, 0o600, 0o640, 0o660] {
            assert!(text(mode, b"hunter2").is_ok(), "{mode:o}");
        }
        for (mode, detail) in [
            (0o100_444, "can be read by every user of the machine (mode 0444)"),
            (0o100_644, "can be read by every user of the machine (mode 0644)"),
            (0o100_602, "can be written by every user of the machine (mode 0602)"),
            (0o100_666, "can be written by every user of the machine (mode 0666)"),
        ] {
            let fault = text(mode, b"hunter2").expect_err("refused");
            assert_eq!((fault.code, fault.detail.as_str()), (Code::SettingsSecretFile, detail));
            assert_eq!(fault.place.file.as_deref(), Some("/run/secrets/app"));
            assert_eq!(fault.place.path.as_deref(), Some("app_secret_file"));
            assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains("chmod o-rwx")), "{fault}");
            assert!(!fault.to_string().contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn settings_may_permit_reading_by_everybody_but_never_writing() {
        for mode in [0o444, 0o644] {
            assert!(file(true).text(Ok((mode, &b"hunter2"[..]))).is_ok(), "{mode:o}");
        }
        assert!(file(true).text(Ok((0o646, &b"hunter2"[..]))).is_err());
    }

    #[test]
    fn missing_empty_and_binary_files_are_refused() {
        let missing = file(false).text(Err::<(u32, &[u8]), _>(io::ErrorKind::NotFound.into())).expect_err("refused");
        assert_eq!(missing.detail, "cannot be read: entity not found");
        for (content, detail) in [(&b""[..], "is empty"), (b"\r\n", "is empty"), (b"\xff\xfe", "is not UTF-8 text")] {
            assert_eq!(text(0o600, content).expect_err("refused").detail, detail);
        }
    }

    #[test]
    fn bytes_are_taken_as_they_are() {
        let key = file(false).bytes(Ok((0o400, &b"\xff\n"[..]))).expect("read");
        assert_eq!(key.expose_secret(), b"\xff\n");
        assert_eq!(file(false).bytes(Ok((0o400, &b""[..]))).expect_err("refused").detail, "is empty");
    }
}
