//! What happened, in words, and one number for all of it.

use std::time::Duration;

/// The story of a run. Told only where someone listens, since telling costs more than running.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(told: bool) -> Self {
        Self { lines: told.then(Vec::new) }
    }

    pub(crate) fn note(&mut self, now: Duration, words: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>10.3} {}", now.as_secs_f64(), words()));
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

/// The number that stands for a story.
pub(crate) fn hash(lines: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for line in lines {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}
