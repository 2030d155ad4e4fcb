//! `starctl flow fmt`: writes the files of flows in their canonical form.

use std::fs;
use std::path::{Path, PathBuf};

use document::{Code, Fault};
use serde_json::{Map, Value, json};

use super::format;
use crate::cli::Form;
use crate::command::view;
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::place;

/// Formats files, or only names those that are not as they should be. A file that cannot be read is named, and the others
/// are formatted all the same.
pub(super) fn run(paths: &[PathBuf], check: bool, output: &Output) -> Result<u8, Failure> {
    let mut items: Vec<Value> = Vec::new();
    let (mut changed, mut faulty) = (0, false);
    for path in files(paths)? {
        let text = place::read(&path)?;
        match formatted(&path, &text) {
            Ok(formatted) => {
                let differs = formatted != text;
                if differs && !check {
                    place::rewrite(&path, &formatted)?;
                }
                changed += usize::from(differs);
                items.push(json!({"file": path.display().to_string(), "changed": differs}));
            }
            Err(fault) => {
                let fault = fault.in_file(path.display().to_string());
                let _code = output.failure(&Failure::of(fault, exit::INVALID));
                faulty = true;
            }
        }
    }
    match output.form() {
        Form::Name => {
            let names = items.iter().filter(|item| item["changed"] == true).filter_map(|item| item["file"].as_str());
            names.into_iter().try_for_each(|name| output.line(name))?;
        }
        _ => output.list(&view::FORMATTED, &items, &Map::new())?,
    }
    let of = items.len();
    output.remark(&match check {
        true => output
            .pick(format!("{changed} of {of} files would change"), format!("{of} 个文件中 {changed} 个需要格式化")),
        false => output.pick(format!("{changed} of {of} files changed"), format!("{of} 个文件中 {changed} 个已格式化")),
    })?;
    Ok(if faulty || (check && changed > 0) { exit::INVALID } else { exit::DONE })
}

/// The files that are named; a folder stands for the flow in it: its flow file and the JSON files beside that.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        let mut found: Vec<PathBuf> = entries
            .into_iter()
            .filter(|file| file.file_name().is_some_and(|name| name == flow::FLOW_FILE) || is(file, "json"))
            .collect();
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn formatted(path: &Path, text: &str) -> Result<String, Fault> {
    match (is(path, "toml"), is(path, "json")) {
        (true, _) => format::toml(text),
        (_, true) => format::json(text),
        _ => Err(Fault::new(Code::CliUsage, "it is neither a flow file (.toml) nor a document (.json)")),
    }
}
