//! Signed heads as a person keeps them: one JSON line each. Nothing in them is secret.

use std::fs;
use std::io;
use std::path::Path;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use chrono::DateTime;
use document::{Code, Fault};
use prost_types::Timestamp;
use serde_json::Value;
use starbridge_proto::v1::SignedHead;

use crate::exit;
use crate::message;
use crate::output::failure::Failure;

/// The trail is not what was signed.
pub(super) fn tampered(seq: u64, why: &str) -> Failure {
    Failure::of(Fault::new(Code::AuditTampered, why).of_record(format!("audit entry {seq}")), exit::INVALID)
}

fn unusable(path: &Path, why: impl Into<String>) -> Failure {
    Failure::of(Fault::new(Code::CliUsage, why).in_file(path.display().to_string()), exit::USAGE)
}

/// The public keys of a file: whatever words of it are 64 hex digits, so that any form in which they were printed serves.
pub(super) fn keys(path: &Path) -> Result<Vec<[u8; 32]>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| unusable(path, error.to_string()))?;
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let keys: Vec<[u8; 32]> = words.filter_map(|word| hex::decode(word).ok()?.try_into().ok()).collect();
    if keys.is_empty() { Err(unusable(path, "holds no public key: 64 hex digits")) } else { Ok(keys) }
}

/// Whether one of `keys` has signed the head.
pub(super) fn is_signed(head: &SignedHead, keys: &[[u8; 32]]) -> bool {
    let Some(at) = &head.signed_at else { return false };
    let millis = at.seconds * 1000 + i64::from(at.nanos) / 1_000_000;
    let text = format!("starbridge audit head v1\n{}\n{}\n{millis}\n{}\n", head.seq, head.hash, head.key_id);
    let Ok(signature) = hex::decode(&head.signature) else { return false };
    keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature).is_ok())
}

/// The heads of a file; none where there is no file yet.
pub(super) fn kept(path: &Path) -> Result<Vec<SignedHead>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unusable(path, error.to_string())),
    };
    let read = |(number, line): (usize, &str)| {
        head(line).ok_or_else(|| unusable(path, format!("line {} is no signed head", number + 1)))
    };
    text.lines().enumerate().map(read).collect()
}

fn head(line: &str) -> Option<SignedHead> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let at = DateTime::parse_from_rfc3339(value["signed_at"].as_str()?).ok()?;
    let nanos = i32::try_from(at.timestamp_subsec_nanos()).ok()?;
    Some(SignedHead {
        seq: value["seq"].as_u64()?,
        hash: text("hash")?,
        signed_at: Some(Timestamp { seconds: at.timestamp(), nanos }),
        key_id: text("key_id")?,
        signature: text("signature")?,
    })
}

/// Writes the heads.
pub(super) fn keep(path: &Path, heads: &[SignedHead]) -> Result<(), Failure> {
    let lines: String = heads.iter().map(|head| format!("{}\n", message::value("SignedHead", head))).collect();
    fs::write(path, lines).map_err(|error| unusable(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The private key of RFC 8032, section 7.1, test 1, has signed the head; this is its public half.
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn signed() -> SignedHead {
        use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").expect("hex");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed");
        assert_eq!(hex::encode(pair.public_key().as_ref()), PUBLIC);
        let (hash, key_id) = ("ab".repeat(32), "0011223344556677".to_owned());
        let text = format!("starbridge audit head v1\n7\n{hash}\n1767225600123\n{key_id}\n");
        let signature = hex::encode(pair.sign(text.as_bytes()).as_ref());
        let signed_at = Some(Timestamp { seconds: 1_767_225_600, nanos: 123_000_000 });
        SignedHead { seq: 7, hash, signed_at, key_id, signature }
    }

    #[test]
    fn a_signature_is_checked_by_the_keys_of_the_file_alone() {
        let folder = tempfile::TempDir::new().expect("a scratch folder");
        let file = folder.path().join("keys");
        fs::write(&file, format!("id  public key\nab  {PUBLIC}  yes\n")).expect("written");
        let keys = keys(&file).expect("a key");
        assert!(is_signed(&signed(), &keys));
        assert!(!is_signed(&SignedHead { seq: 8, ..signed() }, &keys));
        assert!(!is_signed(&SignedHead { signed_at: None, ..signed() }, &keys));
        assert!(!is_signed(&signed(), &[[7; 32]]));
        fs::write(&file, "nothing").expect("written");
        let Failure::Fault { fault, exit } = super::keys(&file).expect_err("no key") else { panic!("a fault") };
        assert_eq!((fault.code, exit), (Code::CliUsage, exit::USAGE));
    }

    #[test]
    fn heads_survive_their_file_and_a_line_that_is_none_is_named() {
        let folder = tempfile::TempDir::new().expect("a scratch folder");
        let file = folder.path().join("heads");
        assert_eq!(kept(&file).expect("none yet"), []);
        keep(&file, &[signed(), signed()]).expect("written");
        assert_eq!(kept(&file).expect("read"), [signed(), signed()]);
        fs::write(&file, "{}\n").expect("written");
        let Failure::Fault { fault, .. } = kept(&file).expect_err("no head") else { panic!("a fault") };
        assert!(fault.to_string().contains("line 1"), "{fault}");
    }
}
