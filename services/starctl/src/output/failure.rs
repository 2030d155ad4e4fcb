//! Why a command stopped, and how that is told.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use document::{Code, Fault};
use serde_json::{Value, json};

use super::Output;
use super::table::harmless;
use crate::exit;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A fault of the catalogue with the exit code it means.
    #[error("{fault}")]
    Fault { fault: Box<Fault>, exit: u8 },
    /// What the control plane answered.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Standard output is gone.
    #[error("writing the output failed")]
    Output(#[from] io::Error),
}

/// A refusal by the control plane.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{code}{place}: {message}")]
pub(crate) struct Refusal {
    /// A code of the catalogue, or the name of the gRPC status.
    pub(crate) code: String,
    /// Where, with a word before it; empty where the server says none.
    pub(crate) place: String,
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) trace_id: Option<String>,
    /// What it means to scripts.
    pub(crate) exit: u8,
}

impl Failure {
    /// A fault that means an exit code.
    pub(crate) fn of(fault: Fault, exit: u8) -> Self {
        Failure::Fault { fault: Box::new(fault), exit }
    }

    /// Wrong use, in words.
    pub(crate) fn usage(detail: impl Into<String>) -> Self {
        Failure::of(Fault::new(Code::CliUsage, detail), exit::USAGE)
    }

    /// What it means to scripts.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Failure::Fault { exit, .. } => *exit,
            Failure::Refused(refusal) => refusal.exit,
            Failure::Output(_) => exit::OTHER,
        }
    }
}

/// A hint and the advice behind it.
pub(crate) fn sentences(hint: &str, advice: &str) -> String {
    let stop = if hint.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{hint}{stop} {advice}")
}

impl Output {
    /// What to do about a failure, in one line.
    pub(crate) fn way_out(&self, failure: &Failure) -> Option<String> {
        match failure {
            Failure::Fault { fault, .. } => {
                let (_, way_out) = self.advice(fault.code);
                Some(fault.hint.clone().map_or_else(|| way_out.to_owned(), |hint| sentences(&hint, way_out)))
            }
            Failure::Refused(refusal) => refusal.hint.clone(),
            Failure::Output(_) => None,
        }
    }

    /// Reports why a command stopped, on standard error.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        let told = match failure {
            // A reader that has seen enough, such as `head`, is no failure worth words.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::from(exit::OTHER);
            }
            _ if self.is_json() => self.failure_value(failure).to_string(),
            _ => self.failure_text(failure),
        };
        match writeln!(io::stderr(), "{told}") {
            Ok(()) => ExitCode::from(failure.exit()),
            Err(_) => ExitCode::from(exit::OTHER),
        }
    }

    fn failure_value(&self, failure: &Failure) -> Value {
        match failure {
            Failure::Fault { fault, .. } => {
                let mut value = self.fault_value(fault);
                value["request_id"] = Value::Null;
                value["trace_id"] = Value::Null;
                value
            }
            Failure::Refused(refusal) => json!({
                "code": refusal.code,
                "message": refusal.message,
                "hint": refusal.hint,
                "request_id": refusal.request_id,
                "trace_id": refusal.trace_id,
            }),
            Failure::Output(error) => json!({
                "code": "OUTPUT", "message": format!("{failure}: {error}"), "hint": null, "request_id": null, "trace_id": null,
            }),
        }
    }

    fn failure_text(&self, failure: &Failure) -> String {
        let red = |text: String| {
            if self.colors(io::stderr().is_terminal()) { format!("\u{1b}[31m{text}\u{1b}[0m") } else { text }
        };
        match failure {
            Failure::Fault { fault, .. } => {
                let (cause, way_out) = self.advice(fault.code);
                format!("{}\n    {cause} {way_out}", red(fault.to_string()))
            }
            Failure::Refused(refusal) => {
                let mut text = red(harmless(&refusal.to_string()));
                let request = refusal.request_id.as_ref().map(|id| format!("{} {id}", self.pick("request", "请求")));
                let trace = refusal.trace_id.as_ref().map(|id| format!("{} {id}", self.pick("trace", "追踪")));
                for line in [&refusal.hint, &request, &trace].into_iter().flatten() {
                    text.push_str("\n    ");
                    text.push_str(&harmless(line));
                }
                text
            }
            Failure::Output(error) => red(format!("{failure}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_that_is_a_sentence_already_gets_no_second_stop() {
        assert_eq!(sentences("did you mean flow?", "Name a field."), "did you mean flow? Name a field.");
        assert_eq!(sentences("add it", "Then replay."), "add it. Then replay.");
    }
}
