//! Submit, Audit, UnAudit, CancelAssign, Delete, View.

use serde_json::{Value, json};

use crate::harness::{FORM, Galaxy, bill, indexes, refusal};

async fn run(galaxy: &Galaxy, method: &str, data: Value) -> Value {
    galaxy.call(method, json!({ "parameters": [FORM, data.to_string()] })).await
}

async fn statuses(galaxy: &Galaxy) -> Value {
    galaxy.rows("FBillNo,FDocumentStatus", "").await
}

#[tokio::test]
async fn a_document_walks_through_its_states() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    galaxy.tell("/clock", json!({ "now": "2026-01-01 08:00:00", "frozen": true })).await;
    galaxy.batch_save(json!([bill("W-1", "M1", "1")]), json!({})).await;
    let one = json!({ "Numbers": ["W-1"] });
    let dates = "FDocumentStatus,FCreateDate,FModifyDate,FApproveDate";
    let mut seen = Vec::new();
    for (method, code) in [
        ("Audit", 11),
        ("UnAudit", 11),
        ("CancelAssign", 11),
        ("Submit", 0),
        ("Submit", 11),
        ("Delete", 12),
        ("CancelAssign", 0),
        ("Submit", 0),
        ("Audit", 0),
        ("Audit", 11),
        ("Submit", 11),
        ("Delete", 12),
        ("UnAudit", 0),
        ("Submit", 0),
        ("Audit", 0),
        ("UnAudit", 0),
        ("Delete", 0),
        ("Delete", 9),
    ] {
        galaxy.tell("/clock", json!({ "advance_ms": 60_000 })).await;
        let reply = run(&galaxy, method, one.clone()).await;
        assert_eq!(refusal(&reply).0, code, "{method}: {reply}");
        if code == 0 {
            seen.push(galaxy.rows(dates, "").await[0].clone());
        }
    }
    let created = "2026-01-01T08:00:00";
    let row = |status: &str, approved: Value| json!([status, created, created, approved]);
    assert_eq!(
        seen,
        [
            row("B", json!(null)),
            row("D", json!(null)),
            row("B", json!(null)),
            row("C", json!("2026-01-01T08:09:00")),
            row("D", json!(null)),
            row("B", json!(null)),
            row("C", json!("2026-01-01T08:15:00")),
            row("D", json!(null)),
            json!(null),
        ]
    );
}

#[tokio::test]
async fn what_is_missing_is_passed_over_and_indexes_follow_the_ids() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    galaxy.batch_save(json!([bill("W-1", "M1", "1"), bill("W-2", "M1", "1"), bill("W-3", "M1", "1")]), json!({})).await;
    let reply = run(&galaxy, "Submit", json!({ "Numbers": ["W-3", "GONE", "W-1"] })).await;
    let entities = reply["Result"]["ResponseStatus"]["SuccessEntitys"].as_array().unwrap();
    let numbers: Vec<(&Value, &Value)> = entities.iter().map(|entity| (&entity["DIndex"], &entity["Number"])).collect();
    assert_eq!(numbers, [(&json!(0), &json!("W-1")), (&json!(1), &json!("W-3"))]);

    let reply = run(&galaxy, "Audit", json!({ "Numbers": ["W-3", "W-2", "W-1"] })).await;
    assert_eq!(indexes(&reply), (vec![json!(0), json!(2)], vec![json!(1)]));
    let reply = run(&galaxy, "Audit", json!({ "Numbers": ["W-3"] })).await;
    assert_eq!(refusal(&reply), (11, "单据编号为“W-3”的其他入库单，单据已经审核！".to_owned()));

    let gone = run(&galaxy, "Audit", json!({ "Numbers": ["GONE"] })).await;
    assert_eq!(refusal(&gone), (9, "编码值[\"GONE\"]不存在".to_owned()));
    let gone = run(&galaxy, "Audit", json!({ "Numbers": ["GONE", "ALSO"] })).await;
    assert!(refusal(&gone).1.contains("传递的编码值不存在"));
    assert_eq!(refusal(&run(&galaxy, "Audit", json!({})).await).0, 8);
    assert_eq!(statuses(&galaxy).await, json!([["W-1", "C"], ["W-2", "A"], ["W-3", "C"]]));
}

#[tokio::test]
async fn ids_win_over_numbers_unless_told_otherwise() {
    for (switch, expected) in [("ids", ["B", "A"]), ("numbers", ["A", "B"]), ("both", ["B", "B"])] {
        let galaxy = Galaxy::with_base_data(&["--selection", switch]).await;
        galaxy.batch_save(json!([bill("W-1", "M1", "1"), bill("W-2", "M1", "1")]), json!({})).await;
        let id = galaxy.rows("FID", "FBillNo = 'W-1'").await[0][0].as_i64().unwrap();
        run(&galaxy, "Submit", json!({ "Ids": id.to_string(), "Numbers": ["W-2"] })).await;
        assert_eq!(galaxy.rows("FDocumentStatus", "").await, json!([[expected[0]], [expected[1]]]), "{switch}");
    }
}

#[tokio::test]
async fn view_uses_orm_names_and_null_means_success() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    galaxy.batch_save(json!([bill("W-1", "M1", "1.25")]), json!({})).await;
    let id = galaxy.rows("FID", "").await[0][0].clone();
    for data in [json!({ "Number": "W-1" }), json!({ "Id": id.to_string() }), json!({ "Id": id, "Number": "" })] {
        let view = run(&galaxy, "View", data).await;
        assert_eq!(view["Result"]["ResponseStatus"], json!(null));
        let inner = &view["Result"]["Result"];
        assert_eq!((&inner["Id"], &inner["BillNo"], &inner["DocumentStatus"]), (&id, &json!("W-1"), &json!("A")));
        assert_eq!(inner["StockOrgId"]["Number"], json!("109"));
        assert_eq!(inner["StockOrgId"]["Name"], json!([{ "Key": 2052, "Value": "组织109" }]));
        assert_eq!(inner["StockOrgId_Id"], inner["StockOrgId"]["Id"]);
        let row = &inner["STK_MISCELLANEOUSENTRY"][0];
        assert_eq!(
            (&row["Seq"], row["Qty"].to_string().as_str(), &row["MATERIALID"]["Number"]),
            (&json!(1), "1.25", &json!("M1"))
        );
    }
    assert_eq!(
        refusal(&run(&galaxy, "View", json!({ "Number": "GONE" })).await),
        (9, "编码值[\"GONE\"]不存在".to_owned())
    );
    assert_eq!(refusal(&run(&galaxy, "View", json!({})).await).0, 8);
    assert_eq!(refusal(&galaxy.call("Push", json!({ "formid": FORM, "data": {} })).await).0, 4);
}

#[tokio::test]
async fn the_metadata_of_a_form_lists_its_fields() {
    let galaxy = Galaxy::start(&[]).await;
    let info = galaxy.call("QueryBusinessInfo", json!({ "data": { "FormId": FORM } })).await;
    let info = &info["Result"]["NeedReturnData"];
    assert_eq!((&info["Id"], &info["PkFieldName"]), (&json!(FORM), &json!("FID")));
    let entry = info["Entrys"].as_array().unwrap().iter().find(|entry| entry["Key"] == json!("FEntity")).unwrap();
    let field = entry["Fields"].as_array().unwrap().iter().find(|field| field["Key"] == json!("FMATERIALID")).unwrap();
    assert_eq!((&field["FieldType"], &field["LookUpObject"]["FormId"]), (&json!("basedata"), &json!("BD_MATERIAL")));
}
