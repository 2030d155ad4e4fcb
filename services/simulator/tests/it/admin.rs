//! The admin port.

use serde_json::json;

use crate::harness::{FORM, Galaxy, SECRET, bill};

#[tokio::test]
async fn documents_are_planted_changed_dumped_and_removed() {
    let galaxy = Galaxy::start(&[]).await;
    let mut planted = bill("D-1", "NEW", "1.50");
    planted["FApproveDate"] = json!("2020-01-02T03:04:05");
    let ids = galaxy.plant(FORM, json!([planted, { "FBillNo": "D-2", "FDocumentStatus": "B" }])).await;
    let keys = "FID,FBillNo,FDocumentStatus,FApproveDate,FMATERIALID.FNumber";
    assert_eq!(
        galaxy.rows(keys, "").await,
        json!([[ids["ids"][0], "D-1", "C", "2020-01-02T03:04:05", "NEW"], [ids["ids"][1], "D-2", "B", null, null]])
    );
    // By id, an audited document is edited as if by hand.
    galaxy.plant(FORM, json!([{ "FID": ids["ids"][0], "FNOTE": "by hand" }])).await;
    let dump = galaxy.ask(&format!("/dump?form={FORM}&number=D-1")).await;
    assert_eq!((&dump[0]["FNOTE"], &dump[0]["FDocumentStatus"]), (&json!("by hand"), &json!("C")));
    assert_eq!(dump[0]["FEntity"][0]["FMATERIALID"], json!({ "FNumber": "NEW" }));
    assert_eq!(dump[0]["FEntity"][0]["FQty"].to_string(), "1.5");

    let url = format!("{}/documents?form={FORM}&number=D-1", galaxy.running.admin_url());
    assert_eq!(galaxy.http.delete(url).send().await.unwrap().text().await.unwrap(), r#"{"removed":1}"#);
    assert_eq!(galaxy.rows("FBillNo", "").await, json!([["D-2"]]));
}

#[tokio::test]
async fn a_number_is_planted_twice_only_on_demand() {
    let galaxy = Galaxy::start(&[]).await;
    let twice = |allow: bool| json!({ "form": FORM, "documents": [{ "FBillNo": "T" }, { "FBillNo": "T" }], "allow_duplicate": allow });
    let url = format!("{}/documents", galaxy.running.admin_url());
    let refused = galaxy.http.post(&url).json(&twice(false)).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 400);
    assert!(refused.text().await.unwrap().contains("违反字段唯一性要求"));
    galaxy.tell("/documents", twice(true)).await;
    assert_eq!(galaxy.rows("FBillNo", "FBillNo = 'T'").await, json!([["T"], ["T"], ["T"]]));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let galaxy = Galaxy::start(&[]).await;
    for (path, body) in [
        ("/faults", json!({ "kind": "earthquake" })),
        ("/faults", json!([{ "kind": "latency" }, { "kind": "latency", "colour": "red" }])),
        ("/faults", json!({ "kind": "latency", "how": "rst" })),
        ("/documents", json!({ "form": "NOPE", "documents": [] })),
        ("/documents", json!({ "form": FORM, "document": {} })),
        ("/clock", json!({ "now": "soon" })),
        ("/secret", json!({ "app_secret": "" })),
        ("/secret", json!({ "password": "x" })),
    ] {
        let url = format!("{}{path}", galaxy.running.admin_url());
        let response = galaxy.http.post(url).json(&body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 400, "{path} {body}");
    }
    assert_eq!(galaxy.ask("/faults").await, json!([]));
}

#[tokio::test]
async fn the_clock_is_seen_in_the_date_header() {
    let galaxy = Galaxy::start(&[]).await;
    let told = galaxy.tell("/clock", json!({ "now": "2026-01-01T08:00:00+08:00", "frozen": true })).await;
    assert_eq!(told, json!({ "utc": "2026-01-01T00:00:00+00:00", "local": "2026-01-01T08:00:00" }));
    let date = async || {
        let response = galaxy.http.post(galaxy.method_url("View")).json(&json!({})).send().await.unwrap();
        response.headers()["date"].to_str().unwrap().to_owned()
    };
    assert_eq!(date().await, "Thu, 01 Jan 2026 00:00:00 GMT");
    galaxy.tell("/clock", json!({ "advance_ms": -3_600_000 })).await;
    assert_eq!(date().await, "Wed, 31 Dec 2025 23:00:00 GMT");
    galaxy.tell("/clock", json!({ "reset": true })).await;
    assert!(date().await.ends_with("GMT"));
}

#[tokio::test]
async fn the_log_tells_everything_but_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.jsonl");
    let galaxy = Galaxy::with_base_data(&["--request-log", file.to_str().unwrap()]).await;
    let session = galaxy.login().await;
    galaxy.batch_save(json!([bill("L-1", "M1", "1"), bill("L-1", "M1", "1")]), json!({})).await;
    galaxy.rows("FBillNo", "FBillNo = 'L-1'").await;

    let log = galaxy.ask("/log").await;
    let save = log.as_array().unwrap().iter().find(|record| record["method"] == json!("BatchSave")).unwrap();
    assert_eq!(
        (&save["form"], &save["outcome"], &save["result"]),
        (&json!(FORM), &json!("executed"), &json!("partial"))
    );
    assert_eq!(save["documents"][0], json!({ "DIndex": 0, "Number": "L-1", "ended": "saved" }));
    assert!(save["documents"][1]["ended"].as_str().unwrap().contains("违反字段唯一性要求"));
    let last = log.as_array().unwrap().last().unwrap();
    assert_eq!(last["query"], json!({ "filter": "FBillNo = 'L-1'", "order": "", "start": 0, "limit": 0, "rows": 1 }));
    let after = galaxy.ask(&format!("/log?after={}", last["sequence"].as_u64().unwrap() - 1)).await;
    assert_eq!(after, json!([last]));

    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json!(lines), log);
    assert!(!text.contains(SECRET) && !text.contains(&session));
}
