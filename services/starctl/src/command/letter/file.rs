//! The file of letters: a header line, then one JSON line a letter, each sealed where there is a key.
//!
//! ```json
//! {"starbridge_export":1,"export":"0199…","selector":"state = open","count":2,"digest":"…","sealed":false}
//! ```
//!
//! The digest is BLAKE3, in hex, over the letters' lines as they are before they are sealed, each with its line feed. A
//! sealed line opens in its own place of its own file only.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use document::{Code, Fault};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use vault::{Envelope, Key, MasterKeys, Subject};

use crate::exit;
use crate::output::failure::Failure;
use crate::private_file;

/// The form that is written and read.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    starbridge_export: u32,
    /// Names the file.
    pub(super) export: String,
    /// The selector that chose the letters; empty when ids did.
    pub(super) selector: String,
    /// How many there are.
    pub(super) count: u64,
    /// See above.
    pub(super) digest: String,
    /// Whether lines are sealed.
    pub(super) sealed: bool,
}

/// What is wrong with a file.
pub(super) fn wrong(path: &Path, detail: impl Into<String>) -> Failure {
    Failure::of(Fault::new(Code::ExportFile, detail).in_file(path.display().to_string()), exit::INVALID)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::of(Fault::new(Code::CliPrivateFile, error.to_string()).in_file(path.display().to_string()), exit::OTHER)
}

/// The key in a file.
pub(super) fn key(path: &Path) -> Result<MasterKeys, Failure> {
    let at = |fault: Fault| Failure::of(fault.in_file(path.display().to_string()), exit::USAGE);
    let text =
        private_file::read(path)?.ok_or_else(|| at(Fault::new(Code::CliPrivateFile, "there is no such file")))?;
    let key = Key::from_hex(&SecretString::from(text)).map_err(at)?;
    Ok(MasterKeys::new(1, key))
}

fn subject(export: &str, line: u64) -> Subject<'_> {
    Subject { purpose: "dead letter export", name: export, version: line }
}

/// Writes a file, which is there once it is whole.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    lines: BufWriter<File>,
    beside: PathBuf,
    keys: Option<MasterKeys>,
    export: String,
    count: u64,
    digest: blake3::Hasher,
}

impl Writer {
    /// Begins a file at `path`, where none may be.
    pub(super) fn begin(path: &Path, keys: Option<MasterKeys>) -> Result<Self, Failure> {
        if path.exists() {
            let detail = "is there already";
            return Err(Failure::of(
                Fault::new(Code::CliUsage, detail).in_file(path.display().to_string()),
                exit::USAGE,
            ));
        }
        let export = uuid::Uuid::now_v7().to_string();
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{export}"));
        let beside = path.with_file_name(name);
        // The header is known last, so lines wait beside the file, sealed as they will be in it.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let file = file.map_err(|error| unwritable(&beside, &error))?;
        let digest = blake3::Hasher::new();
        Ok(Self { path: path.to_owned(), lines: BufWriter::new(file), beside, keys, export, count: 0, digest })
    }

    /// Adds a letter's line.
    pub(super) fn add(&mut self, line: &str) -> Result<(), Failure> {
        self.count += 1;
        self.digest.update(line.as_bytes()).update(b"\n");
        let sealed = self.keys.as_ref().map(|keys| {
            let envelope = keys.seal(&subject(&self.export, self.count), &SecretString::from(line), &mut rand::rng());
            serde_json::to_string(&envelope).expect("numbers and texts")
        });
        let text = sealed.as_deref().unwrap_or(line);
        writeln!(self.lines, "{text}").map_err(|error| unwritable(&self.beside, &error))
    }

    /// Puts the file in its place; gives its header.
    pub(super) fn finish(mut self, selector: &str) -> Result<Header, Failure> {
        let header = Header {
            starbridge_export: FORMAT,
            export: self.export.clone(),
            selector: selector.to_owned(),
            count: self.count,
            digest: self.digest.finalize().to_hex().to_string(),
            sealed: self.keys.is_some(),
        };
        let mut place = || -> io::Result<()> {
            self.lines.flush()?;
            let mut whole = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
            writeln!(whole, "{}", serde_json::to_string(&header).expect("numbers and texts"))?;
            io::copy(&mut File::open(&self.beside)?, &mut whole)?;
            whole.sync_all()
        };
        place().map_err(|error| unwritable(&self.path, &error))?;
        Ok(header)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What cannot be removed is sealed, or masked, and nobody else's to read; there is nobody left to tell.
        std::fs::remove_file(&self.beside).unwrap_or_default();
    }
}

/// A file as it was read.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) header: Header,
    /// The letters' lines, opened.
    pub(super) lines: Vec<String>,
    /// Whether the lines are those that the header tells of.
    pub(super) is_as_written: bool,
}

/// Reads a file whole.
pub(super) fn read(path: &Path, keys: Option<&MasterKeys>) -> Result<Contents, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| wrong(path, error.to_string()))?;
    let mut lines = text.lines();
    let header: Option<Header> = lines.next().and_then(|line| serde_json::from_str(line).ok());
    let header = header.ok_or_else(|| wrong(path, "its first line is no header of a file of letters"))?;
    if header.starbridge_export != FORMAT {
        let detail = format!("its form is {}, where {FORMAT} is known", header.starbridge_export);
        return Err(wrong(path, detail));
    }
    let lines: Vec<String> = match (header.sealed, keys) {
        (false, _) => lines.map(str::to_owned).collect(),
        (true, None) => return Err(Failure::usage(format!("{} is sealed: name its --key", path.display()))),
        (true, Some(keys)) => {
            let open = |(number, line): (u64, &str)| {
                let envelope: Option<Envelope> = serde_json::from_str(line).ok();
                let opened = envelope.and_then(|envelope| keys.open(&subject(&header.export, number), &envelope).ok());
                let detail =
                    || format!("line {} does not open: it was changed or moved, or the key is another one", number + 1);
                opened.map(|line| line.expose_secret().to_owned()).ok_or_else(|| wrong(path, detail()))
            };
            (1..).zip(lines).map(open).collect::<Result<_, _>>()?
        }
    };
    let mut digest = blake3::Hasher::new();
    for line in &lines {
        digest.update(line.as_bytes()).update(b"\n");
    }
    let same = digest.finalize().to_hex().as_str() == header.digest;
    let is_as_written = same && u64::try_from(lines.len()) == Ok(header.count);
    Ok(Contents { header, lines, is_as_written })
}

impl Contents {
    /// The header of the same lines unsealed.
    pub(super) fn plain(&self) -> String {
        let header = Header { sealed: false, ..self.header.clone() };
        serde_json::to_string(&header).expect("numbers and texts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(digit: &str) -> MasterKeys {
        MasterKeys::new(1, Key::from_hex(&SecretString::from(digit.repeat(64))).expect("a key"))
    }

    fn refused(path: &Path, keys: Option<&MasterKeys>) -> Code {
        let Failure::Fault { fault, .. } = read(path, keys).expect_err("refused") else { panic!("a fault") };
        fault.code
    }

    #[test]
    fn a_file_comes_back_as_it_was_written_and_a_changed_one_is_known() {
        let folder = tempfile::TempDir::new().expect("a scratch folder");
        let lines = [r#"{"id":"a","payload":{"FQty":1.50}}"#, r#"{"id":"b"}"#];
        for sealed in [false, true] {
            let path = folder.path().join(format!("letters-{sealed}"));
            let mut writer = Writer::begin(&path, sealed.then(|| keys("a"))).expect("begun");
            for line in lines {
                writer.add(line).expect("added");
            }
            let header = writer.finish("state = open").expect("whole");
            assert_eq!((header.count, header.sealed, header.selector.as_str()), (2, sealed, "state = open"));
            let text = std::fs::read_to_string(&path).expect("there");
            assert_eq!((text.lines().count(), text.contains("1.50")), (3, !sealed));
            let known = keys("a");
            let contents = read(&path, sealed.then_some(&known)).expect("read");
            assert!(contents.is_as_written && contents.lines == lines, "{contents:?}");
            assert!(Writer::begin(&path, None).is_err(), "a file is never written over");

            // Without its last line.
            let cut: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
            std::fs::write(&path, cut).expect("written");
            assert!(!read(&path, sealed.then_some(&known)).expect("read").is_as_written);
            if sealed {
                let turned: Vec<&str> = text.lines().collect();
                std::fs::write(&path, [turned[0], turned[2], turned[1], ""].join("\n")).expect("written");
                assert_eq!(refused(&path, Some(&known)), Code::ExportFile);
                std::fs::write(&path, &text).expect("written");
                assert_eq!(refused(&path, Some(&keys("b"))), Code::ExportFile);
                assert_eq!(refused(&path, None), Code::CliUsage);
            } else {
                std::fs::write(&path, text.replace("1.50", "1.5")).expect("written");
                assert!(!read(&path, None).expect("read").is_as_written);
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing is left beside");
        let other = folder.path().join("other");
        for text in
            ["", "{}", r#"{"starbridge_export":2,"export":"","selector":"","count":0,"digest":"","sealed":false}"#]
        {
            std::fs::write(&other, text).expect("written");
            assert_eq!(refused(&other, None), Code::ExportFile);
        }
    }
}
