use document::Code;
use proptest::prelude::*;

use super::*;

fn json(text: &str) -> String {
    match Masker::default().mask(text.as_bytes()) {
        Masked::Json(masked) => masked,
        other => panic!("{other:?} of {text}"),
    }
}

#[test]
fn fields_and_patterns_are_masked_and_the_rest_keeps_its_spelling() {
    let payload = r#"{ "FNumber" : "XSDD-1", "FQty": 1.2300e2, "FMobile": 12, "FBig": 12345678901234567890.10,
        "FNote": "回电13800138000", "\u0046Email": "x", "FLines": [{"FTel": "021"}, {"FMemo": "\u4e2d\/文"}], "ok": true }"#;
    let expected = r#"{"FNumber":"XSDD-1","FQty":1.2300e2,"FMobile":"***","FBig":12345678901234567890.10,"FNote":"回电***","FEmail":"***","FLines":[{"FTel":"***"},{"FMemo":"\u4e2d\/文"}],"ok":true}"#;
    assert_eq!(json(payload), expected);
}

#[test]
fn what_lies_in_a_named_field_is_masked_in_its_shape() {
    let payload = r#"{"FContact":{"FName":"李","FAge":[31,null,true,{"x":"y"}]},"FContact.FTown":"上海"}"#;
    let expected = r#"{"FContact":{"FName":"***","FAge":["***",null,true,{"x":"***"}]},"FContact.FTown":"***"}"#;
    assert_eq!(json(payload), expected);
}

#[test]
fn escapes_keys_numbers_and_equal_keys_hide_nothing() {
    for (payload, expected) in [
        (r#""\u00313800138000""#, r#""***""#),
        (r#"{"13800138000":1}"#, r#"{"***":1}"#),
        ("[13800138000,13800138000.00]", r#"["***",13800138000.00]"#),
        (r#"{"a":"13800138000","a":"b"}"#, r#"{"a":"***","a":"b"}"#),
        (r#""\ud800 13800138000""#, r#""***""#),
    ] {
        assert_eq!(json(payload), expected);
    }
}

#[test]
fn json_inside_a_text_is_masked_as_json() {
    let inner = r#"{"FMobile":"1","n": 1.0}"#;
    let payload = serde_json::json!({ "data": inner }).to_string();
    let expected = serde_json::json!({ "data": r#"{"FMobile":"***","n":1.0}"# }).to_string();
    assert_eq!(json(&payload), expected);
    let harmless = r#"{"data":"{ \"n\" : \"\u4e2d\" }"}"#;
    assert_eq!(json(harmless), harmless);
}

#[test]
fn nesting_without_end_is_masked_and_brings_nothing_down() {
    let deep = 100_000;
    let payload = "[".repeat(deep) + "\"13800138000\"" + &"]".repeat(deep);
    assert_eq!(json(&payload), "[".repeat(64) + "\"***\"" + &"]".repeat(64));
    let mut nested = "13800138000".to_owned();
    for _ in 0..12 {
        nested = serde_json::json!([nested]).to_string();
    }
    assert!(!json(&nested).contains("13800138000"));
}

#[test]
fn text_is_masked_by_patterns_and_what_cannot_be_told_is_withheld() {
    let masker = Masker::default();
    assert_eq!(masker.mask("致电 13800138000".as_bytes()), Masked::Text("致电 ***".to_owned()));
    assert_eq!(masker.mask(b"plain"), Masked::Text("plain".to_owned()));
    for payload in [b"\xff13800138000".as_slice(), br#" {"FName": "li", "FMobile": "1"#, b"[1,", b"{}{}"] {
        let expected = Masked::Withheld { bytes: payload.len(), digest: Hash::of(payload) };
        assert_eq!(masker.mask(payload), expected);
    }
}

#[test]
fn other_rules_replace_the_default_ones() {
    let masker = Masker::new(["$.Model.FNote"]).expect("a rule");
    let payload = br#"{"Model":{"FNote":"a","FTel":"b"},"FNote":"c"}"#;
    let expected = r#"{"Model":{"FNote":"***","FTel":"b"},"FNote":"c"}"#;
    assert_eq!(masker.mask(payload), Masked::Json(expected.to_owned()));
    let fault = Masker::new(["FTel", "a*b"]).expect_err("no rule");
    assert_eq!((fault.code, fault.place.path.as_deref()), (Code::MaskRule, Some("$.fields[1]")));
}

// --- property: a document made together with what must become of it ---

/// A value as it is written, as it must be shown, and what must not be seen.
#[derive(Debug, Clone)]
struct Made {
    written: String,
    shown: String,
    secrets: Vec<String>,
}

fn grouped(digits: &str, size: usize, separator: &str) -> String {
    let digits: Vec<char> = digits.chars().collect();
    let groups: Vec<String> = digits.chunks(size).map(|group| group.iter().collect()).collect();
    groups.join(separator)
}

/// The check digit by the recursive form of ISO 7064 MOD 11-2, where the code under test uses weights.
fn identity_card(base: &str) -> String {
    let digits = base.chars().map(|c| c.to_digit(10).expect("a digit"));
    let product = digits.fold(0, |product, digit| (product + digit) * 2 % 11);
    match (12 - product) % 11 {
        10 => format!("{base}X"),
        check => format!("{base}{check}"),
    }
}

/// The Luhn digit by the table of doubled digits, where the code under test computes them.
fn bank_card(base: &str) -> String {
    const DOUBLED: [u32; 10] = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
    let digits: Vec<u32> = base.chars().map(|c| c.to_digit(10).expect("a digit")).collect();
    let sum: u32 =
        digits.iter().rev().enumerate().map(|(i, d)| if i % 2 == 0 { DOUBLED[*d as usize] } else { *d }).sum();
    format!("{base}{}", (10 - sum % 10) % 10)
}

fn secret() -> impl Strategy<Value = String> {
    let spelling = (prop::sample::select(vec!["", " ", "-"]), 3_usize..6);
    prop_oneof![
        ("1[3-9][0-9]{9}", spelling.clone()).prop_map(|(digits, (s, size))| grouped(&digits, size, s)),
        "[1-9][0-9]{16}".prop_map(|base| identity_card(&base)),
        ("(62|4|5)[0-9]{12,16}", spelling).prop_map(|(base, (s, size))| grouped(&bank_card(&base), size, s)),
        "[a-z0-9][a-z0-9._+]{0,10}@[a-z0-9]{1,8}(\\.[a-z]{2,4}){1,2}",
    ]
}

/// Text in which nothing is to be masked.
fn harmless_text() -> impl Strategy<Value = String> {
    "[甲乙丙丁A-F ,;:!\"\\\\/\n]{0,8}"
}

/// `text` as JSON, some characters of it escaped.
fn written(text: &str, escaped: &[bool]) -> String {
    let mut out = "\"".to_owned();
    for (character, escape) in text.chars().zip(escaped.iter().cycle()) {
        match (character, escape) {
            (_, true) | ('"' | '\\' | '\n', false) => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            (plain, false) => out.push(plain),
        }
    }
    out.push('"');
    out
}

fn kept(written: String) -> Made {
    Made { shown: written.clone(), written, secrets: Vec::new() }
}

fn leaf() -> impl Strategy<Value = Made> {
    let escaped = || prop::collection::vec(any::<bool>(), 1..5);
    prop_oneof![
        (harmless_text(), escaped()).prop_map(|(text, escaped)| kept(written(&text, &escaped))),
        "-?(0|[1-9][0-9]{0,6})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?".prop_map(kept),
        prop::sample::select(vec!["true", "false", "null"]).prop_map(|word| kept(word.to_owned())),
        (harmless_text(), secret(), harmless_text(), escaped()).prop_map(|(before, secret, after, escaped)| {
            // A letter beside an address would be part of it.
            let (before, after) = (format!("{before}，"), format!("，{after}"));
            Made {
                written: written(&format!("{before}{secret}{after}"), &escaped),
                shown: serde_json::to_string(&format!("{before}***{after}")).expect("JSON"),
                secrets: vec![secret],
            }
        }),
    ]
}

fn joined(parts: Vec<(Option<String>, Made)>, open: char, close: char) -> Made {
    let mut made = kept(open.to_string());
    for (number, (key, part)) in parts.into_iter().enumerate() {
        let key = key.map(|key| format!("\"{key}\":")).unwrap_or_default();
        let comma = if number > 0 { "," } else { "" };
        made.written.push_str(&format!("{comma} {key}\n{}", part.written));
        made.shown.push_str(&format!("{comma}{key}{}", part.shown));
        made.secrets.extend(part.secrets);
    }
    made.written.push(close);
    made.shown.push(close);
    made
}

fn document() -> impl Strategy<Value = Made> {
    leaf().prop_recursive(4, 24, 5, |inner| {
        let named = (prop::sample::select(vec!["FMobile", "id_card", "E-Mail", "FContact", "银行账号"]), "[A-Z]{12}")
            .prop_map(|(key, secret)| {
                let made =
                    Made { written: format!("\"{secret}\""), shown: "\"***\"".to_owned(), secrets: vec![secret] };
                (Some(key.to_owned()), made)
            });
        let plain = ("F[甲A-D]{0,4}", inner.clone()).prop_map(|(key, made)| (Some(key), made));
        prop_oneof![
            prop::collection::vec(prop_oneof![1 => named, 3 => plain], 0..5).prop_map(|parts| joined(parts, '{', '}')),
            prop::collection::vec(inner.prop_map(|made| (None, made)), 0..5).prop_map(|parts| joined(parts, '[', ']')),
        ]
    })
}

#[test]
fn a_field_is_named_by_itself_or_by_what_it_lies_in() {
    let masker = Masker::default();
    for (members, is_named) in [
        (vec!["FEntity", "FMobile"], true),
        (vec!["FContact", "FName"], true),
        (vec!["FContact.FName"], true),
        (vec!["FName"], false),
        (vec![], false),
    ] {
        assert_eq!(masker.names(members.iter().copied()), is_named, "{members:?}");
    }
    let value = serde_json::json!({"FName": "李雷", "FQty": 1});
    assert_eq!(masker.value(&["FEntity"], &value), None);
    assert_eq!(masker.value(&["FContact"], &value), Some(serde_json::json!({"FName": "***", "FQty": "***"})));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn documents_show_everything_but_what_was_planted(made in document()) {
        let masked = json(&made.written);
        prop_assert_eq!(&masked, &made.shown);
        serde_json::from_str::<&serde_json::value::RawValue>(&masked).expect("JSON stays JSON");
        for secret in &made.secrets {
            prop_assert!(!masked.contains(secret.as_str()), "{} in {}", secret, masked);
        }
    }

    #[test]
    fn secrets_side_by_side_are_all_masked(secrets in prop::collection::vec(secret(), 1..6), between in "[ ,;-]") {
        let text = secrets.join(&between);
        let Masked::Text(masked) = Masker::default().mask(format!("见：{text}。").as_bytes()) else {
            panic!("plain text is text")
        };
        for secret in secrets {
            prop_assert!(!masked.contains(secret.as_str()), "{} in {}", secret, masked);
        }
    }

    #[test]
    fn no_bytes_bring_masking_down(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "\\PC{0,40}") {
        let masker = Masker::default();
        let masked = masker.mask(&bytes);
        prop_assert!(std::str::from_utf8(&bytes).is_ok() || matches!(masked, Masked::Withheld { .. }), "{:?}", masked);
        let withheld = matches!(masker.mask(text.as_bytes()), Masked::Withheld { .. });
        prop_assert!(!withheld || text.trim_start().starts_with(['{', '[']), "{}", text);
    }
}
