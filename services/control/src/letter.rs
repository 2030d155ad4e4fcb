//! What became of a dead letter: the state records of the compacted topic `starbridge.dead-letter-events`.
//!
//! | key | value |
//! |---|---|
//! | id of a letter | [`LetterEvent`] as JSON; a letter without one is open |
//! | `@barrier`, `@owner` | written by the session; of no letter |
//!
//! Values carry a version number `v`; one that this build does not know is unreadable, never guessed at. A member that only
//! a newer build knows is passed over.

use std::fmt;
use std::str::FromStr;

use document::{DeadLetterId, FlowVersion, Record, RecordError};
use serde::{Deserialize, Serialize};

/// The schema this build writes and reads.
pub const SCHEMA: u8 = 1;
/// The name under which the control plane itself acts.
pub const OWN_NAME: &str = "control";

/// Where a letter is on its way to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has done anything about it yet, or what was done failed.
    Open,
    /// Its record was published again, and no result is known.
    Replaying,
    /// A replay was applied.
    Resolved,
    /// A newer version of the document was applied.
    Superseded,
    /// Set aside, by hand or after the last attempt.
    Parked,
    /// Given up by a named person, with a reason.
    Discarded,
}

impl State {
    /// Every state.
    pub const ALL: [State; 6] =
        [State::Open, State::Replaying, State::Resolved, State::Superseded, State::Parked, State::Discarded];

    /// The word used in events, metrics and selectors.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Replaying => "replaying",
            State::Resolved => "resolved",
            State::Superseded => "superseded",
            State::Parked => "parked",
            State::Discarded => "discarded",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A body that a person put in the place of the original one. The original stays in its letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Which edit of this letter, from 1.
    pub rev: u32,
    /// The bytes to publish. In JSON `{"text": …}` where they are UTF-8, else `{"base64": …}`.
    #[serde(with = "body")]
    pub body: Vec<u8>,
    /// Who edited.
    pub by: String,
    /// When, unix milliseconds.
    pub at: i64,
    /// Why.
    pub reason: String,
}

/// The last thing that happened to a letter. Kafka key: the letter's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterEvent {
    v: u8,
    /// The state from here on.
    pub state: State,
    /// Attempts of the step when this was written.
    pub attempts: u32,
    /// The replay job that carries or carried the letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
    /// Who works on it. A claim is no state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<String>,
    /// Why, in the words of whoever did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who did it: a person, or the service itself.
    pub by: String,
    /// When, unix milliseconds.
    pub at: i64,
    /// The latest edit of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
    /// The flow version to replay under, where it is not the one the letter failed under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_version: Option<FlowVersion>,
}

impl LetterEvent {
    /// An event of this build's schema that says nothing but the state.
    pub fn new(state: State, attempts: u32, by: impl Into<String>, at: i64) -> Self {
        Self {
            v: SCHEMA,
            state,
            attempts,
            replay: None,
            claimed_by: None,
            reason: None,
            by: by.into(),
            at,
            edit: None,
            flow_version: None,
        }
    }

    /// The record that makes this the last event of the letter.
    pub fn record(&self, id: &DeadLetterId) -> Record {
        let bytes = serde_json::to_vec(self).expect("an event is a plain structure of text and numbers");
        Record { key: id.0.clone().into_bytes(), value: Some(bytes), ..Record::default() }
    }

    /// Reads the value of a record.
    ///
    /// # Errors
    /// [`RecordError::ValueUnreadable`] when the bytes are not JSON of this schema.
    pub fn read(value: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Schema {
            v: u8,
        }
        let unreadable =
            |detail: String| RecordError::ValueUnreadable { expected: "the event of a dead letter", detail };
        let schema: Schema = serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))?;
        if schema.v != SCHEMA {
            return Err(unreadable(format!("schema {} is not {SCHEMA}", schema.v)));
        }
        serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))
    }
}

mod body {
    //! Bytes as text where they are text, so that an event can be read with any Kafka tool.

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Written {
        Text(String),
        Base64(String),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Written::Text(text.to_owned()),
            Err(_) => Written::Base64(STANDARD.encode(bytes)),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(text.into_bytes()),
            Written::Base64(text) => STANDARD.decode(text).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn another_schema_is_unreadable_and_an_unknown_member_passed_over() {
        let mut value = serde_json::to_value(LetterEvent::new(State::Open, 1, "ops", 5)).expect("JSON");
        value["v"] = 2.into();
        let told = LetterEvent::read(value.to_string().as_bytes()).expect_err("schema 2");
        assert!(told.to_string().contains("schema 2 is not 1"), "{told}");
        value["v"] = 1.into();
        value["colour"] = "red".into();
        let read = LetterEvent::read(value.to_string().as_bytes());
        assert_eq!(read, Ok(LetterEvent::new(State::Open, 1, "ops", 5)));
        assert!(LetterEvent::read(b"{").is_err());
    }

    #[test]
    fn a_text_body_is_readable_in_the_topic() {
        let mut event = LetterEvent::new(State::Open, 1, "ops", 5);
        event.edit =
            Some(Edit { rev: 1, body: "{\"数量\":1}".into(), by: "ops".into(), at: 6, reason: "typo".into() });
        let value = event.record(&DeadLetterId("ab".into())).value.expect("a value");
        let text = String::from_utf8(value).expect("JSON");
        assert!(text.contains(r#""body":{"text":"{\"数量\":1}"}"#), "{text}");
    }

    #[test]
    fn states_come_back_from_their_word() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).expect("JSON"), state.as_str());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn events_survive_the_topic(
            state in prop::sample::select(State::ALL.to_vec()),
            attempts: u32,
            at: i64,
            texts in prop::collection::vec(prop::option::of("\\PC{0,20}"), 4),
            body in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            let mut event = LetterEvent::new(state, attempts, "ops", at);
            event.replay = texts[0].clone();
            event.claimed_by = texts[1].clone();
            event.reason = texts[2].clone();
            event.flow_version = texts[3].clone().map(FlowVersion);
            event.edit = body.map(|body| Edit { rev: 2, body, by: "ops".into(), at, reason: String::new() });
            let record = event.record(&DeadLetterId("ab".into()));
            prop_assert_eq!(LetterEvent::read(&record.value.expect("a value")), Ok(event));
        }
    }
}
