//! When a flow runs: five-field cron in a zone, and what becomes of firings that nobody was there for.
//!
//! Pure: instants go in and come out. In the night a zone's clock goes forward, a firing inside the missing hour
//! happens at the end of the gap; in the night it goes back, a firing of fixed time happens once, a firing of every
//! few minutes in both halves.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// A cron expression in its zone, read once.
#[derive(Debug, Clone)]
pub struct Plan {
    cron: Cron,
    zone: Tz,
}

impl Plan {
    /// Reads a five-field cron expression.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(cron: &str, zone: Tz) -> Result<Plan, String> {
        Ok(Plan { cron: parse(cron)?, zone })
    }

    /// The first firing after `instant`; `None` when there is none within the years cron can see.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = instant.with_timezone(&self.zone);
        self.cron.find_next_occurrence(&local, false).ok().map(|next| next.with_timezone(&Utc))
    }

    /// The last firing in (`last`, `now`]: however many were missed while nothing ran, they are made up for by this one.
    pub fn missed(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = now.with_timezone(&self.zone);
        let latest = self.cron.find_previous_occurrence(&local, true).ok()?.with_timezone(&Utc);
        (latest > last).then_some(latest)
    }

    /// The zone the cron speaks.
    pub fn zone(&self) -> Tz {
        self.zone
    }
}

/// Whether a text is a cron expression that ever fires.
pub(crate) fn check(cron: &str) -> Result<(), String> {
    let plan = Plan { cron: parse(cron)?, zone: Tz::UTC };
    // The answer does not depend on the instant: the calendar repeats within the years the search covers.
    match plan.next_after(DateTime::<Utc>::UNIX_EPOCH) {
        Some(_) => Ok(()),
        None => Err(format!("{cron:?} never fires")),
    }
}

fn parse(cron: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    match cron.split_whitespace().count() {
        5 => parser.parse(cron).map_err(|source| format!("{cron:?} is not a cron expression: {source}")),
        fields => Err(format!("{cron:?} has {fields} fields; minute, hour, day, month and weekday are five")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::America::New_York;
    use chrono_tz::Asia::Shanghai;
    use chrono_tz::Europe::Berlin;

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("an instant").with_timezone(&Utc)
    }

    fn next(cron: &str, zone: Tz, after: &str) -> String {
        let plan = Plan::new(cron, zone).expect("a cron");
        plan.next_after(utc(after)).map_or_else(|| "never".to_owned(), |next| next.with_timezone(&zone).to_rfc3339())
    }

    #[test]
    fn every_five_minutes_in_shanghai() {
        assert_eq!(next("*/5 * * * *", Shanghai, "2024-03-14T15:57:30Z"), "2024-03-15T00:00:00+08:00");
        assert_eq!(next("*/5 * * * *", Shanghai, "2024-03-14T16:00:00Z"), "2024-03-15T00:05:00+08:00");
        assert_eq!(next("2 3 * * *", Shanghai, "2024-03-14T16:00:00Z"), "2024-03-15T03:02:00+08:00");
        assert_eq!(next("4-59/31 6-23 * * *", Shanghai, "2024-03-14T22:30:00Z"), "2024-03-15T06:35:00+08:00");
    }

    #[test]
    fn a_firing_inside_the_missing_hour_happens_at_its_end() {
        // Berlin, 2024-03-31: 02:00 becomes 03:00.
        assert_eq!(next("30 2 * * *", Berlin, "2024-03-31T00:00:00Z"), "2024-03-31T03:00:00+02:00");
        assert_eq!(next("*/30 * * * *", Berlin, "2024-03-31T00:30:00Z"), "2024-03-31T03:00:00+02:00");
        // New York, 2024-03-10: 02:00 becomes 03:00.
        assert_eq!(next("0 2 * * *", New_York, "2024-03-10T06:00:00Z"), "2024-03-10T03:00:00-04:00");
    }

    #[test]
    fn a_fixed_time_in_the_repeated_hour_fires_once_and_an_interval_in_both_halves() {
        // Berlin, 2024-10-27: 03:00 becomes 02:00.
        assert_eq!(next("30 2 * * *", Berlin, "2024-10-26T22:00:00Z"), "2024-10-27T02:30:00+02:00");
        assert_eq!(next("30 2 * * *", Berlin, "2024-10-27T00:30:00Z"), "2024-10-28T02:30:00+01:00");
        assert_eq!(next("*/30 * * * *", Berlin, "2024-10-27T00:30:00Z"), "2024-10-27T02:00:00+01:00");
    }

    #[test]
    fn firings_missed_while_nothing_ran_are_made_up_for_once() {
        let plan = Plan::new("*/5 * * * *", Shanghai).expect("a cron");
        let last = utc("2024-03-14T16:00:00Z");
        assert_eq!(plan.missed(last, utc("2024-03-14T16:04:59Z")), None);
        assert_eq!(plan.missed(last, utc("2024-03-14T16:05:00Z")), Some(utc("2024-03-14T16:05:00Z")));
        let late = plan.missed(last, utc("2024-03-16T01:02:03Z"));
        assert_eq!(late, Some(utc("2024-03-16T01:00:00Z")));
        assert_eq!(plan.missed(utc("2024-03-16T01:00:00Z"), utc("2024-03-16T01:02:03Z")), None);
    }

    #[test]
    fn what_is_not_five_fields_or_never_fires_is_refused() {
        for bad in ["", "* * * *", "0 */5 * * * *", "61 * * * *", "a b c d e", "0 0 30 2 *"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert_eq!(check("2 */2 * * *"), Ok(()));
    }
}
