//! What becomes of a bill.

use document::{Category, Code, Stage};
use serde_json::json;

use super::*;
use crate::core::key::Key;
use crate::core::sim::{self, NOON};

/// The wall clock, unix microseconds.
const NOW: u64 = 1_710_403_200_000_000;

fn bill(quantities: &[i64]) -> Bill {
    let rows = quantities
        .iter()
        .enumerate()
        .map(|(line, quantity)| {
            vec![json!(line + 1), json!("B7"), json!(quantity), json!(7), json!("2024-03-14T16:00:00")]
        })
        .collect();
    Bill {
        key: Key::Integer(7),
        stamp: Some("2024-03-14T16:00:00".to_owned()),
        created: Some("2024-03-14T15:00:00".to_owned()),
        rows,
        oversized: None,
    }
}

fn rules() -> Rules {
    sim::plan(500).rules
}

fn judge(rules: &Rules, bill: Bill, before: Option<&Seen>, shape: Shaper<'_>) -> Emission {
    let mut last_version = Some(Version(50));
    let mut mint = sim::mint();
    let mut moment = Moment {
        micros: 40,
        now: NOW,
        last_version: &mut last_version,
        run_time: NOON,
        since: NOON - 600,
        again: false,
        mint: &mut mint,
    };
    rules.judge(bill, before, shape, &mut moment)
}

#[test]
fn a_new_bill_becomes_one_record_of_all_its_rows() {
    let emission = judge(&rules(), bill(&[10, 20]), None, &sim::shape);
    let [record] = emission.data.as_slice() else { panic!("one record") };
    assert_eq!(record.document_key.as_str(), "B7");
    assert_eq!(record.version, Version(51));
    assert_eq!((record.created, record.run_time, record.run_since), (Some(NOON - 3_600), NOON, NOON - 600));
    assert_eq!(
        String::from_utf8_lossy(&record.value),
        r#"[{"line":1,"no":"B7","qty":10},{"line":2,"no":"B7","qty":20}]"#
    );
    assert_eq!(emission.counts, Counts { emitted: 1, ..Counts::default() });
    let seen = emission.seen.expect("an entry");
    assert_eq!((seen.id, seen.stamp.as_deref()), (Key::Integer(7), Some("2024-03-14T16:00:00")));
    assert_eq!((seen.documents[0].version, seen.documents[0].digest), (Version(51), record.digest));
}

#[test]
fn records_without_a_number_of_their_own_are_documents_by_id() {
    let mut rules = rules();
    rules.by_number = false;
    let emission = judge(&rules, bill(&[10, 20]), None, &sim::shape);
    let keys: Vec<&str> = emission.data.iter().map(|record| record.document_key.as_str()).collect();
    assert_eq!(keys, ["1", "2"]);
    assert_eq!(emission.data[1].version, Version(52));
}

#[test]
fn a_record_without_a_number_is_a_document_by_id_even_where_documents_go_by_number() {
    let mut bill = bill(&[10, 20, 30]);
    bill.rows[1][1] = json!("");
    let emission = judge(&rules(), bill, None, &sim::shape);
    let keys: Vec<&str> = emission.data.iter().map(|record| record.document_key.as_str()).collect();
    assert_eq!(keys, ["B7", "2"]);
}

#[test]
fn the_same_content_is_unchanged_and_writes_nothing() {
    let seen = judge(&rules(), bill(&[10]), None, &sim::shape).seen.expect("an entry");
    let again = judge(&rules(), bill(&[10]), Some(&seen), &sim::shape);
    assert_eq!((again.data.len(), again.seen), (0, None));
    assert_eq!(again.counts, Counts { unchanged: 1, ..Counts::default() });
}

#[test]
fn other_content_is_a_new_version_or_listed_as_changed_after_load() {
    let seen = judge(&rules(), bill(&[10]), None, &sim::shape).seen.expect("an entry");
    let version = judge(&rules(), bill(&[11]), Some(&seen), &sim::shape);
    assert_eq!((version.data.len(), version.counts.emitted), (1, 1));

    let mut checked = rules();
    checked.id_check = true;
    let first = judge(&checked, bill(&[11]), Some(&seen), &sim::shape);
    assert_eq!((first.data.len(), first.counts.repeated), (0, 1));
    assert_eq!(first.changed_after_load, [DocumentKey::from("B7")]);
    let listed = first.seen.expect("the list is the seen entry");
    assert_eq!(listed.documents[0].digest, seen.documents[0].digest);
    assert_eq!(listed.documents[0].changed_after_load, Some(version.data[0].digest));
    let second = judge(&checked, bill(&[11]), Some(&listed), &sim::shape);
    assert_eq!((second.counts.repeated, second.changed_after_load.len(), second.seen), (1, 0, None));
    // Changed back to what was loaded: no longer listed.
    let back = judge(&checked, bill(&[10]), Some(&listed), &sim::shape);
    assert_eq!((back.counts.unchanged, back.seen), (1, Some(seen)));
}

#[test]
fn a_bill_that_is_back_gets_a_newer_version_to_close_its_letter() {
    let mut seen = judge(&rules(), bill(&[10]), None, &sim::shape).seen.expect("an entry");
    seen.missing = 2;
    seen.retracted = true;
    let back = judge(&rules(), bill(&[10]), Some(&seen), &sim::shape);
    assert_eq!(back.counts.emitted, 1);
    assert!(back.seen.is_some_and(|seen| !seen.retracted && seen.missing == 0));
}

#[test]
fn a_record_over_the_limit_becomes_a_letter_with_its_size_and_no_body() {
    let mut rules = rules();
    rules.max_record_bytes = 40;
    let emission = judge(&rules, bill(&[10, 20]), None, &sim::shape);
    let [letter] = emission.letters.as_slice() else { panic!("one letter") };
    assert_eq!((letter.code, letter.category, letter.stage), (Code::TooLarge, Category::Validation, Stage::Extract));
    assert_eq!((letter.document_key.as_str(), letter.body.len()), ("B7", 0));
    assert_eq!((letter.first_failed_at, letter.last_failed_at), (NOON * 1_000, NOON * 1_000));
    assert_eq!(letter.message, "the record has 61 bytes, 40 are allowed");
    assert_eq!((emission.data.len(), emission.counts.letters), (0, 1));
    let seen = emission.seen.expect("set aside once, not at every scan");
    let again = judge(&rules, bill(&[10, 20]), Some(&seen), &sim::shape);
    assert_eq!((again.letters.len(), again.counts.unchanged), (0, 1));

    // One that was too large to be kept while it was read: the first row still names it.
    let huge = Bill { oversized: Some(99), ..bill(&[10]) };
    let letters = judge(&rules, huge, None, &sim::shape).letters;
    assert_eq!((letters[0].document_key.as_str(), letters[0].code), ("B7", Code::TooLarge));
    let fault = Fault::new(Code::TooLarge, "x").of_record("B7");
    assert_eq!(fault.place.record.as_deref(), Some("B7"));
}

#[test]
fn a_bill_with_a_row_that_cannot_be_shaped_is_set_aside_whole() {
    let shape = |rows: Vec<Map<String, Value>>| {
        let mut shaped = sim::shape(rows);
        if shaped.records.len() > 1 {
            shaped.records.pop();
            shaped.rejected.push((1, Fault::new(Code::Filter, "not a date").at_path("$.formatResponse[0]")));
        }
        shaped
    };
    let emission = judge(&rules(), bill(&[10, 20]), None, &shape);
    let [letter] = emission.letters.as_slice() else { panic!("one letter") };
    assert_eq!((letter.document_key.as_str(), letter.code), ("B7", Code::Filter));
    assert_eq!(letter.field.as_deref(), Some("$.formatResponse[0]"));
    assert!(String::from_utf8_lossy(&letter.body).contains(r#""qty":20"#));
    assert_eq!(emission.data.len(), 0);
    // What is allowed for a record is allowed for the letter's body, and not a byte more.
    let bytes = letter.body.len();
    for (max_record_bytes, kept) in [(bytes, bytes), (bytes - 1, 0)] {
        let letters = judge(&Rules { max_record_bytes, ..rules() }, bill(&[10, 20]), None, &shape).letters;
        assert_eq!(letters[0].body.len(), kept);
    }
}

#[test]
fn a_bill_the_condition_leaves_nothing_of_is_counted_and_remembered() {
    let nothing = |_: Vec<Map<String, Value>>| Shaped::default();
    let emission = judge(&rules(), bill(&[10]), None, &nothing);
    assert_eq!(emission.counts, Counts { filtered: 1, ..Counts::default() });
    assert!(emission.seen.is_some_and(|seen| seen.documents.is_empty()));
}

#[test]
fn the_documents_of_a_share_are_always_the_same_and_a_larger_one_has_them_too() {
    let share = |percent| Share { version: "v2".into(), percent };
    let keys: Vec<DocumentKey> = (0..10_000).map(|number| DocumentKey(format!("入库-{number}"))).collect();
    let of = |percent| keys.iter().filter(|key| share(percent).has(key)).collect::<Vec<_>>();
    for percent in [1, 5, 25, 50, 99] {
        let (expected, found) = (usize::from(percent) * 100, of(percent).len());
        assert!(found.abs_diff(expected) < 150, "{percent} % are {found}");
        assert!(of(percent).iter().all(|key| share(percent.max(60)).has(key)));
    }
    assert_eq!((of(0).len(), of(100).len()), (0, keys.len()));
    // Which ones they are is what other releases go by, too.
    assert_eq!(of(1)[..3].iter().map(|key| key.as_str()).collect::<Vec<_>>(), ["入库-2", "入库-45", "入库-98"]);
}

#[test]
fn a_document_of_the_canary_goes_by_its_version_and_so_does_its_letter() {
    for (percent, version) in [(100, "v2"), (0, "v1")] {
        let rules = Rules { canary: Some(Share { version: "v2".into(), percent }), ..rules() };
        assert_eq!(judge(&rules, bill(&[10]), None, &sim::shape).data[0].flow_version.as_str(), version);
        let rules = Rules { max_record_bytes: 10, ..rules };
        assert_eq!(judge(&rules, bill(&[10]), None, &sim::shape).letters[0].flow_version.as_str(), version);
    }
}

#[test]
fn the_counts_of_a_run_are_those_of_its_batches_together() {
    let counts =
        |from| Counts { emitted: from, unchanged: from + 1, repeated: from + 2, filtered: from + 3, letters: from + 4 };
    let mut sum = counts(10);
    sum.add(counts(100));
    assert_eq!(sum, Counts { emitted: 110, unchanged: 112, repeated: 114, filtered: 116, letters: 118 });
}

#[test]
fn a_bill_without_a_number_that_is_set_aside_whole_is_called_by_its_id() {
    let mut huge = Bill { oversized: Some(99), ..bill(&[10]) };
    huge.rows[0][1] = json!("");
    assert_eq!(judge(&rules(), huge, None, &sim::shape).letters[0].document_key.as_str(), "7");
}
