use chrono::{DateTime, TimeDelta, Utc};
use document::{Code, Fault};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::head::EVERY;
use super::*;
use crate::access::{KeyRing, Role, Scope, SigningKey};

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

fn keys(seed: u64) -> KeyRing {
    KeyRing::new(SigningKey::generate(&mut StdRng::seed_from_u64(seed)))
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
fn members_of_a_newer_version_are_part_of_the_chain() {
    let mut newer = append(&Head::GENESIS, deed(1));
    newer.more = r#","session":"s-1","prev_hash_of":[1,2.50]"#.to_owned();
    newer.hash = newer.content_hash();
    let next = append(&newer.head(), deed(2));
    let written = bytes(&[newer.clone(), next.clone()]);
    assert_eq!(verify(&written, Head::GENESIS, &[]), Ok(next.head()));
    assert_eq!(Entry::decode(&written[0]), Some(newer));
    let text = String::from_utf8(written[0].clone()).expect("text");
    for (from, to, flaw) in [
        ("2.50", "2.5", Flaw::Changed),
        (r#","session":"s-1""#, "", Flaw::Changed),
        (r#","session""#, r#" ,"session""#, Flaw::Unreadable),
        (r#","session":"s-1""#, r#","reason":"s-1""#, Flaw::Unreadable),
    ] {
        let changed = [text.replace(from, to).into_bytes(), written[1].clone()];
        assert_eq!(verify(&changed, Head::GENESIS, &[]), Err(Tampering { seq: 1, flaw }), "{from}");
    }
}

#[test]
fn a_head_is_signed_by_a_known_key_or_forged() {
    let (known, foreign) = (keys(1), keys(2));
    let head = append(&Head::GENESIS, deed(0)).head();
    let signed = SignedHead::sign(&head, start(), &known);
    assert_eq!(signed.check(&known, start()), Ok(head));
    let json = serde_json::to_string(&signed).expect("JSON");
    let back: SignedHead = serde_json::from_str(&json).expect("a head");
    assert_eq!(back.check(&known, start()), Ok(head));
    let text = format!("starbridge audit head v1\n1\n{}\n1772352000123\n{}\n", head.hash, signed.kid);
    assert_eq!(signed.text(), text);

    let forged = Err(Tampering { seq: 1, flaw: Flaw::HeadForged });
    assert_eq!(signed.check(&foreign, start()), forged);
    let other = foreign.signing().public().kid();
    for changed in [
        SignedHead { time: start() + TimeDelta::seconds(1), ..signed.clone() },
        SignedHead { hash: Hash::ZERO, ..signed.clone() },
        SignedHead { kid: other, ..signed.clone() },
        SignedHead { signature: "no hex".to_owned(), ..signed.clone() },
        SignedHead { v: 2, ..signed.clone() },
    ] {
        assert_eq!(changed.check(&known, start()), forged);
    }
}

#[test]
fn a_head_holds_while_its_key_is_trusted_and_the_next_key_signs_at_once() {
    let entries = chain_from(Head::GENESIS, (0..3).map(deed));
    let head = entries[2].head();
    let mut ring = keys(1);
    let old = ring.signing().public().kid();
    let before = SignedHead::sign(&head, start(), &ring);
    let at = start().timestamp_millis();
    assert!(!Pace::after(Some(&before), &ring).is_due(&head, at + EVERY));
    ring.rotate(SigningKey::generate(&mut StdRng::seed_from_u64(9)), start());
    // Nothing came since, and yet the new key signs: the old one may then be taken out of use.
    assert!(Pace::after(Some(&before), &ring).is_due(&head, at));
    let after = SignedHead::sign(&head, start(), &ring);
    assert_eq!(prove(&bytes(&entries), false, &[before.clone(), after.clone()], &ring, start()).broken, None);
    assert_eq!(ring.publics(start()).iter().filter(|(_, signs)| *signs).count(), 1);
    assert!(ring.retire(&old, start()));
    let forged = Some(Tampering { seq: 3, flaw: Flaw::HeadForged });
    assert_eq!(prove(&bytes(&entries), false, &[before], &ring, start()).broken, forged);
    assert_eq!(prove(&bytes(&entries), false, &[after], &ring, start()).broken, None);
    assert_eq!(ring.publics(start()).len(), 1);
}

#[test]
fn a_head_is_signed_every_five_minutes_while_entries_come_and_at_the_end() {
    let ring = keys(1);
    let mut pace = Pace::default();
    let (mut now, mut signed) = (start(), Vec::new());
    assert!(!pace.is_due(&Head::GENESIS, now.timestamp_millis()) && !pace.has_news(&Head::GENESIS));
    // Entries come for twenty minutes, one every ten seconds; then an hour of silence; then one more.
    let mut head = Head::GENESIS;
    for tick in 0..500 {
        if !(120..499).contains(&tick) {
            head = append(&head, deed(tick)).head();
        }
        if pace.is_due(&head, now.timestamp_millis()) {
            let one = SignedHead::sign(&head, now, &ring);
            pace.note(&one);
            signed.push((tick, one.seq));
        }
        now += TimeDelta::seconds(10);
    }
    assert_eq!(signed, [(0, 1), (30, 31), (60, 61), (90, 91), (120, 120), (499, 121)]);
    assert!(!pace.has_news(&head));
    let last = append(&head, deed(500)).head();
    assert!(pace.has_news(&last) && !pace.is_due(&last, now.timestamp_millis()));
    // A new writer goes on from the head that it finds.
    let found = SignedHead::sign(&last, now, &ring);
    assert!(!Pace::after(Some(&found), &ring).has_news(&last));
}

#[test]
fn a_trail_without_its_end_is_found_by_the_signed_head_and_one_without_its_beginning_is_whole() {
    let ring = keys(1);
    let entries = chain_from(Head::GENESIS, (0..ENTRIES).map(deed));
    let signed = SignedHead::sign(&entries[49].head(), start(), &ring);
    let judged =
        |records: &[Entry], expired| prove(&bytes(records), expired, std::slice::from_ref(&signed), &ring, start());
    // Entries after the signed head are judged by the chain alone.
    let whole = Proof { entries: 60, head: entries[59].hash, broken: None };
    assert_eq!(judged(&entries, false), whole);
    assert_eq!(judged(&entries[..50], false), Proof { entries: 50, head: entries[49].hash, broken: None });
    for left in [49, 20, 0] {
        let cut = Some(Tampering { seq: left as u64 + 1, flaw: Flaw::CutOff });
        assert_eq!(judged(&entries[..left], false).broken, cut, "{left}");
    }
    assert_eq!(judged(&entries[30..], true).broken, None);
    assert_eq!(judged(&entries[55..], true).broken, None);
    let missing = Some(Tampering { seq: 1, flaw: Flaw::OutOfPlace { found: 31 } });
    assert_eq!(judged(&entries[30..], false).broken, missing);
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
            let own = keys(rng.random());
            let fitting = SignedHead::sign(&Head { seq: signed.seq, hash: Hash::of(&entries[at]) }, start(), &own);
            let (kid, signature) = match rng.random_range(0..3) {
                0 => (signed.kid.clone(), signed.signature.clone()),
                1 => (signed.kid.clone(), fitting.signature.clone()),
                _ => (fitting.kid.clone(), fitting.signature.clone()),
            };
            *signed = SignedHead { kid, signature, ..fitting };
            return ENTRIES as u64;
        }
        other => panic!("no way {other}"),
    }
    seq
}

#[test]
fn a_thousand_random_tamperings_are_all_found_in_their_place() {
    let ring = keys(1);
    let whole = bytes(&chain_from(Head::GENESIS, (0..ENTRIES).map(deed)));
    let end = Entry::decode(whole.last().expect("entries")).expect("an entry").head();
    let mut rng = StdRng::seed_from_u64(20_260_301);
    for round in 0..1_000 {
        let (mut entries, mut signed) = (whole.clone(), SignedHead::sign(&end, start(), &ring));
        let place = tamper(round % 8, &mut rng, &mut entries, &mut signed);
        let proof = prove(&entries, false, &[signed], &ring, start());
        assert_eq!(proof.broken.expect("tampered").seq, place, "round {round}");
    }
}
