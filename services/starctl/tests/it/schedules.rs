//! `starctl schedule`.

use crate::bed::Bed;

/// An instant from which every test reckons.
const AFTER: [&str; 2] = ["--after", "2024-03-14T15:57:30Z"];

#[test]
fn schedules_are_listed_with_their_next_firing() {
    let bed = Bed::new();
    let list = |more: &[&str]| bed.starctl(&[&["schedule", "list", "--utc"], &AFTER[..], more].concat());
    insta::assert_snapshot!("schedule_list", list(&[]).seen());
    insta::assert_snapshot!("schedule_list_zh", list(&["--lang", "zh", "-o", "wide"]).seen());
    assert_eq!(list(&["-o", "name"]).out, "flow/misc-inbound\n");
    assert!(
        list(&["-o", "csv"])
            .out
            .ends_with("running,2024-03-14T16:00:00Z,2026-01-01T01:05:00Z,2026-01-01T01:04:50Z,其他入库,\n")
    );
    assert_eq!(list(&["--sort-by", "colour"]).code, Some(2));
    for command in [["flow", "list"], ["schedule", "list"]] {
        let of = |tenant| bed.starctl(&[&command[..], &["-o", "name", "--tenant", tenant]].concat());
        assert_eq!((of("acme").out.as_str(), of("default").out.as_str()), ("flow/misc-inbound\n", ""), "{command:?}");
        assert_eq!(of("Not A Tenant").code, Some(2));
    }
}

#[test]
fn the_next_firings_are_told_in_local_time_and_in_the_zone_of_the_flow() {
    let bed = Bed::new();
    let next = |more: &[&str]| bed.starctl(&[&["schedule", "next"], &AFTER[..], more].concat());
    insta::assert_snapshot!("schedule_next", next(&["flow/misc-inbound", "--count", "2", "--utc"]).seen());
    let json = next(&["misc-inbound", "-o", "json"]).json();
    let firings = json["items"].as_array().expect("firings");
    assert_eq!((firings.len(), &json["cron"]), (5, &"*/5 * * * *".into()));
    assert_eq!(firings[4]["local"], "2024-03-15T00:20:00+08:00");
    assert_eq!(bed.starctl(&["schedule", "next", "misc-inbound", "--count", "0"]).code, Some(2));
    // Without an instant it is now that they are reckoned from.
    let now = bed.starctl(&["schedule", "next", "misc-inbound", "--count", "1", "-o", "name"]);
    let first = now.out.trim().strip_prefix("firing/").expect("a firing").to_owned();
    let wait = chrono::DateTime::parse_from_rfc3339(&first).expect("an instant").to_utc() - chrono::Utc::now();
    assert!(wait.num_seconds().abs() <= 300, "{first}");
}

#[test]
fn a_flow_that_does_not_fire_says_why() {
    let bed = Bed::new();
    let next = |name: &str| bed.starctl(&["schedule", "next", name, "--count", "1"]);
    let paused = next("paused");
    assert!(paused.out.contains('T') || paused.out.contains(':'), "{}", paused.seen());
    assert!(paused.err.contains("paused is paused"), "{}", paused.seen());
    for (name, word) in [("deleted", "was deleted"), ("faulty", "cannot be used")] {
        let ran = next(name);
        assert!(ran.code == Some(0) && ran.out.is_empty() && ran.err.contains(word), "{}", ran.seen());
    }
    assert_eq!(next("on-command").err, "nothing found\n");
    let wrong = next("wrong-zone");
    assert!(wrong.code == Some(9) && wrong.err.contains("E_ZONE"), "{}", wrong.seen());
}

#[test]
fn a_trigger_is_a_run() {
    let bed = Bed::new();
    let ran = bed.starctl(&["schedule", "trigger", "misc-inbound", "--lookback", "--reason", "entered late"]);
    assert_eq!(ran.code, Some(0));
    let run = bed.starctl(&["flow", "run", "misc-inbound", "--lookback", "--reason", "entered late"]);
    assert_eq!(run.out, ran.out);
    let asked = bed.desk().requests("run_flow");
    assert!(asked[0].contains("kind: Lookback") && asked[0].contains("entered late"), "{asked:?}");
}
