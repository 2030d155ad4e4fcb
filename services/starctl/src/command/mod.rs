//! What the commands do.

mod access;
mod api;
mod audit;
mod backfill;
mod completion;
mod confirm;
mod connection;
mod contexts;
mod describe;
mod doctor;
mod explain;
mod flow;
mod letter;
mod lineage;
mod offline;
mod page;
mod progress;
mod reconcile;
mod record;
mod replay;
mod schedule;
mod secret;
mod tenant;
mod view;
mod watch;

use std::process::ExitCode;

use serde_json::json;

use crate::cli::connection::ConnectionCommand;
use crate::cli::flow::FlowCommand;
use crate::cli::{Cli, Command, Form};
use crate::client::Client;
use crate::context::{Settings, Store};
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;

/// What a command that speaks with the control plane works with.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) settings: Settings,
    pub(crate) output: Output,
    pub(crate) client: Client,
}

/// Runs what was typed; reports and answers how it went.
pub(crate) fn run(cli: &Cli) -> ExitCode {
    let mut output = Output::new(&cli.show);
    let outcome = dispatch(cli, &mut output);
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => output.failure(&failure),
    }
}

fn dispatch(cli: &Cli, output: &mut Output) -> Result<u8, Failure> {
    match &cli.command {
        Command::Version => version(output),
        Command::Completion { shell } => completion::run(*shell),
        Command::Explain { what, name: None } => explain::run(what.as_deref(), output),
        Command::Explain { what, name: Some(name) } => {
            explain::has_names(what.as_deref())?;
            let session = open(cli, output)?;
            runtime().block_on(describe::run(name, &session))
        }
        Command::Flow { command: FlowCommand::Offline(command) } => offline::run(command, output),
        Command::Context { command } => contexts::run(command, &cli.server, &cli.show, output),
        Command::Doctor { offline: true } => doctor::offline(cli, output),
        Command::Doctor { offline: false } => runtime().block_on(doctor::run(cli, output)),
        Command::Auth { command } => {
            let (store, settings) = settled(cli, output)?;
            runtime().block_on(access::run(command, store, &settings, output))
        }
        Command::Flow { command: FlowCommand::Online(command) } => {
            let session = open(cli, output)?;
            runtime().block_on(flow::run(command, &session))
        }
        Command::Dlq { command } => {
            let session = open(cli, output)?;
            runtime().block_on(letter::run(command, &session))
        }
        Command::Api { command } => match api::flows_of(command) {
            None => api::offline(command, output),
            Some(tenant) => {
                let session = open(cli, output)?;
                runtime().block_on(api::with_flows(command, tenant, &session))
            }
        },
        Command::Schedule { command } => {
            let session = open(cli, output)?;
            runtime().block_on(schedule::run(command, &session))
        }
        Command::Tenant { command } => {
            let session = open(cli, output)?;
            runtime().block_on(tenant::run(command, &session))
        }
        Command::Replay { command } => {
            let session = open(cli, output)?;
            runtime().block_on(replay::run(command, &session))
        }
        Command::Doubt { command } => {
            let session = open(cli, output)?;
            runtime().block_on(record::doubt(command, &session))
        }
        Command::Secret { command } => secret::run(command, output),
        Command::Backfill { command } => {
            let session = open(cli, output)?;
            runtime().block_on(backfill::run(command, &session))
        }
        Command::Reconcile { command } => {
            let session = open(cli, output)?;
            runtime().block_on(reconcile::run(command, &session))
        }
        Command::Record { command } => {
            let session = open(cli, output)?;
            runtime().block_on(record::run(command, &session))
        }
        Command::Lineage { command } => match lineage::flow_of(command).is_path() {
            true => lineage::offline(command, output),
            false => {
                let session = open(cli, output)?;
                runtime().block_on(lineage::published(command, &session))
            }
        },
        Command::Connection { command: ConnectionCommand::Offline(command) } => connection::offline(command, output),
        Command::Connection { command: ConnectionCommand::Online(command) } => {
            let session = open(cli, output)?;
            runtime().block_on(connection::run(command, &session))
        }
        Command::Audit { command } => {
            let session = open(cli, output)?;
            runtime().block_on(audit::run(command, &session))
        }
    }
}

fn version(output: &Output) -> Result<u8, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match output.form() {
        Form::Table | Form::Wide => output.line(&format!("starctl {version}")),
        _ => output.one(&view::VERSION, &json!({"name": "starctl", "version": version})),
    }
    .map(|()| exit::DONE)
}

/// What holds for the command line, with the output as the context prefers it.
fn settled(cli: &Cli, output: &mut Output) -> Result<(Store, Settings), Failure> {
    let store = Store::open(&cli.server)?;
    let settings = Settings::resolve(&store, &cli.server)?;
    *output = settings.output(*output, &cli.show);
    Ok((store, settings))
}

fn open(cli: &Cli, output: &mut Output) -> Result<Session, Failure> {
    let (_, settings) = settled(cli, output)?;
    let client = Client::new(&settings, *output)?;
    Ok(Session { settings, output: *output, client })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread can have a runtime")
}

/// The command as it was typed, with more flags, ready to be pasted into a shell. A flag that was typed is not repeated.
pub(crate) fn rerun(more: &[&str]) -> String {
    let typed: Vec<String> = std::env::args().skip(1).collect();
    let is_there =
        more.first().is_some_and(|flag| typed.iter().any(|word| word == flag || word.starts_with(&format!("{flag}="))));
    let more = if is_there { &[] } else { more };
    let words = typed.iter().map(String::as_str).chain(more.iter().copied());
    std::iter::once("starctl".to_owned()).chain(words.map(quoted)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '=' | ',' | '@' | '%' | '+');
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quoted("flow=misc-inbound"), "flow=misc-inbound");
        assert_eq!(quoted("age>10m and x='1'"), r"'age>10m and x='\''1'\'''");
        assert_eq!(quoted(""), "''");
    }
}
