//! The catalogue of everything that can go wrong: code, category, cause and way out, in both languages.
//!
//! A code is a promise to operators: its text never changes and is never reused. `make catalogue` writes this table
//! out for readers, and the build fails when a code has no test that asserts it together with its place.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What kind of failure it is; the word operators select dead letters by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// The input is not what it must be.
    Validation,
    /// The mapping could not be computed.
    Mapping,
    /// Base data that the target does not know.
    ReferenceMissing,
    /// The key is taken by something else.
    Duplicate,
    /// Not allowed.
    Permission,
    /// A rule of the target refused the document.
    BusinessRule,
    /// Too many calls.
    Throttled,
    /// Network, process or server trouble.
    Transport,
    /// Whether a write happened could not be proven.
    InDoubt,
    /// The record breaks whoever handles it.
    Poison,
    /// A setting or definition is wrong.
    Configuration,
    /// None of these.
    Unknown,
}

impl Category {
    /// Every category.
    pub const ALL: [Category; 12] = [
        Category::Validation,
        Category::Mapping,
        Category::ReferenceMissing,
        Category::Duplicate,
        Category::Permission,
        Category::BusinessRule,
        Category::Throttled,
        Category::Transport,
        Category::InDoubt,
        Category::Poison,
        Category::Configuration,
        Category::Unknown,
    ];

    /// The word used in headers, metrics and selectors.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Validation => "validation",
            Category::Mapping => "mapping",
            Category::ReferenceMissing => "reference_missing",
            Category::Duplicate => "duplicate",
            Category::Permission => "permission",
            Category::BusinessRule => "business_rule",
            Category::Throttled => "throttled",
            Category::Transport => "transport",
            Category::InDoubt => "in_doubt",
            Category::Poison => "poison",
            Category::Configuration => "configuration",
            Category::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Category {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|category| category.as_str() == text).ok_or(())
    }
}

/// What the catalogue says of a code in one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// Why it happens.
    pub cause: &'static str,
    /// What to do.
    pub way_out: &'static str,
}

macro_rules! codes {
    ($( $name:ident = $text:literal, $category:ident,
        en: ($en_cause:literal, $en_way:literal), zh: ($zh_cause:literal, $zh_way:literal); )*) => {
        /// One entry of the catalogue.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $( #[doc = $en_cause] $name, )*
        }

        impl Code {
            /// Every code, in the order of the catalogue.
            pub const ALL: &'static [Code] = &[ $( Code::$name, )* ];

            /// The text of the code.
            pub fn as_str(self) -> &'static str {
                match self { $( Code::$name => $text, )* }
            }

            /// The name of the code in the source, by which the catalogue's checker finds its tests.
            pub fn variant(self) -> &'static str {
                match self { $( Code::$name => stringify!($name), )* }
            }

            /// The kind of failure it is.
            pub fn category(self) -> Category {
                match self { $( Code::$name => Category::$category, )* }
            }

            /// Cause and way out, in English.
            pub fn english(self) -> Advice {
                match self { $( Code::$name => Advice { cause: $en_cause, way_out: $en_way }, )* }
            }

            /// Cause and way out, in Chinese.
            pub fn chinese(self) -> Advice {
                match self { $( Code::$name => Advice { cause: $zh_cause, way_out: $zh_way }, )* }
            }
        }
    };
}

mod catalogue;
pub use catalogue::Code;

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom(format!("unknown code {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_and_come_back_from_their_text() {
        let texts: HashSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(code.as_str().starts_with("E_"), "{code}");
        }
    }

    #[test]
    fn every_code_has_cause_and_way_out_in_both_languages() {
        for code in Code::ALL {
            for advice in [code.english(), code.chinese()] {
                assert!(advice.cause.chars().count() >= 6 && advice.way_out.chars().count() >= 4, "{code}");
            }
            assert!(!code.chinese().cause.is_ascii(), "{code} has no Chinese text");
        }
    }

    #[test]
    fn categories_come_back_from_their_word() {
        for category in Category::ALL {
            assert_eq!(category.as_str().parse(), Ok(category));
        }
    }
}
