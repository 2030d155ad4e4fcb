//! Settings in layers: defaults in the binary, then a file, then the environment.
//!
//! A service embeds its commented defaults (`defaults.toml`), a deployment gives a TOML file with `--config FILE`, and
//! single values are overridden by environment variables named after service and key:
//! `LOADER__BATCH__MAX_AGE=5s` sets `max_age` in table `batch` of the loader, and a `-` of a key is written `_`
//! there. A key that nobody reads is refused, and every fault says in which layer, line and key it lies. Secrets are
//! never settings: settings name the file that holds them ([`document::SecretFile`]).

pub mod duration;
mod layer;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use document::{Code, Fault};
use figment::Figment;
use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use layer::{Layer, Layers, dotted};

use crate::health::HealthSettings;
use crate::probe::probe;

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Fault::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Faults {}

/// The settings of a service. Derive `Deserialize` with `deny_unknown_fields` on every table.
pub trait Settings: DeserializeOwned {
    /// Refuses what reads well and cannot work: a batch of none, a deadline beyond its lease.
    fn check(&self, refusals: &mut Refusals<'_>) {
        let _: &mut Refusals<'_> = refusals;
    }
}

/// Takes down what [`Settings::check`] refuses, and finds out where it was set.
#[derive(Debug)]
pub struct Refusals<'a> {
    layers: &'a Layers,
    faults: Vec<Fault>,
}

impl Refusals<'_> {
    /// Refuses the value of `key`, given with dots (`batch.documents`).
    pub fn value(&mut self, key: &str, detail: impl Into<String>) {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        self.faults.push(self.layers.place(Fault::new(Code::SettingsValue, detail), &path));
    }

    /// Takes a fault that names its own place.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }
}

/// What the process was started with.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `--check-config`: show the settings and stop.
    pub check_config: bool,
    /// `--probe PATH`: ask the running service for a path of its health port and stop.
    pub probe: Option<String>,
    /// The environment, of which only the variables of the service are read.
    pub environment: BTreeMap<String, String>,
}

impl Invocation {
    /// Reads command line and environment of this process. Answers `--help`, `--version` and wrong arguments itself,
    /// and ends the process then.
    pub fn of_process(service: &str) -> Self {
        let command = command(service);
        let matches = command.get_matches();
        Self::from_matches(&matches, std::env::vars_os())
    }

    fn from_matches(matches: &clap::ArgMatches, variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        Self {
            config: matches.get_one::<PathBuf>("config").cloned(),
            check_config: matches.get_flag("check-config"),
            probe: matches.get_one::<String>("probe").cloned(),
            // What is not UTF-8 cannot be one of ours.
            environment: variables
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        }
    }
}

fn command(service: &str) -> clap::Command {
    let config = clap::Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("settings file (TOML) over the built-in defaults");
    let check = clap::Arg::new("check-config")
        .long("check-config")
        .action(clap::ArgAction::SetTrue)
        .help("check the settings, print them and stop");
    let probe = clap::Arg::new("probe")
        .long("probe")
        .value_name("PATH")
        .value_parser(["/live", "/ready", "/metrics"])
        .conflicts_with("check-config")
        .help("ask the service that runs with these settings, print its answer and stop; for health checks");
    let variable = format!("{}TELEMETRY__LOG=debug", layer::prefix(service));
    let name = format!("starbridge-{service}");
    clap::Command::new("starbridge")
        .bin_name(&name)
        .display_name(name)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(format!("A single setting is given by an environment variable such as {variable}"))
        .args([config, check, probe])
}

/// Settings, and how they read in full.
#[derive(Debug)]
pub struct Loaded<T> {
    /// For the service.
    pub settings: T,
    /// All layers joined, as TOML. Secrets appear as the paths of their files.
    pub effective: String,
    /// Table `[health]`, when there is one.
    pub health: Option<HealthSettings>,
}

/// Reads settings as this process was started, and prints them when `--check-config` asks for it.
///
/// `None` means that printing, or asking a running service (`--probe`), was all that was wanted.
///
/// # Errors
/// [`Faults`] of [`load`], or of a running service that does not answer well.
pub fn start<T: Settings>(service: &str, defaults: &str) -> Result<Option<T>, Faults> {
    let invocation = Invocation::of_process(service);
    let loaded = load(service, defaults, &invocation)?;
    if invocation.check_config {
        print(&loaded.effective);
        return Ok(None);
    }
    if let Some(path) = &invocation.probe {
        let asked = match &loaded.health {
            Some(health) => probe(health, path),
            None => Err(Fault::new(Code::NotReady, "the service serves no health").at_path(path)),
        };
        print(&asked.map_err(|fault| Faults(vec![fault]))?);
        return Ok(None);
    }
    Ok(Some(loaded.settings))
}

#[expect(clippy::print_stdout, reason = "the answer to --check-config is data for standard output")]
fn print(text: &str) {
    print!("{text}");
}

/// Joins the layers: `defaults` (TOML), the file of the invocation, its environment.
///
/// # Errors
/// [`Faults`]: every layer that does not read ([`Code::SettingsFile`]), every key that nobody knows
/// ([`Code::SettingsUnknownKey`]), values of the wrong type or refused by [`Settings::check`]
/// ([`Code::SettingsValue`]), and what is missing ([`Code::SettingsMissing`]).
pub fn load<T: Settings>(service: &str, defaults: &str, invocation: &Invocation) -> Result<Loaded<T>, Faults> {
    let mut faults = Vec::new();
    let mut layers = Layers::new(service);
    let mut add = |layer: Result<Layer, Fault>| match layer {
        Ok(layer) => layers.0.push(layer),
        Err(fault) => faults.push(fault),
    };
    add(Layer::defaults(service, defaults));
    if let Some(path) = &invocation.config {
        add(Layer::file(path));
    }
    let environment = Layer::environment(service, &invocation.environment, &layers);
    layers.0.push(environment);
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    let not_tables = layers.not_tables();
    if !not_tables.is_empty() {
        let refused = |path: &Vec<String>| {
            layers.place(Fault::new(Code::SettingsValue, format!("{} must be a table", dotted(path))), path)
        };
        return Err(Faults(not_tables.iter().map(refused).collect()));
    }

    let joined = layers.0.iter().fold(Figment::new(), |joined, layer| joined.merge(layer));
    let joined = joined.find_value("").and_then(|value| value.deserialize::<Dict>());
    let mut joined = joined.map_err(|error| Faults(vec![Fault::new(Code::SettingsValue, error.to_string())]))?;
    match read::<T>(&mut joined, &layers) {
        Ok(settings) => {
            let mut refusals = Refusals { layers: &layers, faults: Vec::new() };
            settings.check(&mut refusals);
            if refusals.faults.is_empty() {
                let health = joined.get("health").and_then(|table| table.deserialize().ok());
                Ok(Loaded { settings, effective: layer::effective(&joined), health })
            } else {
                Err(Faults(refusals.faults))
            }
        }
        Err(faults) => Err(Faults(faults)),
    }
}

/// Reads the joined settings. A fault that can be set right for the moment (an unknown key is taken out, a wrong value
/// gives way to the default) does not hide the next one.
fn read<T: Settings>(joined: &mut Dict, layers: &Layers) -> Result<T, Vec<Fault>> {
    let mut faults = Vec::new();
    for _ in 0..200 {
        match Value::from(joined.clone()).deserialize::<T>() {
            Ok(settings) if faults.is_empty() => return Ok(settings),
            Ok(_) => break,
            Err(error) => {
                if !mend(joined, layers, &error, &mut faults) {
                    break;
                }
            }
        }
    }
    Err(faults)
}

/// Takes a fault down; whether reading may go on.
fn mend(joined: &mut Dict, layers: &Layers, error: &figment::Error, faults: &mut Vec<Fault>) -> bool {
    let mut path = error.path.clone();
    match &error.kind {
        Kind::UnknownField(name, expected) => {
            if path.last() != Some(name) {
                path.push(name.clone());
            }
            let detail = format!("{} is not a setting", dotted(&path));
            let known = if expected.is_empty() { "nothing".to_owned() } else { expected.join(", ") };
            let fault = Fault::new(Code::SettingsUnknownKey, detail).hint(format!("known here: {known}"));
            faults.push(layers.place(fault, &path));
            layer::take(joined, &path).is_some()
        }
        Kind::MissingField(name) => {
            path.push(name.to_string());
            let fault = Fault::new(Code::SettingsMissing, format!("{} is not set", dotted(&path)))
                .hint(format!("set it in the settings file or as {}", layers.variable(&path)));
            faults.push(layers.place(fault, &path));
            false
        }
        kind => {
            // `MEMBER=0` is text where text is wanted: the environment has no types of its own.
            if let (Kind::InvalidType(..), Some(text)) = (kind, layers.environment_text(&path))
                && layer::replace(joined, &path, Value::from(text))
            {
                return true;
            }
            let detail = format!("{} {}", dotted(&path), in_words(kind, layer::is_secret(&path)));
            faults.push(layers.place(Fault::new(Code::SettingsValue, detail), &path));
            match layers.default_of(&path) {
                Some(default) => layer::replace(joined, &path, default),
                None => false,
            }
        }
    }
}

/// What is wrong with a value, without the value itself where it may be a secret.
fn in_words(kind: &Kind, secret: bool) -> String {
    let shown = |actual: &Actual| if secret { "something else".to_owned() } else { actual.to_string() };
    match kind {
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!("must be {expected}, not {}", shown(actual))
        }
        Kind::InvalidLength(length, expected) => format!("must be {expected}, not {length} of them"),
        Kind::UnknownVariant(found, expected) if secret => {
            format!("must be one of {} ({} characters found)", expected.join(", "), found.chars().count())
        }
        Kind::UnknownVariant(found, expected) => format!("must be one of {}, not {found:?}", expected.join(", ")),
        Kind::Message(_) if secret => "cannot be used".to_owned(),
        other => format!("cannot be used: {other}"),
    }
}

#[cfg(test)]
mod tests;
