//! The server's side of the signed-request mode (kingdee-webapi.md §3).

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::options::SignedPath;

/// The mask under the second part of an application id.
const MASK: &[u8; 32] = b"0054f397c6234378b09ca7d3e5debce7";
/// What the SDK leaves as it is.
const SDK_KEEPS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');
/// What form-style encoding leaves as it is; blanks become `+` afterwards.
const FORM_KEEPS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'*').remove(b' ');
/// Locales that a client may name.
const LOCALES: [&str; 3] = ["2052", "1033", "3076"];
/// Seconds by which a client's clock may differ.
const TOLERANCE: i64 = 86_400;

/// Who may call.
#[derive(Clone)]
pub struct Credentials {
    /// Data centre.
    pub acct_id: String,
    /// User.
    pub user: String,
    /// Application id.
    pub app_id: String,
    /// Application secret.
    pub app_secret: String,
    /// Password, where the password login is open.
    pub password: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("acct_id", &self.acct_id).field("user", &self.user).finish_non_exhaustive()
    }
}

/// What the signature of a request is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is none.
    Absent,
    /// It is right.
    Good,
    /// It is wrong, or names a wrong user, application, locale or time.
    Bad,
    /// It names an account that does not exist.
    UnknownAccount,
}

/// Judges a request to `path`, the path exactly as it came. `now` is the machine's time, not the simulated one.
pub fn judge(
    credentials: &Credentials,
    headers: &HeaderMap,
    path: &str,
    accepted: SignedPath,
    now: DateTime<Utc>,
) -> Verdict {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (app_data, signature) = (header("x-kd-appdata"), header("x-api-signature"));
    if app_data.is_empty() && signature.is_empty() {
        return Verdict::Absent;
    }
    let Some(identity) = STANDARD.decode(app_data).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return Verdict::Bad;
    };
    let parts: Vec<&str> = identity.split(',').collect();
    let [account, user @ .., locale, _organisation] = parts.as_slice() else { return Verdict::Bad };
    if *account != credentials.acct_id {
        return Verdict::UnknownAccount;
    }
    let known = user.join(",") == credentials.user
        && LOCALES.contains(locale)
        && header("x-kd-appkey") == credentials.app_id
        && header("x-api-clientid") == client_id(&credentials.app_id);
    let application = sign(credentials.app_secret.as_bytes(), &format!("{}{identity}", credentials.app_id));
    let (timestamp, nonce) = (header("x-api-timestamp"), header("x-api-nonce"));
    let request = || {
        let paths = signed_paths(path, accepted);
        let messages = paths.iter().flat_map(|path| {
            [("x-api-nonce", "x-api-timestamp"), ("X-Api-Nonce", "X-Api-TimeStamp")].map(|(nonce_name, time_name)| {
                format!("POST\n{path}\n\n{nonce_name}:{nonce}\n{time_name}:{timestamp}\n")
            })
        });
        let keys = client_secrets(&credentials.app_id);
        messages.into_iter().any(|message| keys.iter().any(|key| sign(key.as_bytes(), &message) == signature))
    };
    let good = known && is_fresh(timestamp, now) && header("x-kd-signature") == application && request();
    if good { Verdict::Good } else { Verdict::Bad }
}

/// The text that a login by signature must carry: SHA-256 over the parts in byte order.
pub fn login_sign(credentials: &Credentials, timestamp: &str) -> String {
    let parts: BTreeSet<(&str, u8)> = [
        credentials.acct_id.as_str(),
        credentials.user.as_str(),
        credentials.app_id.as_str(),
        credentials.app_secret.as_str(),
        timestamp,
    ]
    .into_iter()
    .zip(0..)
    .collect();
    let text: String = parts.into_iter().map(|(part, _)| part).collect();
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Whether a timestamp, in seconds or milliseconds, is within a day of `now`.
pub fn is_fresh(timestamp: &str, now: DateTime<Utc>) -> bool {
    let Ok(number) = timestamp.parse::<i64>() else { return false };
    let seconds = if number > 100_000_000_000 { number / 1_000 } else { number };
    (seconds - now.timestamp()).abs() <= TOLERANCE
}

fn client_id(app_id: &str) -> &str {
    match app_id.split_once('_') {
        Some((id, secret)) if !secret.contains('_') => id,
        _ => "",
    }
}

/// The keys a client may derive from its application id: the SDK's, and the Java SDK's for a part of a wrong length.
fn client_secrets(app_id: &str) -> Vec<String> {
    let part = match app_id.split_once('_') {
        Some((_, secret)) if !secret.contains('_') => secret,
        _ => return vec![String::new()],
    };
    let decodable = part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
    if !decodable {
        return vec![String::new(), part.to_owned()];
    }
    let Ok(bytes) = STANDARD.decode(part) else { return vec![String::new()] };
    let plain: Vec<u8> = bytes.iter().zip(MASK).map(|(byte, mask)| byte ^ mask).collect();
    vec![STANDARD.encode(plain)]
}

/// base64 over the lower-case hex text of the HMAC.
fn sign(key: &[u8], message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    STANDARD.encode(hex::encode(mac.finalize().into_bytes()))
}

/// The encoded paths that a client may have signed for a request that came as `path`.
fn signed_paths(path: &str, accepted: SignedPath) -> BTreeSet<String> {
    let mut typed = BTreeSet::from([path.to_owned()]);
    if accepted == SignedPath::Any {
        typed.insert(percent_decode_str(path).decode_utf8_lossy().into_owned());
        // With a host of one or two characters the SDK loses the first segment.
        let shorter = path.strip_prefix('/').and_then(|rest| rest.split_once('/')).map(|(_, rest)| format!("/{rest}"));
        typed.extend(shorter);
    }
    let mut encoded = BTreeSet::new();
    for path in typed {
        encoded.insert(utf8_percent_encode(&path, SDK_KEEPS).to_string());
        if accepted == SignedPath::Any {
            encoded.insert(utf8_percent_encode(&path, FORM_KEEPS).to_string().replace(' ', "+"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            acct_id: "5f3c9a1b7d2e40".to_owned(),
            user: "Administrator".to_owned(),
            app_id: "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE".to_owned(),
            app_secret: "0f1e2d3c4b5a69788796a5b4c3d2e1f0".to_owned(),
            password: None,
        }
    }

    #[test]
    fn the_worked_example_of_the_page_comes_out() {
        let credentials = credentials();
        assert_eq!(client_secrets(&credentials.app_id), ["5a0c9e7be2d14f3896b1c4d07e8fa263"]);
        let identity = "5f3c9a1b7d2e40,Administrator,2052,0";
        assert_eq!(
            sign(credentials.app_secret.as_bytes(), &format!("{}{identity}", credentials.app_id)),
            "YzQ4NjI1NDhkZDQ3ZDdlODdlMTRkMmRkNDg1MzNjODNhMjQ0NDdmMTAyY2YxMmM0MTcxM2MwZTFkNGFjNGZmZQ=="
        );
        assert_eq!(
            login_sign(&credentials, "1767225600"),
            "e17ef9e23aac11e5d92dc24c051d6e3e4a2d1e2d20bde286503a3fba2ad2039c"
        );
    }

    #[test]
    fn timestamps_come_in_seconds_or_milliseconds() {
        let now = DateTime::from_timestamp(1_767_225_600, 0).expect("a time");
        for fresh in ["1767225600", "1767225600987", "1767140000", "1767312000000"] {
            assert!(is_fresh(fresh, now), "{fresh}");
        }
        for stale in ["1767139199", "1767312001000", "soon", ""] {
            assert!(!is_fresh(stale, now), "{stale}");
        }
    }

    #[test]
    fn an_application_id_of_a_wrong_length_gives_the_empty_key_or_itself() {
        assert_eq!(client_secrets("118273_short"), ["", "short"]);
        assert_eq!(client_secrets("118273"), [""]);
        assert_eq!(client_id("1_2_3"), "");
    }
}
