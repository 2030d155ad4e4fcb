//! Enumerations whose members have one word each, used alike in bindings, tokens, requests and the audit topic.

/// Declares such an enumeration.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $kind:literal, { $( $(#[$member_doc:meta])* $member:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $( $(#[$member_doc])* $member, )*
        }

        impl $name {
            /// Every one, in the order of their description.
            pub const ALL: &'static [$name] = &[ $( $name::$member, )* ];

            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self { $( $name::$member => $word, )* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = document::Fault;
            fn from_str(word: &str) -> Result<Self, document::Fault> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word).ok_or_else(|| {
                    let known: Vec<&str> = Self::ALL.iter().map(|known| known.as_str()).collect();
                    document::Fault::new(document::Code::AccessWord, format!(concat!("there is no ", $kind, " {:?}"), word))
                        .hint(format!("one of {}", known.join(", ")))
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use words;
