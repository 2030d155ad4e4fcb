//! `starctl explain`: what the definitions say of a noun or a field.

mod own;

use document::{Code, Fault};
use serde_json::{Map, Value, json};

use super::view;
use crate::cli::Form;
use crate::exit;
use crate::message::{self, FieldNote};
use crate::output::Output;
use crate::output::failure::Failure;

/// Words of the command line for messages that are called otherwise.
const OTHER_NAMES: [(&str, &str); 9] = [
    ("letter", "DeadLetter"),
    ("dlq", "DeadLetter"),
    ("doubt", "DeadLetter"),
    ("audit", "AuditEntry"),
    ("trace", "TraceStep"),
    ("record", "TraceStep"),
    ("plan", "ReplayPlan"),
    ("reconcile", "Reconciliation"),
    ("auth", "Binding"),
];

/// Explains a noun, or a field of it; lists the nouns where none is named.
pub(crate) fn run(what: Option<&str>, output: &Output) -> Result<u8, Failure> {
    let Some(what) = what else {
        let mut nouns: Vec<(String, String)> = message::nouns()
            .iter()
            .map(|name| (snake(name), message::notes(name).map(|(note, _)| note).unwrap_or_default()))
            .chain(own::NOUNS.iter().map(|noun| (noun.name.to_owned(), noun.note.to_owned())))
            .collect();
        nouns.sort();
        let nouns: Vec<Value> = nouns.into_iter().map(|(name, note)| json!({"name": name, "note": note})).collect();
        return output.list(&view::NOUNS, &nouns, &Map::new()).map(|()| exit::DONE);
    };
    let mut parts = what.split('.');
    let noun = parts.next().unwrap_or_default();
    let (mut name, mut note, mut fields) = notes(noun).ok_or_else(|| unknown(what, noun))?;
    for part in parts {
        let field = fields.iter().find(|field| field.name == part).cloned().ok_or_else(|| unknown(what, part))?;
        match field.message.as_deref().and_then(|inner| Some((inner.to_owned(), message::notes(inner)?))) {
            Some((inner, (_, inner_fields))) => {
                (name, note, fields) = (inner, field.note, inner_fields);
            }
            None => (name, note, fields) = (field.of.clone(), field.note.clone(), values(&field)),
        }
    }
    let rows: Vec<Value> =
        fields.iter().map(|field| json!({"name": field.name, "type": field.of, "note": field.note})).collect();
    if matches!(output.form(), Form::Table | Form::Wide) {
        output.line(&format!("{what} ({name})\n    {note}"))?;
        if rows.is_empty() {
            return Ok(exit::DONE);
        }
        output.line("")?;
    }
    let more = Map::from_iter([("of".to_owned(), Value::from(what)), ("note".to_owned(), Value::from(note))]);
    output.list(&view::FIELDS, &rows, &more).map(|()| exit::DONE)
}

/// Whether single things of a noun can be explained.
///
/// # Errors
/// Of every noun but flows.
pub(crate) fn has_names(what: Option<&str>) -> Result<(), Failure> {
    if what == Some("flow") {
        return Ok(());
    }
    let detail = format!("{} is explained as such; by name only a flow is", what.unwrap_or_default());
    let fault = Fault::new(Code::CliUsage, detail).hint("starctl explain flow NAME");
    Err(Failure::of(fault, exit::USAGE))
}

fn values(field: &FieldNote) -> Vec<FieldNote> {
    let value = |(name, note): &(String, String)| FieldNote {
        name: name.clone(),
        of: field.of.clone(),
        note: note.clone(),
        message: None,
        values: Vec::new(),
    };
    field.values.iter().map(value).collect()
}

/// What a noun is called where it is defined, what is said of it, and its fields.
fn notes(noun: &str) -> Option<(String, String, Vec<FieldNote>)> {
    let own = || own::notes(noun).map(|(note, fields)| (noun.to_owned(), note, fields));
    let defined = |name: String| message::notes(&name).map(|(note, fields)| (name, note, fields));
    message_of(noun).and_then(defined).or_else(own)
}

fn message_of(noun: &str) -> Option<String> {
    let other = OTHER_NAMES.iter().find(|(word, _)| *word == noun).map(|(_, name)| (*name).to_owned());
    other.or_else(|| message::nouns().into_iter().find(|name| snake(name) == noun))
}

/// `DeadLetter` as `dead_letter`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

fn unknown(what: &str, part: &str) -> Failure {
    let fault =
        Fault::new(Code::CliUsage, format!("{what}: there is no {part}")).hint("starctl explain lists the nouns");
    Failure::of(fault, exit::NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    use crate::cli::Cli;

    #[test]
    fn every_noun_of_the_command_line_is_explained() {
        let command = Cli::command();
        let nouns = command.get_subcommands().filter(|command| command.has_subcommands());
        let unexplained: Vec<&str> = nouns.map(|noun| noun.get_name()).filter(|noun| notes(noun).is_none()).collect();
        assert_eq!(unexplained, [""; 0]);
        let (_, note, fields) = notes("schedule").expect("a noun");
        assert!(!note.is_empty() && fields.iter().any(|field| field.name == "next"));
    }
}
