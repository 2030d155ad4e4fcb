//! Identities: who owns a document, which flow carries it, what it is called on either side.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name that cannot be used for a tenant or a flow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name {name:?} is not usable: 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit")]
pub struct InvalidName {
    /// What was to be named: `tenant` or `flow`.
    pub kind: &'static str,
    /// The text that was refused.
    pub name: String,
}

/// Whether `name` may stand in a topic name, a file name and a metric label alike.
fn is_label(name: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a checked name.
            ///
            /// # Errors
            /// [`InvalidName`] when the text is not 1 to 63 of `a-z`, `0-9` and inner `-`.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                if is_label(&name) { Ok(Self(name)) } else { Err(InvalidName { kind: $kind, name }) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

label!(
    /// Whose documents they are. `default` where nothing else is said.
    Tenant, "tenant"
);
label!(
    /// One integration scheme: a source document, a target document and what joins them. Part of its topics' names.
    FlowName, "flow"
);

impl Default for Tenant {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The identity as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    /// The natural key of a document in its source system, unique within a flow (a bill number, an id).
    DocumentKey
);
text!(
    /// The value of the flow's target key field in the target system; at most one document there may carry it.
    TargetKey
);
text!(
    /// Names one published content of a flow: the first 16 hex digits of the BLAKE3 hash of its bundle.
    FlowVersion
);

/// The order in which contents of one document were observed, given by the extractor: `max(last + 1, clock in µs)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// The version after `last`, not below the wall clock, so that neither equal instants nor a clock that
    /// jumps back can reorder two contents and a lost checkpoint cannot run them backwards.
    pub fn after(last: Option<Version>, clock_micros: u64) -> Version {
        Version(last.map_or(clock_micros, |last| clock_micros.max(last.0 + 1)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_lower_case_letters_digits_and_inner_dashes() {
        for good in ["a", "misc-inbound", "0", "a-0"] {
            assert!(FlowName::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a_b", "入库", "a b", long.as_str()] {
            assert_eq!(FlowName::new(bad), Err(InvalidName { kind: "flow", name: bad.to_owned() }));
        }
    }

    #[test]
    fn versions_grow_when_the_clock_does_not() {
        assert_eq!(Version::after(None, 10), Version(10));
        assert_eq!(Version::after(Some(Version(10)), 10), Version(11));
        assert_eq!(Version::after(Some(Version(10)), 3), Version(11));
        assert_eq!(Version::after(Some(Version(10)), 99), Version(99));
    }
}
