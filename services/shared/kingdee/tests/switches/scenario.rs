//! One full scenario of a client: metadata, pages, views, saves, the workflow, lost sessions, the call limit.

use std::time::Duration;

use chrono::{NaiveDateTime, TimeZone as _};
use document::Code;
use kingdee::filter::{self, Relation};
use kingdee::{Class, Client, DocumentOutcome, Error, LoginMode, SaveReply, Selection, UnknownReason};
use serde_json::{Map, Value, json};

use crate::galaxy::{FORM, Galaxy, batch_save, bill, outcomes, query};
use crate::settings::Setting;
use crate::workflow;

/// The client, the server it calls, and how that one is set.
pub(crate) struct Stage {
    pub(crate) galaxy: Galaxy,
    pub(crate) client: Client,
    pub(crate) setting: Setting,
    zone: chrono_tz::Tz,
}

/// How long any call may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Plays the scenario; panics where something comes to another end than it must.
pub(crate) async fn run(setting: Setting) {
    let galaxy = Galaxy::start(&setting.arguments()).await;
    let zone: chrono_tz::Tz = setting.value("zone").expect("a default").parse().expect("a zone");
    let client = galaxy.client(setting.login, zone, PATIENCE);
    let stage = Stage { galaxy, client, setting, zone };
    metadata(&stage).await;
    pages(&stage).await;
    if stage.setting.is("kept-numbers", "off") {
        // Everything below goes by the numbers that were sent.
        return renumbered(&stage).await;
    }
    saves(&stage).await;
    views(&stage).await;
    let mut sent = 8;
    sent += workflow::refused_audit(&stage).await;
    sent += workflow::status_by_status(&stage).await;
    sent += lost_sessions(&stage).await;
    idle_session(&stage).await;
    let arrived = stage.galaxy.calls("Save").await + stage.galaxy.calls("BatchSave").await;
    assert_eq!(arrived, sent, "every save goes out exactly once");
    if stage.setting.value("calls-per-minute").is_some() {
        call_limit(&stage).await;
    }
}

async fn metadata(stage: &Stage) {
    let info = stage.client.query_business_info(FORM).await.expect("metadata");
    assert_eq!(info["Id"], FORM);
    assert!(info["Entrys"].as_array().is_some_and(|entries| entries.iter().any(|entry| entry["Key"] == "FEntity")));
    let error = stage.client.query_business_info("NO_SUCH_FORM").await.expect_err("unknown");
    assert_eq!((error.code(), error.class()), (Code::UnknownForm, Class::Final));
}

/// Pages by key, whatever the server makes of the limit; values as they were planted.
async fn pages(stage: &Stage) {
    let mut planted: Vec<Value> = (1..=5).map(|number| bill(&format!("P-{number}"), "M1")).collect();
    planted[0]["FEntity"][0]["FQty"] = json!("12.50");
    stage.galaxy.plant(FORM, json!(planted)).await;

    let limit = if stage.setting.value("page-refuse").is_some() {
        let error = stage.client.execute_bill_query(&query(&["FID"], "", 3)).await.expect_err("beyond the ceiling");
        assert_eq!((error.code(), error.class()), (Code::QueryRefused, Class::Final));
        2
    } else {
        3
    };
    let (mut numbers, mut sizes, mut last) = (Vec::new(), Vec::new(), "0".to_owned());
    loop {
        let above = filter::key("FID", Relation::Above, &last);
        let page = stage.client.execute_bill_query(&query(&["FID", "FBillNo"], &above, limit)).await.expect("a page");
        sizes.push(page.rows.len());
        let Some(row) = page.rows.last() else { break };
        last = row[0].to_string();
        numbers.extend(page.rows.iter().map(|row| row[1].clone()));
    }
    assert_eq!(numbers, ["P-1", "P-2", "P-3", "P-4", "P-5"]);
    let is_cut = limit == 2 || stage.setting.is("page-clamp", "2");
    assert_eq!(sizes, if is_cut { vec![2, 2, 1, 0] } else { vec![3, 2, 0] });

    let one = filter::equals("FBillNo", "P-1");
    let keys = ["FBillNo", "FStockOrgId.FNumber", "FQty", "FNOTE"];
    let page = stage.client.execute_bill_query(&query(&keys, &one, 1)).await.expect("a page");
    let empty = match stage.setting.value("empty-text").as_deref() {
        Some("empty") => json!(""),
        Some("blank") => json!(" "),
        _ => Value::Null,
    };
    let row = &page.rows[0];
    assert_eq!((&row[0], &row[1], &row[3]), (&json!("P-1"), &json!("109"), &empty));
    assert_eq!(row[2].to_string(), "12.5", "a decimal keeps its digits");
    for (keys, condition, code) in
        [(["FBillNo", "FNoSuchField"], "", Code::SourceSchema), (["FBillNo", "FID"], "FBillNo = ", Code::QueryRefused)]
    {
        let error = stage.client.execute_bill_query(&query(&keys, condition, 1)).await.expect_err("refused");
        assert_eq!((error.code(), error.class()), (code, Class::Final), "{keys:?} {condition}");
    }
}

/// A server that numbers documents itself tells which number it gave, and knows the other one not.
async fn renumbered(stage: &Stage) {
    let ended = outcomes(batch_save(&stage.client, &[bill("S-1", "M1"), bill("S-2", "M1")], false).await);
    for (outcome, sent) in ended.iter().zip(["S-1", "S-2"]) {
        let DocumentOutcome::Saved { number, .. } = outcome else { panic!("{sent} is not saved: {outcome:?}") };
        assert!(number != sent, "{sent} kept its number");
        assert_eq!((stage.galaxy.held(number).await, stage.galaxy.held(sent).await), (1, 0));
    }
}

/// Eight saves: alone and together, good and bad.
async fn saves(stage: &Stage) {
    let client = &stage.client;
    let save = async |bill: &Value| {
        let options = Map::from_iter([("IsVerifyBaseDataField".to_owned(), json!(true))]);
        outcomes(client.save(FORM, &options, &bill.to_string().into()).await).remove(0)
    };
    let id = saved(&save(&bill("S-1", "M1")).await, "S-1");

    let bills = [bill("S-2", "M1"), bill("S-3", "M-UNKNOWN"), bill("S-4", "M1")];
    let ended = outcomes(batch_save(client, &bills, false).await);
    saved(&ended[0], "S-2");
    assert_eq!(codes(&ended[1]), [Code::ReferenceMissing]);
    saved(&ended[2], "S-4");
    assert_eq!((stage.galaxy.held("S-2").await, stage.galaxy.held("S-3").await), (1, 0));

    let mut incomplete = bill("S-5", "M1");
    incomplete.as_object_mut().expect("a bill").remove("FStockOrgId");
    let ended = save(&incomplete).await;
    if stage.setting.is("required-fields", "on") {
        assert_eq!(codes(&ended), [Code::TargetRequired]);
    } else {
        saved(&ended, "S-5");
    }

    let ended = save(&bill("S-1", "M1")).await;
    if stage.setting.is("unique-numbers", "on") {
        assert_eq!(codes(&ended), [Code::NumberTaken]);
        let DocumentOutcome::Rejected(errors) = &ended else { panic!("{ended:?}") };
        assert_eq!(errors[0].field.as_deref(), Some("FBillNo"));
    } else {
        assert_ne!(saved(&ended, "S-1"), id, "another document of the same number");
    }

    stage.galaxy.fault(&json!({"kind": "refuse_save", "numbers": ["S-6"], "message": "插件拒绝"})).await;
    assert_eq!(codes(&save(&bill("S-6", "M1")).await), [Code::TargetValidation]);
    stage.galaxy.heal().await;
    saved(&save(&bill("S-6", "M1")).await, "S-6");

    let mut changed = bill("S-6", "M1");
    changed["FNOTE"] = json!("改");
    changed["FID"] = json!(id_of(stage, "S-6").await);
    saved(&save(&changed).await, "S-6");
    assert_eq!(stage.galaxy.held("S-6").await, 1, "changed, not doubled");
    created_now(stage).await;

    let unknown_form = client.save("NO_SUCH_FORM", &Map::new(), &"{}".into()).await;
    let SaveReply::UnknownClosed(UnknownReason::Refused(error)) = unknown_form else { panic!("{unknown_form:?}") };
    assert_eq!(error.code, Code::UnknownForm);
}

/// The server's date texts, read in the connection's zone, are on the server's own clock.
async fn created_now(stage: &Stage) {
    let one = filter::equals("FBillNo", "S-6");
    let page = stage.client.execute_bill_query(&query(&["FCreateDate"], &one, 1)).await.expect("a page");
    let text = page.rows[0][0].as_str().expect("a date");
    let local: NaiveDateTime = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    let created = stage.zone.from_local_datetime(&local).latest().expect("a time of the zone");
    let age = page.server_time.expect("a Date header").signed_duration_since(created);
    assert!((-2..120).contains(&age.num_seconds()), "created {created}, {age} ago");
}

async fn views(stage: &Stage) {
    let id = id_of(stage, "P-2").await;
    for document in [Selection::Numbers(vec!["P-2".to_owned()]), Selection::Ids(vec![id.clone()])] {
        let view = stage.client.view(FORM, &document).await.expect("a document");
        assert_eq!((view["BillNo"].as_str(), view["Id"].to_string()), (Some("P-2"), id.clone()));
    }
    let error = stage.client.view(FORM, &Selection::Numbers(vec!["NONE".to_owned()])).await.expect_err("unknown");
    assert!(matches!(&error, Error::Refused { .. }), "{error:?}");
    assert_eq!(error.code(), Code::ReferenceMissing);
}

/// A lost session costs a read nothing and a save its outcome: it is not repeated, and the next one has a session.
async fn lost_sessions(stage: &Stage) -> u64 {
    let read = async || stage.client.execute_bill_query(&query(&["FID"], "", 1)).await;
    let signed = stage.setting.login == LoginMode::Signed;
    let logins = stage.galaxy.logins().await;
    stage.galaxy.lose_sessions().await;
    assert_eq!(read().await.expect("read again").rows.len(), 1);
    assert_eq!(stage.galaxy.logins().await, if signed { 0 } else { logins + 1 });

    // A signature is as good as a session, unless the server takes neither.
    for (number, force) in [("L-1", false), ("L-2", true)] {
        if force {
            stage.galaxy.fault(&json!({"kind": "session_loss", "call": "BatchSave", "force": true})).await;
        } else {
            stage.galaxy.lose_sessions().await;
        }
        let reply = batch_save(&stage.client, &[bill(number, "M1")], false).await;
        if signed && !force {
            saved(&outcomes(reply)[0], number);
        } else {
            assert!(matches!(&reply, SaveReply::UnknownClosed(UnknownReason::SessionLost)), "{reply:?}");
            assert_eq!(stage.galaxy.held(number).await, 0, "refused before it was looked at");
        }
        let next = format!("{number}-next");
        saved(&outcomes(batch_save(&stage.client, &[bill(&next, "M1")], false).await)[0], &next);
    }

    stage.galaxy.fault(&json!({"kind": "session_loss", "call": "ExecuteBillQuery", "force": true})).await;
    assert_eq!(read().await.expect("read again").rows.len(), 1);
    stage.galaxy.fault(&json!({"kind": "session_loss", "call": "Submit", "force": true})).await;
    let selection = Selection::Numbers(vec!["L-1-next".to_owned()]);
    let error = stage.client.submit(FORM, &selection).await.expect_err("a write is not repeated");
    assert_eq!((error.code(), error.class()), (Code::SessionLost, Class::Trouble));
    workflow::done(&stage.client.submit(FORM, &selection).await.expect("submitted"), 0, "L-1-next");
    4
}

/// A session that ended by itself is replaced like any other.
async fn idle_session(stage: &Stage) {
    if !stage.setting.is("session-idle-s", "5") {
        return;
    }
    let logins = stage.galaxy.logins().await;
    tokio::time::sleep(Duration::from_millis(5_300)).await;
    let page = stage.client.execute_bill_query(&query(&["FID"], "", 1)).await.expect("read again");
    assert_eq!(page.rows.len(), 1);
    let more = u64::from(stage.setting.login != LoginMode::Signed);
    assert_eq!(stage.galaxy.logins().await, logins + more);
}

/// Calls beyond the limit are told as such, whatever they are, and nothing of them is executed.
async fn call_limit(stage: &Stage) {
    let limit: usize = stage.setting.value("calls-per-minute").and_then(|text| text.parse().ok()).expect("a limit");
    let mut refused = None;
    for _ in 0..=limit {
        if let Err(error) = stage.client.execute_bill_query(&query(&["FID"], "", 1)).await {
            refused = Some(error);
            break;
        }
    }
    let check = |after: Option<Duration>, what: &str| {
        let window: u64 = stage.setting.value("call-window-ms").and_then(|text| text.parse().ok()).expect("a window");
        if stage.setting.is("limit-reply", "http429") {
            let after = after.expect("Retry-After").as_secs();
            // The first call of the window was at most two minutes ago.
            assert!((window / 1_000 - 120..=window / 1_000).contains(&after), "{what}: {after} s");
        } else {
            assert_eq!(after, None, "{what}");
        }
    };
    let check_error = |error: Error, what: &str| {
        assert_eq!(error.code(), Code::ErpThrottled, "{what}: {error}");
        let Class::Throttled(after) = error.class() else { panic!("{what}: {error:?}") };
        check(after, what);
    };
    check_error(refused.expect("a limit that is reached"), "query");
    let selection = Selection::Numbers(vec!["S-2".to_owned()]);
    check_error(stage.client.submit(FORM, &selection).await.expect_err("refused"), "submit");
    check_error(stage.client.view(FORM, &selection).await.expect_err("refused"), "view");
    check_error(stage.client.query_business_info(FORM).await.expect_err("refused"), "metadata");
    let reply = batch_save(&stage.client, &[bill("T-1", "M1")], false).await;
    let SaveReply::Throttled { after } = reply else { panic!("{reply:?}") };
    check(after, "save");
    // Another process, which has to log in first where the mode has a login.
    let fresh = stage.galaxy.client(stage.setting.login, stage.zone, PATIENCE);
    check_error(fresh.execute_bill_query(&query(&["FID"], "", 1)).await.expect_err("refused"), "login and query");
    let reply = batch_save(&fresh, &[bill("T-2", "M1")], false).await;
    match reply {
        SaveReply::NotSent(error) if stage.setting.login != LoginMode::Signed => check_error(error, "login and save"),
        SaveReply::Throttled { after } => check(after, "login and save"),
        other => panic!("{other:?}"),
    }
    assert_eq!((stage.galaxy.held("T-1").await, stage.galaxy.held("T-2").await), (0, 0));
}

/// The id of a saved document, which carries `number`.
pub(crate) fn saved(outcome: &DocumentOutcome, number: &str) -> String {
    match outcome {
        DocumentOutcome::Saved { id, number: given, .. } if given == number => id.clone(),
        other => panic!("{number} is not saved: {other:?}"),
    }
}

/// The codes of a refused document.
pub(crate) fn codes(outcome: &DocumentOutcome) -> Vec<Code> {
    match outcome {
        DocumentOutcome::Rejected(errors) => errors.iter().map(|error| error.code).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

/// The id under which the server holds a number.
pub(crate) async fn id_of(stage: &Stage, number: &str) -> String {
    let page = stage.client.execute_bill_query(&query(&["FID"], &filter::equals("FBillNo", number), 1)).await;
    page.expect("a page").rows[0][0].to_string()
}
