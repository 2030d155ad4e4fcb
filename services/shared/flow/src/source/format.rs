//! `formatResponse`: new members made of old ones by a named format.

use chrono::{NaiveDateTime, TimeDelta};
use document::{Code, Fault};
use rust_decimal::Decimal;
use rust_decimal::prelude::RoundingStrategy;
use serde_json::{Map, Value};

use crate::function::Run;
use crate::metadata::coerce::{decimal, to_number};
use crate::metadata::report::Report;
use crate::reference::{Path, Segment};
use crate::text::interpolate;
use crate::{datetime, suggest};

/// Every format a document may name; a number or a separator may follow some of them in parentheses.
const NAMES: [&str; 13] = [
    "date",
    "time",
    "dateTime",
    "datetime",
    "shortDate",
    "shortTime",
    "shortDateTime",
    "intval",
    "round",
    "amount",
    "longText",
    "implode",
    "dateDescription",
];

/// One formatting, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Formatting {
    pub(crate) old: Path,
    pub(crate) new: Path,
    format: Format,
    /// The format as the document names it.
    pub(crate) written: String,
    place: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Format {
    /// A chrono pattern.
    Instant(&'static str),
    Whole,
    Round(u32),
    Amount,
    LongText(usize),
    Implode(String),
    DateDescription,
}

/// Reads the list of formattings.
pub(crate) fn compile(list: &[Value], path: &str, report: &mut Report) -> Vec<Formatting> {
    let mut formattings = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let place = format!("{path}[{index}]");
        let Value::Object(members) = item else {
            report.wrong_kind(item, "an object with old, new and format", &place);
            continue;
        };
        report.unknown_keys(members, &["old", "new", "format", "label", "describe"], &place);
        let mut text = |key: &str| {
            let text = report.text(members, key, &place).filter(|text| !text.is_empty()).map(str::to_owned);
            if text.is_none() {
                report.fault(Code::Format, &format!("{place}.{key}"), format!("the formatting has no {key}"));
            }
            text
        };
        let (old, new, format) = (text("old"), text("new"), text("format"));
        let (Some(old), Some(new), Some(format)) = (old, new, format) else { continue };
        match parse(&format) {
            Some(parsed) => {
                let (old, new) = (Path::lenient(&old), Path::lenient(&new));
                formattings.push(Formatting { old, new, format: parsed, written: format, place });
            }
            None => {
                let name: String = format.chars().take_while(|c| *c != '(').collect();
                let detail = format!("unknown format {format}");
                let fault = report.fault(Code::Format, &format!("{place}.format"), detail);
                fault.hint = Some(suggest::hint(&name, NAMES));
            }
        }
    }
    formattings
}

fn parse(text: &str) -> Option<Format> {
    let (name, argument) = match text.trim().split_once('(') {
        Some((name, rest)) => (name.trim(), Some(rest.strip_suffix(')')?.trim())),
        None => (text.trim(), None),
    };
    let count = |default: u32| argument.filter(|text| !text.is_empty()).map_or(Some(default), |text| text.parse().ok());
    Some(match name {
        "date" => Format::Instant("%Y-%m-%d"),
        "time" => Format::Instant("%H:%M:%S"),
        // The published format of this name has no seconds; the spelling in lower case has.
        "dateTime" => Format::Instant("%Y-%m-%d %H:%M"),
        "datetime" => Format::Instant("%Y-%m-%d %H:%M:%S"),
        "shortDate" => Format::Instant("%m-%d"),
        "shortTime" => Format::Instant("%H:%M"),
        "shortDateTime" => Format::Instant("%m-%d %H:%M"),
        "intval" => Format::Whole,
        "round" => Format::Round(count(2).filter(|places| *places <= 28)?),
        "amount" => Format::Amount,
        "longText" => Format::LongText(count(15)? as usize),
        "implode" => Format::Implode(match argument {
            None | Some("") => ",".to_owned(),
            Some(quoted) => quoted.trim_matches(|c| c == '\'' || c == '"').to_owned(),
        }),
        "dateDescription" => Format::DateDescription,
        _ => return None,
    })
}

impl Formatting {
    /// Puts the new member into the record.
    ///
    /// # Errors
    /// [`Code::FormatValue`] when the format cannot read the old value.
    pub(crate) fn apply(&self, record: &mut Map<String, Value>, run: &Run) -> Result<(), Fault> {
        // A key that holds the whole path wins over walking, as everywhere.
        if let Some(value) = record.get(self.old.as_str()) {
            let new = self.formatted(value, run)?;
            put(record, self.new.segments(), new);
            return Ok(());
        }
        self.inside(record, self.old.segments(), self.new.segments(), run)
    }

    /// Goes down the old path; at an array the new member goes into each element.
    fn inside(
        &self,
        members: &mut Map<String, Value>,
        old: &[Segment],
        new: &[Segment],
        run: &Run,
    ) -> Result<(), Fault> {
        let mut depth = 0;
        let mut at: Option<&Value> = None;
        for segment in old {
            let next = match at {
                None => members.get(segment.name()),
                Some(Value::Array(items)) => match segment.index() {
                    Some(index) => items.get(index),
                    None => break,
                },
                Some(value) => value.get(segment.name()),
            };
            depth += 1;
            at = next;
            if next.is_none() {
                put(members, new, Value::Null);
                return Ok(());
            }
        }
        let (above, below) = old.split_at(depth);
        if below.is_empty() {
            let value = self.formatted(at.unwrap_or(&Value::Null), run)?;
            put(members, new, value);
            return Ok(());
        }
        // The new path may repeat the way to the array or begin inside it.
        let new = match new.len() > above.len() && new.iter().zip(above).all(|(a, b)| a == b) {
            true => new.split_at(above.len()).1,
            false => new,
        };
        let Some(Value::Array(items)) = value_mut(members, above) else { return Ok(()) };
        for item in items {
            match item {
                Value::Object(inner) => self.inside(inner, below, new, run)?,
                Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        Ok(())
    }

    fn formatted(&self, value: &Value, run: &Run) -> Result<Value, Fault> {
        if value.is_null() || value.as_str() == Some("") {
            return Ok(Value::Null);
        }
        let refuse = |wanted: &str| {
            let shown: String = interpolate(value, false).chars().take(60).collect();
            Fault::new(Code::FormatValue, format!("{shown:?} is not {wanted}"))
                .at_path(&self.place)
                .at_column(self.old.as_str())
        };
        let number = || decimal(value).ok_or_else(|| refuse("a number"));
        let instant = || match datetime::read(value, false, run.zone) {
            Ok(Some(instant)) => Ok(instant),
            Ok(None) | Err(_) => Err(refuse("a date")),
        };
        let rounded =
            |number: Decimal, places| number.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
        Ok(match &self.format {
            Format::Instant(pattern) => Value::String(instant()?.format(pattern).to_string()),
            Format::Whole => to_number(number()?.trunc()),
            Format::Round(places) => to_number(rounded(number()?, *places)),
            Format::Amount => Value::String(amount(rounded(number()?, 2))),
            Format::LongText(longest) => {
                let text = interpolate(value, false);
                let mut short: String = text.chars().take(*longest).collect();
                if text.chars().nth(*longest).is_some() {
                    short.push_str("...");
                }
                Value::String(short)
            }
            Format::Implode(separator) => match value {
                Value::Array(items) => {
                    let texts: Vec<String> = items.iter().map(|item| interpolate(item, false)).collect();
                    Value::String(texts.join(separator))
                }
                scalar => Value::String(interpolate(scalar, false)),
            },
            Format::DateDescription => Value::String(describe(instant()?, run)),
        })
    }
}

/// `￥1,000,000.00`.
fn amount(number: Decimal) -> String {
    let text = format!("{:.2}", number.abs());
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let digits = whole.chars().count();
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (digits - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if number.is_sign_negative() && !number.is_zero() { "-" } else { "" };
    format!("￥{sign}{grouped}.{cents}")
}

/// How long before the start of the run, in words.
fn describe(instant: NaiveDateTime, run: &Run) -> String {
    let Some(now) = datetime::local_of_unix(run.now, 0, run.zone) else { return instant.to_string() };
    let passed = now - instant;
    if passed < TimeDelta::zero() || passed >= TimeDelta::days(30) {
        return instant.format("%Y-%m-%d").to_string();
    }
    match (passed.num_days(), passed.num_hours(), passed.num_minutes()) {
        (0, 0, 0) => "刚刚".to_owned(),
        (0, 0, minutes) => format!("{minutes}分钟前"),
        (0, hours, _) => format!("{hours}小时前"),
        (days, ..) => format!("{days}天前"),
    }
}

/// Puts a value at a path, making the objects on the way.
fn put(members: &mut Map<String, Value>, path: &[Segment], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        members.insert(first.name().to_owned(), value);
        return;
    }
    let inner = members.entry(first.name().to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if let Some(inner) = inner.as_object_mut() {
        put(inner, rest, value);
    }
}

fn value_mut<'a>(members: &'a mut Map<String, Value>, path: &[Segment]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(members.get_mut(first.name())?, |value, segment| match (segment.index(), value) {
        (Some(index), Value::Array(items)) => items.get_mut(index),
        (_, value) => value.get_mut(segment.name()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run() -> Run {
        Run { now: 1_710_489_600, last_sync_time: 0, zone: chrono_tz::Asia::Shanghai, page: None }
    }

    fn apply(old: &str, new: &str, format: &str, record: Value) -> Result<Value, Fault> {
        let mut report = Report::new("source.json");
        let list = [json!({"old": old, "new": new, "format": format})];
        let formattings = compile(&list, "$.formatResponse", &mut report);
        assert_eq!(report.faults, Vec::new());
        let Value::Object(mut members) = record else { panic!("a record is an object") };
        for formatting in &formattings {
            formatting.apply(&mut members, &run())?;
        }
        Ok(Value::Object(members))
    }

    #[test]
    fn formats_give_the_published_forms() {
        for (format, value, wanted) in [
            ("date", json!(1_710_484_225), json!("2024-03-15")),
            ("time", json!("2024-03-15 14:30:25"), json!("14:30:25")),
            ("dateTime", json!("2024-03-15 14:30:25"), json!("2024-03-15 14:30")),
            ("datetime", json!("2024-03-15T14:30:25"), json!("2024-03-15 14:30:25")),
            ("shortDate", json!("2024-03-15"), json!("03-15")),
            ("shortTime", json!("2024-03-15 14:30:25"), json!("14:30")),
            ("shortDateTime", json!("2024-03-15 14:30:25"), json!("03-15 14:30")),
            ("intval", json!("10.8"), json!(10)),
            ("intval", json!("-10.8"), json!(-10)),
            ("round", json!("2.345"), json!(2.35)),
            ("round(0)", json!("-2.5"), json!(-3)),
            ("round(3)", json!("2.3"), json!(2.3)),
            ("amount", json!(1_000_000), json!("￥1,000,000.00")),
            ("amount", json!("-999.995"), json!("￥-1,000.00")),
            ("longText(3)", json!("其他入库单"), json!("其他入...")),
            ("longText", json!("短"), json!("短")),
            ("implode('|')", json!(["a", 1]), json!("a|1")),
            ("implode", json!(["a", "b"]), json!("a,b")),
            ("dateDescription", json!("2024-03-14 16:00:00"), json!("1天前")),
            ("date", json!(""), Value::Null),
        ] {
            let record = apply("v", "w", format, json!({"v": value})).expect("a format");
            assert_eq!(record.get("w").map(Value::to_string), Some(wanted.to_string()), "{format} {value}");
            assert_eq!(record.get("v"), Some(&value));
        }
    }

    #[test]
    fn paths_lead_into_objects_and_into_each_element() {
        let record = json!({"form": {"at": 1_710_403_200_000_i64}, "lines": [{"d": "20240315"}, {"x": 1}]});
        assert_eq!(apply("form.at", "date_new", "date", record.clone()).expect("a date")["date_new"], "2024-03-14");
        let lines = apply("lines.d", "day", "date", record.clone()).expect("dates");
        assert_eq!(lines["lines"], json!([{"d": "20240315", "day": "2024-03-15"}, {"x": 1, "day": null}]));
        let same = apply("lines.d", "lines.d", "shortDate", record.clone()).expect("dates");
        assert_eq!(same["lines"], json!([{"d": "03-15"}, {"x": 1, "d": null}]));
        let missing = apply("form.gone", "n", "date", record).expect("nothing");
        assert_eq!(missing.get("n"), Some(&Value::Null));
    }

    #[test]
    fn a_value_no_format_reads_names_its_place() {
        let fault = apply("v", "w", "round(2)", json!({"v": "十"})).expect_err("no number");
        assert_eq!(fault.code, Code::FormatValue);
        assert_eq!(fault.place.path.as_deref(), Some("$.formatResponse[0]"));
        assert_eq!(fault.place.column.as_deref(), Some("v"));
    }

    #[test]
    fn unknown_formats_and_missing_members_are_load_faults() {
        let mut report = Report::new("source.json");
        let list = [
            json!({"old": "a", "new": "b", "format": "dateTme"}),
            json!({"old": "a", "format": "round(x)"}),
            json!({"old": "a", "new": "b", "format": "round(x)"}),
        ];
        compile(&list, "$.formatResponse", &mut report);
        let seen: Vec<(Code, Option<&str>)> =
            report.faults.iter().map(|fault| (fault.code, fault.place.path.as_deref())).collect();
        assert_eq!(
            seen,
            [
                (Code::Format, Some("$.formatResponse[0].format")),
                (Code::Format, Some("$.formatResponse[1].new")),
                (Code::Format, Some("$.formatResponse[2].format")),
            ]
        );
        assert_eq!(report.faults[0].hint.as_deref(), Some("did you mean dateTime?"));
    }
}
