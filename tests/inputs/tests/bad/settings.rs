//! Settings that cannot work.

use document::Fault;
use inputs::damage::{self, Damaged};
use inputs::{Tally, sample};
use runtime::settings::{Invocation, Settings, load};
use serde_json::Value;

/// Reads a settings file over the defaults of a service.
fn read<T: Settings>(service: &str, defaults: &str, file: &Value) -> Vec<Fault> {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, damage::to_toml(file)).expect("written");
    let invocation = Invocation { config: Some(path), ..Invocation::default() };
    let mut faults = load::<T>(service, defaults, &invocation).err().map(|faults| faults.0).unwrap_or_default();
    // The folder has another name each time.
    for fault in &mut faults {
        fault.place.file = fault.place.file.take().map(|_| format!("{service}.toml"));
    }
    faults
}

fn go_through<T: Settings>(service: &str, defaults: &str, tally: &mut Tally) {
    let mut good: Value = toml::from_str(defaults).expect("TOML");
    // What has no default, and what nothing works without.
    for (table, key) in [("grpc", "certificate_file"), ("grpc", "key_file"), ("access", "signing_key_file")] {
        if let Some(table) = good.get_mut(table) {
            table[key] = "secrets/file.pem".into();
        }
    }
    assert_eq!(read::<T>(service, defaults, &good), [], "{service}");
    for Damaged { what, document } in damage::other_kinds(&good).into_iter().chain(damage::strange_members(&good)) {
        // An empty table over the defaults changes nothing.
        if !what.ends_with("becomes {}") {
            tally.note(&format!("{service}: {what}"), &read::<T>(service, defaults, &document));
        }
    }
}

#[test]
fn every_setting_of_a_wrong_kind_and_every_unknown_one_is_refused_where_it_was_set() {
    let mut tally = Tally::default();
    go_through::<extractor::config::Config>("extractor", &sample::file("services/extractor/defaults.toml"), &mut tally);
    let defaults = sample::file("services/transformer/defaults.toml");
    go_through::<transformer::config::Config>("transformer", &defaults, &mut tally);
    go_through::<loader::config::Config>("loader", &sample::file("services/loader/defaults.toml"), &mut tally);
    go_through::<control::Config>("control", &sample::file("services/control/defaults.toml"), &mut tally);
    assert!(tally.inputs >= 500, "{} settings", tally.inputs);
    assert!(tally.len() >= 60, "{} pairs of {} codes", tally.len(), tally.codes());
}
