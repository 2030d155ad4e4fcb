//! The checker against a real run, and against what it might have been.

mod command;
mod corrupted;
mod disk;
mod mutated;

use std::path::{Path, PathBuf};

use history_checker::History;

/// What lies in `tests/data`: a run in which replies were lost, Redis flushed, a bill refused and the loader killed.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The recorded run, in which nothing is wrong.
fn recorded() -> History {
    let bytes = std::fs::read(data("run.json")).expect("recorded");
    serde_json::from_slice(&bytes).expect("a history")
}
