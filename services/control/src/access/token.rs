//! Bearer tokens: `sbt1.<claims>.<signature>`.
//!
//! The claims are JSON and the signature is Ed25519 over everything before its dot; both are base64url without padding.
//! A token holds at most twelve hours and can be taken back before.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use document::{Code, Fault};
use rand::CryptoRng;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::keys::KeyRing;
use super::principal::{Credential, Principal, is_principal_name};
use super::revocation::Revocations;
use super::role::Role;

/// The longest a token may hold.
pub const MAX_LIFETIME: TimeDelta = TimeDelta::hours(12);

/// How far the clocks of two replicas may differ: a token may seem to come from this far in the future.
pub(super) const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(30);

/// The longest token that is looked at, characters.
const MAX_LENGTH: usize = 4096;

const PREFIX: &str = "sbt1";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    /// Whose it is.
    sub: String,
    /// Which installation it is for.
    aud: String,
    /// Its id.
    jti: String,
    /// The key that signed it.
    kid: String,
    /// Given at, seconds since 1970.
    iat: i64,
    /// Ends at, seconds since 1970.
    exp: i64,
    /// The only roles it may be used with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<Role>>,
}

/// Why a token is not accepted. Never holds any part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// There is none.
    #[error("no token was sent")]
    Missing,
    /// It is not in the form of a token.
    #[error("the token is not in the form of a token")]
    Malformed,
    /// No key of that name verifies now.
    #[error("the token was signed with a key that is not, or no longer, trusted")]
    UnknownKey,
    /// The signature is not that of its key.
    #[error("the token's signature is wrong")]
    Forged,
    /// It is for another installation.
    #[error("the token is for another installation")]
    WrongAudience,
    /// It holds longer than a token may.
    #[error("the token holds longer than 12 h")]
    TooLongLived,
    /// It comes from the future.
    #[error("the token does not hold yet")]
    NotYetValid,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It was taken back.
    #[error("the token was revoked")]
    Revoked,
    /// Whether it was taken back is not known here now.
    #[error("this replica has not heard of revocations for more than 30 s")]
    RevocationsStale,
}

impl Denial {
    /// The code of the catalogue.
    pub fn code(self) -> Code {
        match self {
            Denial::Missing => Code::TokenMissing,
            Denial::Malformed
            | Denial::UnknownKey
            | Denial::Forged
            | Denial::WrongAudience
            | Denial::TooLongLived
            | Denial::NotYetValid => Code::TokenInvalid,
            Denial::Expired => Code::TokenExpired,
            Denial::Revoked => Code::TokenRevoked,
            Denial::RevocationsStale => Code::RevocationsStale,
        }
    }
}

impl From<Denial> for Fault {
    fn from(denial: Denial) -> Self {
        Fault::new(denial.code(), denial.to_string())
    }
}

/// What a new token is to say.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whose it is.
    pub principal: &'a str,
    /// Which installation it is for.
    pub audience: &'a str,
    /// How long it holds; cut to whole seconds.
    pub lifetime: TimeDelta,
    /// The only roles it may be used with; `None` for all that its owner has.
    pub only_roles: Option<&'a [Role]>,
}

/// A new token.
#[derive(Debug)]
pub struct Issued {
    /// The token, to be shown once.
    pub token: SecretString,
    /// Its id, by which it can be revoked.
    pub id: String,
    /// When it ends.
    pub expires: DateTime<Utc>,
}

/// Makes a token that holds from `now` on. Its id comes from `rng`.
///
/// # Errors
/// A [`Fault`] with [`Code::TokenRequest`] when the name cannot be a principal's or the lifetime is not between a second
/// and [`MAX_LIFETIME`].
pub fn issue(
    request: &Request<'_>,
    keys: &KeyRing,
    now: DateTime<Utc>,
    rng: &mut impl CryptoRng,
) -> Result<Issued, Fault> {
    if !is_principal_name(request.principal) {
        let fault =
            Fault::new(Code::TokenRequest, format!("{:?} cannot be the name of a principal", request.principal));
        return Err(fault.at_path("$.principal").hint("1 to 128 characters without blanks"));
    }
    let lifetime = request.lifetime.num_seconds();
    if request.lifetime > MAX_LIFETIME || lifetime < 1 {
        let fault = Fault::new(Code::TokenRequest, format!("a lifetime of {lifetime} s"));
        return Err(fault.at_path("$.lifetime").hint(format!("1 s to {} h", MAX_LIFETIME.num_hours())));
    }
    let mut id = [0_u8; 16];
    rng.fill_bytes(&mut id);
    let id = hex::encode(id);
    let issued = now.timestamp();
    let claims = Claims {
        sub: request.principal.to_owned(),
        aud: request.audience.to_owned(),
        jti: id.clone(),
        kid: keys.signing().public().kid(),
        iat: issued,
        exp: issued + lifetime,
        roles: request.only_roles.map(<[Role]>::to_vec),
    };
    let expires = DateTime::from_timestamp(claims.exp, 0).expect("twelve hours after an instant is an instant");
    Ok(Issued { token: signed(&claims, keys), id, expires })
}

fn signed(claims: &Claims, keys: &KeyRing) -> SecretString {
    let json = serde_json::to_vec(claims).expect("claims are texts and numbers");
    let mut token = format!("{PREFIX}.{}", URL_SAFE_NO_PAD.encode(json));
    let signature = URL_SAFE_NO_PAD.encode(keys.signing().sign(token.as_bytes()));
    token.push('.');
    token.push_str(&signature);
    SecretString::from(token)
}

/// Who sent `token`, if it is good for `audience` at `now`.
///
/// Nothing of a token is believed before its signature is checked, so the answer to a forged one tells no more than that.
///
/// # Errors
/// The [`Denial`].
pub fn verify(
    token: &SecretString,
    now: DateTime<Utc>,
    audience: &str,
    keys: &KeyRing,
    revocations: &Revocations,
) -> Result<Principal, Denial> {
    let token = token.expose_secret();
    if token.is_empty() {
        return Err(Denial::Missing);
    }
    if token.len() > MAX_LENGTH {
        return Err(Denial::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Denial::Malformed)?;
    let body = message.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('.')).ok_or(Denial::Malformed)?;
    let body = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| Denial::Malformed)?);
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Denial::Malformed)?;
    let claims: Claims = serde_json::from_slice(&body).map_err(|_| Denial::Malformed)?;
    let key = keys.verifying(&claims.kid, now).ok_or(Denial::UnknownKey)?;
    if !key.verifies(message.as_bytes(), &signature) {
        return Err(Denial::Forged);
    }
    accept(claims, now, audience, revocations)
}

/// Judges what a truly signed token says.
fn accept(claims: Claims, now: DateTime<Utc>, audience: &str, revocations: &Revocations) -> Result<Principal, Denial> {
    let instant = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(Denial::Malformed);
    let (issued, expires) = (instant(claims.iat)?, instant(claims.exp)?);
    if !is_principal_name(&claims.sub) {
        return Err(Denial::Malformed);
    }
    if claims.aud != audience {
        return Err(Denial::WrongAudience);
    }
    if expires - issued > MAX_LIFETIME {
        return Err(Denial::TooLongLived);
    }
    if issued > now + CLOCK_SKEW {
        return Err(Denial::NotYetValid);
    }
    let credential = Credential::Token { id: claims.jti, issued, expires };
    let principal = Principal { name: claims.sub, credential, only_roles: claims.roles };
    still_good(&principal, now, revocations)?;
    Ok(principal)
}

/// Whether a credential that was good is so at `now`. A certificate is as long as its connection lasts.
///
/// # Errors
/// [`Denial::Expired`], [`Denial::Revoked`] and [`Denial::RevocationsStale`].
pub fn still_good(principal: &Principal, now: DateTime<Utc>, revocations: &Revocations) -> Result<(), Denial> {
    let Credential::Token { id, issued, expires } = &principal.credential else { return Ok(()) };
    if now >= *expires {
        return Err(Denial::Expired);
    }
    if revocations.is_revoked(id, &principal.name, *issued) {
        return Err(Denial::Revoked);
    }
    if !revocations.is_fresh(now) {
        return Err(Denial::RevocationsStale);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
