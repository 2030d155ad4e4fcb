//! The clock of the simulated server: the machine's, shifted or stopped on demand.

use std::sync::Mutex;

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, SubsecRound, Utc};
use chrono_tz::Tz;

/// Server time.
#[derive(Debug)]
pub struct Clock {
    zone: Tz,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Shifted(Duration),
    Stopped(DateTime<Utc>),
}

impl Clock {
    /// The machine's clock, read in `zone`.
    pub fn new(zone: Tz) -> Self {
        Self { zone, state: Mutex::new(State::Shifted(Duration::zero())) }
    }

    /// Now.
    pub fn utc(&self) -> DateTime<Utc> {
        match self.state() {
            State::Shifted(by) => Utc::now() + by,
            State::Stopped(at) => at,
        }
    }

    /// Now in server local time, to the millisecond: what documents carry.
    pub fn local(&self) -> NaiveDateTime {
        self.utc().with_timezone(&self.zone).naive_local().trunc_subsecs(3)
    }

    /// The text of the `Date` header.
    pub fn http_date(&self) -> String {
        self.utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    /// Sets the clock; it runs on from there unless `stopped`.
    pub fn set(&self, at: DateTime<Utc>, stopped: bool) {
        self.replace(if stopped { State::Stopped(at) } else { State::Shifted(at - Utc::now()) });
    }

    /// Moves the clock, backwards when negative.
    pub fn advance(&self, by: Duration) {
        self.replace(match self.state() {
            State::Shifted(shift) => State::Shifted(shift + by),
            State::Stopped(at) => State::Stopped(at + by),
        });
    }

    /// Stops the clock where it is, or lets it run on from there.
    pub fn stop(&self, stopped: bool) {
        self.set(self.utc(), stopped);
    }

    /// Back to the machine's clock.
    pub fn reset(&self) {
        self.replace(State::Shifted(Duration::zero()));
    }

    /// Reads `text` as an instant: with an offset, or server local time.
    pub fn parse(&self, text: &str) -> Option<DateTime<Utc>> {
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Some(instant.to_utc());
        }
        let local = parse_time(text)?;
        local.and_local_timezone(self.zone).earliest().map(|instant| instant.to_utc())
    }

    /// `instant` in server local time.
    pub fn localize(&self, instant: DateTime<Utc>) -> NaiveDateTime {
        instant.with_timezone(&self.zone).naive_local().trunc_subsecs(3)
    }

    fn state(&self) -> State {
        *self.state.lock().expect("nothing panics while it holds the clock")
    }

    fn replace(&self, state: State) {
        *self.state.lock().expect("nothing panics while it holds the clock") = state;
    }
}

/// Reads a date or date-time without a zone: `yyyy-MM-dd`, `yyyy-MM-dd HH:mm[:ss[.f]]`, also with `T` or with `/`.
pub fn parse_time(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim().replace('/', "-");
    if let Ok(date) = NaiveDate::parse_from_str(&text, "%Y-%m-%d") {
        return date.and_hms_opt(0, 0, 0);
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
}

/// `time` as replies write it: `yyyy-MM-ddTHH:mm:ss`, with a fraction only where there is one.
pub fn write_time(time: NaiveDateTime) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_and_written_in_one() {
        for (text, written) in [
            ("2024-03-14", "2024-03-14T00:00:00"),
            ("2024-03-14 08:30:00", "2024-03-14T08:30:00"),
            ("2024-03-14T08:30:00.25", "2024-03-14T08:30:00.250"),
            ("2024/03/14 08:30", "2024-03-14T08:30:00"),
        ] {
            assert_eq!(parse_time(text).map(write_time).as_deref(), Some(written), "{text}");
        }
        assert_eq!(parse_time("2024-02-30"), None);
        assert_eq!(parse_time("soon"), None);
    }

    #[test]
    fn the_clock_stops_moves_and_comes_back() {
        let clock = Clock::new(chrono_tz::Asia::Shanghai);
        let at = clock.parse("2026-01-01 08:00:00").expect("the text is a time");
        assert_eq!(at.to_rfc3339(), "2026-01-01T00:00:00+00:00");
        clock.set(at, true);
        clock.advance(Duration::minutes(10));
        assert_eq!(write_time(clock.local()), "2026-01-01T08:10:00");
        assert_eq!(clock.http_date(), "Thu, 01 Jan 2026 00:10:00 GMT");
        clock.reset();
        assert!((clock.utc() - Utc::now()).abs() < Duration::seconds(5));
    }
}
