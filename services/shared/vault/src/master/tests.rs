use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use secrecy::ExposeSecret as _;

use super::*;

const SECRET: &str = "päss-密码-1";

fn key(seed: u64) -> Key {
    Key::generate(&mut StdRng::seed_from_u64(seed))
}

fn ring() -> MasterKeys {
    MasterKeys::new(1, key(1))
}

fn subject() -> Subject<'static> {
    Subject { purpose: "connection password", name: "erp", version: 3 }
}

fn sealed(keys: &MasterKeys, seed: u64) -> Envelope {
    keys.seal(&subject(), &SecretString::from(SECRET), &mut StdRng::seed_from_u64(seed))
}

fn unopened(keys: &MasterKeys, subject: &Subject<'_>, envelope: &Envelope) -> Error {
    keys.open(subject, envelope).map(|_| ()).expect_err("must not open")
}

#[test]
fn a_secret_survives_its_envelope() {
    let keys = ring();
    let envelope = sealed(&keys, 5);
    let json = serde_json::to_string(&envelope).expect("JSON");
    let read: Envelope = serde_json::from_str(&json).expect("an envelope");
    assert_eq!(read, envelope);
    assert_eq!(keys.open(&subject(), &read).expect("opens").expose_secret(), SECRET);
    let empty = keys.seal(&subject(), &SecretString::from(""), &mut StdRng::seed_from_u64(6));
    assert_eq!(keys.open(&subject(), &empty).expect("opens").expose_secret(), "");
}

#[test]
fn an_envelope_opens_for_its_own_subject_only() {
    let keys = ring();
    let envelope = sealed(&keys, 5);
    for other in [
        Subject { purpose: "connection", ..subject() },
        Subject { name: "erp2", ..subject() },
        Subject { version: 2, ..subject() },
        Subject { purpose: "connection passworde", name: "rp", ..subject() },
    ] {
        let error = unopened(&keys, &other, &envelope);
        assert_eq!(error, Error::Unopened(Unopened));
        let fault = Fault::from(error);
        assert_eq!(fault.code, Code::SealedSecret);
        assert!(!format!("{fault} {fault:?}").contains(SECRET));
    }
    let stranger = MasterKeys::new(1, key(2));
    assert_eq!(unopened(&stranger, &subject(), &envelope), Error::Unopened(Unopened));
}

#[test]
fn nothing_is_used_twice_and_nothing_shows_the_secret() {
    let keys = ring();
    let mut rng = StdRng::seed_from_u64(7);
    let mut seen = HashSet::new();
    for _ in 0..1_000 {
        let envelope = keys.seal(&subject(), &SecretString::from(SECRET), &mut rng);
        let json = serde_json::to_value(&envelope).expect("JSON");
        for part in ["wrapped", "sealed"] {
            assert!(seen.insert(json[part].to_string()), "the same {part} twice");
        }
        assert!(!format!("{envelope:?} {keys:?}").contains(SECRET));
    }
}

#[test]
fn keys_are_added_used_and_retired_in_that_order() {
    let mut keys = ring();
    let old = sealed(&keys, 5);
    assert_eq!(keys.seal_with(2), Err(Error::UnknownKey { version: 2 }));
    assert_eq!(keys.add(2, key(2)), Ok(()));
    assert_eq!(keys.add(2, key(2)), Ok(()), "the same key again");
    assert_eq!(keys.add(2, key(3)), Err(Error::VersionTaken { version: 2 }));
    assert_eq!(sealed(&keys, 6).master, 1, "an added key does not seal yet");
    assert_eq!(keys.retire(1, []), Err(Error::InUse { version: 1 }));
    keys.seal_with(2).expect("it was added");
    assert_eq!(sealed(&keys, 7).master, 2);
    assert_eq!(keys.retire(1, [&old]), Err(Error::InUse { version: 1 }));

    let mut rng = StdRng::seed_from_u64(8);
    let new = keys.rewrap(&subject(), &old, &mut rng).expect("it opens").expect("it was wrapped by an older key");
    assert_eq!(new.master, 2);
    assert_eq!(keys.rewrap(&subject(), &new, &mut rng), Ok(None));
    let other = Subject { name: "other", ..subject() };
    assert_eq!(keys.rewrap(&other, &old, &mut rng), Err(Error::Unopened(Unopened)));
    keys.retire(1, [&new]).expect("nothing needs it");
    assert_eq!(keys.open(&subject(), &new).expect("opens").expose_secret(), SECRET);
    let error = unopened(&keys, &subject(), &old);
    assert_eq!(error, Error::UnknownKey { version: 1 });
    assert_eq!(Fault::from(error).code, Code::MasterKey);
    assert_eq!(keys.retire(1, []), Err(Error::UnknownKey { version: 1 }));
}

/// Readers open without pause while the key is replaced again and again, step by step as an operator does it.
#[test]
fn no_call_fails_while_keys_rotate() {
    const ROTATIONS: u32 = 20;
    let secrets: Vec<String> = (0..16).map(|number| format!("secret-{number}")).collect();
    let name = |number: usize| format!("connection-{number}");
    let mut rng = StdRng::seed_from_u64(9);
    let keys = ring();
    let kept: Vec<RwLock<Envelope>> = secrets
        .iter()
        .enumerate()
        .map(|(number, secret)| {
            let subject = Subject { name: &name(number), ..subject() };
            RwLock::new(keys.seal(&subject, &SecretString::from(secret.as_str()), &mut rng))
        })
        .collect();
    let keys = RwLock::new(keys);
    let (over, opened) = (AtomicBool::new(false), AtomicU64::new(0));
    let read = || keys.read().unwrap_or_else(PoisonError::into_inner);
    let write = || keys.write().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        for (number, secret) in secrets.iter().enumerate() {
                            // Held while it opens, as by a call: its key is retired only after it was rewrapped.
                            let envelope = kept[number].read().expect("no writer fails");
                            let subject = Subject { name: &name(number), ..subject() };
                            let text = read().open(&subject, &envelope).expect("no call fails");
                            assert_eq!(text.expose_secret(), secret);
                            opened.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for version in 2..2 + ROTATIONS {
            write().add(version, key(u64::from(version))).expect("a new version");
            write().seal_with(version).expect("it was added");
            for (number, envelope) in kept.iter().enumerate() {
                let subject = Subject { name: &name(number), ..subject() };
                let mut envelope = envelope.write().expect("no reader fails");
                if let Some(new) = read().rewrap(&subject, &envelope, &mut rng).expect("it opens") {
                    *envelope = new;
                }
            }
            // Readers are in the middle of it before the old key goes; one that failed is seen when it is joined.
            let so_far = opened.load(Ordering::Relaxed);
            while opened.load(Ordering::Relaxed) < so_far + 50 && !readers.iter().any(|reader| reader.is_finished()) {
                std::thread::yield_now();
            }
            let all: Vec<Envelope> = kept.iter().map(|kept| kept.read().expect("no writer fails").clone()).collect();
            write().retire(version - 1, &all).expect("nothing needs it");
        }
        over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("no call failed");
        }
    });
    assert!(opened.load(Ordering::Relaxed) >= 50 * u64::from(ROTATIONS));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn no_changed_envelope_opens(place in any::<prop::sample::Index>(), bit in 0_u8..8, cut in any::<bool>()) {
        let keys = ring();
        let envelope = sealed(&keys, 5);
        let json = serde_json::to_value(&envelope).expect("JSON");
        let bytes = |part: &str| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(json[part].as_str().expect("text")).expect("base64")
        };
        let mut parts = [bytes("wrapped"), bytes("sealed")];
        let lengths = [parts[0].len(), parts[1].len()];
        let place = place.index(lengths[0] + lengths[1]);
        let (part, place) = if place < lengths[0] { (0, place) } else { (1, place - lengths[0]) };
        match cut {
            true => parts[part].truncate(place),
            false => parts[part][place] ^= 1 << bit,
        }
        let [wrapped, sealed] = parts.map(|part| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(part)
        });
        let changed = serde_json::json!({ "v": 1, "master": 1, "wrapped": wrapped, "sealed": sealed });
        let changed: Envelope = serde_json::from_value(changed).expect("an envelope");
        prop_assert_eq!(unopened(&keys, &subject(), &changed), Error::Unopened(Unopened));
    }

    #[test]
    fn every_secret_of_every_subject_comes_back(purpose in "\\PC{0,12}", name in "\\PC{0,12}", version: u64, secret in "\\PC{0,40}") {
        let keys = ring();
        let subject = Subject { purpose: &purpose, name: &name, version };
        let envelope = keys.seal(&subject, &SecretString::from(secret.as_str()), &mut StdRng::seed_from_u64(version));
        let opened = keys.open(&subject, &envelope).expect("opens");
        prop_assert_eq!(opened.expose_secret(), secret.as_str());
    }
}
