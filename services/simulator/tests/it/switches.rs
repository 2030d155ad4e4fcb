//! Open points of the page, each under all its settings.

use serde_json::{Value, json};

use crate::harness::{ACCOUNT, APP_ID, FORM, Galaxy, SECRET, USER, bill, indexes, refusal};

#[tokio::test]
async fn a_refused_audit_undoes_the_save_or_leaves_it() {
    for (switch, left) in [("rollback", json!([["S-2", "C"]])), ("keep", json!([["S-1", "B"], ["S-2", "C"]]))] {
        let galaxy = Galaxy::with_base_data(&["--audit-failure", switch, "--fail", "refuse_audit:numbers=S-1"]).await;
        let models = json!([bill("S-1", "M1", "1"), bill("S-2", "M1", "1")]);
        let reply = galaxy.batch_save(models, json!({ "IsAutoSubmitAndAudit": true })).await;
        assert_eq!(indexes(&reply), (vec![json!(1)], vec![json!(0)]), "{switch}");
        assert_eq!(galaxy.rows("FBillNo,FDocumentStatus", "").await, left, "{switch}");
    }
}

#[tokio::test]
async fn a_rolled_back_update_restores_what_was_there() {
    let galaxy = Galaxy::with_base_data(&["--fail", "refuse_audit:numbers=S-1"]).await;
    galaxy.batch_save(json!([bill("S-1", "M1", "1")]), json!({})).await;
    let id = galaxy.rows("FID", "").await[0][0].clone();
    let model = json!([{ "FID": id, "FBillNo": "S-1", "FNOTE": "new" }]);
    galaxy.batch_save(model, json!({ "IsAutoSubmitAndAudit": true })).await;
    assert_eq!(galaxy.rows("FBillNo,FDocumentStatus,FNOTE", "").await, json!([["S-1", "A", null]]));
}

#[tokio::test]
async fn numbers_are_unique_or_not() {
    for (switch, count) in [("on", 1), ("off", 2)] {
        let galaxy = Galaxy::with_base_data(&["--unique-numbers", switch]).await;
        galaxy.batch_save(json!([bill("S-1", "M1", "1"), bill("S-1", "M1", "2")]), json!({})).await;
        let rows = galaxy.rows("FID", "FBillNo = 'S-1'").await;
        assert_eq!(rows.as_array().unwrap().len(), count, "{switch}");
        let submitted = galaxy.call("Submit", json!({ "formid": FORM, "data": { "Numbers": "S-1" } })).await;
        assert_eq!(indexes(&submitted).0.len(), count, "{switch}");
    }
}

#[tokio::test]
async fn numbers_are_kept_or_given_by_the_server() {
    for (switch, kept) in [("on", true), ("off", false)] {
        let galaxy = Galaxy::with_base_data(&["--kept-numbers", switch]).await;
        let reply = galaxy.batch_save(json!([bill("S-1", "M1", "1")]), json!({})).await;
        let saved = &reply["Result"]["ResponseStatus"]["SuccessEntitys"][0];
        assert_eq!(saved["Number"] == json!("S-1"), kept, "{switch}: {reply}");
        // A change names the document by its id, and its number stays.
        let model = json!([{ "FID": saved["Id"], "FNOTE": "new" }]);
        galaxy.batch_save(model, json!({})).await;
        assert_eq!(galaxy.rows("FBillNo,FNOTE", "").await, json!([[saved["Number"], "new"]]), "{switch}");
    }
}

#[tokio::test]
async fn texts_that_were_never_given_read_as_told() {
    for (switch, absent, empty) in
        [("null", json!(null), json!("")), ("empty", json!(""), json!("")), ("blank", json!(" "), json!(" "))]
    {
        let galaxy = Galaxy::with_base_data(&["--empty-text", switch]).await;
        let mut second = bill("S-2", "M1", "1");
        second["FNOTE"] = json!("");
        galaxy.batch_save(json!([bill("S-1", "M1", "1"), second]), json!({})).await;
        assert_eq!(galaxy.rows("FNOTE", "").await, json!([[absent], [empty]]), "{switch}");
    }
}

#[tokio::test]
async fn required_fields_are_demanded_or_not() {
    for (switch, code) in [("on", 11), ("off", 0)] {
        let galaxy = Galaxy::with_base_data(&["--required-fields", switch]).await;
        let model = json!([{ "FBillNo": "S-1", "FStockOrgId": "109", "FEntity": [{ "FQty": 1 }] }]);
        assert_eq!(refusal(&galaxy.batch_save(model, json!({})).await).0, code, "{switch}");
    }
}

#[tokio::test]
async fn the_prefix_and_the_spelling_of_the_generic_operation_are_settings() {
    let galaxy = Galaxy::start(&["--url-prefix", "galaxy/k3cloud", "--operation-spelling", "execute"]).await;
    assert!(galaxy.running.url().ends_with("/galaxy/k3cloud/"));
    let forbid = json!({ "formid": "BD_UNIT", "opNumber": "Forbid", "data": { "Numbers": ["kg"] } });
    assert_eq!(refusal(&galaxy.call("ExcuteOperation", forbid.clone()).await).0, 4);
    assert_eq!(refusal(&galaxy.call("executeoperation", forbid).await).0, 0);
    let wrong = galaxy.method_url("View").replace("galaxy/k3cloud", "K3Cloud");
    assert_eq!(galaxy.http.post(wrong).body("{}").send().await.unwrap().status().as_u16(), 404);
    assert_eq!(galaxy.http.get(galaxy.method_url("View")).send().await.unwrap().status().as_u16(), 405);
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_msgcode_8() {
    let galaxy = Galaxy::start(&[]).await;
    for body in ["{", "{\"data\": 7}", "{\"parameters\": \"[\"}"] {
        let response = galaxy.http.post(galaxy.method_url("Save")).body(body).send().await.unwrap();
        let reply: Value = response.json().await.unwrap();
        assert_eq!(refusal(&reply).0, 8, "{body}");
    }
}

#[tokio::test]
async fn settings_that_make_no_sense_start_nothing() {
    let usual = ["--acct-id", ACCOUNT, "--app-id", APP_ID, "--user", USER];
    let options =
        |further: &[&'static str]| simulator::Options::from_arguments(usual.into_iter().chain(further.iter().copied()));
    assert!(options(&[]).is_err());
    assert!(!format!("{:?}", options(&["--app-secret", SECRET])).contains(SECRET));
    assert!(options(&["--app-secret", SECRET, "--page-clamp", "1", "--page-refuse", "1"]).is_err());
    assert!(options(&["--app-secret", SECRET, "--zone", "Nowhere"]).is_err());
    for (further, says) in [
        (["--fail", "earthquake"], "--fail earthquake: unknown variant"),
        (["--approved-at", "soon"], "--approved-at soon is not a time"),
        (["--schema", "no-such-file.toml"], "no-such-file.toml"),
    ] {
        let options = options(&[&["--app-secret", SECRET], &further[..]].concat()).unwrap();
        let error = simulator::start(&options).await.unwrap_err();
        assert!(error.to_string().starts_with(says), "{error}");
    }
}
