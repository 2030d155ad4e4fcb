//! The two languages in which starctl speaks to people.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A language. Data keeps the words of the interface; only prose, headings and advice are translated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    #[default]
    En,
    Zh,
}

impl Language {
    /// The text of this language.
    pub(crate) fn pick<T>(self, english: T, chinese: T) -> T {
        match self {
            Language::En => english,
            Language::Zh => chinese,
        }
    }
}
