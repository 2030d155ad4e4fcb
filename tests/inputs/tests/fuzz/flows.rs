//! The mapping language, flow files, settings.

use bolero::check;
use flow::cases::CaseFile;
use flow::{FlowBundle, Shelf, compile};
use inputs::{damage, sample};
use runtime::settings::{Invocation, load};

/// Documents with their cases: the mapping language is compiled and run.
#[test]
fn mapping() {
    let cases = sample::cases();
    check!().for_each(super::in_time(|input: &[u8]| {
        let Some(((name, document, cases), edits)) = super::chosen(&cases, input) else { return };
        let document = damage::edited(document.as_bytes(), edits);
        let Ok(document) = String::from_utf8(document) else { return };
        let cases = CaseFile::read(name, cases).expect("a good case file");
        // A document that still compiles maps every row to a bill or a fault.
        drop(cases.run(&document, &Shelf::default()));
    }));
}

/// An expression alone, in the place of a value.
#[test]
fn expression() {
    let good = sample::bundle();
    let target: serde_json::Value = serde_json::from_str(&good.target).expect("JSON");
    let paths = damage::paths(&target);
    let values: Vec<_> = paths
        .into_iter()
        .filter(|path| matches!(path.last(), Some(damage::Step::Member(name)) if name == "value"))
        .collect();
    assert!(!values.is_empty());
    check!().for_each(super::in_time(|input: &[u8]| {
        let Some((path, text)) = super::chosen(&values, input) else { return };
        let text = String::from_utf8_lossy(text);
        let text = if text.len().is_multiple_of(2) { format!("_function {text}") } else { text.into_owned() };
        let damaged = damage::replaced(&target, path, serde_json::Value::String(text));
        drop(compile(&FlowBundle { target: damaged.document.to_string(), ..good.clone() }));
    }));
}

/// Flow files and their documents.
#[test]
fn bundle() {
    let good = sample::bundle();
    check!().for_each(super::in_time(|input: &[u8]| {
        let Some((part, edits)) = super::chosen(&[0, 1, 2], input) else { return };
        let mut bundle = good.clone();
        let text = [&mut bundle.flow, &mut bundle.source, &mut bundle.target].into_iter().nth(*part);
        let Some(text) = text else { return };
        let Ok(edited) = String::from_utf8(damage::edited(text.as_bytes(), edits)) else { return };
        *text = edited;
        if let Err(faults) = compile(&bundle) {
            assert!(!faults.is_empty());
        }
    }));
}

/// Settings by the environment, over the defaults of the services.
#[test]
fn settings() {
    let extractor = sample::file("services/extractor/defaults.toml");
    let loader = sample::file("services/loader/defaults.toml");
    let keys = ["RATE__CALLS", "WORKER__MEMBER", "CONNECTIONS__A__URL", "OUTBOUND__NETWORKS", "HEALTH__LISTEN"];
    check!().for_each(super::in_time(|input: &[u8]| {
        let Some((key, text)) = super::chosen(&keys, input) else { return };
        let text = String::from_utf8_lossy(text).into_owned();
        let invocation = |service: &str| Invocation {
            environment: [(format!("{service}__{key}"), text.clone())].into(),
            ..Invocation::default()
        };
        drop(load::<extractor::config::Config>("extractor", &extractor, &invocation("EXTRACTOR")));
        drop(load::<loader::config::Config>("loader", &loader, &invocation("LOADER")));
    }));
}
