//! Nouns of the command line that no message of the interface defines: what starctl puts together from other things, or
//! keeps on this machine.

use crate::message::FieldNote;

/// A noun, what it is, and what is shown of it: name, type and meaning of each field.
pub(super) struct Noun {
    pub(super) name: &'static str,
    pub(super) note: &'static str,
    fields: &'static [(&'static str, &'static str, &'static str)],
}

pub(super) const NOUNS: &[Noun] = &[
    Noun {
        name: "tenant",
        note: "Whose flows there are. Put together from the published flows: a tenant is there as soon as a flow names it.",
        fields: &[
            ("name", "string", "Its name, as flow files say it."),
            ("flows", "int64", "How many published flows are its."),
            ("paused", "int64", "How many of them are paused."),
            ("open", "int64", "Open letters of its flows."),
            ("parked", "int64", "Parked letters of its flows."),
            ("in_doubt", "int64", "Open letters of documents in doubt."),
        ],
    },
    Noun {
        name: "schedule",
        note: "When a flow is read. Put together from the published flow; the firings are reckoned here.",
        fields: &[
            ("flow", "string", "The flow."),
            (
                "cron",
                "string",
                "Its schedule: minute, hour, day, month, weekday. Empty for a flow that is read on command only.",
            ),
            ("zone", "string", "The time zone the schedule is meant in."),
            ("state", "string", "running, paused, deleted, faulty (its current version cannot be used) or on_command."),
            ("next", "Timestamp", "Its next firing; absent where it does not fire."),
            ("reading", "Reading", "How far it was read."),
            ("title", "string", "What the flow is called."),
            ("note", "string", "Who paused or deleted it, and why."),
        ],
    },
    Noun {
        name: "api",
        note: "An interface of another system that documents of flows may name in `api`.",
        fields: &[
            ("name", "string", "Its name, as documents say it."),
            ("system", "string", "The system that has it."),
            ("direction", "string", "Whether flows read by it or write by it."),
            ("documents", "int64", "How many documents a call carries at most."),
            ("repeatable", "bool", "Whether a call may be made again without harm."),
            ("does", "string", "What it does."),
            ("flows", "repeated string", "The published flows that use it; with --flows."),
        ],
    },
    Noun {
        name: "lineage",
        note: "Which field of the target comes from which field of the source. Reckoned here, from a flow's documents.",
        fields: &[
            ("target", "string", "The field of the target document."),
            ("how", "string", "How it gets its value."),
            ("from", "repeated string", "The fields of the source that it comes from."),
            ("expression", "string", "The expression that makes it."),
            ("collections", "repeated string", "The collections that it is looked up in."),
            ("place", "string", "Where the documents say so."),
        ],
    },
    Noun {
        name: "secret",
        note: "The secret of a connection, sealed in a file by a master key. It is never shown.",
        fields: &[
            ("version", "uint64", "Counts the secrets of a connection; each new one has the next number."),
            ("master_key", "uint32", "The version of the master key that wraps it."),
        ],
    },
    Noun {
        name: "context",
        note: "A named control plane and how to speak to it. Contexts are kept in a file on this machine.",
        fields: &[
            ("name", "string", "Its name."),
            ("endpoint", "string", "The control plane: https://HOST:PORT."),
            ("production", "bool", "Whether changes ask for the name of what they are about."),
            ("ca_cert", "string", "The file of the authority that signed the server's certificate."),
            ("client_cert", "string", "The file of the client certificate."),
            ("client_key", "string", "The file of its key."),
            ("server_name", "string", "The name that the server's certificate must carry."),
            ("token_file", "string", "The file that holds the token."),
            ("token_command", "repeated string", "The program that tells the token, a word each."),
            ("tenant", "string", "The tenant that lists are about."),
            ("timeout", "string", "How long an answer is waited for."),
            ("lang", "string", "The language: en or zh."),
            ("utc", "bool", "Whether times are shown in UTC."),
        ],
    },
];

/// What is said of such a noun, and its fields.
pub(super) fn notes(name: &str) -> Option<(String, Vec<FieldNote>)> {
    let noun = NOUNS.iter().find(|noun| noun.name == name)?;
    let field = |(name, of, note): &(&str, &str, &str)| FieldNote {
        name: (*name).to_owned(),
        of: (*of).to_owned(),
        note: (*note).to_owned(),
        message: None,
        values: Vec::new(),
    };
    Some((noun.note.to_owned(), noun.fields.iter().map(field).collect()))
}
