//! Splitting a `_findCollection` statement into words, with quotes and references kept together.

use document::Fault;

use super::{misplaced, template};
use crate::reference::{Path, Template, reference_at};

/// One word and the character, from 1, where it begins.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) column: usize,
}

/// Splits at blanks outside quotes and references.
pub(super) fn words(text: &str) -> Result<Vec<Word>, Fault> {
    let chars: Vec<char> = text.chars().collect();
    let mut words: Vec<Word> = Vec::new();
    let mut open = false;
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_whitespace() {
            open = false;
            at += 1;
            continue;
        }
        let end = match c {
            '\'' | '"' => quote_end(&chars, at)?,
            '{' => reference_at(&chars, at)?.map_or(at + 1, |(_, end)| end),
            _ => at + 1,
        };
        if !open {
            words.push(Word { text: String::new(), column: at + 1 });
            open = true;
        }
        if let Some(word) = words.last_mut() {
            word.text.extend(chars.iter().take(end).skip(at));
        }
        at = end;
    }
    Ok(words)
}

/// The character after the closing quote. A doubled quote inside is one quote of the constant.
pub(super) fn quote_end(chars: &[char], begin: usize) -> Result<usize, Fault> {
    let quote = chars.get(begin);
    let mut at = begin + 1;
    while at < chars.len() {
        if chars.get(at) == quote {
            if chars.get(at + 1) != quote {
                return Ok(at + 1);
            }
            at += 1;
        }
        at += 1;
    }
    Err(misplaced(begin + 1, "a quoted constant is not closed".to_owned()))
}

/// Reads `name=X`.
pub(super) fn condition(word: &Word) -> Result<(Path, Template), Fault> {
    let wrong = || misplaced(word.column, format!("\"name=value\" without blanks expected, {:?} found", word.text));
    let (name, wanted) = word.text.split_once('=').ok_or_else(wrong)?;
    if name.is_empty() || wanted.is_empty() {
        return Err(wrong());
    }
    let column = word.column + name.chars().count() + 1;
    let wanted = match wanted.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let inner = wanted.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).ok_or_else(wrong)?;
            template(&inner.replace(&format!("{quote}{quote}"), &quote.to_string()), column + 1)?
        }
        _ => template(wanted, column)?,
    };
    Ok((Path::lenient(name), wanted))
}
