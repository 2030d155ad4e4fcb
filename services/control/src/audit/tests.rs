use chrono::{DateTime, TimeDelta, Utc};
use document::{Code, Fault};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::access::{Role, Scope};
use crate::vault::Key;

const ENTRIES: usize = 60;

fn start() -> DateTime<Utc> {
    "2026-03-01T08:00:00.123456Z".parse().expect("an instant")
}

fn deed(number: usize) -> Deed {
    Deed {
        time: start() + TimeDelta::seconds(number as i64),
        actor: format!("person-{}", number % 7),
        role: (!number.is_multiple_of(5)).then_some(Role::Operator),
        action: "starbridge.control.v1.DeadLetterService/DiscardDeadLetters".to_owned(),
        object: format!("dead_letter/{number:032x}"),
        scope: Scope::of_flow("acme", "orders"),
        params_digest: Hash::of(&number.to_be_bytes()),
        reason: format!("客户 \"已确认\" \\ {number}"),
        result: if number.is_multiple_of(5) { Outcome::Denied } else { Outcome::Done },
        request_id: format!("request-{number}"),
    }
}

fn chain_from(mut head: Head, deeds: impl Iterator<Item = Deed>) -> Vec<Entry> {
    deeds
        .map(|deed| {
            let entry = append(&head, deed);
            head = entry.head();
            entry
        })
        .collect()
}

fn bytes(entries: &[Entry]) -> Vec<Vec<u8>> {
    entries.iter().map(Entry::encode).collect()
}

fn key(seed: u64) -> HeadKey {
    HeadKey::new(Key::generate(&mut StdRng::seed_from_u64(seed)))
}

#[test]
fn a_whole_chain_is_found_whole_from_any_start() {
    let entries = chain_from(Head::GENESIS, (0..ENTRIES).map(deed));
    let end = entries.last().expect("entries").head();
    assert_eq!(end.seq, ENTRIES as u64);
    assert_eq!(verify(bytes(&entries), Head::GENESIS, &[end]), Ok(end));
    for (number, entry) in entries.iter().enumerate() {
        let rest = bytes(&entries[number + 1..]);
        assert_eq!(verify(rest, entry.head(), &[entry.head(), end, Head::GENESIS]), Ok(end));
    }
    assert_eq!(verify(Vec::<Vec<u8>>::new(), Head::GENESIS, &[]), Ok(Head::GENESIS));
}

#[test]
fn an_entry_has_this_one_form() {
    let entry = append(&Head::GENESIS, deed(1));
    let expected = format!(
        "{{\"v\":1,\"seq\":1,\"time\":\"2026-03-01T08:00:01.123Z\",\"actor\":\"person-1\",\"role\":\"operator\",\
         \"action\":\"starbridge.control.v1.DeadLetterService/DiscardDeadLetters\",\
         \"object\":\"dead_letter/00000000000000000000000000000001\",\
         \"scope\":{{\"tenant\":\"acme\",\"flow\":\"orders\",\"connection\":\"*\"}},\"params_digest\":\"{}\",\
         \"reason\":\"客户 \\\"已确认\\\" \\\\ 1\",\"result\":\"done\",\"request_id\":\"request-1\",\
         \"prev_hash\":\"{}\",\"hash\":\"{}\"}}",
        entry.params_digest,
        Hash::ZERO,
        entry.hash
    );
    assert_eq!(String::from_utf8(entry.encode()).expect("text"), expected);
    assert_eq!(Entry::decode(expected.as_bytes()), Some(entry));
    for other in [expected.replace("{\"v\":1,", "{ \"v\":1,"), expected.replace("已", "\\u5df2"), expected + "\n"] {
        assert_eq!(Entry::decode(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn a_head_is_signed_by_a_known_key_or_forged() {
    let (known, foreign) = (key(1), key(2));
    let head = append(&Head::GENESIS, deed(0)).head();
    let signed = known.sign(&head, start());
    let keys = [foreign, known];
    assert_eq!(HeadKey::check(&keys, &signed), Ok(head));
    let json = serde_json::to_string(&signed).expect("JSON");
    assert_eq!(HeadKey::check(&keys, &serde_json::from_str(&json).expect("a head")), Ok(head));

    let forged = Err(Tampering { seq: 1, flaw: Flaw::HeadForged });
    assert_eq!(HeadKey::check(&keys[..1], &signed), forged);
    assert_eq!(HeadKey::check(&keys, &SignedHead { time: start(), ..signed.clone() }), forged);
    assert_eq!(HeadKey::check(&keys, &SignedHead { hash: Hash::ZERO, ..signed.clone() }), forged);
    assert_eq!(HeadKey::check(&keys, &SignedHead { kid: keys[0].kid().to_owned(), ..signed.clone() }), forged);
    assert_eq!(HeadKey::check(&keys, &SignedHead { v: 2, ..signed }), forged);
}

#[test]
fn signed_heads_that_disagree_are_found_before_any_entry() {
    let head = append(&Head::GENESIS, deed(0)).head();
    let other = Head { hash: Hash::ZERO, ..head };
    let rewritten = Err(Tampering { seq: 1, flaw: Flaw::Rewritten });
    assert_eq!(verify(Vec::<Vec<u8>>::new(), Head::GENESIS, &[head, other]), rewritten);
    assert_eq!(verify(Vec::<Vec<u8>>::new(), head, &[other]), rewritten);
}

#[test]
fn tampering_is_told_with_its_place() {
    let fault = Fault::from(Tampering { seq: 17, flaw: Flaw::OutOfPlace { found: 18 } });
    assert_eq!(fault.code, Code::AuditTampered);
    assert_eq!(
        fault.to_string(),
        "E_AUDIT_TAMPERED at record audit entry 17: is not there: entry 18 stands in its place"
    );
}

/// One way of tampering with a chain and its signed head, done at random. Gives the place where it must be found.
fn tamper(way: usize, rng: &mut StdRng, entries: &mut Vec<Vec<u8>>, signed: &mut SignedHead) -> u64 {
    let at = rng.random_range(0..entries.len());
    let seq = at as u64 + 1;
    match way {
        0 => {
            let place = rng.random_range(0..entries[at].len());
            entries[at][place] ^= 1 << rng.random_range(0..8);
        }
        1 => {
            entries.remove(at);
        }
        2 => {
            let other = (at + rng.random_range(1..entries.len())) % entries.len();
            entries.swap(at, other);
            return at.min(other) as u64 + 1;
        }
        3 => {
            entries.insert(at, entries[at].clone());
            return seq + 1;
        }
        4 => {
            let seq = Entry::decode(&entries[at]).expect("an entry").seq;
            let foreign = append(&Head { seq: seq - 1, hash: Hash::of(b"foreign") }, deed(ENTRIES + at));
            entries.insert(at, foreign.encode());
        }
        5 => {
            // Everything from here on is written anew, with the hashes it must have; only the signed head tells.
            let head = match at.checked_sub(1) {
                Some(before) => Entry::decode(&entries[before]).expect("an entry").head(),
                None => Head::GENESIS,
            };
            let count = entries.len() - at;
            entries.truncate(at);
            entries.extend(bytes(&chain_from(head, (0..count).map(|number| deed(ENTRIES + number)))));
            return ENTRIES as u64;
        }
        6 => entries.truncate(at),
        7 => {
            // A rewritten entry with a head that fits it, signed with a key of one's own, or not signed again at all.
            let own = key(rng.random());
            let fitting = own.sign(&Head { seq: signed.seq, hash: Hash::of(&entries[at]) }, start());
            let kids = [signed.kid.clone(), fitting.kid.clone()];
            let macs = [signed.mac, fitting.mac];
            *signed = SignedHead {
                kid: kids.choose(rng).expect("two").clone(),
                mac: *macs.choose(rng).expect("two"),
                ..fitting
            };
            return ENTRIES as u64;
        }
        other => panic!("no way {other}"),
    }
    seq
}

#[test]
fn a_thousand_random_tamperings_are_all_found_in_their_place() {
    let own = key(1);
    let keys = [key(1)];
    let whole = bytes(&chain_from(Head::GENESIS, (0..ENTRIES).map(deed)));
    let end = Entry::decode(whole.last().expect("entries")).expect("an entry").head();
    let mut rng = StdRng::seed_from_u64(20_260_301);
    for round in 0..1_000 {
        let (mut entries, mut signed) = (whole.clone(), own.sign(&end, start()));
        let place = tamper(round % 8, &mut rng, &mut entries, &mut signed);
        let found = HeadKey::check(&keys, &signed).and_then(|head| verify(&entries, Head::GENESIS, &[head]));
        assert_eq!(found.expect_err("tampered").seq, place, "round {round}");
    }
}
