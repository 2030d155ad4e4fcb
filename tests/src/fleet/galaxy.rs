//! A simulated Galaxy as a process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::secret;
use crate::servers::process::{Process, Spec};
use crate::servers::{binaries, free_ports};

/// What a Galaxy is to hold and how it is to behave.
#[derive(Debug, Clone, Default)]
pub struct GalaxyPlan {
    /// Name of the process, and of the connection that leads to it.
    pub name: String,
    /// Further arguments of `starbridge-simulator kingdee`.
    pub arguments: Vec<OsString>,
}

impl GalaxyPlan {
    /// A Galaxy called `name`.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), arguments: Vec::new() }
    }

    /// Adds an option with its value.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.arguments.push(name.into());
        self.arguments.push(value.into());
        self
    }
}

/// A running Galaxy.
#[derive(Debug)]
pub struct Galaxy {
    name: String,
    port: u16,
    admin: u16,
    link: Option<u16>,
    arguments: Vec<OsString>,
    scratch: PathBuf,
    /// The application secret that it takes.
    app_secret: String,
    process: Process,
    client: reqwest::Client,
}

const ACCT_ID: &str = "5f3c9a1b7d2e40";
const USER: &str = "integration";
const APP_ID: &str = "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE";
const APP_SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

#[derive(Deserialize)]
struct Bound {
    listen: String,
    admin: String,
}

impl Galaxy {
    /// Starts one; its logs, its secret and its request log lie in `scratch`.
    ///
    /// # Errors
    /// The simulator refuses its arguments or does not come up.
    pub fn start(plan: GalaxyPlan, scratch: &Path) -> anyhow::Result<Self> {
        let ports = free_ports(2)?;
        let secret_file = secret(scratch, &format!("{}-app-secret", plan.name), APP_SECRET)?;
        let log = scratch.join(format!("{}-requests.jsonl", plan.name));
        let mut arguments: Vec<OsString> = vec!["kingdee".into()];
        let fixed = [
            ("--listen", format!("127.0.0.1:{}", ports[0])),
            ("--admin", format!("127.0.0.1:{}", ports[1])),
            ("--acct-id", ACCT_ID.to_owned()),
            ("--app-id", APP_ID.to_owned()),
            ("--user", USER.to_owned()),
            ("--app-secret-file", secret_file.display().to_string()),
            ("--request-log", log.display().to_string()),
        ];
        for (name, value) in fixed {
            arguments.push(name.into());
            arguments.push(value.into());
        }
        arguments.extend(plan.arguments);
        let process = launch(&plan.name, &arguments, scratch)?;
        Ok(Self {
            name: plan.name,
            port: process.1.0,
            admin: process.1.1,
            link: None,
            arguments,
            scratch: scratch.to_owned(),
            app_secret: APP_SECRET.to_owned(),
            process: process.0,
            client: super::http()?,
        })
    }

    /// The name of the connection that leads here.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Base address of the WebAPI.
    pub fn url(&self) -> String {
        format!("http://{}/K3Cloud/", self.server())
    }

    /// The file with one JSON line per call.
    pub fn request_log(&self) -> PathBuf {
        self.scratch.join(format!("{}-requests.jsonl", self.name))
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The arguments it was started with.
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// Writes access for the comparison as JSON and gives its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn access_file(&self) -> anyhow::Result<PathBuf> {
        let access = json!({
            "url": self.url(), "acct_id": ACCT_ID, "user": USER, "app_id": APP_ID, "app_secret": self.app_secret,
        });
        secret(&self.scratch, &format!("{}-access.json", self.name), &access.to_string())
    }

    /// Host and port of the WebAPI.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port of the WebAPI.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on services reach it by `port`, where a link to it listens.
    pub fn behind(&mut self, port: u16) {
        self.link = Some(port);
    }

    /// Host and port where services reach it.
    pub fn door(&self) -> String {
        format!("127.0.0.1:{}", self.link.unwrap_or(self.port))
    }

    /// The table of a service's settings that leads here; the server has to be listed besides, see [`super::connections`].
    pub fn connection(&self, calls_per_minute: u32) -> String {
        format!(
            "[connections.{}]\nurl = {:?}\nacct_id = {ACCT_ID:?}\nuser = {USER:?}\napp_id = {APP_ID:?}\n\
             app_secret_file = {:?}\nmaster_keys = {:?}\ncalls_per_minute = {calls_per_minute}\n",
            self.name,
            format!("http://{}/K3Cloud/", self.door()),
            self.app_secret().display().to_string(),
            self.master_keys().display().to_string(),
        )
    }

    /// The file of its application secret, as services read it.
    pub fn app_secret(&self) -> PathBuf {
        self.scratch.join(format!("{}-app-secret", self.name))
    }

    /// From now on it takes this application secret alone, and every session has ended. Services are not told, see
    /// [`Galaxy::tell_secret`].
    ///
    /// # Errors
    /// It does not answer.
    pub async fn change_secret(&mut self, secret: &str) -> anyhow::Result<()> {
        self.admin("/secret", Some(&json!({"app_secret": secret}))).await?;
        secret.clone_into(&mut self.app_secret);
        Ok(())
    }

    /// Writes the secret that it takes into the file that services read.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn tell_secret(&self) -> anyhow::Result<()> {
        secret(&self.scratch, &format!("{}-app-secret", self.name), &self.app_secret).map(drop)
    }

    /// The folder of master keys that services look into where that is sealed. Made by whoever seals it.
    pub fn master_keys(&self) -> PathBuf {
        self.scratch.join("master-keys")
    }

    /// A way to give it documents, for a task of its own.
    pub fn admin_port(&self) -> AdminPort {
        AdminPort { port: self.admin, client: self.client.clone() }
    }

    /// Removes the documents of this number, as a person would in the Galaxy itself.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn remove(&self, form: &str, number: &str) -> anyhow::Result<()> {
        let address = format!("http://127.0.0.1:{}/documents", self.admin);
        let address = reqwest::Url::parse_with_params(&address, [("form", form), ("number", number)])?;
        self.client.delete(address).send().await?.error_for_status().context("removing a document").map(drop)
    }

    /// Ends every fault.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn end_faults(&self) -> anyhow::Result<()> {
        let address = format!("http://127.0.0.1:{}/faults", self.admin);
        self.client.delete(address).send().await?.error_for_status().context("ending faults").map(drop)
    }

    /// Ends one fault.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn end_fault(&self, id: u64) -> anyhow::Result<()> {
        let address = format!("http://127.0.0.1:{}/faults/{id}", self.admin);
        self.client.delete(address).send().await?.error_for_status().context("ending a fault").map(drop)
    }

    /// Whether it holds a document of this number, asked past every fault.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn holds(&self, form: &str, number: &str) -> anyhow::Result<bool> {
        Ok(!self.dump(form, number).await?.is_empty())
    }

    /// The documents of this number, read past every fault.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn dump(&self, form: &str, number: &str) -> anyhow::Result<Vec<Value>> {
        let address = format!("http://127.0.0.1:{}/dump", self.admin);
        let address = reqwest::Url::parse_with_params(&address, [("form", form), ("number", number)])?;
        Ok(self.client.get(address).send().await?.error_for_status()?.json().await?)
    }

    /// Calls the admin port: `path` with `body` by POST, without by GET.
    ///
    /// # Errors
    /// It does not answer, or not with JSON.
    pub async fn admin(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let address = format!("http://127.0.0.1:{}{path}", self.admin);
        let request = match body {
            Some(body) => self.client.post(&address).json(body),
            None => self.client.get(&address),
        };
        let reply = request.send().await.with_context(|| format!("calling {address}"))?;
        let status = reply.status();
        let text = reply.text().await.with_context(|| format!("reading {address}"))?;
        anyhow::ensure!(status.is_success(), "{address} answers {status}: {text}");
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{address} answers {text}"))
    }
}

/// The admin port of a Galaxy.
#[derive(Debug, Clone)]
pub struct AdminPort {
    port: u16,
    client: reqwest::Client,
}

impl AdminPort {
    /// Gives it documents.
    ///
    /// # Errors
    /// It refuses them.
    pub async fn plant(&self, form: &str, documents: Vec<Value>) -> anyhow::Result<()> {
        let address = format!("http://127.0.0.1:{}/documents", self.port);
        let order = json!({"form": form, "documents": documents});
        self.client.post(address).json(&order).send().await?.error_for_status().context("planting").map(drop)
    }
}

fn launch(name: &str, arguments: &[OsString], scratch: &Path) -> anyhow::Result<(Process, (u16, u16))> {
    let program = binaries()?.join("starbridge-simulator");
    let mut process = Process::spawn(Spec::new(name, program, scratch).arguments(arguments.to_vec()).piped())?;
    let line = process.first_line()?;
    let bound: Bound = serde_json::from_str(&line).with_context(|| format!("the first line of {name} is {line:?}"))?;
    let port = |address: &str| -> anyhow::Result<u16> {
        let port = address.rsplit(':').next().unwrap_or_default();
        port.trim_end_matches('/').parse().with_context(|| format!("no port in {address:?}"))
    };
    Ok((process, (port(&bound.listen)?, port(&bound.admin)?)))
}
