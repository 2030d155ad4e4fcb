//! Who calls.

use chrono::{DateTime, Utc};

use super::role::Role;

/// Somebody whose credential was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The name that bindings give roles to: the subject of the token or of the client certificate.
    pub name: String,
    /// How the name was proven.
    pub credential: Credential,
    /// The only roles that may be used with this credential; `None` where all of the principal's roles may.
    pub only_roles: Option<Vec<Role>>,
}

/// How a name was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// By a signed token.
    Token {
        /// The token's id, by which it can be revoked.
        id: String,
        /// When it was given.
        issued: DateTime<Utc>,
        /// When it ends.
        expires: DateTime<Utc>,
    },
    /// By a client certificate that the TLS layer has checked.
    Certificate,
}

impl Principal {
    /// The principal of a client certificate that the TLS layer has checked.
    pub fn of_certificate(name: impl Into<String>) -> Self {
        Self { name: name.into(), credential: Credential::Certificate, only_roles: None }
    }
}

/// Whether `name` may stand for a principal: 1 to 128 characters, no blanks, no control characters.
///
/// A name is written into the audit topic and shown to people; what cannot be seen could pass for another name.
pub fn is_principal_name(name: &str) -> bool {
    (1..=128).contains(&name.chars().count()) && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}
