//! The one writer of `FilterString`.
//!
//! Document data reaches queries (a probe asks for the numbers of bills that may be saved), so every value passes
//! through [`quote`]. Field names come from flow definitions and are written as they are.

use chrono::NaiveDateTime;

/// A text as a literal: in single quotes, inner ones doubled. Everything else, line breaks and emoji included, stands for
/// itself; the NUL character, which no literal can hold, is left out.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\0' => {}
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// `field='text'`.
pub fn equals(field: &str, text: &str) -> String {
    format!("{field}={}", quote(text))
}

/// `field in ('a','b')`; without values, a condition that is never true.
pub fn is_in<S: AsRef<str>>(field: &str, values: &[S]) -> String {
    if values.is_empty() {
        return "1=0".to_owned();
    }
    let values: Vec<String> = values.iter().map(|value| quote(value.as_ref())).collect();
    format!("{field} in ({})", values.join(","))
}

/// The same as several conditions, each of at most `count` values and `length` characters (one value at least).
pub fn is_in_chunks<S: AsRef<str>>(field: &str, values: &[S], count: usize, length: usize) -> Vec<String> {
    let mut chunks: Vec<Vec<&str>> = Vec::new();
    let mut used = 0;
    for value in values {
        let value = value.as_ref();
        let cost = quote(value).chars().count() + 1;
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < count && used + cost <= length => {
                chunk.push(value);
                used += cost;
            }
            _ => {
                chunks.push(vec![value]);
                used = cost + field.chars().count() + 6;
            }
        }
    }
    chunks.iter().map(|chunk| is_in(field, chunk)).collect()
}

/// Conditions that must all hold, each in parentheses; empty ones are left out.
pub fn and<S: AsRef<str>>(conditions: &[S]) -> String {
    let conditions: Vec<&str> = conditions
        .iter()
        .map(|condition| condition.as_ref().trim())
        .filter(|condition| !condition.is_empty())
        .collect();
    match conditions.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        several => several.iter().map(|condition| format!("({condition})")).collect::<Vec<_>>().join(" and "),
    }
}

/// `field>='2026-01-31 08:00:00'`, in the server's own zone, fractions cut (downwards: nothing is missed).
pub fn from(field: &str, bound: NaiveDateTime) -> String {
    format!("{field}>='{}'", bound.format("%Y-%m-%d %H:%M:%S"))
}

/// `field<'2026-01-31 08:00:00'`, in the server's own zone, fractions cut.
pub fn before(field: &str, bound: NaiveDateTime) -> String {
    format!("{field}<'{}'", bound.format("%Y-%m-%d %H:%M:%S"))
}

/// Compares a key: bare when it is a whole number, quoted when it is a text.
pub fn key(field: &str, relation: Relation, key: &str) -> String {
    let digits = key.strip_prefix('-').unwrap_or(key);
    let is_number = !digits.is_empty() && digits.len() <= 19 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let literal = if is_number { key.to_owned() } else { quote(key) };
    format!("{field}{}{literal}", relation.as_str())
}

/// How a key is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `=`
    Is,
    /// `>=`
    From,
    /// `>`
    Above,
}

impl Relation {
    fn as_str(self) -> &'static str {
        match self {
            Relation::Is => "=",
            Relation::From => ">=",
            Relation::Above => ">",
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use proptest::prelude::*;

    use super::*;

    /// Reads one literal from the front: its text and what follows. Written apart from the writer.
    fn literal(text: &str) -> Option<(String, String)> {
        let mut chars = text.chars().peekable();
        if chars.next() != Some('\'') {
            return None;
        }
        let mut value = String::new();
        loop {
            match chars.next()? {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    value.push('\'');
                }
                '\'' => return Some((value, chars.collect())),
                other => value.push(other),
            }
        }
    }

    /// Reads `F in ('a','b')`.
    fn members(condition: &str) -> Option<Vec<String>> {
        let mut rest = condition.strip_prefix("F in (")?.to_owned();
        let mut values = Vec::new();
        loop {
            let (value, after) = literal(&rest)?;
            values.push(value);
            match after.as_str() {
                ")" => return Some(values),
                more => rest = more.strip_prefix(',')?.to_owned(),
            }
        }
    }

    #[test]
    fn awkward_keys_stay_inside_their_literal() {
        assert_eq!(quote("O'Neil"), "'O''Neil'");
        assert_eq!(quote("x' or '1'='1"), "'x'' or ''1''=''1'");
        assert_eq!(quote("上\n下"), "'上\n下'");
        assert_eq!(quote("📦'"), "'📦'''");
        assert_eq!(quote("a\0b"), "'ab'");
        let long = "键".repeat(300);
        assert_eq!(literal(&quote(&long)), Some((long, String::new())));
    }

    #[test]
    fn conditions_are_joined_in_parentheses() {
        assert_eq!(and(&["FDate>'x' or FNOTE=''", "", " FID>=7 "]), "(FDate>'x' or FNOTE='') and (FID>=7)");
        assert_eq!(and(&["", "FID>=7"]), "FID>=7");
        assert_eq!(and::<&str>(&[]), "");
    }

    #[test]
    fn lists_bounds_and_keys_are_written() {
        assert_eq!(is_in("FBillNo", &["A", "B'"]), "FBillNo in ('A','B''')");
        assert_eq!(is_in::<&str>("FBillNo", &[]), "1=0");
        assert_eq!(equals("FBillNo", "A"), "FBillNo='A'");
        let at =
            NaiveDate::from_ymd_opt(2026, 1, 31).and_then(|day| day.and_hms_milli_opt(8, 5, 9, 999)).expect("a time");
        assert_eq!(from("FApproveDate", at), "FApproveDate>='2026-01-31 08:05:09'");
        assert_eq!(before("FApproveDate", at), "FApproveDate<'2026-01-31 08:05:09'");
        assert_eq!(key("FID", Relation::From, "100029"), "FID>=100029");
        assert_eq!(key("FID", Relation::Above, "0a'b"), "FID>'0a''b'");
        assert_eq!(key("FID", Relation::Is, ""), "FID=''");
        assert_eq!(key("FID", Relation::Is, "-"), "FID='-'");
    }

    #[test]
    fn lists_are_cut_by_count_and_by_length() {
        let values: Vec<String> = (0..7).map(|n| format!("N{n}")).collect();
        let by_count = is_in_chunks("F", &values, 3, 1000);
        assert_eq!(by_count, ["F in ('N0','N1','N2')", "F in ('N3','N4','N5')", "F in ('N6')"]);
        assert!(is_in_chunks("F", &values, 100, 18).iter().all(|chunk| chunk.chars().count() <= 18));
        assert_eq!(is_in_chunks("F", &["x".repeat(300)], 100, 10).len(), 1, "one value always fits");
        assert!(is_in_chunks::<&str>("F", &[], 3, 1000).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn quoted_lists_read_back_as_they_were(values in prop::collection::vec("[^\\x00]{0,40}|[' ,()]{0,8}", 1..6)) {
            prop_assert_eq!(members(&is_in("F", &values)), Some(values));
        }

        #[test]
        fn chunks_hold_every_value_once_in_order(
            values in prop::collection::vec("[a-z']{0,6}", 0..40), count in 1_usize..9, length in 8_usize..60,
        ) {
            let mut read = Vec::new();
            for chunk in is_in_chunks("F", &values, count, length) {
                let members = members(&chunk).expect("a chunk reads back");
                prop_assert!(members.len() <= count);
                prop_assert!(members.len() == 1 || chunk.chars().count() <= length);
                read.extend(members);
            }
            prop_assert_eq!(read, values);
        }
    }
}
