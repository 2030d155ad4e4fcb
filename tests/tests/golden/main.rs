//! What earlier releases wrote is read by this one, and what newer ones will add to it does not stop this one.
//!
//! `tests/golden/RELEASE/` holds one file a topic: a JSON line a record, as its bytes are in the topic. The files of the
//! release that is being made are written by `STARBRIDGE_WRITE=1 cargo test -p e2e --test golden this_release`; those of
//! earlier releases are never written again. What must be read from them is written out by hand, a module a release.

mod lines;
mod made;
mod release_0_1;

use lines::Lines;

/// The folder of the release that is being made.
const THIS: &str = "0.1";

#[test]
#[expect(clippy::disallowed_methods, reason = "whether to write is said by the command that runs the test")]
fn this_release_writes_what_its_files_hold() {
    assert!(env!("CARGO_PKG_VERSION").starts_with(&format!("{THIS}.")), "a new release needs files of its own");
    for (name, records) in made::all() {
        let made = Lines::of(records);
        if std::env::var_os("STARBRIDGE_WRITE").is_some() {
            made.write(THIS, name);
        }
        assert_eq!(Lines::read(THIS, name), made, "{name}: old readers would find something else");
    }
}
