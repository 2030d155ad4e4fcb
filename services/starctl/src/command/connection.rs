//! `starctl connection`: the systems behind the flows.

mod rotate;

use std::time::Duration;

use document::Code;
use serde_json::{Map, Value};
use starbridge_proto::v1;

use super::{Session, page, view};
use crate::cli::Form;
use crate::cli::connection::{OfflineCommand, OnlineCommand};
use crate::client;
use crate::exit;
use crate::message;
use crate::output::Output;
use crate::output::failure::Failure;

/// A slow system is waited for by the control plane, as long as the connection's own settings say.
const TEST: Duration = Duration::from_secs(300);

/// The schema that the room of the client publishes: its test compares it with the settings themselves, which stay unknown
/// here.
const SCHEMA: &str = include_str!("../../../../deploy/flows/connection.schema.json");

/// What needs no server.
pub(super) fn offline(command: &OfflineCommand, output: &Output) -> Result<u8, Failure> {
    match command {
        OfflineCommand::Schema => {
            if !matches!(output.form(), Form::Table | Form::Wide | Form::Json | Form::Yaml) {
                return Err(Failure::usage("this command shows -o table, json or yaml"));
            }
            output.document(&serde_json::from_str(SCHEMA).expect("what is published is JSON")).map(|()| exit::DONE)
        }
        OfflineCommand::Rotate(args) => rotate::run(args, output),
    }
}

pub(super) async fn run(command: &OnlineCommand, session: &Session) -> Result<u8, Failure> {
    let output = &session.output;
    match command {
        OnlineCommand::List { sort } => {
            let answer = session.client.ask(v1::ListConnectionsRequest::default()).await?;
            let mut items: Vec<Value> =
                answer.connections.iter().map(|connection| message::value("Connection", connection)).collect();
            page::sort(&view::CONNECTION, &mut items, sort.sort_by.as_deref())?;
            output.list(&view::CONNECTION, &items, &Map::new())?;
            Ok(exit::DONE)
        }
        OnlineCommand::Get { name } => {
            let answer = session.client.ask(v1::GetConnectionRequest { connection: plain(name) }).await?;
            output.one(&view::CONNECTION, &message::value("Connection", &answer.connection.unwrap_or_default()))?;
            Ok(exit::DONE)
        }
        OnlineCommand::Test { name, form, save, change } => {
            let request = v1::TestConnectionRequest {
                connection: plain(name),
                form: form.clone().unwrap_or_default(),
                save: *save,
                change: Some(client::change(change)),
            };
            if *save {
                let what = output.pick(
                    format!("This tries to save a document without anything through connection {name}."),
                    format!("将通过连接 {name} 试存一张空单据。"),
                );
                session.confirm_in_production(change, &what, &request.connection)?;
            }
            let answer = session.client.change_within(TEST, request).await?;
            output.dry_run(change.dry_run)?;
            tested(session, &answer)
        }
    }
}

/// The name, also where it was typed as lists print it.
fn plain(name: &str) -> String {
    name.strip_prefix("connection/").unwrap_or(name).to_owned()
}

fn tested(session: &Session, answer: &v1::TestConnectionResponse) -> Result<u8, Failure> {
    let output = &session.output;
    let mut whole = message::value("TestConnectionResponse", answer);
    let steps = whole["steps"].as_array_mut().map(std::mem::take).unwrap_or_default();
    // The catalogue speaks the reader's language.
    let steps: Vec<Value> = steps
        .into_iter()
        .map(|mut step| {
            if let Some(code) = step["code"].as_str().and_then(|code| code.parse::<Code>().ok()) {
                let (cause, way_out) = output.advice(code);
                if step["way_out"] == code.english().way_out {
                    step["way_out"] = Value::from(way_out);
                }
                step["cause"] = Value::from(cause);
            }
            step
        })
        .collect();
    whole["steps"] = Value::from(steps.clone());
    if !matches!(output.form(), Form::Table | Form::Wide) {
        output.one(&view::CONNECTION_TEST, &whole)?;
    } else {
        output.list(&view::CONNECTION_STEP, &steps, &Map::new())?;
        for step in steps.iter().filter(|step| step["code"] != "") {
            for (english, chinese, key) in [("cause", "原因", "cause"), ("way out", "处理办法", "way_out")] {
                let text = step[key].as_str().unwrap_or_default();
                output.line(&format!("\n{}\n  {text}", output.pick(english, chinese)))?;
            }
        }
    }
    Ok(if answer.passed { exit::DONE } else { exit::INVALID })
}
