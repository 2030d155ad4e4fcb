//! `starctl secret`: the secrets of connections at rest. Offline; what is sealed is never shown.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use document::{Code, Fault};
use secrecy::{ExposeSecret as _, SecretString};
use vault::file::{self, SealedFile};
use vault::{Key, MasterKeys};

use crate::cli::secret::SecretCommand;
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::private_file;

/// Bytes of a secret at most: more is a mistake.
const LARGEST: u64 = 64 * 1024;

pub(super) fn run(command: &SecretCommand, output: &Output) -> Result<u8, Failure> {
    match command {
        SecretCommand::Key { folder } => key(folder, output),
        SecretCommand::Seal { keys, connection, file } => seal(keys, connection, file, output),
        SecretCommand::Rewrap { keys, files } => {
            let keys = master_keys(keys)?;
            for path in files {
                let sealed = sealed(path)?;
                let name = path.display();
                match sealed.rewrap(&keys, &mut rand::rng()).map_err(|fault| at(path, fault))? {
                    Some(again) => {
                        private_file::write(path, &again.to_text())?;
                        let (from, to) = (sealed.master(), again.master());
                        output.line(&output.pick(
                            format!("{name}: master key {from} -> {to}"),
                            format!("{name}：主密钥 {from} -> {to}"),
                        ))?;
                    }
                    None => output.line(&output.pick(
                        format!("{name}: master key {} as before", sealed.master()),
                        format!("{name}：主密钥仍为 {}", sealed.master()),
                    ))?,
                }
            }
            Ok(exit::DONE)
        }
        SecretCommand::Retire { keys, version, files } => retire(keys, *version, files, output),
    }
}

fn key(folder: &Path, output: &Output) -> Result<u8, Failure> {
    let last = if folder.exists() { file::versions(folder).map_err(invalid)?.pop().unwrap_or(0) } else { 0 };
    let version = last + 1;
    let key = Key::generate(&mut rand::rng()).to_hex();
    private_file::write(&folder.join(version.to_string()), &format!("{}\n", key.expose_secret()))?;
    output.line(&output.pick(format!("master key {version} seals from now on"), format!("主密钥 {version} 已启用")))?;
    Ok(exit::DONE)
}

fn seal(keys: &Path, connection: &str, path: &Path, output: &Output) -> Result<u8, Failure> {
    let keys = master_keys(keys)?;
    let version = match path.exists() {
        true => sealed(path)?.version + 1,
        false => 1,
    };
    let secret = from_stdin()?;
    let sealed = write(path, connection, version, &secret, &keys)?;
    output.line(&output.pick(
        format!("{}: version {version} for connection {connection}, master key {}", path.display(), sealed.master()),
        format!("{}：连接 {connection} 的第 {version} 版，主密钥 {}", path.display(), sealed.master()),
    ))?;
    Ok(exit::DONE)
}

/// Seals a secret into a file.
pub(super) fn write(
    path: &Path,
    connection: &str,
    version: u64,
    secret: &SecretString,
    keys: &MasterKeys,
) -> Result<SealedFile, Failure> {
    let sealed = SealedFile::seal(connection, version, secret, keys, &mut rand::rng());
    private_file::write(path, &sealed.to_text())?;
    Ok(sealed)
}

/// The secret on standard input.
pub(super) fn from_stdin() -> Result<SecretString, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(LARGEST + 1).read_to_string(&mut text);
    read.map_err(|error| no_secret("stdin", &error.to_string()))?;
    a_secret("stdin", text)
}

/// A secret as it was read from somewhere, without its line break.
pub(super) fn a_secret(place: &str, mut text: String) -> Result<SecretString, Failure> {
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() || text.len() as u64 > LARGEST {
        return Err(no_secret(place, "holds no secret: nothing, or more than 64 KiB"));
    }
    Ok(SecretString::from(text))
}

fn no_secret(place: &str, detail: &str) -> Failure {
    Failure::of(Fault::new(Code::CliUsage, detail).at_path(place), exit::USAGE)
}

fn retire(folder: &Path, version: u32, files: &[std::path::PathBuf], output: &Output) -> Result<u8, Failure> {
    let versions = file::versions(folder).map_err(invalid)?;
    let refuse = |detail: String| Err(invalid(Fault::new(Code::MasterKey, detail)));
    if !versions.contains(&version) {
        return refuse(format!("there is no master key of version {version}"));
    }
    if versions.last() == Some(&version) {
        return refuse(format!("master key {version} seals; make its successor first"));
    }
    for path in files {
        if sealed(path)?.master() == version {
            return refuse(format!("master key {version} wraps {}; rewrap it first", path.display()));
        }
    }
    let path = folder.join(version.to_string());
    fs::remove_file(&path).map_err(|error| at(&path, Fault::new(Code::CliPrivateFile, error.to_string())))?;
    output.line(&output.pick(format!("master key {version} is gone"), format!("主密钥 {version} 已停用")))?;
    Ok(exit::DONE)
}

pub(super) fn master_keys(folder: &Path) -> Result<MasterKeys, Failure> {
    file::master_keys(folder).map_err(invalid)
}

/// The sealed secret in a file.
pub(super) fn sealed(path: &Path) -> Result<SealedFile, Failure> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| at(path, Fault::new(Code::CliPrivateFile, error.to_string())))?;
    let plain = || Fault::new(Code::SealedSecret, "it holds no sealed secret");
    SealedFile::read(&text).and_then(|found| found.ok_or_else(plain)).map_err(|fault| at(path, fault))
}

fn invalid(fault: Fault) -> Failure {
    Failure::of(fault, exit::INVALID)
}

pub(super) fn at(path: &Path, fault: Fault) -> Failure {
    invalid(fault.in_file(path.display().to_string()))
}
