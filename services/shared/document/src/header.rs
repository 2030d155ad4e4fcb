//! Record headers: the facts about a record, as text, following the CloudEvents Kafka binding in binary mode.
//!
//! | header | meaning |
//! |---|---|
//! | `ce_specversion`, `ce_id`, `ce_source`, `ce_type`, `ce_subject`, `ce_time`, `content-type` | CloudEvents |
//! | `traceparent` | W3C trace context of the document |
//! | `sb-tenant`, `sb-flow`, `sb-flow-version` | who handles the record, and by which definition |
//! | `sb-document-key`, `sb-target-key` | what the document is called on either side |
//! | `sb-version`, `sb-digest` | which content of the document this is |
//! | `sb-created` | when the document was created in its source, unix seconds; absent when unknown |
//! | `sb-run-time`, `sb-run-since` | `CURRENT_TIME` and `LAST_SYNC_TIME` of the run that read it, unix seconds |
//! | `sb-source` | `partition@offset` of the extracted record that a mapped record was made of; absent when unknown |
//! | `sb-replay` | set by a replay: one more attempt at the same version |
//! | `sb-verdict` | set by a replay: what a person found out about a document in doubt |

use std::str::FromStr;

use crate::name::{FlowName, Tenant};

/// CloudEvents type of a record in an extracted topic.
pub const TYPE_EXTRACTED: &str = "starbridge.document.extracted.v1";
/// CloudEvents type of a record in a mapped topic.
pub const TYPE_MAPPED: &str = "starbridge.document.mapped.v1";

/// Header of the W3C trace context.
pub const TRACE: &str = "traceparent";
/// Header that names the replay which a record is published by.
pub const REPLAY: &str = "sb-replay";
/// Header by which a person says what became of a document in doubt: `absent`, or `applied as ID`.
pub const VERDICT: &str = "sb-verdict";

/// Name and text of each header, in order. At most one of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

/// A record that does not carry what its topic promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A header that every record of the topic has is not there.
    #[error("header {0:?} is missing")]
    HeaderMissing(&'static str),
    /// A header does not read as what it is.
    #[error("header {name:?} does not read: {text:?}")]
    HeaderUnreadable {
        /// The header's name.
        name: &'static str,
        /// Its text.
        text: String,
    },
    /// The record has no value where one is needed.
    #[error("the record has no value")]
    ValueMissing,
    /// The value is not the JSON it should be.
    #[error("the value is not {expected}: {detail}")]
    ValueUnreadable {
        /// What should stand there.
        expected: &'static str,
        /// The parser's words.
        detail: String,
    },
}

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name`, replacing an earlier one of that name.
    pub fn set(&mut self, name: &str, value: impl ToString) -> &mut Self {
        let value = value.to_string();
        match self.0.iter_mut().find(|(present, _)| present == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
        self
    }

    /// Sets `name` when there is a value.
    pub fn set_optional(&mut self, name: &str, value: Option<impl ToString>) -> &mut Self {
        if let Some(value) = value {
            self.set(name, value);
        }
        self
    }

    /// The text of header `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }

    /// The text of header `name`.
    ///
    /// # Errors
    /// [`RecordError::HeaderMissing`].
    pub fn required(&self, name: &'static str) -> Result<&str, RecordError> {
        self.get(name).ok_or(RecordError::HeaderMissing(name))
    }

    /// Header `name` read as a `T`, absent when not there.
    ///
    /// # Errors
    /// [`RecordError::HeaderUnreadable`].
    pub fn read_optional<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, RecordError> {
        self.get(name)
            .map(|text| text.parse().map_err(|_| RecordError::HeaderUnreadable { name, text: text.to_owned() }))
            .transpose()
    }

    /// Header `name` read as a `T`.
    ///
    /// # Errors
    /// [`RecordError::HeaderMissing`] and [`RecordError::HeaderUnreadable`].
    pub fn read<T: FromStr>(&self, name: &'static str) -> Result<T, RecordError> {
        self.read_optional(name)?.ok_or(RecordError::HeaderMissing(name))
    }

    /// Names and texts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn read_owner(&self) -> Result<(Tenant, FlowName), RecordError> {
        let unreadable = |name, text: &str| RecordError::HeaderUnreadable { name, text: text.to_owned() };
        let tenant = self.required("sb-tenant")?;
        let flow = self.required("sb-flow")?;
        Ok((
            Tenant::new(tenant).map_err(|_| unreadable("sb-tenant", tenant))?,
            FlowName::new(flow).map_err(|_| unreadable("sb-flow", flow))?,
        ))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
