//! Messages of the interface as JSON, and what their definitions say of them.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, Kind, MessageDescriptor, SerializeOptions};
use serde_json::Value;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(starbridge_proto::DESCRIPTORS).expect("the definitions are compiled in"));

/// A message as the JSON that its definition means: every field by its name there, instants as RFC 3339 in UTC.
/// `name` is the message's name in the definitions.
pub(crate) fn value<M: prost::Message>(name: &str, message: &M) -> Value {
    let descriptor = descriptor(name).expect("the message is part of the definitions");
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).expect("the same definition");
    let options =
        SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false).stringify_64_bit_integers(false);
    dynamic.serialize_with_options(serde_json::value::Serializer, &options).expect("a message can be shown as JSON")
}

/// A field of a message, as its definition tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldNote {
    pub(crate) name: String,
    /// `string`, `int64`, `repeated Refusal` and so on.
    pub(crate) of: String,
    pub(crate) note: String,
    /// The name of the message it holds, if it holds one.
    pub(crate) message: Option<String>,
    /// The values it can have and what they mean, if they are named.
    pub(crate) values: Vec<(String, String)>,
}

/// What the definitions say of a message: a sentence, and its fields.
pub(crate) fn notes(name: &str) -> Option<(String, Vec<FieldNote>)> {
    let message = descriptor(name)?;
    let fields = message.fields().map(|field| {
        let (of, inner, values) = match field.kind() {
            Kind::Message(inner) => (inner.name().to_owned(), Some(inner.name().to_owned()), Vec::new()),
            Kind::Enum(choice) => (choice.name().to_owned(), None, values_of(&choice)),
            scalar => (format!("{scalar:?}"), None, Vec::new()),
        };
        let of = if field.is_map() {
            "map".to_owned()
        } else if field.is_list() {
            format!("repeated {of}")
        } else {
            of
        };
        let note = comment(&field.parent_file(), field.path());
        FieldNote { name: field.name().to_owned(), of, note, message: inner, values }
    });
    Some((comment(&message.parent_file(), message.path()), fields.collect()))
}

/// The names of all messages that are things rather than questions and answers.
pub(crate) fn nouns() -> Vec<String> {
    let of_ours = POOL.all_messages().filter(|message| message.package_name() == crate::output::API_VERSION);
    let mut names: Vec<String> = of_ours
        .filter(|message| message.parent_message().is_none())
        .map(|message| message.name().to_owned())
        .filter(|name| !name.ends_with("Request") && !name.ends_with("Response"))
        .collect();
    names.sort();
    names
}

fn values_of(choice: &EnumDescriptor) -> Vec<(String, String)> {
    choice.values().map(|value| (value.name().to_owned(), comment(&choice.parent_file(), value.path()))).collect()
}

fn descriptor(name: &str) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(&format!("{}.{name}", crate::output::API_VERSION))
}

/// The comment before an element, on one line.
fn comment(file: &prost_reflect::FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let location = info.and_then(|info| info.location.iter().find(|location| location.path == path));
    location.map(|location| location.leading_comments().trim().replace("\n ", " ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use starbridge_proto::v1;

    #[test]
    fn every_field_is_shown_by_its_name() {
        let letter = v1::DeadLetter { id: "ab".to_owned(), version: 7, state: 1, ..v1::DeadLetter::default() };
        let shown = value("DeadLetter", &letter);
        assert_eq!((&shown["id"], &shown["version"]), (&Value::from("ab"), &Value::from(7)));
        assert_eq!(
            (&shown["state"], &shown["edit_revision"]),
            (&Value::from("DEAD_LETTER_STATE_OPEN"), &Value::from(0))
        );
    }

    #[test]
    fn definitions_explain_themselves() {
        let (note, fields) = notes("Replay").expect("a message");
        assert_eq!(note, "A job.");
        let status = fields.iter().find(|field| field.name == "status").expect("a field");
        assert_eq!((status.note.as_str(), status.of.as_str()), ("How far it is.", "ReplayStatus"));
        assert!(status.values.contains(&("REPLAY_STATUS_DONE".to_owned(), "Every letter has its outcome.".to_owned())));
        assert!(nouns().contains(&"DeadLetter".to_owned()) && notes("Nothing").is_none());
    }
}
