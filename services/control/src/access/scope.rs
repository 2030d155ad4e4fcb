//! Where a role holds, and where something is to be done.

use std::fmt;
use std::str::FromStr;

use document::{Code, Fault};
use serde::{Deserialize, Serialize};

/// Names: one, those that begin alike, or every one. Text form: `orders`, `sales-*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pattern {
    /// Exactly this name.
    Name(String),
    /// Every name that begins so; with nothing to begin with, every name.
    Beginning(String),
}

impl Pattern {
    /// Every name.
    pub const ANY: Pattern = Pattern::Beginning(String::new());

    /// Whether all that `other` stands for is among what this stands for.
    pub fn covers(&self, other: &Pattern) -> bool {
        match (self, other) {
            (Pattern::Name(this), Pattern::Name(other)) => this == other,
            (Pattern::Name(_), Pattern::Beginning(_)) => false,
            (Pattern::Beginning(this), Pattern::Name(other) | Pattern::Beginning(other)) => {
                other.starts_with(this.as_str())
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = Fault;
    /// # Errors
    /// A [`Fault`] with [`Code::AccessWord`] when the text is empty, longer than 128 characters, has a character that no
    /// name has, or a `*` before its end.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let (name, open) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = name.chars().all(is_name) && name.chars().count() <= 128;
        match (fits, open) {
            (true, true) => Ok(Pattern::Beginning(name.to_owned())),
            (true, false) if !name.is_empty() => Ok(Pattern::Name(name.to_owned())),
            (true | false, _) => {
                Err(Fault::new(Code::AccessWord, format!("{text:?} is no name and no pattern of names"))
                    .hint("a name, a beginning with * after it, or * for every one"))
            }
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = Fault;
    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Name(name) => f.write_str(name),
            Pattern::Beginning(beginning) => write!(f, "{beginning}*"),
        }
    }
}

/// A part of the installation. In a binding: where the role holds. In a request: what it is about, where `*` means all
/// of them.
///
/// Only the tenant must be said in JSON; whoever leaves it out has not thought of every tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The tenants.
    pub tenant: Pattern,
    /// The flows among them.
    #[serde(default = "every")]
    pub flow: Pattern,
    /// The connections among them.
    #[serde(default = "every")]
    pub connection: Pattern,
}

fn every() -> Pattern {
    Pattern::ANY
}

impl Scope {
    /// The whole installation.
    pub const EVERYWHERE: Scope = Scope { tenant: Pattern::ANY, flow: Pattern::ANY, connection: Pattern::ANY };

    /// One flow of a tenant.
    pub fn of_flow(tenant: &str, flow: &str) -> Self {
        Self { flow: Pattern::Name(flow.to_owned()), ..Self::of_tenant(tenant) }
    }

    /// One connection of a tenant.
    pub fn of_connection(tenant: &str, connection: &str) -> Self {
        Self { connection: Pattern::Name(connection.to_owned()), ..Self::of_tenant(tenant) }
    }

    /// All of one tenant.
    pub fn of_tenant(tenant: &str) -> Self {
        Self { tenant: Pattern::Name(tenant.to_owned()), ..Self::EVERYWHERE }
    }

    /// Whether all of `other` lies in this.
    pub fn covers(&self, other: &Scope) -> bool {
        self.tenant.covers(&other.tenant) && self.flow.covers(&other.flow) && self.connection.covers(&other.connection)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenant {}, flow {}, connection {}", self.tenant, self.flow, self.connection)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pattern() -> impl Strategy<Value = Pattern> {
        ("[ab]{0,3}", any::<bool>()).prop_map(|(name, open)| match open || name.is_empty() {
            true => Pattern::Beginning(name),
            false => Pattern::Name(name),
        })
    }

    fn scope() -> impl Strategy<Value = Scope> {
        (pattern(), pattern(), pattern()).prop_map(|(tenant, flow, connection)| Scope { tenant, flow, connection })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn covering_is_an_order(a in scope(), b in scope(), c in scope()) {
            prop_assert!(a.covers(&a));
            prop_assert!(Scope::EVERYWHERE.covers(&a));
            prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
            prop_assert!(!(a.covers(&b) && b.covers(&a)) || a == b);
        }

        #[test]
        fn a_pattern_covers_what_matches_it(a in pattern(), name in "[ab]{1,4}") {
            let matches = match &a {
                Pattern::Name(known) => *known == name,
                Pattern::Beginning(beginning) => name.starts_with(beginning.as_str()),
            };
            prop_assert_eq!(a.covers(&Pattern::Name(name)), matches);
        }

        #[test]
        fn a_pattern_survives_its_text(a in pattern()) {
            prop_assert_eq!(a.to_string().parse::<Pattern>(), Ok(a));
        }
    }

    #[test]
    fn a_scope_reads_with_its_tenant_alone() {
        let read: Scope = serde_json::from_value(json!({"tenant": "acme"})).expect("a scope");
        assert_eq!(read, Scope::of_tenant("acme"));
        serde_json::from_value::<Scope>(json!({"flow": "orders"})).expect_err("no tenant");
        serde_json::from_value::<Scope>(json!({"tenant": "*", "flows": "orders"})).expect_err("a key that is none");
    }

    #[test]
    fn a_star_stands_only_at_the_end() {
        for wrong in ["", "a*b", "**", "a b", "a\u{200b}"] {
            assert_eq!(wrong.parse::<Pattern>().expect_err("no pattern").code, Code::AccessWord);
        }
    }
}
