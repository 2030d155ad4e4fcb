//! `starctl flow …`: lint, test, render, fmt, schema. Offline.

mod fmt;
mod format;
mod render;
mod test;

use std::path::Path;

use document::Fault;
use flow::lint::{self, Findings};
use serde_json::{Value, json};

use crate::cli::Form;
use crate::cli::flow::OfflineCommand;
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::place::{self, FlowFolder};

/// Runs one command; the number is its exit code.
pub(crate) fn run(command: &OfflineCommand, output: &Output) -> Result<u8, Failure> {
    let shown = matches!(output.form(), Form::Table | Form::Wide | Form::Json | Form::Yaml);
    if !shown && !matches!(command, OfflineCommand::Fmt { .. }) {
        return Err(Failure::usage("this command shows -o table, json or yaml"));
    }
    match command {
        OfflineCommand::Lint { paths } => {
            let mut all = Remarks::default();
            for path in paths {
                all.add(look_at(path)?);
            }
            all.report(output)
        }
        OfflineCommand::Test { files } => test::run(files, output),
        OfflineCommand::Render { flow, rows, now, last_sync_time } => {
            let sample = render::Sample { rows, now: *now, last_sync_time: *last_sync_time };
            render::run(flow, &sample, output)
        }
        OfflineCommand::Fmt { paths, check } => fmt::run(paths, *check, output),
        OfflineCommand::Schema => output.document(&flow::file::schema()).map(|()| exit::DONE),
    }
}

/// Everything said of the named files.
#[derive(Debug, Default)]
struct Remarks {
    findings: Findings,
    notes: Vec<String>,
}

impl Remarks {
    fn add(&mut self, other: Remarks) {
        self.findings.faults.extend(other.findings.faults);
        self.findings.warnings.extend(other.findings.warnings);
        self.notes.extend(other.notes);
    }

    fn report(&self, output: &Output) -> Result<u8, Failure> {
        let Findings { faults, warnings } = &self.findings;
        if output.is_document() {
            let values =
                |faults: &[Fault]| faults.iter().map(|fault| output.fault_value(fault)).collect::<Vec<Value>>();
            output.document(&json!({"faults": values(faults), "warnings": values(warnings), "notes": self.notes}))?;
        } else {
            faults.iter().try_for_each(|fault| output.fault("fault", fault))?;
            warnings.iter().try_for_each(|warning| output.fault("warning", warning))?;
            self.notes.iter().try_for_each(|note| output.line(&format!("note: {note}")))?;
        }
        output.remark(&format!("{} faults, {} warnings", faults.len(), warnings.len()))?;
        Ok(if faults.is_empty() { exit::DONE } else { exit::INVALID })
    }
}

fn look_at(path: &Path) -> Result<Remarks, Failure> {
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    if path.is_dir() || is_toml {
        return look_at_flow(path);
    }
    let text = place::read(path)?;
    let name = path.display().to_string();
    let findings = match name.ends_with(".cases.json") {
        true => lint::case_file(&name, &text),
        false => lint::document(&name, &text),
    };
    Ok(Remarks { findings, notes: Vec::new() })
}

fn look_at_flow(path: &Path) -> Result<Remarks, Failure> {
    let folder = FlowFolder::read(path)?;
    let placed = |faults: Vec<Fault>| faults.into_iter().map(|fault| folder.placed(fault)).collect();
    Ok(match flow::compile(&folder.bundle) {
        Ok(compiled) => Remarks {
            findings: Findings { faults: Vec::new(), warnings: placed(compiled.warnings) },
            notes: compiled.notes,
        },
        Err(faults) => {
            Remarks { findings: Findings { faults: placed(faults), warnings: Vec::new() }, notes: Vec::new() }
        }
    })
}
