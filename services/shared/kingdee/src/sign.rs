//! Signatures: of every request in signed mode, and of `LoginBySign`.
//!
//! **Source**: the official Python SDK 8.2.0, whose quirks are part of the contract because the server repeats them: the
//! path is searched for from the tenth character of the URL as typed, the unmasked client secret is used in its Base64
//! form, the MAC is Base64 of its hexadecimal text, and the body is not signed at all.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// What everything but letters, digits and `_.-~` becomes: `%XX`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// The mask that application ids are written under, where the server was not given its own.
const MASK: &[u8] = b"0054f397c6234378b09ca7d3e5debce7";

/// The bytes of a client secret.
const SECRET_LENGTH: usize = 24;

/// The character at which the search for the path begins: behind `https://` and the first letters of the host.
const PATH_FROM: usize = 10;

/// The user agent of the SDK; servers are known to look at it.
pub const USER_AGENT: &str = "Kingdee/Python WebApi SDK 7.3 (compatible; MSIE 6.0; Windows NT 5.1;SV1)";

/// Who signs.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The account (data centre) id.
    pub acct_id: &'a str,
    /// The user name.
    pub user: &'a str,
    /// The application id, as given: `clientId_maskedSecret`.
    pub app_id: &'a str,
    /// The application secret.
    pub app_secret: &'a str,
    /// The language; not above 0 means 2052.
    pub lcid: i64,
    /// The organisation's number; not above 0 means 0.
    pub org_num: i64,
    /// Replaces the built-in mask.
    pub xor_code: Option<&'a str>,
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("acct_id", &self.acct_id).field("user", &self.user).finish_non_exhaustive()
    }
}

/// What cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The URL has no `/` at or behind its tenth character, where the signed path would begin.
    #[error("the URL has no path that can be signed: use a longer host name or an address")]
    NoPath,
    /// The replacement of the mask is shorter than the secret it masks.
    #[error("xor_code must have at least 24 bytes")]
    ShortMask,
}

impl Identity<'_> {
    /// `acctId,user,lcid,orgNum`, as it is signed and sent.
    pub fn app_data(&self) -> String {
        let lcid = if self.lcid > 0 { self.lcid } else { 2052 };
        format!("{},{},{lcid},{}", self.acct_id, self.user, self.org_num.max(0))
    }

    /// The two parts of the application id; anything but exactly two are two empty ones.
    fn parts(&self) -> (&str, &str) {
        match self.app_id.split_once('_') {
            Some((client, secret)) if !secret.contains('_') => (client, secret),
            _ => ("", ""),
        }
    }

    /// The key of the API signature; empty when the application id holds no usable secret.
    ///
    /// # Errors
    /// [`SignError::ShortMask`].
    pub fn api_key(&self) -> Result<String, SignError> {
        let (_, masked) = self.parts();
        let usable = masked.len() == 32 && masked.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
        let bytes = if usable { STANDARD.decode(masked).unwrap_or_default() } else { Vec::new() };
        if bytes.len() != SECRET_LENGTH {
            return Ok(String::new());
        }
        let replaced: Vec<u8>;
        let mask = match self.xor_code {
            None => MASK,
            Some(code) => {
                replaced = code.chars().take(32).map(rotate).collect::<String>().into_bytes();
                &replaced
            }
        };
        if mask.len() < SECRET_LENGTH {
            return Err(SignError::ShortMask);
        }
        Ok(STANDARD.encode(bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect::<Vec<u8>>()))
    }

    /// The text of the application signature.
    pub fn kd_text(&self) -> String {
        format!("{}{}", self.app_id, self.app_data())
    }

    /// The headers of one request in signed mode, without those of a session.
    ///
    /// `url` is the URL as typed, not as a library normalised it. `unix_seconds` serves as time stamp and as nonce.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn headers(&self, url: &str, unix_seconds: i64) -> Result<Vec<(&'static str, String)>, SignError> {
        let time = unix_seconds.to_string();
        let text = text_to_sign(url, &time, &time)?;
        let (client, _) = self.parts();
        Ok(vec![
            ("X-Api-ClientID", client.to_owned()),
            ("X-Api-Auth-Version", "2.0".to_owned()),
            ("x-api-timestamp", time.clone()),
            ("x-api-nonce", time),
            ("x-api-signheaders", "x-api-timestamp,x-api-nonce".to_owned()),
            ("X-Api-Signature", mac(self.api_key()?.as_bytes(), text.as_bytes())),
            ("X-Kd-Appkey", self.app_id.to_owned()),
            ("X-Kd-Appdata", STANDARD.encode(self.app_data())),
            ("X-Kd-Signature", mac(self.app_secret.as_bytes(), self.kd_text().as_bytes())),
            ("Accept-Charset", "utf-8".to_owned()),
            ("User-Agent", USER_AGENT.to_owned()),
            ("Content-Type", "application/json".to_owned()),
        ])
    }

    /// The sign of `LoginBySign`: the hash of all five texts in byte order.
    pub fn login_sign(&self, unix_seconds: i64) -> String {
        let time = unix_seconds.to_string();
        let mut texts = [self.acct_id, self.user, self.app_id, self.app_secret, &time];
        texts.sort_unstable();
        hex::encode(Sha256::digest(texts.concat()))
    }
}

/// The text of the API signature.
///
/// # Errors
/// [`SignError::NoPath`].
pub fn text_to_sign(url: &str, timestamp: &str, nonce: &str) -> Result<String, SignError> {
    let path = if url.starts_with("http") {
        let from = url.char_indices().skip(PATH_FROM).find(|(_, c)| *c == '/').map(|(at, _)| at);
        url.split_at(from.ok_or(SignError::NoPath)?).1
    } else {
        url
    };
    let path = utf8_percent_encode(path, PATH);
    Ok(format!("POST\n{path}\n\nx-api-nonce:{nonce}\nx-api-timestamp:{timestamp}\n"))
}

/// HMAC-SHA256, as the Base64 of its lower-case hexadecimal text.
fn mac(key: &[u8], text: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    STANDARD.encode(hex::encode(mac.finalize().into_bytes()))
}

/// Thirteen letters on.
fn rotate(c: char) -> char {
    let turn = |c: char, first: u8| char::from((c as u8 - first + 13) % 26 + first);
    match c {
        'a'..='z' => turn(c, b'a'),
        'A'..='Z' => turn(c, b'A'),
        other => other,
    }
}

#[cfg(test)]
mod tests;
