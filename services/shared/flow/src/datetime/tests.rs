use chrono_tz::Tz;
use serde_json::json;

use super::*;

const SHANGHAI: Tz = chrono_tz::Asia::Shanghai;

fn datetime(value: Value) -> Value {
    apply(Filter::DateTime, &value, false, SHANGHAI).expect("readable")
}

#[test]
fn the_accepted_forms_are_read() {
    for (value, expected) in [
        (json!(1_710_403_200), "2024-03-14 16:00:00"),
        (json!("1710403200"), "2024-03-14 16:00:00"),
        (json!(1_710_403_200_999_i64), "2024-03-14 16:00:00"),
        (json!("20240314"), "2024-03-14 00:00:00"),
        (json!(20_240_314), "2024-03-14 00:00:00"),
        (json!("20240314160102"), "2024-03-14 16:01:02"),
        (json!("2024-03-14"), "2024-03-14 00:00:00"),
        (json!("2024/03/14"), "2024-03-14 00:00:00"),
        (json!("2024/3/4 6:05"), "2024-03-04 06:05:00"),
        (json!("2024-03-14 16:01"), "2024-03-14 16:01:00"),
        (json!("2024-03-14T16:01:02"), "2024-03-14 16:01:02"),
        (json!("2024-03-14T16:01:02.123"), "2024-03-14 16:01:02"),
        (json!("2024-03-14T16:01:02Z"), "2024-03-15 00:01:02"),
        (json!("2024-03-14 16:01:02.5+01:00"), "2024-03-14 23:01:02"),
        (json!("2024-03-14T16:01:02-0500"), "2024-03-15 05:01:02"),
        (json!("2024-03-14T16:01:02+08:00"), "2024-03-14 16:01:02"),
    ] {
        assert_eq!(datetime(value.clone()), json!(expected), "{value}");
    }
    assert_eq!(datetime(Value::Null), Value::Null);
    assert_eq!(datetime(json!("")), Value::Null);
}

#[test]
fn the_filters_write_their_forms() {
    let apply = |filter: &str, value: Value, is_variable: bool| {
        apply(filter.parse().expect("a filter"), &value, is_variable, SHANGHAI).expect("readable")
    };
    assert_eq!(apply("date", json!(1_710_403_200), true), json!("2024-03-14"));
    assert_eq!(apply("dateTime", json!(1_710_403_200), true), json!("2024-03-14 16:00:00"));
    assert_eq!(apply("time", json!(1_710_403_200), true), json!("16:00:00"));
    assert_eq!(apply("timestamp", json!("2024-03-14 16:00:00"), false), json!(1_710_403_200));
    assert_eq!(apply("timestamp_ms", json!(1_710_403_200), true), json!(1_710_403_200_000_i64));
    assert_eq!(apply("timestamp_ms", json!("2024-03-14T16:00:00.25"), false), json!(1_710_403_200_250_i64));
    // A variable is seconds whatever its number of digits.
    assert_eq!(apply("datetime", json!(0), true), json!("1970-01-01 08:00:00"));
}

#[test]
fn what_cannot_be_read_is_a_fault() {
    for value in [
        json!("2024-13-01"),
        json!("2024-02-30"),
        json!("24-02-03"),
        json!("2024-03-14 25:00"),
        json!("2024-03-14 1"),
        json!("2024-03-14T16:01:02+8"),
        json!("2024-03-14T16:01:02.1234567891"),
        json!("昨天"),
        json!(17),
        json!(-1_710_403_200),
        json!(1_710_403_200.5),
        json!(true),
        json!([]),
    ] {
        let fault = apply(Filter::Date, &value, false, SHANGHAI).expect_err("unreadable");
        assert_eq!(fault.code, Code::Filter, "{value}");
        assert!(fault.detail.contains("is not a date or time"), "{fault}");
    }
}

#[test]
fn a_zone_with_summer_time_is_converted_both_ways() {
    let zone = chrono_tz::Europe::Berlin;
    let timestamp = |text: &str| apply(Filter::Timestamp, &json!(text), false, zone).expect("readable");
    assert_eq!(timestamp("2024-03-31 01:59:59"), json!(1_711_846_799));
    // The clock jumps from 2:00 to 3:00, and shows 2:30 twice in October.
    assert_eq!(timestamp("2024-03-31 02:30:00"), json!(1_711_848_600));
    assert_eq!(timestamp("2024-10-27 02:30:00"), json!(1_729_989_000));
    assert_eq!(apply(Filter::DateTime, &json!(1_711_848_600), false, zone), Ok(json!("2024-03-31 03:30:00")));
}
