//! The credential that makes the first administrator, once.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use document::{Code, Fault};
use rand::CryptoRng;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::permission::Binding;
use super::principal::is_principal_name;
use super::role::Role;
use super::scope::Scope;
use crate::audit::Hash;

const PREFIX: &str = "sbb1.";

/// What is kept of the credential: enough to know it again, not to make it. Its 256 random bits need no slow hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// The credential's hash.
    pub hash: Hash,
    /// When it ends.
    pub expires: DateTime<Utc>,
    /// When it was used.
    pub used: Option<DateTime<Utc>>,
}

/// Why a bootstrap credential does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is another one.
    #[error("the bootstrap credential is wrong")]
    Wrong,
    /// It made an administrator before.
    #[error("the bootstrap credential was used before")]
    Used,
    /// It has ended.
    #[error("the bootstrap credential has expired")]
    Expired,
    /// The first administrator was to have a name that nobody can have.
    #[error("this cannot be the name of a principal")]
    Name,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault::new(Code::Bootstrap, refusal.to_string())
    }
}

impl Bootstrap {
    /// Makes a credential from `rng` that can be used until `expires`. It is shown once, only the second part is kept.
    pub fn create(rng: &mut impl CryptoRng, expires: DateTime<Utc>) -> (SecretString, Self) {
        let mut bits = Zeroizing::new([0_u8; 32]);
        rng.fill_bytes(bits.as_mut_slice());
        let credential = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits.as_slice()));
        let kept = Self { hash: Hash::of(credential.as_bytes()), expires, used: None };
        (SecretString::from(credential), kept)
    }

    /// What holds of the credential that is set up, where `kept` is what is remembered: one that was used ends them all, and
    /// the same one holds no longer for being seen again.
    #[must_use]
    pub fn holding(self, kept: Option<Self>) -> Self {
        match kept {
            Some(kept) if kept.used.is_some() || kept.hash == self.hash => kept,
            _ => self,
        }
    }

    /// Uses the credential at `now` for `principal`. Gives what is to be kept from then on, and the binding of the first
    /// administrator, who gives all other roles and has no other; both are made durable together.
    ///
    /// # Errors
    /// The [`Refusal`]. Only to the right credential it tells more than that it is wrong.
    pub fn redeem(
        &self,
        credential: &SecretString,
        principal: &str,
        now: DateTime<Utc>,
    ) -> Result<(Self, Binding), Refusal> {
        let offered = Hash::of(credential.expose_secret().as_bytes());
        verify_slices_are_equal(&offered.0, &self.hash.0).map_err(|_| Refusal::Wrong)?;
        if self.used.is_some() {
            return Err(Refusal::Used);
        }
        if now >= self.expires {
            return Err(Refusal::Expired);
        }
        if !is_principal_name(principal) {
            return Err(Refusal::Name);
        }
        let first =
            Binding { principal: principal.to_owned(), role: Role::SecurityAdministrator, scope: Scope::EVERYWHERE };
        Ok((Self { used: Some(now), ..self.clone() }, first))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use chrono::TimeDelta;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::access::{Object, Principal, Verb, decide};

    fn now() -> DateTime<Utc> {
        "2026-03-01T08:00:00Z".parse().expect("an instant")
    }

    fn created() -> (SecretString, Bootstrap) {
        Bootstrap::create(&mut StdRng::seed_from_u64(1), now() + TimeDelta::hours(1))
    }

    #[test]
    fn the_credential_makes_one_administrator_once() {
        let (credential, kept) = created();
        let (used, first) = kept.redeem(&credential, "zhang", now()).expect("the first time");
        let zhang = Principal::of_certificate("zhang");
        let may =
            |verb, object| decide(&zhang, std::slice::from_ref(&first), verb, object, &Scope::EVERYWHERE).allowed();
        assert_eq!(may(Verb::Apply, Object::Access), Ok(Role::SecurityAdministrator));
        assert!(may(Verb::Apply, Object::Flow).is_err());
        assert_eq!(used.redeem(&credential, "li", now()), Err(Refusal::Used));
        let read: Bootstrap = serde_json::from_str(&serde_json::to_string(&used).expect("JSON")).expect("what is kept");
        assert_eq!(read, used);
    }

    #[test]
    fn another_credential_a_late_one_and_a_name_of_nobody_are_refused() {
        let (credential, kept) = created();
        let used = Bootstrap { used: Some(now()), ..kept.clone() };
        for wrong in ["", "sbb1.", &credential.expose_secret().to_lowercase(), &kept.hash.to_string()] {
            let wrong = SecretString::from(wrong);
            assert_eq!(kept.redeem(&wrong, "zhang", now()), Err(Refusal::Wrong));
            assert_eq!(used.redeem(&wrong, "zhang", kept.expires), Err(Refusal::Wrong));
        }
        assert!(kept.redeem(&credential, "zhang", kept.expires - TimeDelta::milliseconds(1)).is_ok());
        assert_eq!(kept.redeem(&credential, "zhang", kept.expires), Err(Refusal::Expired));
        assert_eq!(kept.redeem(&credential, "", now()), Err(Refusal::Name));
        assert_eq!(Fault::from(Refusal::Expired).code, Code::Bootstrap);
    }

    #[test]
    fn what_is_kept_and_printed_does_not_hold_the_credential() {
        let (credential, kept) = created();
        let bits = credential.expose_secret().strip_prefix(PREFIX).expect("our form");
        assert_eq!(bits.len(), 43, "256 bits in base64url");
        let shown = format!("{credential:?} {kept:?} {}", serde_json::to_string(&kept).expect("JSON"));
        assert!(!shown.contains(bits), "{shown}");
    }

    #[test]
    fn no_two_credentials_are_alike() {
        let mut rng = StdRng::seed_from_u64(2);
        let made: HashSet<Hash> = (0..1_000).map(|_| Bootstrap::create(&mut rng, now()).1.hash).collect();
        assert_eq!(made.len(), 1_000);
    }

    #[test]
    fn a_credential_is_not_made_longer_by_another_start_and_a_new_one_is_taken() {
        let (_, first) = created();
        let again = Bootstrap { expires: first.expires + TimeDelta::hours(9), ..first.clone() };
        assert_eq!(again.clone().holding(None), again);
        assert_eq!(again.holding(Some(first.clone())), first);
        let other = Bootstrap::create(&mut StdRng::seed_from_u64(2), now() + TimeDelta::hours(5)).1;
        assert_eq!(other.clone().holding(Some(first.clone())), other);
        // Once there is an administrator, no credential makes another one.
        let used = Bootstrap { used: Some(now()), ..first };
        assert_eq!(other.holding(Some(used.clone())), used);
    }
}
