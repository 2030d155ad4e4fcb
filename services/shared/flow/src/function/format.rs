//! MySQL's date formats (`%Y-%m-%d`), written and read, and the vendor's letter patterns (`yyyy-MM-dd`).

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::calendar::{Weeks, full_year, week};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn short(name: &str) -> String {
    name.chars().take(3).collect()
}

fn month_name(at: NaiveDateTime) -> &'static str {
    MONTHS.iter().copied().nth(at.month0() as usize).unwrap_or_default()
}

fn weekday_name(at: NaiveDateTime) -> &'static str {
    WEEKDAYS.iter().copied().nth(at.weekday().num_days_from_sunday() as usize).unwrap_or_default()
}

/// Writes a date by a format of `%` directives; an unknown directive is its letter.
pub(super) fn write(at: NaiveDateTime, form: &str) -> String {
    let mut text = String::new();
    let mut letters = form.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let Some(directive) = letters.next() else {
            text.push('%');
            break;
        };
        let hour12 = at.hour12().1;
        let half = if at.hour() < 12 { "AM" } else { "PM" };
        let two = |value: u32| format!("{value:02}");
        let weeks = |weeks: Weeks| format!("{:02}", week(at.date(), weeks).1);
        let year_of = |weeks: Weeks| format!("{:04}", week(at.date(), weeks).0);
        text.push_str(&match directive {
            'a' => short(weekday_name(at)),
            'b' => short(month_name(at)),
            'c' => at.month().to_string(),
            'D' => format!("{}{}", at.day(), ordinal(at.day())),
            'd' => two(at.day()),
            'e' => at.day().to_string(),
            'f' => format!("{:06}", at.nanosecond() / 1000),
            'H' => two(at.hour()),
            'h' | 'I' => two(hour12),
            'i' => two(at.minute()),
            'j' => format!("{:03}", at.ordinal()),
            'k' => at.hour().to_string(),
            'l' => hour12.to_string(),
            'M' => month_name(at).to_owned(),
            'm' => two(at.month()),
            'p' => half.to_owned(),
            'r' => format!("{hour12:02}:{:02}:{:02} {half}", at.minute(), at.second()),
            'S' | 's' => two(at.second()),
            'T' => format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()),
            'U' => weeks(Weeks::SundayInYear),
            'u' => weeks(Weeks::MondayInYear),
            'V' => weeks(Weeks::SundayRunning),
            'v' => weeks(Weeks::MondayRunning),
            'W' => weekday_name(at).to_owned(),
            'w' => at.weekday().num_days_from_sunday().to_string(),
            'X' => year_of(Weeks::SundayRunning),
            'x' => year_of(Weeks::MondayRunning),
            'Y' => format!("{:04}", at.year()),
            'y' => two(at.year().rem_euclid(100).unsigned_abs()),
            other => other.to_string(),
        });
    }
    text
}

fn ordinal(day: u32) -> &'static str {
    match (day / 10, day % 10) {
        (1, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

/// Writes a date by a letter pattern: `y M d H h m s S a E`, text in single quotes, anything else as it is.
pub(super) fn write_pattern(at: NaiveDateTime, pattern: &str) -> String {
    let mut text = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(c) = letters.next() {
        if c == '\'' {
            if letters.next_if_eq(&'\'').is_some() {
                text.push('\'');
                continue;
            }
            while let Some(quoted) = letters.next() {
                if quoted != '\'' {
                    text.push(quoted);
                } else if letters.next_if_eq(&'\'').is_some() {
                    text.push('\'');
                } else {
                    break;
                }
            }
            continue;
        }
        let mut width = 1;
        while letters.next_if_eq(&c).is_some() {
            width += 1;
        }
        // Wider than any field of a date; a longer run is not meant as a width.
        let width: usize = if c.is_ascii_alphabetic() { std::cmp::min(width, 9) } else { width };
        let padded = |value: u32| format!("{value:0width$}");
        text.push_str(&match c {
            'y' | 'u' if width == 2 => format!("{:02}", at.year().rem_euclid(100)),
            'y' | 'u' => format!("{:0width$}", at.year()),
            'M' | 'L' if width == 3 => short(month_name(at)),
            'M' | 'L' if width > 3 => month_name(at).to_owned(),
            'M' | 'L' => padded(at.month()),
            'd' => padded(at.day()),
            'D' => padded(at.ordinal()),
            'H' => padded(at.hour()),
            'k' => padded(if at.hour() == 0 { 24 } else { at.hour() }),
            'h' => padded(at.hour12().1),
            'K' => padded(at.hour() % 12),
            'm' => padded(at.minute()),
            's' => padded(at.second()),
            'S' => format!("{:09}", at.nanosecond()).chars().take(width).collect(),
            'a' => if at.hour() < 12 { "AM" } else { "PM" }.to_owned(),
            'E' if width > 3 => weekday_name(at).to_owned(),
            'E' => short(weekday_name(at)),
            other => other.to_string().repeat(width),
        });
    }
    text
}

/// What a format gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Date(NaiveDate),
    Time(NaiveTime),
    Both(NaiveDateTime),
}

#[derive(Debug, Default)]
struct Parts {
    year: Option<u32>,
    month: Option<u32>,
    day: Option<u32>,
    ordinal: Option<u32>,
    hour: Option<u32>,
    minute: Option<u32>,
    second: Option<u32>,
    nanosecond: Option<u32>,
    afternoon: Option<bool>,
    twelve: bool,
}

/// Reads a text by a format of `%` directives; nothing when it does not fit or names no complete date.
pub(super) fn read(text: &str, form: &str) -> Option<Reading> {
    let text: Vec<char> = text.chars().collect();
    let mut parts = Parts::default();
    let mut reader = Reader { text: &text, at: 0 };
    reader.run(form, &mut parts)?;
    parts.reading()
}

struct Reader<'a> {
    text: &'a [char],
    at: usize,
}

impl Reader<'_> {
    fn run(&mut self, form: &str, parts: &mut Parts) -> Option<()> {
        let mut letters = form.chars();
        while let Some(c) = letters.next() {
            if c.is_whitespace() {
                self.skip_blanks();
                continue;
            }
            // A text that ends early leaves the rest of the format open, as in MySQL.
            self.skip_blanks();
            if self.at >= self.text.len() {
                return Some(());
            }
            if c != '%' {
                self.expect(c)?;
                continue;
            }
            self.directive(letters.next()?, parts)?;
        }
        Some(())
    }

    fn directive(&mut self, directive: char, parts: &mut Parts) -> Option<()> {
        match directive {
            'Y' => {
                let begin = self.at;
                let year = self.number(4)?;
                parts.year = Some(if self.at - begin <= 2 { full_year(year) } else { year });
            }
            'y' => parts.year = Some(full_year(self.number(2)?)),
            'm' | 'c' => parts.month = Some(self.number(2)?),
            'd' | 'e' => parts.day = Some(self.number(2)?),
            'D' => {
                parts.day = Some(self.number(2)?);
                self.at += 2;
            }
            'j' => parts.ordinal = Some(self.number(3)?),
            'H' | 'k' => parts.hour = Some(self.number(2)?),
            'h' | 'I' | 'l' => {
                parts.hour = Some(self.number(2)?);
                parts.twelve = true;
            }
            'i' => parts.minute = Some(self.number(2)?),
            'S' | 's' => parts.second = Some(self.number(2)?),
            'f' => {
                let begin = self.at;
                let value = self.number(6)?;
                parts.nanosecond = Some(value * 10_u32.pow(9 - u32::try_from(self.at - begin).ok()?));
            }
            'p' => {
                parts.afternoon = Some(self.name(&["AM", "PM"], 2)? == 1);
                parts.twelve = true;
            }
            'b' => parts.month = Some(self.name(&MONTHS, 3)? + 1),
            'M' => parts.month = Some(self.name(&MONTHS, 9)? + 1),
            'a' => self.name(&WEEKDAYS, 3).map(|_| ())?,
            'W' => self.name(&WEEKDAYS, 9).map(|_| ())?,
            'T' => self.run("%H:%i:%S", parts)?,
            'r' => self.run("%I:%i:%S %p", parts)?,
            '%' => self.expect('%')?,
            _ => return None,
        }
        Some(())
    }

    fn skip_blanks(&mut self) {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        (self.text.get(self.at) == Some(&wanted)).then(|| self.at += 1)
    }

    fn number(&mut self, most: usize) -> Option<u32> {
        let digits: String = self.text.iter().skip(self.at).take(most).take_while(|c| c.is_ascii_digit()).collect();
        self.at += digits.len();
        digits.parse().ok()
    }

    /// The place of the name that stands here, cut to so many letters, without regard to case.
    fn name(&mut self, names: &[&str], letters: usize) -> Option<u32> {
        let found = names.iter().position(|name| {
            let name: Vec<char> = name.chars().take(letters).collect();
            let here = self.text.iter().skip(self.at).take(name.len());
            here.len() == name.len() && here.zip(&name).all(|(a, b)| a.eq_ignore_ascii_case(b))
        })?;
        self.at += names.get(found)?.chars().take(letters).count();
        u32::try_from(found).ok()
    }
}

impl Parts {
    fn reading(self) -> Option<Reading> {
        let has_date = self.year.or(self.month).or(self.day).or(self.ordinal).is_some();
        let time_parts = self.hour.or(self.minute).or(self.second).or(self.nanosecond);
        let hour = match (self.twelve, self.hour) {
            (true, Some(hour)) => {
                if !(1..=12).contains(&hour) {
                    return None;
                }
                hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 }
            }
            (_, hour) => hour.unwrap_or(0),
        };
        let time = NaiveTime::from_hms_nano_opt(
            hour,
            self.minute.unwrap_or(0),
            self.second.unwrap_or(0),
            self.nanosecond.unwrap_or(0),
        )?;
        if !has_date {
            return time_parts.map(|_| Reading::Time(time));
        }
        let year = i32::try_from(self.year?).ok()?;
        let date = match self.ordinal {
            Some(ordinal) => NaiveDate::from_ymd_opt(year, 1, 1)? + TimeDelta::days(i64::from(ordinal.checked_sub(1)?)),
            None => NaiveDate::from_ymd_opt(year, self.month?, self.day?)?,
        };
        Some(if time_parts.is_some() { Reading::Both(date.and_time(time)) } else { Reading::Date(date) })
    }
}
