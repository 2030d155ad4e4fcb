//! The demonstration's control plane, spoken to as an operator does.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::fleet::{DeskFiles, Starctl};

/// How long the control plane may take to know of letters.
const PATIENCE: Duration = Duration::from_secs(60);

/// The desk of the demonstration.
#[derive(Debug, Clone)]
pub(super) struct Desk(Starctl);

impl Desk {
    /// Makes the first administrator, gives an operator a role and a token, and leaves a context file for both.
    ///
    /// # Errors
    /// The control plane does not let anybody in within a minute.
    pub(super) fn open(files: &DeskFiles, folder: &Path) -> anyhow::Result<Self> {
        Starctl::open(files, folder.to_owned(), &["operator"], PATIENCE).map(Self)
    }

    /// The context file: `starctl --config FILE …`.
    pub(super) fn config(&self) -> PathBuf {
        self.0.config()
    }

    /// Ids of the letters that a selector takes.
    ///
    /// # Errors
    /// The control plane does not answer.
    pub(super) fn ids(&self, selector: &str) -> anyhow::Result<Vec<String>> {
        let text = self.0.done(&["dlq", "list", "-l", selector, "--limit", "1000", "-o", "json"])?;
        let answer: Value = serde_json::from_str(&text).context("reading the list of letters")?;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        Ok(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect())
    }

    /// Waits until the control plane knows `count` letters of a selector.
    ///
    /// # Errors
    /// It does not within a minute.
    pub(super) fn until(&self, selector: &str, count: usize) -> anyhow::Result<Vec<String>> {
        let begin = Instant::now();
        loop {
            let ids = self.ids(selector)?;
            if ids.len() == count {
                return Ok(ids);
            }
            if begin.elapsed() > PATIENCE {
                bail!("{} letters of {selector:?} instead of {count} after {PATIENCE:?}", ids.len());
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }

    /// Replays what a selector takes and waits until every letter has its outcome.
    ///
    /// # Errors
    /// A letter failed again, or the control plane does not answer.
    pub(super) fn replay(&self, selector: &str, reason: &str) -> anyhow::Result<()> {
        self.0.done(&["dlq", "replay", "-l", selector, "--reason", reason, "--rate", "50", "--yes", "--wait"]).map(drop)
    }
}
