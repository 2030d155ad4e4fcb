//! Every kind of fault, as a caller sees it and as the store and the log remember it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{FORM, Galaxy, bill, indexes, refusal};

fn save_of(number: &str) -> Value {
    json!({ "formid": FORM, "data": { "Model": [bill(number, "M1", "1")] } })
}

/// Meets one BatchSave of bill F with a fault; gives what came back, how many bills there are then, and the outcome.
async fn meet(fault: Value) -> (Result<(u16, String), reqwest::Error>, usize, String) {
    let galaxy = Galaxy::with_base_data(&[]).await;
    galaxy.tell("/faults", fault).await;
    let result = galaxy.send("BatchSave", &save_of("F")).await;
    let count = galaxy.rows("FID", "FBillNo = 'F'").await.as_array().unwrap().len();
    let log = galaxy.ask("/log").await;
    let record = log.as_array().unwrap().iter().find(|record| record["method"] == json!("BatchSave")).unwrap();
    (result, count, record["outcome"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn cut_connections_come_before_or_after_the_work() {
    for how in ["rst", "eof"] {
        for (kind, saved, outcome) in [("cut_before", 0, "cut_before"), ("cut_after", 1, "cut")] {
            let (result, count, logged) = meet(json!({ "kind": kind, "call": "BatchSave", "how": how })).await;
            let error = result.unwrap_err();
            assert!(error.is_request() && !error.is_connect() && !error.is_timeout(), "{kind} {how}: {error:?}");
            let reset = format!("{error:?}").contains("ConnectionReset");
            assert_eq!(reset, how == "rst", "{kind} {how}: {error:?}");
            assert_eq!((count, logged.as_str()), (saved, outcome), "{kind} {how}");
        }
    }
}

#[tokio::test]
async fn statuses_and_pages_come_instead_of_the_work_or_after_it() {
    for (fault, status, start, saved) in [
        (json!({ "kind": "status", "status": 502 }), 502, "<!DOCTYPE html>", 0),
        (json!({ "kind": "status", "status": 503, "at": "after" }), 503, "<!DOCTYPE html>", 1),
        (json!({ "kind": "status", "body": "json" }), 500, "{\"Message\"", 0),
        (json!({ "kind": "html" }), 200, "<!DOCTYPE html>", 0),
        (json!({ "kind": "html", "at": "after", "message": "<b>" }), 200, "<b>", 1),
        (json!({ "kind": "empty" }), 200, "{}", 0),
        (json!({ "kind": "empty", "how": "eof", "at": "after" }), 200, "", 1),
    ] {
        let (result, count, outcome) = meet(json!([with_call(&fault)])).await;
        let (got, text) = result.unwrap();
        assert!(got == status && text.starts_with(start), "{fault}: {got} {text}");
        assert_eq!((count, outcome.as_str()), (saved, if saved == 1 { "cut" } else { "refused" }), "{fault}");
    }
}

fn with_call(fault: &Value) -> Value {
    let mut fault = fault.clone();
    fault["call"] = json!("batchsave");
    fault
}

#[tokio::test]
async fn broken_bodies_come_after_the_work() {
    for kind in ["truncated", "broken_chunk"] {
        let (result, count, outcome) = meet(json!({ "kind": kind, "call": "BatchSave" })).await;
        let error = result.unwrap_err();
        assert!(error.is_body() || error.is_decode(), "{kind}: {error:?}");
        assert_eq!((count, outcome.as_str()), (1, "cut"), "{kind}");
    }
}

#[tokio::test]
async fn late_work_is_done_after_the_caller_was_cut_off() {
    for how in ["rst", "hang"] {
        let galaxy = Galaxy::with_base_data(&[]).await;
        galaxy.tell("/faults", json!({ "kind": "late", "call": "BatchSave", "ms": 2_000, "how": how })).await;
        let session = galaxy.login().await;
        let hasty = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(200)).build().unwrap();
        let request = hasty.post(galaxy.method_url("BatchSave")).header("kdservice-sessionid", session);
        let error = request.json(&save_of("F")).send().await.unwrap_err();
        assert_eq!(error.is_timeout(), how == "hang", "{error:?}");
        assert_eq!(galaxy.rows("FBillNo", "").await, json!([]));
        arrives(&galaxy).await;
    }
}

/// Waits until the store holds bill F.
async fn arrives(galaxy: &Galaxy) {
    let started = Instant::now();
    while galaxy.rows("FBillNo", "").await != json!([["F"]]) {
        assert!(started.elapsed() < Duration::from_secs(20), "the work never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn latency_delays_and_the_work_goes_on_without_its_caller() {
    for at in ["before", "after"] {
        let galaxy = Galaxy::with_base_data(&[]).await;
        galaxy.tell("/faults", json!({ "kind": "latency", "call": "BatchSave", "ms": 2_000, "at": at })).await;
        let session = galaxy.login().await;
        let hasty = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(300)).build().unwrap();
        let request = hasty.post(galaxy.method_url("BatchSave")).header("kdservice-sessionid", session);
        let started = Instant::now();
        assert!(request.json(&save_of("F")).send().await.unwrap_err().is_timeout());
        arrives(&galaxy).await;
        // Before the work the delay keeps it from the store, after it the reply alone.
        assert_eq!(started.elapsed() >= Duration::from_secs(2), at == "before", "{at}: {:?}", started.elapsed());
    }
    let galaxy = Galaxy::with_base_data(&["--fail", "latency:call=BatchSave,ms=150"]).await;
    let started = Instant::now();
    galaxy.call("BatchSave", save_of("F")).await;
    assert!(started.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_replica_that_lags_behind_shows_what_stood() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    galaxy.call("BatchSave", save_of("F")).await;
    galaxy.tell("/snapshot", json!({})).await;
    galaxy.call("BatchSave", save_of("G")).await;
    assert_eq!(galaxy.rows("FBillNo", "").await, json!([["F"], ["G"]]), "only where a fault asks for it");
    galaxy.tell("/faults", json!({ "kind": "stale", "call": "ExecuteBillQuery", "count": 1 })).await;
    assert_eq!(galaxy.rows("FBillNo", "").await, json!([["F"]]));
    assert_eq!(galaxy.rows("FBillNo", "").await, json!([["F"], ["G"]]));
}

#[tokio::test]
async fn a_page_is_cut_to_the_rows_of_a_clamp() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    for number in ["F", "G", "H"] {
        galaxy.call("BatchSave", save_of(number)).await;
    }
    for (rows, seen) in [(2, json!([["F"], ["G"]])), (0, json!([])), (9, json!([["F"], ["G"], ["H"]]))] {
        galaxy.tell("/faults", json!({ "kind": "clamp", "call": "ExecuteBillQuery", "rows": rows })).await;
        assert_eq!(galaxy.rows("FBillNo", "").await, seen, "{rows}");
    }
    assert_eq!(galaxy.rows("FBillNo", "").await, json!([["F"], ["G"], ["H"]]), "only where a fault asks for it");
}

#[tokio::test]
async fn refusals_of_a_whole_call_leave_no_work() {
    for (fault, code) in [
        (json!({ "kind": "lock", "call": "BatchSave" }), 13),
        (json!({ "kind": "throttle", "call": "BatchSave" }), 14),
        (json!({ "kind": "error", "call": "BatchSave", "code": 6, "message": "数据库操作失败" }), 6),
        (json!({ "kind": "session_loss", "call": "BatchSave", "force": true }), 1),
        (json!({ "kind": "session_loss", "call": "BatchSave" }), 1),
    ] {
        let galaxy = Galaxy::with_base_data(&[]).await;
        galaxy.tell("/faults", fault.clone()).await;
        let reply = galaxy.call("BatchSave", save_of("F")).await;
        assert_eq!(refusal(&reply).0, code, "{fault}");
        assert_eq!(galaxy.ask(&format!("/dump?form={FORM}")).await, json!([]), "{fault}");
    }
    let galaxy = Galaxy::with_base_data(&[
        "--fail",
        "confirm:call=ExecuteBillQuery",
        "--fail",
        "throttle:call=View,http=true,ms=7000",
    ])
    .await;
    let reply = galaxy.rows("FBillNo", "").await;
    assert_eq!(reply[0]["actionname"], json!("showConfirm"));
    assert!(reply[0]["params"][0]["msg"].as_str().unwrap().contains("请求参数存在可疑数据"));
    let request =
        galaxy.http.post(galaxy.method_url("View")).json(&json!({ "formid": FORM, "data": { "Number": "x" } }));
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "7"));
}

#[tokio::test]
async fn documents_are_refused_by_index_or_number() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    galaxy.tell("/faults", json!([
        { "kind": "refuse_save", "call": "BatchSave", "indexes": [0], "count": 1, "message": "插件拒绝", "field": "FNOTE" },
        { "kind": "lock", "call": "BatchSave", "numbers": ["N-2"] },
        { "kind": "refuse_audit", "numbers": ["N-3"] },
        { "kind": "messages", "call": "Audit", "message": "单据编号为“X”的应收单，审核成功！" },
    ])).await;
    let models =
        json!([bill("N-1", "M1", "1"), bill("N-2", "M1", "1"), bill("N-3", "M1", "1"), bill("N-4", "M1", "1")]);
    let reply = galaxy.batch_save(models.clone(), json!({})).await;
    assert_eq!(indexes(&reply), (vec![json!(2), json!(3)], vec![json!(0), json!(1)]));
    let errors = &reply["Result"]["ResponseStatus"]["Errors"];
    assert_eq!((&errors[0]["Message"], &errors[0]["FieldName"]), (&json!("插件拒绝"), &json!("FNOTE")));
    assert!(errors[1]["Message"].as_str().unwrap().contains("网络控制冲突"));

    let numbers = json!({ "formid": FORM, "data": { "Numbers": ["N-3", "N-4"] } });
    galaxy.call("Submit", numbers.clone()).await;
    let reply = galaxy.call("Audit", numbers).await;
    assert_eq!(indexes(&reply), (vec![json!(1)], vec![json!(0)]));
    let messages = &reply["Result"]["ResponseStatus"]["SuccessMessages"];
    assert_eq!(messages[0]["Message"], json!("单据编号为“X”的应收单，审核成功！"));

    // Both save faults were for one call; the refusal of the audit stays until it is ended.
    let reply = galaxy.batch_save(json!([bill("N-1", "M1", "1"), bill("N-2", "M1", "1")]), json!({})).await;
    assert_eq!(indexes(&reply).1, Vec::<Value>::new());
    assert_eq!(
        galaxy
            .http
            .delete(format!("{}/faults/3", galaxy.running.admin_url()))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        r#"{"ended":1}"#
    );
    let reply = galaxy.call("Audit", json!({ "formid": FORM, "data": { "Numbers": ["N-3"] } })).await;
    assert_eq!(refusal(&reply).0, 0);
}

#[tokio::test]
async fn a_dindex_can_be_odd_in_four_ways() {
    for (how, expected) in [
        ("missing", vec![json!(0), json!(2)]),
        ("repeated", vec![json!(0), json!(0), json!(2)]),
        ("out_of_range", vec![json!(0), json!(1_001), json!(2)]),
        ("text", vec![json!(0), json!("1"), json!(2)]),
    ] {
        let galaxy = Galaxy::with_base_data(&[]).await;
        galaxy.tell("/faults", json!({ "kind": "odd_dindex", "call": "BatchSave", "indexes": [1], "how": how })).await;
        let models = json!([bill("O-1", "M1", "1"), bill("O-2", "M1", "1"), bill("O-3", "M1", "1")]);
        assert_eq!(indexes(&galaxy.batch_save(models, json!({})).await).0, expected, "{how}");
        assert_eq!(galaxy.rows("FBillNo", "").await.as_array().unwrap().len(), 3, "{how}");
    }
}

#[tokio::test]
async fn faults_are_counted_and_probabilities_are_seeded() {
    let run = async |seed: &str| {
        let galaxy = Galaxy::start(&["--seed", seed, "--fail", "error:call=View,probability=0.5,code=4"]).await;
        let mut met = Vec::new();
        for _ in 0..30 {
            let reply = galaxy.call("View", json!({ "formid": "BD_UNIT", "data": { "Number": "Pcs" } })).await;
            met.push(reply["Result"]["ResponseStatus"].is_object());
        }
        let faults = galaxy.ask("/faults").await;
        let count = met.iter().filter(|met| **met).count();
        assert_eq!((&faults[0]["seen"], &faults[0]["met"]), (&json!(30), &json!(count)));
        assert!((5..=25).contains(&count), "{count}");
        met
    };
    assert_eq!(run("5").await, run("5").await);
    assert_ne!(run("5").await, run("6").await);
}
