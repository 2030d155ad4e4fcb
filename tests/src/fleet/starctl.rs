//! The control plane spoken to as people do: by `starctl`, with a context and a token for each of them.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::{DeskFiles, secret};
use crate::servers::binaries;

/// How long the control plane may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who gives the others their roles.
const SECURITY: &str = "security";

/// People who were let in, named by their roles.
#[derive(Debug, Clone)]
pub struct Starctl {
    files: DeskFiles,
    folder: PathBuf,
    roles: Vec<&'static str>,
}

impl Starctl {
    /// Makes the first administrator, and somebody with a token for each of `roles`; whoever says nothing is the first of
    /// them. Context and tokens lie in `folder`, where the replica of the control plane has its files.
    ///
    /// # Errors
    /// The control plane does not let anybody in within a minute.
    pub fn open(files: &DeskFiles, folder: PathBuf, roles: &[&'static str]) -> anyhow::Result<Self> {
        let desk = Self { files: files.clone(), folder, roles: roles.to_vec() };
        let bootstrap = files.bootstrap.display().to_string();
        let begin = Instant::now();
        loop {
            desk.find()?;
            let tried =
                desk.run(&["auth", "bootstrap", "root", "--credential-file", &bootstrap, "--context", SECURITY])?;
            if tried.status.success() {
                break;
            }
            if begin.elapsed() > PATIENCE {
                bail!("nobody is let in: {}", String::from_utf8_lossy(&tried.stderr));
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
        for role in roles {
            let token = desk.folder.join(format!("{role}.token")).display().to_string();
            desk.done(&["auth", "bind", role, role, "--context", SECURITY])?;
            desk.done(&["auth", "issue-token", role, "--lifetime", "12h", "--out", &token, "--context", SECURITY])?;
        }
        Ok(desk)
    }

    /// The context file: `starctl --config FILE …`.
    pub fn config(&self) -> PathBuf {
        self.folder.join("starctl.toml")
    }

    /// Writes to the context file where the replica is: started again it has another port. Nobody else may be reading.
    ///
    /// # Errors
    /// It has bound no port yet, or the file cannot be written.
    pub fn find(&self) -> anyhow::Result<()> {
        let address =
            std::fs::read_to_string(DeskFiles::address_file(&self.folder, 0)).context("no address of a desk yet")?;
        let context = |name: &str| {
            format!(
                "[contexts.{name}]\nendpoint = \"https://{address}\"\nserver_name = \"localhost\"\nca_cert = {:?}\n\
                 token_file = {:?}\n\n",
                self.files.ca.display().to_string(),
                self.folder.join(format!("{name}.token")).display().to_string(),
            )
        };
        let first = self.roles.first().copied().unwrap_or(SECURITY);
        let contexts: String = self.roles.iter().copied().chain([SECURITY]).map(context).collect();
        secret(&self.folder, "starctl.toml", &format!("current = {first:?}\n\n{contexts}")).map(drop)
    }

    /// Runs one command that must succeed; gives its answer.
    ///
    /// # Errors
    /// It does not.
    pub fn done(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        if !output.status.success() {
            let (said, told) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
            bail!("starctl {} ended with {}: {said}{told}", arguments.join(" "), output.status);
        }
        String::from_utf8(output.stdout).context("the answer is no text")
    }

    /// Runs one command.
    ///
    /// # Errors
    /// It does not start.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(binaries()?.join("starctl"));
        command.args(arguments).arg("--config").arg(self.config()).stdin(std::process::Stdio::null());
        command.output().context("running starctl")
    }
}
