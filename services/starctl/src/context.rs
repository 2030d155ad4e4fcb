//! Named control planes, and what holds for this command: a flag, else the environment, else the context.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use document::{Code, Fault};
use serde::{Deserialize, Serialize};

use crate::cli::{ServerArgs, ShowArgs, value};
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::private_file;
use crate::words::Language;

/// How long to wait for an answer where nobody says.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The file of contexts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one that holds where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One control plane and how to speak to it. What is absent is left to flags and defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// A program and its arguments whose standard output is the token: a keyring's, or a sign-in of the house.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) token_command: Vec<String>,
    /// Whose things lists show; everybody's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// How long to wait for an answer: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lang: Option<Language>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) utc: bool,
    /// Whether dangerous changes make the user type the flow's name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) production: bool,
}

impl Context {
    /// Makes the paths hold from every folder.
    pub(crate) fn anchor(&mut self) -> Result<(), Failure> {
        let paths = [&mut self.ca_cert, &mut self.client_cert, &mut self.client_key, &mut self.token_file];
        for path in paths.into_iter().flatten() {
            *path = std::path::absolute(&*path)?;
        }
        Ok(())
    }

    /// This context with what the command line and the environment say laid over it.
    pub(crate) fn overlaid(mut self, args: &ServerArgs) -> Self {
        fn lay<T: Clone>(over: &Option<T>, under: &mut Option<T>) {
            if over.is_some() {
                under.clone_from(over);
            }
        }
        lay(&args.endpoint, &mut self.endpoint);
        lay(&args.ca_cert, &mut self.ca_cert);
        lay(&args.client_cert, &mut self.client_cert);
        lay(&args.client_key, &mut self.client_key);
        lay(&args.server_name, &mut self.server_name);
        lay(&args.token_file, &mut self.token_file);
        if args.token_file.is_some() {
            self.token_command.clear();
        }
        lay(&args.timeout.map(|timeout| format!("{}s", timeout.as_secs())), &mut self.timeout);
        self
    }
}

/// The contexts and where they are kept.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    pub(crate) contexts: Contexts,
}

impl Store {
    /// Reads the file of contexts; there is nothing in it where there is none.
    pub(crate) fn open(args: &ServerArgs) -> Result<Self, Failure> {
        let path = match (&args.config, std::env::home_dir()) {
            (Some(path), _) => path.clone(),
            (None, Some(home)) => home.join(".config/starctl/config.toml"),
            (None, None) => {
                return Err(Failure::usage("there is no home folder; name the file of contexts by --config"));
            }
        };
        let text = private_file::read(&path)?.unwrap_or_default();
        let contexts = toml::from_str(&text).map_err(|error| {
            let fault = Fault::new(Code::CliContext, error.message()).in_file(path.display().to_string());
            Failure::of(fault, exit::USAGE)
        })?;
        Ok(Self { path, contexts })
    }

    /// Writes the file of contexts.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        private_file::write(&self.path, &toml::to_string(&self.contexts).expect("contexts can be written as TOML"))
    }

    /// The name of the context that holds, if one does.
    pub(crate) fn chosen<'a>(&'a self, args: &'a ServerArgs) -> Option<&'a str> {
        args.context.as_deref().or(self.contexts.current.as_deref())
    }

    /// A context by its name.
    pub(crate) fn get(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.contexts.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.contexts.contexts.keys().map(String::as_str).collect();
            let fault =
                Fault::new(Code::CliContext, format!("there is no context {name}; known: [{}]", known.join(", ")));
            Failure::of(fault.in_file(self.path.display().to_string()), exit::USAGE)
        })
    }

    /// Where `auth login` keeps the token of a context that names no file.
    pub(crate) fn token_file(&self, context: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new(".")).join("tokens").join(context)
    }
}

/// Whether a context may be called so: it becomes the name of a token file.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
}

/// What holds for this command.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The name of the context, where one is used.
    pub(crate) name: Option<String>,
    pub(crate) context: Context,
    pub(crate) timeout: Duration,
}

impl Settings {
    /// Works out what holds.
    pub(crate) fn resolve(store: &Store, args: &ServerArgs) -> Result<Self, Failure> {
        let name = store.chosen(args).map(str::to_owned);
        let context = name.as_deref().map(|name| store.get(name).cloned()).transpose()?.unwrap_or_default();
        let context = context.overlaid(args);
        let timeout = context
            .timeout
            .as_deref()
            .map(value::duration)
            .transpose()
            .map_err(|detail| Failure::of(Fault::new(Code::CliContext, detail).at_path("timeout"), exit::USAGE))?;
        Ok(Self { name, timeout: timeout.unwrap_or(TIMEOUT), context })
    }

    /// The output as the context prefers it.
    pub(crate) fn output(&self, output: Output, show: &ShowArgs) -> Output {
        output.preferring(show, self.context.lang, self.context.utc)
    }

    /// The control plane's address.
    pub(crate) fn endpoint(&self) -> Result<&str, Failure> {
        self.context.endpoint.as_deref().ok_or_else(|| {
            let fault = Fault::new(Code::CliContext, "no control plane is named");
            let hint =
                "starctl context set NAME --endpoint https://HOST:PORT --ca-cert FILE, then starctl context use NAME";
            Failure::of(fault.hint(hint), exit::USAGE)
        })
    }
}
