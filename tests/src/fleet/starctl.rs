//! The control plane spoken to as people do: by `starctl`, with a context and a token for each of them.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::{DeskFiles, secret};
use crate::servers::binaries;

/// What `starctl` ends with when the control plane was not reached, or does not write now.
const NOT_REACHED: i32 = 7;
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
    /// The control plane lets somebody in neither at once nor within `patience`.
    pub fn open(
        files: &DeskFiles,
        folder: PathBuf,
        roles: &[&'static str],
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let desk = Self { files: files.clone(), folder, roles: roles.to_vec() };
        let bootstrap = files.bootstrap.display().to_string();
        let until = Instant::now() + patience;
        desk.reached(&["auth", "bootstrap", "root", "--credential-file", &bootstrap, "--context", SECURITY], until)?;
        for role in roles {
            let token = desk.folder.join(format!("{role}.token")).display().to_string();
            desk.reached(&["auth", "bind", role, role, "--context", SECURITY], until)?;
            let issue = ["auth", "issue-token", role, "--lifetime", "12h", "--out", &token, "--context", SECURITY];
            desk.reached(&issue, until)?;
        }
        Ok(desk)
    }

    /// Runs one command that must succeed, again and again while the control plane is not reached.
    fn reached(&self, arguments: &[&str], until: Instant) -> anyhow::Result<()> {
        loop {
            match self.reach(arguments)? {
                Ok(tried) if tried.status.success() => return Ok(()),
                Ok(tried) => bail!("nobody is let in: {}: {}", tried.status, String::from_utf8_lossy(&tried.stderr)),
                Err(said) if Instant::now() > until => bail!("nobody is let in: {said}"),
                Err(_) => std::thread::park_timeout(Duration::from_millis(200)),
            }
        }
    }

    /// The context file: `starctl --config FILE …`.
    pub fn config(&self) -> PathBuf {
        self.folder.join("starctl.toml")
    }

    /// Looks where the replica is, since started again it has another port, and runs one command there. Gives what
    /// `starctl` said when the control plane was not reached, or does not write now. Nobody else may be running one.
    ///
    /// # Errors
    /// The context file cannot be written, or `starctl` does not start.
    pub fn reach(&self, arguments: &[&str]) -> anyhow::Result<Result<Output, String>> {
        let Ok(address) = std::fs::read_to_string(DeskFiles::address_file(&self.folder, 0)) else {
            return Ok(Err("the control plane has bound no port yet".to_owned()));
        };
        self.find(&address)?;
        let output = self.run(arguments)?;
        Ok(match output.status.code() {
            Some(NOT_REACHED) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            _ => Ok(output),
        })
    }

    /// Writes to the context file where the replica is.
    fn find(&self, address: &str) -> anyhow::Result<()> {
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
