//! What is masked inside any text: mobile numbers of the mainland, identity cards, bank cards, e-mail addresses.
//!
//! Digits may be full-width and may have single blanks or dashes between them. A number within a longer row of digits is
//! none. Where two could be meant, all that either covers is masked.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::MASK;

/// The longest number that is looked for: a bank card.
const LONGEST: usize = 19;

static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[A-Za-z0-9._%+\-]+[@＠][A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+").expect("a pattern that compiles")
});

/// `text` with every such number and address masked; `None` when it holds none.
pub fn mask(text: &str) -> Option<String> {
    let mut spans: Vec<Range<usize>> = EMAIL.find_iter(text).map(|found| found.range()).collect();
    spans.extend(numbers(text));
    if spans.is_empty() {
        return None;
    }
    spans.sort_by_key(|span| span.start);
    let mut masked = String::with_capacity(text.len());
    let mut spans = spans.into_iter().peekable();
    let mut end = 0;
    for (at, character) in text.char_indices() {
        while let Some(span) = spans.next_if(|span| span.start <= at) {
            if span.start >= end {
                masked.push_str(MASK);
            }
            end = end.max(span.end);
        }
        if at >= end {
            masked.push(character);
        }
    }
    Some(masked)
}

/// Whether `text` as a whole is one such number, in plain digits.
pub(super) fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && numbers(text).contains(&(0..text.len()))
}

/// The value of a digit, full-width ones too.
fn digit(character: char) -> Option<u32> {
    match character {
        '０'..='９' => Some(u32::from(character) - u32::from('０')),
        _ => character.to_digit(10),
    }
}

fn is_separator(character: char) -> bool {
    matches!(character, ' ' | '-' | '\u{a0}' | '\u{3000}')
}

/// The byte ranges of numbers in `text`; they may overlap.
fn numbers(text: &str) -> Vec<Range<usize>> {
    let characters: Vec<(usize, char)> = text.char_indices().collect();
    let digit_at = |place: usize| characters.get(place).and_then(|(_, character)| digit(*character));
    let byte_at = |place: usize| characters.get(place).map_or(text.len(), |(byte, _)| *byte);
    let mut found = Vec::new();
    for start in 0..characters.len() {
        if digit_at(start).is_none() || start.checked_sub(1).and_then(digit_at).is_some() {
            continue;
        }
        let (mut digits, mut place) = (Vec::with_capacity(LONGEST), start);
        while let Some(value) = digit_at(place).filter(|_| digits.len() < LONGEST) {
            digits.push(value);
            place += 1;
            if digit_at(place).is_some() {
                continue;
            }
            let next = characters.get(place).map(|(_, character)| *character);
            if is_mobile(&digits) || is_identity_card(&digits) || is_bank_card(&digits) {
                found.push(byte_at(start)..byte_at(place));
            }
            if matches!(next, Some('x' | 'X' | 'ｘ' | 'Ｘ')) && is_identity_card(&[digits.as_slice(), &[10]].concat())
            {
                found.push(byte_at(start)..byte_at(place + 1));
            }
            if next.is_some_and(is_separator) {
                place += 1;
            }
        }
    }
    found
}

/// 11 digits from 13 to 19 on, with or without the country before them.
fn is_mobile(digits: &[u32]) -> bool {
    let national = digits.strip_prefix(&[0, 0]).unwrap_or(digits);
    let national = national.strip_prefix(&[8, 6]).unwrap_or(national);
    matches!(national, [1, 3..=9, ..]) && national.len() == 11
}

/// 18 digits of which the last one, where 10 is written X, is the check digit of GB 11643 (ISO 7064, MOD 11-2).
fn is_identity_card(digits: &[u32]) -> bool {
    const WEIGHTS: [u32; 18] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2, 1];
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    digits.len() == WEIGHTS.len() && digits.first() != Some(&0) && sum % 11 == 1
}

/// 13 to 19 digits that begin as a bank's and pass the check of ISO 7812 (Luhn). Numbers that begin with a year or with
/// a moment in seconds are not a bank's.
fn is_bank_card(digits: &[u32]) -> bool {
    let luhn = |(place, digit): (usize, &u32)| match place % 2 {
        0 => *digit,
        _ => digit * 2 / 10 + digit * 2 % 10,
    };
    let sum: u32 = digits.iter().rev().enumerate().map(luhn).sum();
    (13..=LONGEST).contains(&digits.len()) && matches!(digits, [3..=6 | 9, ..]) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_masked_in_its_usual_spellings() {
        for (text, masked) in [
            ("请拨13800138000谢谢", "请拨***谢谢"),
            ("+86 138-0013-8000", "+***"),
            ("008613800138000", "***"),
            ("电话：１３８００１３８０００。", "电话：***。"),
            ("身份证11010519491231002X", "身份证***"),
            ("440524188001010014", "***"),
            ("440524 18800101 0014", "***"),
            ("card 4111 1111 1111 1111!", "card ***!"),
            ("卡号6222021234567890128", "卡号***"),
            ("write to li.wei+erp@mail.example.com.", "write to ***."),
            ("13800138000,13900139000 13700137000", "***,*** ***"),
        ] {
            assert_eq!(mask(text).as_deref(), Some(masked), "{text}");
        }
    }

    #[test]
    fn numbers_that_only_look_alike_stay() {
        for text in [
            "",
            "12800138000",
            "138001380001",
            "1380013800",
            "110105194912310021",
            "4111111111111112",
            "20240101000123",
            "XSDD20260301000017",
            "1772352000000",
            "12,345.67",
            "a@b",
            "@example.com",
            "2026-03-01 08:00:00",
        ] {
            assert_eq!(mask(text), None, "{text}");
        }
    }

    #[test]
    fn what_two_numbers_share_does_not_save_the_rest() {
        // Read together the first 16 digits are a bank card; the mobile number begins within it.
        let text = "41111 13800138000";
        let masked = mask(text).expect("something is masked");
        assert!(!masked.contains("8000"), "{masked}");
    }

    #[test]
    fn a_whole_number_is_told_from_a_part() {
        assert!(is_number("13800138000"));
        assert!(!is_number("13800138000.00"));
        assert!(!is_number("-13800138000"));
        assert!(!is_number(""));
    }
}
