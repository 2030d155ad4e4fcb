//! The functions an expression may call.

use document::Fault;

use super::calls_date as date;
use super::calls_number as number;
use super::calls_text as text;
use super::datum::Datum;
use super::evaluate::Machine;
use crate::suggest;

/// Computes a call from its arguments.
pub(super) type Body = fn(&mut Machine<'_>, &[Datum]) -> Result<Datum, Fault>;

/// One function.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) least: usize,
    pub(super) most: usize,
    /// Whether a NULL among the arguments makes the result NULL.
    pub(super) propagates: bool,
    pub(super) body: Body,
}

const fn entry(name: &'static str, least: usize, most: usize, body: Body) -> Entry {
    Entry { name, least, most, propagates: true, body }
}

/// A function that looks at NULL itself.
const fn seeing(name: &'static str, least: usize, most: usize, body: Body) -> Entry {
    Entry { name, least, most, propagates: false, body }
}

const ANY: usize = usize::MAX;

/// The functions computed from all their arguments, by name.
static ENTRIES: &[Entry] = &[
    entry("ABS", 1, 1, number::abs),
    entry("CEIL", 1, 1, number::ceil),
    entry("CEILING", 1, 1, number::ceil),
    entry("CHARACTER_LENGTH", 1, 1, text::char_length),
    entry("CHAR_LENGTH", 1, 1, text::char_length),
    entry("CONCAT", 1, ANY, text::concat),
    seeing("CONCAT_WS", 2, ANY, text::concat_ws),
    entry("CURDATE", 0, 0, date::curdate),
    entry("CURRENT_DATE", 0, 0, date::curdate),
    entry("CURRENT_TIME", 0, 0, date::curtime),
    entry("CURRENT_TIMESTAMP", 0, 0, date::now),
    entry("CURTIME", 0, 0, date::curtime),
    entry("DATE", 1, 1, date::date),
    entry("DATEDIFF", 2, 2, date::datediff),
    entry("DATE_FORMAT", 2, 2, date::date_format),
    entry("DAY", 1, 1, date::day),
    entry("DAYNAME", 1, 1, date::dayname),
    entry("DAYOFMONTH", 1, 1, date::day),
    entry("DAYOFWEEK", 1, 1, date::dayofweek),
    entry("DAYOFYEAR", 1, 1, date::dayofyear),
    seeing("FIELD", 2, ANY, text::field),
    entry("FIND_IN_SET", 2, 2, text::find_in_set),
    entry("FLOOR", 1, 1, number::floor),
    entry("FORMAT_DATE", 2, 2, date::format_date),
    entry("FROM_UNIXTIME", 1, 2, date::from_unixtime),
    entry("GREATEST", 2, ANY, number::greatest),
    entry("HOUR", 1, 1, date::hour),
    entry("INSTR", 2, 2, text::instr),
    seeing("ISNULL", 1, 1, text::isnull),
    entry("LAST_DAY", 1, 1, date::last_day),
    entry("LCASE", 1, 1, text::lower),
    entry("LEAST", 2, ANY, number::least),
    entry("LEFT", 2, 2, text::left),
    entry("LENGTH", 1, 1, text::length),
    entry("LOCALTIME", 0, 0, date::now),
    entry("LOCATE", 2, 3, text::locate),
    entry("LOWER", 1, 1, text::lower),
    entry("LPAD", 2, 3, text::lpad),
    entry("LTRIM", 1, 1, text::ltrim),
    entry("MID", 3, 3, text::substring),
    entry("MINUTE", 1, 1, date::minute),
    entry("MOD", 2, 2, number::remainder),
    entry("MONTH", 1, 1, date::month),
    entry("MONTHNAME", 1, 1, date::monthname),
    entry("NOW", 0, 0, date::now),
    seeing("NULLIF", 2, 2, text::nullif),
    entry("OCTET_LENGTH", 1, 1, text::length),
    entry("POSITION", 2, 2, text::locate),
    entry("QUARTER", 1, 1, date::quarter),
    entry("REPEAT", 2, 2, text::repeat),
    entry("REPLACE", 3, 3, text::replace),
    entry("REVERSE", 1, 1, text::reverse),
    entry("RIGHT", 2, 2, text::right),
    entry("ROUND", 1, 2, number::round),
    entry("RPAD", 2, 3, text::rpad),
    entry("RTRIM", 1, 1, text::rtrim),
    entry("SECOND", 1, 1, date::second),
    entry("SIGN", 1, 1, number::sign),
    entry("STR_TO_DATE", 2, 2, date::str_to_date),
    entry("SUBSTR", 2, 3, text::substring),
    entry("SUBSTRING", 2, 3, text::substring),
    entry("SUBSTRING_INDEX", 3, 3, text::substring_index),
    entry("SYSDATE", 0, 0, date::now),
    entry("TIME", 1, 1, date::time),
    entry("TRIM", 1, 3, text::trim),
    entry("TRUNCATE", 2, 2, number::truncate),
    entry("UCASE", 1, 1, text::upper),
    entry("UNIX_TIMESTAMP", 0, 1, date::unix_timestamp),
    entry("UPPER", 1, 1, text::upper),
    entry("WEEKDAY", 1, 1, date::weekday),
    entry("YEAR", 1, 1, date::year),
];

/// Calls that the compiler itself turns into nodes, because they do not compute all their arguments or take something
/// else than values.
const COMPILED: &[&str] = &[
    "ADDDATE",
    "AVG",
    "CAST",
    "COALESCE",
    "CONVERT",
    "COUNT",
    "DATE_ADD",
    "DATE_SUB",
    "EXTRACT",
    "IF",
    "IFNULL",
    "MAX",
    "MIN",
    "NVL",
    "SUBDATE",
    "SUM",
    "TIMESTAMPADD",
    "TIMESTAMPDIFF",
];

/// Calls with words inside their parentheses, which the parser must read as such.
const WORDED: &[&str] = &["CAST", "CONVERT", "EXTRACT", "POSITION", "SUBSTR", "SUBSTRING", "TRIM"];

/// The entry of a name in upper case.
pub(super) fn entry_of(name: &str) -> Option<&'static Entry> {
    ENTRIES.binary_search_by(|entry| entry.name.cmp(name)).ok().and_then(|at| ENTRIES.get(at))
}

/// Whether a name in upper case, before a parenthesis, is a call like any other.
pub(super) fn is_plain_call(name: &str) -> bool {
    (entry_of(name).is_some() || COMPILED.contains(&name)) && !WORDED.contains(&name)
}

/// The known name nearest to a name in upper case.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    // A name much longer than any known one is near to none.
    if name.len() > 64 {
        return None;
    }
    let names: Vec<&'static str> = ENTRIES.iter().map(|entry| entry.name).chain(COMPILED.iter().copied()).collect();
    suggest::nearest(name, &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_found() {
        assert!(ENTRIES.is_sorted_by(|a, b| a.name < b.name));
        for known in ENTRIES {
            assert_eq!(entry_of(known.name).map(|entry| entry.name), Some(known.name));
        }
        assert!(entry_of("NOPE").is_none());
    }

    #[test]
    fn a_slip_has_a_nearest_name() {
        assert_eq!(nearest("CONCATT"), Some("CONCAT"));
        assert_eq!(nearest("SUBSTIRNG"), Some("SUBSTRING"));
        assert_eq!(nearest("IFNUL"), Some("IFNULL"));
        assert_eq!(nearest("COALESC"), Some("COALESCE"));
        assert_eq!(nearest("FOO"), None);
        assert_eq!(nearest("SLEEP"), None);
    }
}
