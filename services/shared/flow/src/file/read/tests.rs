use super::*;

const GOOD: &str = r#"
flow = "misc-inbound"
start_from = "2014-01-01T00:00:00+08:00"
[source]
connection = "galaxy-a"
[target]
connection = "galaxy-b"
"#;

/// Code, JSON path, line and column of every fault of `text`.
fn faults(text: &str) -> Vec<(Code, String, u64, String)> {
    let reading = read("flow.toml", text);
    let place = |fault: &Fault| {
        assert_eq!(fault.place.file.as_deref(), Some("flow.toml"));
        let place = fault.place.clone();
        (fault.code, place.path.unwrap_or_default(), place.line.unwrap_or_default(), place.column.unwrap_or_default())
    };
    reading.faults.iter().map(place).collect()
}

fn with(extra: &str) -> String {
    format!("{GOOD}{extra}")
}

fn fault(code: Code, path: &str, line: u64, column: &str) -> (Code, String, u64, String) {
    (code, path.to_owned(), line, column.to_owned())
}

#[test]
fn a_short_file_has_the_documented_defaults() {
    let reading = read("flow.toml", GOOD);
    assert_eq!(reading.faults, Vec::new());
    let file = reading.file;
    assert_eq!((file.tenant.as_str(), file.partitions, file.zone), ("default", 6, chrono_tz::Asia::Shanghai));
    assert_eq!((file.source.key.as_str(), file.target.key.as_str()), ("FID", "FBillNo"));
    assert_eq!((file.source.overlap.as_secs(), file.source.settle.as_secs()), (600, 30));
    assert_eq!((file.retry.connect, file.retry.first_wait, file.batch.documents), (None, None, None));
    assert_eq!(file.start_from.map(|start| start.timestamp()), Some(1_388_505_600));
}

#[test]
fn a_file_comes_back_from_its_json() {
    let reading =
        read("flow.toml", &with("[source.lookback]\ncron = \"2 */2 * * *\"\ndays = 7\n[retry]\nfirst_wait = \"2s\"\n"));
    let json = serde_json::to_value(&reading.file).expect("a flow file is JSON");
    assert_eq!(serde_json::from_value::<FlowFile>(json).ok(), Some(reading.file));
}

#[test]
fn text_that_is_no_toml_names_line_and_column() {
    let found = faults("flow = \"a\"\ntitle = \nstart_from = 中文\n");
    assert!(found.contains(&fault(Code::Toml, "", 2, "9")), "{found:?}");
    assert!(found.iter().all(|(code, ..)| *code == Code::Toml), "{found:?}");
    assert!(found.iter().any(|(_, _, line, _)| *line == 3), "{found:?}");
}

#[test]
fn unknown_keys_and_values_of_the_wrong_kind_are_all_named() {
    let text = with("[batch]\ndocumnts = 50\nmax_bytes = \"x\"\n[targe]\n[retry]\nconnect = -1\n");
    let found = faults(&text);
    for wanted in [
        fault(Code::FlowKey, "$.batch.documnts", 9, "1"),
        fault(Code::FlowValue, "$.batch.max_bytes", 10, "13"),
        fault(Code::FlowKey, "$.targe", 11, "2"),
        fault(Code::FlowValue, "$.retry.connect", 13, "11"),
    ] {
        assert!(found.contains(&wanted), "{wanted:?} in {found:?}");
    }
    assert_eq!(found.len(), 4);
    let reading = read("flow.toml", &text);
    let hint = reading.faults.iter().find(|fault| fault.code == Code::FlowKey).and_then(|fault| fault.hint.as_deref());
    assert!(matches!(hint, Some("did you mean documents?" | "did you mean target?")), "{hint:?}");
}

#[test]
fn what_no_flow_can_do_without_is_named() {
    let found = faults("[source.lookback]\ndays = 3\n");
    let paths: Vec<&str> = found
        .iter()
        .map(|(code, path, ..)| {
            assert_eq!(*code, Code::FlowMissing);
            path.as_str()
        })
        .collect();
    assert_eq!(
        paths,
        ["$.flow", "$.start_from", "$.source.connection", "$.target.connection", "$.source.lookback.cron"]
    );
    assert_eq!(faults(&GOOD.replace("galaxy-a", " ")), [fault(Code::FlowMissing, "$.source.connection", 5, "14")]);
}

#[test]
fn a_marker_is_a_plain_field_and_takes_the_place_of_the_key() {
    let marked = |marker: &str| GOOD.replace("\"galaxy-b\"", &format!("\"galaxy-b\"\n{marker}"));
    assert_eq!(faults(&marked("marker = \"FNote\"")), []);
    for bad in ["", "F.Note", "F Note"] {
        let text = marked(&format!("marker = \"{bad}\""));
        assert_eq!(faults(&text), [fault(Code::FlowValue, "$.target.marker", 8, "10")], "{bad}");
    }
    let both = marked("key = \"FBillNo\"\nmarker = \"FNote\"");
    assert_eq!(faults(&both), [fault(Code::FlowValue, "$.target.marker", 9, "10")]);
}

#[test]
fn names_that_cannot_stand_in_a_topic_are_refused() {
    let text = GOOD.replace("misc-inbound", "其他入库").replace("[source]", "tenant = \"A\"\n[source]");
    assert_eq!(faults(&text), [fault(Code::FlowLabel, "$.flow", 2, "8"), fault(Code::FlowLabel, "$.tenant", 4, "10")]);
}

#[test]
fn texts_that_stand_for_something_are_read_at_load() {
    let text = GOOD
        .replace("2014-01-01T00:00:00+08:00", "2014-01-01")
        .replace("[source]", "zone = \"Asia/Beijing\"\n[source]\noverlap = \"10 minutes\"\nsettle = 30");
    let text = format!("{text}[schedule]\ncron = \"*/5 * * * * *\"\nzone = \"+08:00\"\n");
    let found = faults(&text);
    for wanted in [
        fault(Code::Instant, "$.start_from", 3, "14"),
        fault(Code::Zone, "$.zone", 4, "8"),
        fault(Code::Duration, "$.source.overlap", 6, "11"),
        fault(Code::FlowValue, "$.source.settle", 7, "10"),
        fault(Code::Zone, "$.schedule.zone", 13, "8"),
        fault(Code::Cron, "$.schedule.cron", 12, "8"),
    ] {
        assert!(found.contains(&wanted), "{wanted:?} in {found:?}");
    }
    assert_eq!(found.len(), 6);
}

#[test]
fn numbers_outside_their_range_are_refused() {
    for documents in ["0", "501", "4294967295"] {
        let text = with(&format!("[batch]\ndocuments = {documents}\n"));
        assert_eq!(faults(&text), [fault(Code::BatchRange, "$.batch.documents", 9, "13")]);
    }
    let text = with("[retry]\nconnect = 0\nattempt_cap = 101\nlongest_wait = \"11m\"\n[batch]\nmax_bytes = 10\n");
    let found = faults(&text.replace("[source]", "partitions = 1001\n[source]"));
    assert_eq!(
        found,
        [
            fault(Code::Range, "$.partitions", 4, "14"),
            fault(Code::Range, "$.batch.max_bytes", 14, "13"),
            fault(Code::Range, "$.retry.connect", 10, "11"),
            fault(Code::Range, "$.retry.attempt_cap", 11, "15"),
            fault(Code::Range, "$.retry.longest_wait", 12, "16"),
        ]
    );
}

#[test]
fn a_comparison_by_itself_has_defaults_and_bounds() {
    let reading = read("flow.toml", &with("[reconcile]\ncron = \"17 * * * *\"\nrepair = true\n"));
    assert_eq!(reading.faults, Vec::new());
    let how = reading.file.reconcile.expect("said");
    assert_eq!((how.days, how.sample, how.grace.as_secs(), how.repair), (3, 0.01, 900, true));
    let text = with("[reconcile]\ndays = 0\nsample = 1.5\ngrace = \"25h\"\n");
    let codes: Vec<(Code, String)> = faults(&text).into_iter().map(|(code, path, ..)| (code, path)).collect();
    for (code, path) in [
        (Code::FlowMissing, "$.reconcile.cron"),
        (Code::Range, "$.reconcile.days"),
        (Code::Range, "$.reconcile.sample"),
        (Code::Range, "$.reconcile.grace"),
    ] {
        assert!(codes.contains(&(code, path.to_owned())), "{path}: {codes:?}");
    }
}
