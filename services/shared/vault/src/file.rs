//! Sealed secrets in files, and the folder of the master keys that open them.
//!
//! ```json
//! {"starbridge_secret":1,"name":"galaxy-b","version":3,"envelope":{"v":1,"master":2,"wrapped":"…","sealed":"…"}}
//! ```
//!
//! Such a file may lie where the secret itself could: whoever reads it and not the folder of master keys has nothing. In
//! that folder each file is a key, named by its version (`1`, `2`); the highest one seals. So a master key is replaced while
//! everything runs: its successor is put beside it, the files are wrapped anew, and then it is taken away.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use document::{Code, Fault, SecretFile};
use rand::CryptoRng;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::envelope::{Envelope, Subject};
use super::key::Key;
use super::master::MasterKeys;

/// The form that is written and read.
const FORM: u8 = 1;
/// What such a secret is for.
const PURPOSE: &str = "connection secret";

/// A sealed secret as its file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedFile {
    starbridge_secret: u8,
    /// The connection it is for.
    pub name: String,
    /// Its own version, counted from 1.
    pub version: u64,
    envelope: Envelope,
}

impl SealedFile {
    /// Seals the secret of a connection.
    pub fn seal(name: &str, version: u64, secret: &SecretString, keys: &MasterKeys, rng: &mut impl CryptoRng) -> Self {
        let envelope = keys.seal(&Subject { purpose: PURPOSE, name, version }, secret, rng);
        Self { starbridge_secret: FORM, name: name.to_owned(), version, envelope }
    }

    /// Reads the text of a secret's file; `None` when it is the secret itself.
    ///
    /// # Errors
    /// `E_SEALED_SECRET` when it is a sealed one that does not read.
    pub fn read(text: &str) -> Result<Option<Self>, Fault> {
        if !text.trim_start().starts_with("{\"starbridge_secret\"") {
            return Ok(None);
        }
        match serde_json::from_str::<Self>(text) {
            Ok(file) if file.starbridge_secret == FORM => Ok(Some(file)),
            Ok(file) => Err(unopened(format!("form {} where {FORM} is known", file.starbridge_secret))),
            Err(error) => Err(unopened(error.to_string())),
        }
    }

    /// The secret, for this connection and no other.
    ///
    /// # Errors
    /// `E_SEALED_SECRET` when it is another connection's or was changed, `E_MASTER_KEY` when its key is not there.
    pub fn open(&self, name: &str, keys: &MasterKeys) -> Result<SecretString, Fault> {
        if self.name != name {
            return Err(unopened(format!("it is sealed for connection {}", self.name)));
        }
        Ok(keys.open(&self.subject(), &self.envelope)?)
    }

    /// The same wrapped by the key that seals; `None` when it is already.
    ///
    /// # Errors
    /// As [`SealedFile::open`].
    pub fn rewrap(&self, keys: &MasterKeys, rng: &mut impl CryptoRng) -> Result<Option<Self>, Fault> {
        let envelope = keys.rewrap(&self.subject(), &self.envelope, rng)?;
        Ok(envelope.map(|envelope| Self { envelope, ..self.clone() }))
    }

    /// The version of the master key that wraps it.
    pub fn master(&self) -> u32 {
        self.envelope.master
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers") + "\n"
    }

    fn subject(&self) -> Subject<'_> {
        Subject { purpose: PURPOSE, name: &self.name, version: self.version }
    }
}

fn unopened(detail: String) -> Fault {
    Fault::new(Code::SealedSecret, detail)
}

/// The versions of the master keys in a folder, the lowest first. What begins with a dot is no key: mounted secrets have
/// such links beside them.
///
/// # Errors
/// `E_MASTER_KEY` at the folder when it cannot be read, and at a file whose name is no version.
pub fn versions(folder: &Path) -> Result<Vec<u32>, Fault> {
    let at = |detail: String| Fault::new(Code::MasterKey, detail).in_file(folder.display().to_string());
    let mut versions = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| at(error.to_string()))? {
        let name = entry.map_err(|error| at(error.to_string()))?.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        match name.parse() {
            Ok(version @ 1..) if version.to_string() == name => versions.push(version),
            _ => return Err(at(format!("{name} is no version of a master key: 1, 2 and so on are"))),
        }
    }
    versions.sort_unstable();
    Ok(versions)
}

/// The master keys in a folder; the one of the highest version seals.
///
/// # Errors
/// `E_MASTER_KEY` when there is none, or as [`versions`]; `E_SETTINGS_SECRET_FILE` and `E_KEY_FILE` at a file that others
/// may read or that holds no key.
pub fn master_keys(folder: &Path) -> Result<MasterKeys, Fault> {
    let mut keys: Option<MasterKeys> = None;
    for version in versions(folder)? {
        let path = folder.join(version.to_string());
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.permissions().mode(), file)));
        let file = SecretFile { path: &path, setting: "master_keys", allow_world_readable: false };
        let key = Key::from_hex(&file.text(opened)?).map_err(|fault| fault.in_file(path.display().to_string()))?;
        match &mut keys {
            None => keys = Some(MasterKeys::new(version, key)),
            Some(keys) => {
                keys.add(version, key)?;
                keys.seal_with(version)?;
            }
        }
    }
    keys.ok_or_else(|| {
        let fault = Fault::new(Code::MasterKey, "there is no master key in it");
        fault.in_file(folder.display().to_string()).hint("make one with: starctl secret key FOLDER")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt as _;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn put(folder: &Path, name: &str, text: &str, mode: u32) {
        use std::io::Write as _;
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(folder.join(name));
        file.expect("opened").write_all(text.as_bytes()).expect("written");
    }

    fn key(seed: u64) -> String {
        Key::generate(&mut StdRng::seed_from_u64(seed)).to_hex().expose_secret().to_owned()
    }

    #[test]
    fn a_master_key_is_replaced_and_every_secret_opens_in_between() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let mut rng = StdRng::seed_from_u64(7);
        put(folder.path(), "1", &key(1), 0o400);
        let first = master_keys(folder.path()).expect("keys");
        let sealed = SealedFile::seal("galaxy-b", 3, &SecretString::from("hunter2"), &first, &mut rng);
        let text = sealed.to_text();
        assert!(!text.contains("hunter2"), "{text}");
        let sealed = SealedFile::read(&text).expect("reads").expect("sealed");
        assert_eq!((sealed.version, sealed.master()), (3, 1));
        let opened = |file: &SealedFile, keys: &MasterKeys| {
            file.open("galaxy-b", keys).map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(opened(&sealed, &first), Ok("hunter2".to_owned()));

        put(folder.path(), "2", &key(2), 0o400);
        put(folder.path(), "..data", "a link of a mount", 0o644);
        let both = master_keys(folder.path()).expect("keys");
        assert_eq!(opened(&sealed, &both), Ok("hunter2".to_owned()));
        let again = sealed.rewrap(&both, &mut rng).expect("opens").expect("another key");
        assert_eq!((again.master(), opened(&again, &both)), (2, Ok("hunter2".to_owned())));
        assert_eq!(again.rewrap(&both, &mut rng), Ok(None));

        fs::remove_file(folder.path().join("1")).expect("removed");
        let second = master_keys(folder.path()).expect("keys");
        assert_eq!(opened(&again, &second), Ok("hunter2".to_owned()));
        assert_eq!(opened(&sealed, &second).expect_err("gone").code, Code::MasterKey);
    }

    #[test]
    fn a_sealed_secret_opens_for_its_own_connection_and_as_it_was_sealed() {
        let mut rng = StdRng::seed_from_u64(7);
        let keys = MasterKeys::new(1, Key::from_hex(&SecretString::from(key(1))).expect("a key"));
        let sealed = SealedFile::seal("galaxy-b", 1, &SecretString::from("hunter2"), &keys, &mut rng);
        let fault = sealed.open("galaxy-a", &keys).expect_err("another's");
        assert_eq!((fault.code, fault.detail.as_str()), (Code::SealedSecret, "it is sealed for connection galaxy-b"));
        for other in
            [SealedFile { name: "galaxy-a".to_owned(), ..sealed.clone() }, SealedFile { version: 2, ..sealed.clone() }]
        {
            assert_eq!(other.open(&other.name, &keys).expect_err("changed").code, Code::SealedSecret);
        }
        assert_eq!(SealedFile::read("hunter2"), Ok(None));
        assert_eq!(SealedFile::read("{\"a\": 1}"), Ok(None), "a secret may look like anything");
        for bad in
            ["{\"starbridge_secret\":1}", "{\"starbridge_secret\"", &sealed.to_text().replace(":1,\"name", ":9,\"name")]
        {
            assert_eq!(SealedFile::read(bad).expect_err("unreadable").code, Code::SealedSecret, "{bad}");
        }
    }

    #[test]
    fn what_is_no_folder_of_keys_is_named() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let code = |path: &Path| master_keys(path).expect_err("refused").code;
        assert_eq!(code(&folder.path().join("missing")), Code::MasterKey);
        assert_eq!(code(folder.path()), Code::MasterKey);
        put(folder.path(), "1", &key(1), 0o644);
        let fault = master_keys(folder.path()).expect_err("for all to read");
        assert_eq!(fault.code, Code::SettingsSecretFile);
        fs::remove_file(folder.path().join("1")).expect("removed");
        put(folder.path(), "1", "no key", 0o400);
        let fault = master_keys(folder.path()).expect_err("no key");
        assert_eq!(fault.code, Code::KeyFile);
        assert!(fault.place.file.is_some_and(|file| file.ends_with("/1")));
        for name in ["old", "01", "0"] {
            put(folder.path(), name, &key(1), 0o400);
            assert_eq!(code(folder.path()), Code::MasterKey, "{name}");
            fs::remove_file(folder.path().join(name)).expect("removed");
        }
    }
}
