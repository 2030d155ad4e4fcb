//! Instants as the source writes them: local text without a zone.

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

const QUARTER: i64 = 15 * 60;

/// The local text of an instant (unix seconds), `YYYY-MM-DD HH:MM:SS`; the ends of time for what no calendar holds.
pub fn local(instant: i64, zone: Tz) -> String {
    match DateTime::from_timestamp(instant, 0) {
        Some(utc) => utc.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string(),
        None if instant.is_negative() => "0001-01-01 00:00:00".to_owned(),
        None => "9999-12-31 23:59:59".to_owned(),
    }
}

/// The lower bound to compare local texts with, so that no instant from `since` on is left out.
///
/// Where clocks are set back after `since`, later instants read as earlier text: the bound is then the text right
/// after the change. Changes lie on quarters of an hour and go back three hours at most.
pub fn lower_bound(since: i64, zone: Tz) -> String {
    let Some(first) = reading(since, zone) else { return local(since, zone) };
    let first_quarter = since.div_euclid(QUARTER).saturating_mul(QUARTER);
    let quarters = (1..=12).map(|quarters| first_quarter.saturating_add(quarters * QUARTER));
    let bound = quarters.filter_map(|instant| reading(instant, zone)).fold(first, i64::min);
    local(bound, Tz::UTC)
}

/// The upper bound (excluded) to compare local texts with, so that no instant before `until` is left out.
///
/// Where clocks were set back before `until`, earlier instants read as later text: the bound is then the text right
/// before the change.
pub fn upper_bound(until: i64, zone: Tz) -> String {
    let Some(last) = reading(until, zone) else { return local(until, zone) };
    let last_quarter = until.div_euclid(QUARTER).saturating_mul(QUARTER);
    let quarters = (0..=12).map(|quarters| last_quarter.saturating_sub(quarters * QUARTER));
    let bound = quarters.filter_map(|instant| Some(reading(instant - 1, zone)? + 1)).fold(last, i64::max);
    local(bound, Tz::UTC)
}

/// What the clocks of the zone read at an instant, as if it were an instant itself.
fn reading(instant: i64, zone: Tz) -> Option<i64> {
    let utc = DateTime::from_timestamp(instant, 0)?.naive_utc();
    Some(instant + i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()))
}

/// A date of the source (`YYYY-MM-DD`, then `T` or blank and a time, fraction possible) as `YYYY-MM-DD HH:MM:SS`, which
/// compares as text; `None` when it is no such date.
pub fn comparable(text: &str) -> Option<String> {
    naive(text).map(|naive| naive.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// The instant of a date of the source, unix seconds; the earlier of two where clocks were set back.
pub fn instant(text: &str, zone: Tz) -> Option<i64> {
    let naive = naive(text)?;
    let local = zone.from_local_datetime(&naive);
    // A text inside an hour that was skipped names no instant; read as if the zone had not changed.
    let found = local.earliest().map(|instant| instant.timestamp());
    found.or_else(|| {
        let earlier = naive.checked_sub_signed(chrono::TimeDelta::hours(3))?;
        let before = zone.from_local_datetime(&earlier).earliest()?;
        Some(before.timestamp() + 3 * 3_600)
    })
}

fn naive(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim();
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y/%m/%d %H:%M:%S%.f"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .or_else(|| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{Asia::Shanghai, Europe::Berlin};

    #[test]
    fn instants_read_and_write_in_the_zone() {
        assert_eq!(local(1_710_403_200, Shanghai), "2024-03-14 16:00:00");
        assert_eq!(lower_bound(1_710_403_200, Shanghai), "2024-03-14 16:00:00");
        assert_eq!(instant("2024-03-14T16:00:00", Shanghai), Some(1_710_403_200));
        assert_eq!(instant("2024-03-14 16:00:00.127", Shanghai), Some(1_710_403_200));
        assert_eq!(instant("2024-03-14", Shanghai), Some(1_710_345_600));
        assert_eq!(instant("soon", Shanghai), None);
        assert_eq!(comparable("2024-03-14T16:00:00.5").as_deref(), Some("2024-03-14 16:00:00"));
    }

    #[test]
    fn clocks_set_back_hide_nothing() {
        // 2024-10-27 03:00 CEST becomes 02:00 CET at 01:00 UTC.
        let change = 1_729_990_800;
        let since = change - 10 * 60;
        assert_eq!(local(since, Berlin), "2024-10-27 02:50:00");
        assert_eq!(lower_bound(since, Berlin), "2024-10-27 02:00:00");
        for later in (since..since + 6 * 3_600).step_by(60) {
            assert!(local(later, Berlin) >= lower_bound(since, Berlin));
        }
        let until = change + 10 * 60;
        assert_eq!(local(until, Berlin), "2024-10-27 02:10:00");
        assert_eq!(upper_bound(until, Berlin), "2024-10-27 03:00:00");
        for earlier in (until - 6 * 3_600..until).step_by(60) {
            assert!(local(earlier, Berlin) < upper_bound(until, Berlin));
        }
        assert_eq!(upper_bound(until, Shanghai), local(until, Shanghai));
        // The change may be most of an hour away.
        assert_eq!(local(change - 50 * 60, Berlin), "2024-10-27 02:10:00");
        assert_eq!(lower_bound(change - 50 * 60, Berlin), "2024-10-27 02:00:00");
        assert_eq!(local(change + 50 * 60, Berlin), "2024-10-27 02:50:00");
        assert_eq!(upper_bound(change + 50 * 60, Berlin), "2024-10-27 03:00:00");
        // Further away nothing is read that need not be.
        assert_eq!(lower_bound(change - 2 * 3_600, Berlin), "2024-10-27 01:00:00");
        assert_eq!(upper_bound(change + 4 * 3_600, Berlin), "2024-10-27 06:00:00");
        // Clocks set forward change nothing.
        let forward = 1_711_846_800;
        assert_eq!(lower_bound(forward - 600, Berlin), "2024-03-31 01:50:00");
        assert_eq!(instant("2024-03-31T02:30:00", Berlin), Some(forward + 1_800));
    }

    #[test]
    fn no_instant_is_beyond_words() {
        assert_eq!(local(i64::MIN, Shanghai), "0001-01-01 00:00:00");
        assert_eq!(upper_bound(i64::MAX, Shanghai), "9999-12-31 23:59:59");
        assert_eq!(lower_bound(i64::MAX, Shanghai), "9999-12-31 23:59:59");
    }
}
