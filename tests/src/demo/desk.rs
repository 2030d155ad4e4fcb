//! The demonstration's control plane, spoken to as an operator does: by `starctl`, with a context file and a token.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::fleet::{DeskFiles, secret};
use crate::servers::binaries;

/// How long the control plane may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(60);

/// The desk of the demonstration.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    config: PathBuf,
}

impl Desk {
    /// Makes the first administrator, gives an operator a role and a token, and leaves a context file for both.
    ///
    /// # Errors
    /// The control plane does not let anybody in within a minute.
    pub(super) fn open(files: &DeskFiles, folder: &Path) -> anyhow::Result<Self> {
        let address = std::fs::read_to_string(DeskFiles::address_file(folder, 0)).context("no address yet")?;
        let context = |name: &str| {
            format!(
                "[contexts.{name}]\nendpoint = \"https://{address}\"\nserver_name = \"localhost\"\nca_cert = {:?}\n\
                 token_file = {:?}\n\n",
                files.ca.display().to_string(),
                folder.join(format!("{name}.token")).display().to_string(),
            )
        };
        let text = format!("current = \"operator\"\n\n{}{}", context("operator"), context("security"));
        let desk = Self { config: secret(folder, "starctl.toml", &text)? };
        let bootstrap = files.bootstrap.display().to_string();
        let begin = Instant::now();
        loop {
            let tried =
                desk.run(&["auth", "bootstrap", "root", "--credential-file", &bootstrap, "--context", "security"])?;
            if tried.status.success() {
                break;
            }
            if begin.elapsed() > PATIENCE {
                bail!("nobody is let in: {}", String::from_utf8_lossy(&tried.stderr));
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
        let token = folder.join("operator.token").display().to_string();
        for arguments in [
            vec!["auth", "bind", "operator", "operator", "--context", "security"],
            vec!["auth", "issue-token", "operator", "--lifetime", "12h", "--out", &token, "--context", "security"],
        ] {
            desk.done(&arguments)?;
        }
        Ok(desk)
    }

    /// The context file: `starctl --config FILE …`.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// Ids of the letters that a selector takes.
    ///
    /// # Errors
    /// The control plane does not answer.
    pub(super) fn ids(&self, selector: &str) -> anyhow::Result<Vec<String>> {
        let text = self.done(&["dlq", "list", "-l", selector, "--limit", "1000", "-o", "json"])?;
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
        self.done(&["dlq", "replay", "-l", selector, "--reason", reason, "--rate", "50", "--yes", "--wait"]).map(drop)
    }

    fn done(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        if !output.status.success() {
            let (said, told) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
            bail!("starctl {} ended with {}: {said}{told}", arguments.join(" "), output.status);
        }
        String::from_utf8(output.stdout).context("the answer is no text")
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(binaries()?.join("starctl"));
        command.args(arguments).arg("--config").arg(&self.config).stdin(std::process::Stdio::null());
        command.output().context("running starctl")
    }
}
