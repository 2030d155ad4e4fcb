//! The one place that writes.

use std::io::{self, Write};
use std::process::ExitCode;

use document::{Code, Fault};
use serde_json::{Value, json};

use crate::cli::{Form, Language};
use crate::exit;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A fault of the catalogue with the exit code it means.
    #[error("{fault}")]
    Fault { fault: Box<Fault>, exit: u8 },
    /// Standard output is gone.
    #[error("writing the output failed")]
    Output(#[from] io::Error),
}

/// Where data and remarks go, in which form and language.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    form: Form,
    language: Language,
}

impl Output {
    pub(crate) fn new(form: Form, language: Language) -> Self {
        Self { form, language }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// One line of data.
    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        writeln!(io::stdout(), "{line}").map_err(Failure::Output)
    }

    /// A JSON value as data.
    pub(crate) fn json(&self, value: &Value) -> Result<(), Failure> {
        self.line(&serde_json::to_string_pretty(value).expect("a JSON value can be written"))
    }

    /// One line for people, on standard error.
    pub(crate) fn remark(&self, line: &str) -> Result<(), Failure> {
        writeln!(io::stderr(), "{line}").map_err(Failure::Output)
    }

    /// A fault with what the catalogue says of its code.
    pub(crate) fn fault(&self, word: &str, fault: &Fault) -> Result<(), Failure> {
        self.line(&format!("{word}: {fault}"))?;
        let (cause, way_out) = self.advice(fault.code);
        self.line(&format!("    {cause} {way_out}"))
    }

    /// A fault as JSON, with cause and way out.
    pub(crate) fn fault_value(&self, fault: &Fault) -> Value {
        let (cause, way_out) = self.advice(fault.code);
        json!({
            "code": fault.code,
            "category": fault.code.category().as_str(),
            "place": fault.place,
            "message": fault.detail,
            "hint": fault.hint,
            "cause": cause,
            "way_out": way_out,
        })
    }

    fn advice(&self, code: Code) -> (&'static str, &'static str) {
        let advice = match self.language {
            Language::En => code.english(),
            Language::Zh => code.chinese(),
        };
        (advice.cause, advice.way_out)
    }

    /// Reports why a command stopped, on standard error.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        let (text, code) = match failure {
            Failure::Fault { fault, exit } if self.is_json() => (self.fault_value(fault).to_string(), *exit),
            Failure::Fault { fault, exit } => {
                let (cause, way_out) = self.advice(fault.code);
                (format!("{fault}\n    {cause} {way_out}"), *exit)
            }
            // A reader that has seen enough, such as `head`, is no failure worth words.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::from(exit::OTHER),
            Failure::Output(error) => (format!("{failure}: {error}"), exit::OTHER),
        };
        match writeln!(io::stderr(), "{text}") {
            Ok(()) => ExitCode::from(code),
            Err(_) => ExitCode::from(exit::OTHER),
        }
    }
}
