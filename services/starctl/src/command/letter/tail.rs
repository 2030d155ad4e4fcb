//! `starctl dlq tail`: every change of letters, through lost connections.

use std::time::Duration;

use serde_json::Map;
use starbridge_proto::v1;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tonic::Status;

use crate::cli::Form;
use crate::client::status::is_lost;
use crate::command::{Session, view};
use crate::exit;
use crate::message;
use crate::output::failure::Failure;

/// How often a stream that broke is opened again before that is a failure; the pause doubles from half a second.
const TRIES: u32 = 6;

pub(super) async fn run(session: &Session, selector: &str, position: &str) -> Result<u8, Failure> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut position = position.to_owned();
    let mut broken = 0;
    loop {
        let request = v1::TailDeadLettersRequest { selector: selector.to_owned(), position: position.clone() };
        let opened = match session.client.stream(request).await {
            Ok(opened) => opened,
            // Nobody is there at present: as a stream that broke, once there was one.
            Err(failure) if broken == 0 || broken == TRIES => return Err(failure),
            Err(_) => Err(Status::unavailable("the control plane cannot be reached")),
        };
        let ended = match opened {
            Err(status) => status,
            Ok(mut stream) => loop {
                let next = tokio::select! {
                    next = stream.message() => next,
                    _ = interrupts.recv() => return interrupted(session, &position),
                };
                match next {
                    Ok(Some(change)) => {
                        broken = 0;
                        if !change.position.is_empty() {
                            position.clone_from(&change.position);
                        }
                        if change.dead_letter.is_some() {
                            show(session, &change)?;
                        }
                    }
                    Ok(None) => break Status::unavailable("the control plane ended the stream"),
                    Err(status) => break status,
                }
            },
        };
        if !is_lost(&ended) || broken == TRIES {
            return Err(session.client.refused(&ended));
        }
        session.output.detail(|| session.output.pick("the stream is opened again", "重新打开数据流").to_owned())?;
        tokio::select! {
            () = sleep(Duration::from_millis(500 << broken)) => broken += 1,
            _ = interrupts.recv() => return interrupted(session, &position),
        }
    }
}

fn interrupted(session: &Session, position: &str) -> Result<u8, Failure> {
    if !position.is_empty() {
        session.output.remark(&format!("{} --position {position}", session.output.pick("go on with:", "继续：")))?;
    }
    Ok(exit::INTERRUPTED)
}

fn show(session: &Session, change: &v1::TailDeadLettersResponse) -> Result<(), Failure> {
    let output = &session.output;
    let value = message::value("TailDeadLettersResponse", change);
    match output.form() {
        Form::Table | Form::Wide => output.row(&view::CHANGE, &value),
        // A list that never ends has no closing bracket: every other form goes line by line, too.
        Form::Json | Form::Ndjson => output.line(&value.to_string()),
        Form::Yaml => {
            output.line("---")?;
            output.list(&view::CHANGE, std::slice::from_ref(&value), &Map::new())
        }
        Form::Csv => output.csv_row(&view::CHANGE, &value),
        Form::Name => output.line(&view::CHANGE.name_of(&value)),
    }
}
