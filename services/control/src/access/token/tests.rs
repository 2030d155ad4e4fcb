use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::*;
use crate::access::keys::{OVERLAP, SigningKey};

const HERE: &str = "starbridge-test";

fn now() -> DateTime<Utc> {
    "2026-03-01T08:00:00Z".parse().expect("an instant")
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

fn ring() -> KeyRing {
    KeyRing::new(SigningKey::generate(&mut rng()))
}

fn request<'a>() -> Request<'a> {
    Request { principal: "li", audience: HERE, lifetime: TimeDelta::hours(1), only_roles: None }
}

fn issued(keys: &KeyRing) -> Issued {
    issue(&request(), keys, now(), &mut rng()).expect("a good request")
}

fn check(token: &SecretString, at: DateTime<Utc>, keys: &KeyRing) -> Result<Principal, Denial> {
    verify(token, at, HERE, keys, &Revocations::new(at))
}

/// A token of these claims, truly signed. Member by member over claims that are good.
fn with_claims(keys: &KeyRing, changes: &[(&str, Value)]) -> SecretString {
    let start = now().timestamp();
    let mut claims = json!({
        "sub": "li", "aud": HERE, "jti": "t1", "kid": keys.signing().public().kid(), "iat": start, "exp": start + 3600,
    });
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    let body = format!("{PREFIX}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(keys.signing().sign(body.as_bytes()));
    SecretString::from(format!("{body}.{signature}"))
}

#[test]
fn a_token_tells_its_owner_until_it_ends() {
    let keys = ring();
    let issued = issued(&keys);
    let principal = check(&issued.token, now(), &keys).expect("a good token");
    assert_eq!(principal.name, "li");
    assert_eq!(principal.only_roles, None);
    assert_eq!(
        principal.credential,
        Credential::Token { id: issued.id.clone(), issued: now(), expires: issued.expires }
    );
    assert!(check(&issued.token, issued.expires - TimeDelta::milliseconds(1), &keys).is_ok());
    assert_eq!(check(&issued.token, issued.expires, &keys), Err(Denial::Expired));
    assert_eq!(issued.expires, now() + TimeDelta::hours(1));
}

#[test]
fn a_token_for_some_roles_says_so() {
    let keys = ring();
    let request = Request { only_roles: Some(&[Role::Viewer]), ..request() };
    let issued = issue(&request, &keys, now(), &mut rng()).expect("a good request");
    assert_eq!(check(&issued.token, now(), &keys).expect("good").only_roles, Some(vec![Role::Viewer]));
}

#[test]
fn each_denial_is_found_and_has_its_code() {
    let keys = ring();
    let start = now().timestamp();
    let good = with_claims(&keys, &[]);
    assert!(check(&good, now(), &keys).is_ok());
    let foreign = KeyRing::new(SigningKey::generate(&mut StdRng::seed_from_u64(8)));
    let kid = json!(keys.signing().public().kid());
    let cases = [
        (SecretString::from(""), Denial::Missing, Code::TokenMissing),
        (SecretString::from("hello"), Denial::Malformed, Code::TokenInvalid),
        (SecretString::from("sbt2.e30.AA"), Denial::Malformed, Code::TokenInvalid),
        (SecretString::from("x".repeat(MAX_LENGTH + 1)), Denial::Malformed, Code::TokenInvalid),
        (with_claims(&keys, &[("sub", json!(""))]), Denial::Malformed, Code::TokenInvalid),
        (with_claims(&keys, &[("exp", json!(i64::MAX))]), Denial::Malformed, Code::TokenInvalid),
        (with_claims(&keys, &[("roles", json!(["king"]))]), Denial::Malformed, Code::TokenInvalid),
        (with_claims(&keys, &[("admin", json!(true))]), Denial::Malformed, Code::TokenInvalid),
        (with_claims(&foreign, &[]), Denial::UnknownKey, Code::TokenInvalid),
        (with_claims(&foreign, &[("kid", kid)]), Denial::Forged, Code::TokenInvalid),
        (with_claims(&keys, &[("aud", json!("elsewhere"))]), Denial::WrongAudience, Code::TokenInvalid),
        (with_claims(&keys, &[("exp", json!(start + 12 * 3600 + 1))]), Denial::TooLongLived, Code::TokenInvalid),
        (with_claims(&keys, &[("iat", json!(start + 31))]), Denial::NotYetValid, Code::TokenInvalid),
        (with_claims(&keys, &[("exp", json!(start))]), Denial::Expired, Code::TokenExpired),
    ];
    for (token, denial, code) in cases {
        assert_eq!(check(&token, now(), &keys), Err(denial));
        let fault = Fault::from(denial);
        assert_eq!(fault.code, code);
        let shown = format!("{fault} {fault:?} {denial:?}");
        assert!(token.expose_secret().is_empty() || !shown.contains(token.expose_secret()), "{shown}");
    }
}

#[test]
fn a_clock_a_little_behind_accepts_a_new_token() {
    let keys = ring();
    assert!(check(&issued(&keys).token, now() - CLOCK_SKEW, &keys).is_ok());
}

#[test]
fn the_longest_token_holds_twelve_hours_and_a_longer_one_is_not_made() {
    let keys = ring();
    let with = |lifetime| issue(&Request { lifetime, ..request() }, &keys, now(), &mut rng());
    let longest = with(MAX_LIFETIME).expect("twelve hours");
    assert!(check(&longest.token, now() + MAX_LIFETIME - TimeDelta::seconds(1), &keys).is_ok());
    for lifetime in [MAX_LIFETIME + TimeDelta::milliseconds(1), TimeDelta::zero(), TimeDelta::hours(-1), TimeDelta::MAX]
    {
        let fault = with(lifetime).expect_err("refused");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::TokenRequest, Some("$.lifetime")));
    }
    let fault = issue(&Request { principal: "a b", ..request() }, &keys, now(), &mut rng()).expect_err("refused");
    assert_eq!((fault.code, fault.place.path.as_deref()), (Code::TokenRequest, Some("$.principal")));
}

#[test]
fn a_revoked_token_is_refused_and_so_is_every_one_where_revocations_are_not_heard() {
    let keys = ring();
    let first = issued(&keys);
    let mut known = Revocations::new(now());
    known.revoke_token(first.id.clone(), first.expires);
    assert_eq!(verify(&first.token, now(), HERE, &keys, &known), Err(Denial::Revoked));
    assert_eq!(Fault::from(Denial::Revoked).code, Code::TokenRevoked);

    let other = with_claims(&keys, &[]);
    assert!(verify(&other, now(), HERE, &keys, &known).is_ok());
    let late = now() + TimeDelta::seconds(31);
    assert_eq!(verify(&other, late, HERE, &keys, &known), Err(Denial::RevocationsStale));
    assert_eq!(Fault::from(Denial::RevocationsStale).code, Code::RevocationsStale);
    known.heard_all_to(late);
    assert!(verify(&other, late, HERE, &keys, &known).is_ok());

    known.revoke_principal("li", now());
    assert_eq!(verify(&other, late, HERE, &keys, &known), Err(Denial::Revoked));
}

#[test]
fn no_token_is_refused_because_keys_rotate() {
    let mut source = StdRng::seed_from_u64(9);
    let (old, new) = (SigningKey::generate(&mut source), SigningKey::generate(&mut source));
    let mut signer = KeyRing::new(old);
    let mut replica = KeyRing::new(SigningKey::from_pem(&signer.signing().to_pem()).expect("the same key"));
    let longest = Request { lifetime: MAX_LIFETIME, ..request() };
    let before = issue(&longest, &signer, now(), &mut source).expect("a token");

    replica.trust(new.public());
    signer.rotate(new, now());
    let after = issue(&longest, &signer, now(), &mut source).expect("a token");
    for ring in [&signer, &replica] {
        for token in [&before.token, &after.token] {
            assert!(check(token, now(), ring).is_ok());
            assert!(check(token, now() + MAX_LIFETIME - TimeDelta::seconds(1), ring).is_ok());
        }
    }
    assert_eq!(check(&before.token, now() + OVERLAP - TimeDelta::seconds(1), &signer), Err(Denial::Expired));
    assert_eq!(check(&before.token, now() + OVERLAP, &signer), Err(Denial::UnknownKey));
    signer.forget_retired(now() + OVERLAP);
    assert_eq!(check(&before.token, now(), &signer), Err(Denial::UnknownKey));
}

#[test]
fn a_key_that_signs_again_verifies_like_a_new_one() {
    let mut source = StdRng::seed_from_u64(11);
    let first = SigningKey::generate(&mut source);
    let again = SigningKey::from_pem(&first.to_pem()).expect("the same key");
    let mut keys = KeyRing::new(first);
    keys.rotate(SigningKey::generate(&mut source), now());
    let back = now() + OVERLAP - TimeDelta::hours(1);
    keys.rotate(again, back);
    let token =
        issue(&Request { lifetime: MAX_LIFETIME, ..request() }, &keys, back, &mut source).expect("a token").token;
    assert!(check(&token, back + TimeDelta::hours(2), &keys).is_ok());
}

#[test]
fn a_key_that_leaked_stops_at_once() {
    let mut keys = ring();
    let token = issued(&keys).token;
    let leaked = keys.signing().public().kid();
    keys.rotate(SigningKey::generate(&mut StdRng::seed_from_u64(10)), now());
    assert!(keys.retire(&leaked, now()));
    assert_eq!(check(&token, now(), &keys), Err(Denial::UnknownKey));
}

#[test]
fn an_issued_token_does_not_print_itself() {
    let issued = issued(&ring());
    let shown = format!("{issued:?}");
    let body = issued.token.expose_secret().split('.').nth(1).expect("a body");
    assert!(!shown.contains(body) && shown.contains(&issued.id), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn no_changed_character_is_accepted(place in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.=-]") {
        let keys = ring();
        let token = issued(&keys).token;
        let mut characters: Vec<char> = token.expose_secret().chars().collect();
        let place = place.index(characters.len());
        let to = to.chars().next().expect("one character");
        prop_assume!(characters[place] != to);
        characters[place] = to;
        let changed = SecretString::from(characters.into_iter().collect::<String>());
        prop_assert!(check(&changed, now(), &keys).is_err());
    }

    #[test]
    fn no_text_is_accepted_or_brings_verification_down(text in "(sbt1\\.)?[ -~签]{0,40}(\\.[A-Za-z0-9_-]{0,90})?") {
        prop_assert!(check(&SecretString::from(text), now(), &ring()).is_err());
    }
}
