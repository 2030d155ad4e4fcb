//! Tokens that were taken back.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::token::{CLOCK_SKEW, MAX_LIFETIME};

/// How old a replica's knowledge of revocations may be. A replica that is further behind refuses every token: it could
/// not tell a revoked one.
pub const MAX_AGE: TimeDelta = TimeDelta::seconds(30);

/// What a replica knows of revocations. Everyone who revokes says so in a topic; each replica reads it and tells this.
#[derive(Debug, Clone)]
pub struct Revocations {
    /// Token id to the end of the token, after which it need not be remembered.
    tokens: HashMap<String, DateTime<Utc>>,
    /// Principal to the instant before which all its tokens are void.
    principals: HashMap<String, DateTime<Utc>>,
    complete_to: DateTime<Utc>,
}

impl Revocations {
    /// No revocations, known to be all there were at `complete_to`.
    pub fn new(complete_to: DateTime<Utc>) -> Self {
        Self { tokens: HashMap::new(), principals: HashMap::new(), complete_to }
    }

    /// Every revocation made before `instant` has been heard.
    pub fn heard_all_to(&mut self, instant: DateTime<Utc>) {
        self.complete_to = self.complete_to.max(instant);
    }

    /// Takes back the token `id`, which would have ended at `expires`; where the end is not known, the latest possible
    /// one serves.
    pub fn revoke_token(&mut self, id: impl Into<String>, expires: DateTime<Utc>) {
        let kept = self.tokens.entry(id.into()).or_insert(expires);
        *kept = expires.max(*kept);
    }

    /// Takes back every token that `principal` was given up to `instant`, by the clock of whoever gave it: one given
    /// within half a minute afterwards may be taken back too.
    pub fn revoke_principal(&mut self, principal: impl Into<String>, instant: DateTime<Utc>) {
        let kept = self.principals.entry(principal.into()).or_insert(instant);
        *kept = instant.max(*kept);
    }

    /// Drops what no living token can meet at `now`.
    pub fn forget_ended(&mut self, now: DateTime<Utc>) {
        self.tokens.retain(|_, expires| now < *expires);
        self.principals.retain(|_, instant| now < *instant + CLOCK_SKEW + MAX_LIFETIME);
    }

    /// Whether the token `id`, given to `principal` at `issued`, was taken back.
    pub fn is_revoked(&self, id: &str, principal: &str, issued: DateTime<Utc>) -> bool {
        let void = |instant: &DateTime<Utc>| issued <= *instant + CLOCK_SKEW;
        self.tokens.contains_key(id) || self.principals.get(principal).is_some_and(void)
    }

    /// Whether what is known is fresh enough at `now`.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        now - self.complete_to <= MAX_AGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocations_are_remembered_as_long_as_a_token_could_live() {
        let start = DateTime::UNIX_EPOCH;
        let end = start + TimeDelta::hours(2);
        let mut known = Revocations::new(start);
        known.revoke_token("a", end);
        known.revoke_token("a", start);
        known.revoke_principal("li", start);
        known.forget_ended(end - TimeDelta::seconds(1));
        assert!(known.is_revoked("a", "wang", start));
        known.forget_ended(end);
        assert!(!known.is_revoked("a", "wang", start));
        assert!(known.is_revoked("b", "li", start + CLOCK_SKEW));
        assert!(!known.is_revoked("b", "li", start + CLOCK_SKEW + TimeDelta::seconds(1)));
        known.forget_ended(start + CLOCK_SKEW + MAX_LIFETIME);
        assert!(!known.is_revoked("b", "li", start));
    }

    #[test]
    fn knowledge_never_grows_older_by_hearing() {
        let start = DateTime::UNIX_EPOCH;
        let mut known = Revocations::new(start);
        known.heard_all_to(start - TimeDelta::hours(1));
        assert!(known.is_fresh(start + MAX_AGE));
        assert!(!known.is_fresh(start + MAX_AGE + TimeDelta::milliseconds(1)));
        known.heard_all_to(start + MAX_AGE);
        assert!(known.is_fresh(start + MAX_AGE * 2));
    }
}
