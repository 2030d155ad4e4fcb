//! `starctl flow test`: case files against the documents beside them.

use std::path::{Path, PathBuf};

use document::Fault;
use flow::cases::{CaseFile, CaseOutcome};
use serde_json::{Value, json};

use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::place;

/// What became of one case file.
struct Tested {
    file: String,
    /// Faults that kept its cases from running.
    faults: Vec<Fault>,
    outcomes: Vec<CaseOutcome>,
}

pub(super) fn run(files: &[PathBuf], output: &Output) -> Result<u8, Failure> {
    let tested: Vec<Tested> = files.iter().map(|file| test(file)).collect::<Result<_, _>>()?;
    if output.is_document() {
        let files: Vec<Value> = tested.iter().map(|tested| tested.to_json(output)).collect();
        output.document(&json!({"files": files}))?;
    } else {
        tested.iter().try_for_each(|tested| tested.print(output))?;
    }
    let cases = tested.iter().flat_map(|tested| &tested.outcomes);
    let (passed, failed): (Vec<&CaseOutcome>, Vec<&CaseOutcome>) = cases.partition(|outcome| outcome.passed());
    let broken = tested.iter().filter(|tested| !tested.faults.is_empty()).count();
    output.remark(&format!("{} passed, {} failed, {broken} files not run", passed.len(), failed.len()))?;
    Ok(if failed.is_empty() && broken == 0 { exit::DONE } else { exit::INVALID })
}

fn test(path: &Path) -> Result<Tested, Failure> {
    let name = path.display().to_string();
    let broken = |faults| Tested { file: name.clone(), faults, outcomes: Vec::new() };
    let file = match CaseFile::read(&name, &place::read(path)?) {
        Ok(file) => file,
        Err(fault) => return Ok(broken(vec![fault])),
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let document = folder.join(&file.metadata);
    Ok(match file.run(&place::read(&document)?, &place::collections(folder)?) {
        Ok(outcomes) => Tested { file: name, faults: Vec::new(), outcomes },
        Err(faults) => {
            let shown = document.display().to_string();
            broken(faults.into_iter().map(|fault| fault.in_file(&shown)).collect())
        }
    })
}

impl Tested {
    fn print(&self, output: &Output) -> Result<(), Failure> {
        self.faults.iter().try_for_each(|fault| output.fault("fault", fault))?;
        for outcome in &self.outcomes {
            let word = if outcome.passed() { "ok" } else { "FAILED" };
            output.line(&format!("{word} {} [{}] {}", self.file, outcome.index, outcome.name))?;
            for difference in &outcome.differences {
                output.line(&format!("  {} (- expected, + came out)", difference.key))?;
                difference.diff.lines().try_for_each(|line| output.line(&format!("  {line}")))?;
            }
            if let Some(fault) = outcome.fault(&self.file) {
                output.fault("fault", &fault)?;
                outcome.faults.iter().try_for_each(|fault| output.fault("seen", fault))?;
            }
        }
        Ok(())
    }

    fn to_json(&self, output: &Output) -> Value {
        let cases: Vec<Value> = self
            .outcomes
            .iter()
            .map(|outcome| {
                let differences: Vec<Value> = outcome
                    .differences
                    .iter()
                    .map(|difference| json!({"key": difference.key, "diff": difference.diff}))
                    .collect();
                json!({
                    "case": outcome.index,
                    "name": outcome.name,
                    "passed": outcome.passed(),
                    "differences": differences,
                    "fault": outcome.fault(&self.file).map(|fault| output.fault_value(&fault)),
                })
            })
            .collect();
        let faults: Vec<Value> = self.faults.iter().map(|fault| output.fault_value(fault)).collect();
        json!({"file": self.file, "faults": faults, "cases": cases})
    }
}
