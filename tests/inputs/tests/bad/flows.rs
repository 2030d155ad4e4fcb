//! Flow folders that cannot work.

use document::Fault;
use flow::{FlowBundle, compile};
use inputs::damage::{self, Damaged};
use inputs::{Tally, sample};
use serde_json::Value;

fn faults(bundle: &FlowBundle) -> Vec<Fault> {
    compile(bundle).err().unwrap_or_default()
}

#[test]
fn a_flow_file_with_a_wrong_kind_or_an_unknown_key_is_refused() {
    let mut tally = Tally::default();
    let good = sample::bundle();
    assert_eq!(faults(&good), []);
    let file: Value = toml::from_str(&good.flow).expect("TOML");
    // A whole number where a text is due reads as one in no table of the flow file.
    let damages = damage::other_kinds(&file).into_iter().chain(damage::strange_members(&file));
    for Damaged { what, document } in damages {
        // A table without its members is a table of defaults, where all of them have one.
        let emptied = what.ends_with("becomes {}");
        let found = faults(&FlowBundle { flow: damage::to_toml(&document), ..good.clone() });
        if !(emptied && found.is_empty()) {
            tally.note(&what, &found);
        }
    }
    for (end, _) in good.flow.char_indices() {
        let flow = good.flow.get(..end).expect("between two characters").to_owned();
        let found = faults(&FlowBundle { flow, ..good.clone() });
        // Cut between two of its lines it may still be a flow; whatever is said must be said of a place.
        if !found.is_empty() {
            tally.note(&format!("flow.toml cut at byte {end}"), &found);
        }
    }
    assert!(tally.inputs >= 500, "{} flow files", tally.inputs);
    assert!(tally.len() >= 60 && tally.codes() >= 7, "{} pairs of {} codes", tally.len(), tally.codes());
}

#[test]
fn whatever_is_wrong_with_a_document_is_said_of_its_place() {
    let mut tally = Tally::default();
    let good = sample::bundle();
    let [source, target]: [Value; 2] =
        [&good.source, &good.target].map(|text| serde_json::from_str(text).expect("JSON"));
    let mut judge = |what: &str, bundle: &FlowBundle| {
        let found = faults(bundle);
        // The format leaves much open: a damage may be another good document.
        if !found.is_empty() {
            tally.note(what, &found);
        }
    };
    for Damaged { what, document } in damage::other_kinds(&source) {
        judge(&format!("source {what}"), &FlowBundle { source: document.to_string(), ..good.clone() });
    }
    for Damaged { what, document } in damage::other_kinds(&target) {
        judge(&format!("target {what}"), &FlowBundle { target: document.to_string(), ..good.clone() });
    }
    for text in ["", "{", "[]", "7", "\u{feff}{}", "{\"api\":1}{}", "{\"request\":[", "null"] {
        judge(&format!("source {text:?}"), &FlowBundle { source: text.to_owned(), ..good.clone() });
        judge(&format!("target {text:?}"), &FlowBundle { target: text.to_owned(), ..good.clone() });
    }
    assert!(tally.inputs >= 200, "{} documents", tally.inputs);
    assert!(tally.len() >= 60 && tally.codes() >= 8, "{} pairs of {} codes", tally.len(), tally.codes());
}
