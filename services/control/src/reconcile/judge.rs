//! What is on record of a document, and whether the target agrees. No I/O.

use std::collections::BTreeSet;

use document::{Category, FlowVersion, TargetKey, Version};

use super::report::Kind;
use crate::index::{End, Ended, Entry, Reached};
use crate::letter::State;
use crate::systems::look::{Head, STATUS};

/// A document that is in the target by our doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its key there.
    pub target_key: TargetKey,
    /// Its id there, where the ledger has it.
    pub id: Option<String>,
    /// How far it was taken, where the ledger has it.
    pub reached: Option<Reached>,
    /// The version that was applied.
    pub version: Version,
    /// The definition it was mapped by.
    pub flow_version: FlowVersion,
    /// Whether a person edited what was loaded: it is then not what the flow makes of the source's bill.
    pub edited: bool,
}

/// What is on record of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Applied, under one key or several.
    Applied(Vec<Loaded>),
    /// In an open dead letter.
    Parked,
    /// In a dead letter, and nobody knows whether the target has it.
    InDoubt,
    /// Discarded by a person.
    Discarded,
    /// Begun, and not at its end.
    OnTheWay,
    /// Neither ledger nor letters know it.
    Unknown,
}

/// What of a letter counts here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letter {
    /// The version that failed.
    pub version: Version,
    /// What became of it; `None` while that cannot be read.
    pub state: Option<State>,
    /// What kind of failure.
    pub category: Category,
    /// Whether its payload was edited.
    pub edited: bool,
}

/// Concludes from the ledger's entries and the letters of one document.
pub fn standing(ends: &[End], letters: &[Letter]) -> Standing {
    let open = |row: &Letter| !matches!(row.state, Some(State::Resolved | State::Superseded | State::Discarded));
    let of_letters = || {
        let newest = letters.iter().max_by_key(|row| row.version)?;
        Some(match newest.state {
            Some(State::Replaying) => Standing::OnTheWay,
            _ if open(newest) && newest.category == Category::InDoubt => Standing::InDoubt,
            _ if open(newest) => Standing::Parked,
            Some(State::Discarded) => Standing::Discarded,
            // It went on, and the ledger will say so.
            _ => Standing::OnTheWay,
        })
    };
    if ends.is_empty() {
        return of_letters().unwrap_or(Standing::Unknown);
    }
    if ends.iter().any(|end| end.entry.end.is_none()) {
        return Standing::OnTheWay;
    }
    if ends.iter().all(|end| end.entry.end == Some(Ended::Applied)) {
        // A letter of a newer version than the one applied: that version did not reach the loader.
        let applied = ends.iter().map(|end| end.entry.version).max();
        let newer = letters.iter().filter(|row| Some(row.version) > applied && open(row)).count();
        if newer > 0 {
            return Standing::Parked;
        }
        let loaded = |end: &End| Loaded {
            target_key: end.target_key.clone(),
            id: end.entry.target.as_ref().map(|target| target.id.clone()),
            reached: end.entry.target.as_ref().map(|target| target.reached),
            version: end.entry.version,
            flow_version: end.entry.flow_version.clone(),
            edited: letters.iter().any(|letter| letter.edited && letter.version == end.entry.version),
        };
        return Standing::Applied(ends.iter().map(loaded).collect());
    }
    match of_letters() {
        Some(standing) if standing != Standing::OnTheWay => standing,
        _ if ends.iter().any(|end| end.entry.end == Some(Ended::InDoubt)) => Standing::InDoubt,
        _ => Standing::Parked,
    }
}

/// Whether the target may have the document by our doing. What was parked without a save is not there, and whatever has its
/// key there is somebody else's.
pub fn may_be_there(entry: &Entry) -> bool {
    entry.target.is_some() || entry.end != Some(Ended::Parked)
}

/// What is wrong with what the target has under the key of a loaded document: the kind, the ids found, and words.
pub fn presence(loaded: &Loaded, heads: &[Head]) -> Option<(Kind, Vec<String>, String)> {
    let ids: BTreeSet<&str> = heads.iter().map(|head| head.id.as_str()).collect();
    let owned = || ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let known = loaded.id.as_deref().unwrap_or_default();
    match ids.len() {
        0 if known.is_empty() => {
            Some((Kind::Missing, Vec::new(), "it was applied, and the target has it not".to_owned()))
        }
        0 => Some((Kind::Missing, Vec::new(), format!("it was applied as {known}, and the target has it not"))),
        1 if known.is_empty() || ids.contains(known) => None,
        1 => Some((Kind::Different, owned(), format!("it was applied as {known}, and another document has its key"))),
        several => Some((Kind::Duplicate, owned(), format!("{several} documents in the target have its key"))),
    }
}

/// That a document is no longer as far as it was taken, in words: somebody has un-audited it, or called it back. What a form
/// without a status, or with one of its own, says tells nothing; and what a person took further is as good.
pub fn fallen_back(loaded: &Loaded, heads: &[Head]) -> Option<String> {
    let [head] = heads else { return None };
    let now = match head.status.as_str() {
        "Z" | "A" | "D" => Reached::Saved,
        "B" => Reached::Submitted,
        "C" => Reached::Audited,
        _ => return None,
    };
    let expected = match loaded.reached.filter(|reached| *reached > now)? {
        Reached::Audited => "C (audited)",
        Reached::Submitted => "B (handed in for audit)",
        Reached::Saved => "A (saved)",
    };
    Some(format!("{STATUS}: it was taken to {expected}, and {} is found", head.status))
}

/// Whether a document is in the sample of a report: by its name and the report's, so that each report takes others.
pub fn is_sampled(report: &str, document: &str, share: f64) -> bool {
    let hash = blake3::hash(format!("{report}\n{document}").as_bytes());
    let mut head = [0_u8; 4];
    head.copy_from_slice(&hash.as_bytes()[..4]);
    f64::from(u32::from_be_bytes(head)) / f64::from(u32::MAX) < share
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::FlowName;
    use proptest::prelude::*;
    use serde_json::json;

    fn end(word: Option<&str>, version: u64) -> End {
        let entry = json!({"document": "B1", "version": version, "flow_version": "aa", "end": word, "replays": [],
            "target": {"id": "100", "version": version, "reached": "saved"}, "digest": "00", "at": 5, "schema": 1});
        let flow = FlowName::new("f").expect("valid");
        End { flow, target_key: TargetKey("B1".to_owned()), entry: serde_json::from_value(entry).expect("an entry") }
    }

    fn head(id: &str) -> Head {
        Head { id: id.to_owned(), key: "B1".to_owned(), status: "C".to_owned(), created: String::new() }
    }

    fn letter(state: Option<State>, category: Category, version: u64) -> Letter {
        Letter { state, category, version: Version(version), edited: false }
    }

    #[test]
    fn what_is_on_record_decides_what_is_asked_of_the_target() {
        let open = |version| letter(Some(State::Open), Category::Duplicate, version);
        for (ends, letters, expected) in [
            (vec![], vec![], "Unknown"),
            (vec![], vec![open(1)], "Parked"),
            (vec![], vec![letter(Some(State::Parked), Category::Mapping, 1)], "Parked"),
            (vec![], vec![letter(Some(State::Open), Category::InDoubt, 1)], "InDoubt"),
            (vec![], vec![letter(Some(State::Discarded), Category::Duplicate, 1)], "Discarded"),
            (vec![], vec![letter(Some(State::Replaying), Category::Duplicate, 1)], "OnTheWay"),
            (vec![], vec![letter(Some(State::Resolved), Category::Duplicate, 1)], "OnTheWay"),
            (vec![end(None, 1)], vec![], "OnTheWay"),
            (vec![end(Some("applied"), 2)], vec![letter(Some(State::Superseded), Category::Duplicate, 1)], "Applied"),
            (vec![end(Some("applied"), 2)], vec![open(1)], "Applied"),
            (vec![end(Some("applied"), 2)], vec![open(3)], "Parked"),
            (vec![end(Some("parked"), 1)], vec![open(1)], "Parked"),
            (vec![end(Some("parked"), 1)], vec![letter(Some(State::Discarded), Category::Duplicate, 1)], "Discarded"),
            (vec![end(Some("in_doubt"), 1)], vec![], "InDoubt"),
        ] {
            let found = format!("{:?}", standing(&ends, &letters));
            assert!(found.starts_with(expected), "{found} where {expected} was due");
        }
    }

    #[test]
    fn a_document_that_was_audited_and_is_no_more_is_named() {
        let Standing::Applied(loaded) = standing(&[end(Some("applied"), 1)], &[]) else { panic!("applied") };
        assert_eq!(loaded[0].reached, Some(Reached::Saved));
        let of = |reached, status: &str| {
            let loaded = Loaded { reached, ..loaded[0].clone() };
            fallen_back(&loaded, &[Head { status: status.to_owned(), ..head("100") }])
        };
        let (saved, submitted, audited) = (Some(Reached::Saved), Some(Reached::Submitted), Some(Reached::Audited));
        for (reached, status) in [(audited, "D"), (audited, "A"), (audited, "Z"), (audited, "B"), (submitted, "D")] {
            assert!(of(reached, status).is_some(), "{reached:?} {status}");
        }
        for (reached, status) in
            [(audited, "C"), (submitted, "B"), (submitted, "C"), (saved, "D"), (saved, "Z"), (None, "A"), (audited, "")]
        {
            assert_eq!(of(reached, status), None, "{reached:?} {status}");
        }
        assert_eq!(of(audited, "D").as_deref(), Some("FDocumentStatus: it was taken to C (audited), and D is found"));
        // Which of several it is about cannot be told, and that there are several is named.
        let audited = Loaded { reached: audited, ..loaded[0].clone() };
        let open = Head { status: "D".to_owned(), ..head("100") };
        assert_eq!(fallen_back(&audited, &[open, head("101")]), None);
    }

    #[test]
    fn a_document_that_was_parked_without_a_save_is_nobodys() {
        for (word, target, expected) in [
            (json!("applied"), json!({"id": "100", "version": 1, "reached": "saved"}), true),
            (json!("parked"), json!({"id": "100", "version": 1, "reached": "saved"}), true),
            (json!("parked"), json!(null), false),
            (json!("in_doubt"), json!(null), true),
            (json!(null), json!(null), true),
        ] {
            let entry = json!({"document": "B1", "version": 1, "flow_version": "aa", "end": word, "replays": [],
                "target": target, "digest": "00", "at": 5, "schema": 1});
            let entry = serde_json::from_value(entry).expect("an entry");
            assert_eq!(may_be_there(&entry), expected, "{entry:?}");
        }
    }

    #[test]
    fn what_a_person_edited_is_known() {
        let letter = Letter { edited: true, ..letter(Some(State::Resolved), Category::Mapping, 2) };
        for (version, edited) in [(2, true), (3, false)] {
            let Standing::Applied(loaded) = standing(&[end(Some("applied"), version)], &[letter]) else {
                panic!("applied")
            };
            assert_eq!(loaded[0].edited, edited);
        }
    }

    #[test]
    fn the_target_agrees_or_what_is_wrong_is_named() {
        let Standing::Applied(loaded) = standing(&[end(Some("applied"), 1)], &[]) else { panic!("applied") };
        let kind = |heads: &[Head]| presence(&loaded[0], heads).map(|(kind, ids, _)| (kind, ids.len()));
        assert_eq!(kind(&[head("100")]), None);
        assert_eq!(kind(&[head("100"), head("100")]), None);
        assert_eq!(kind(&[]), Some((Kind::Missing, 0)));
        assert_eq!(kind(&[head("101")]), Some((Kind::Different, 1)));
        assert_eq!(kind(&[head("100"), head("101")]), Some((Kind::Duplicate, 2)));
        let nameless = Loaded { id: None, ..loaded[0].clone() };
        assert_eq!(presence(&nameless, &[head("7")]), None);
        assert!(presence(&nameless, &[]).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_sample_has_its_share_and_stays_the_same(report in "[a-z0-9]{1,12}", share in 0.0_f64..1.0) {
            let taken = (0..2_000).filter(|at| is_sampled(&report, &format!("B{at}"), share)).count();
            let part = f64::from(u32::try_from(taken).expect("few")) / 2_000.0;
            prop_assert!((part - share).abs() < 0.08, "{} of {}", part, share);
            prop_assert!(!is_sampled(&report, "B1", 0.0));
        }
    }
}
