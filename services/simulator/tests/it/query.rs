//! Rows, order and pages.

use serde_json::{Value, json};

use crate::harness::{FORM, Galaxy, bill, refusal};

/// Bills Q-1 to Q-`count`, the n-th with n rows of materials M1 and M2 in turn and quantity n.
async fn filled(arguments: &[&str], count: usize) -> Galaxy {
    let galaxy = Galaxy::with_base_data(arguments).await;
    let bills: Vec<Value> = (1..=count)
        .map(|n| {
            let mut bill = bill(&format!("Q-{n}"), "M1", &n.to_string());
            let row = bill["FEntity"][0].clone();
            let rows = (0..n).map(|at| {
                let mut row = row.clone();
                row["FMATERIALID"]["FNumber"] = json!(if at % 2 == 0 { "M1" } else { "M2" });
                row
            });
            bill["FEntity"] = rows.collect();
            bill
        })
        .collect();
    galaxy.plant(FORM, bills.into()).await;
    galaxy
}

async fn page(galaxy: &Galaxy, keys: &str, order: &str, [top, start, limit]: [u32; 3]) -> Value {
    let page = json!({ "FormId": "stk_miscellaneous", "FieldKeys": keys, "OrderString": order,
        "TopRowCount": top, "StartRow": start, "Limit": limit });
    galaxy.query(page).await
}

#[tokio::test]
async fn entry_keys_give_a_row_per_line_with_the_head_repeated() {
    let galaxy = filled(&[], 3).await;
    assert_eq!(galaxy.rows("FBillNo", "").await, json!([["Q-1"], ["Q-2"], ["Q-3"]]));
    assert_eq!(
        galaxy.rows("FBillNo, FEntity_FSeq, FMaterialId.FNumber, FQty", "FBillNo >= 'Q-2'").await.to_string(),
        r#"[["Q-2",1,"M1",2.0],["Q-2",2,"M2",2.0],["Q-3",1,"M1",3.0],["Q-3",2,"M2",3.0],["Q-3",3,"M1",3.0]]"#
    );
    // A condition on rows with head keys alone: one row for each document that has such a row.
    assert_eq!(galaxy.rows("FBillNo", "FMATERIALID.FNumber = 'M1'").await, json!([["Q-1"], ["Q-2"], ["Q-3"]]));
    let ids = galaxy.rows("FID,FEntity_FEntryID", "").await;
    let entries: Vec<i64> = ids.as_array().unwrap().iter().map(|row| row[1].as_i64().unwrap()).collect();
    assert!(entries.is_sorted() && entries.len() == 6);
}

#[tokio::test]
async fn values_come_as_the_page_says() {
    let galaxy = filled(&[], 1).await;
    let keys = "FBillTypeID.FNumber,FStockOrgId.FName,FSUPPLIERID,FSUPPLIERID.FNumber,FDate,FNOTE,FDocumentStatus,FMATERIALID.FBaseUnitId.FNumber";
    assert_eq!(
        galaxy.rows(keys, "").await,
        json!([["QTRKD01_SYS", "组织109", null, null, "2024-03-14T00:00:00", null, "C", "Pcs"]])
    );
    let raw = galaxy.rows("FStockOrgId", "").await;
    assert!(raw[0][0].is_i64(), "{raw}");
    let objects = galaxy
        .call("BillQuery", json!({ "data": { "FormId": FORM, "FieldKeys": "FBillNo,FStockOrgId.FNumber" } }))
        .await;
    assert_eq!(objects, json!([{ "FBillNo": "Q-1", "FStockOrgId.FNumber": "109" }]));
}

#[tokio::test]
async fn order_takes_several_keys_and_directions() {
    let galaxy = filled(&[], 3).await;
    let rows =
        page(&galaxy, "FBillNo,FEntity_FSeq", "FMATERIALID.FNumber DESC, FBillNo desc, FEntity_FSeq", [0, 0, 0]).await;
    assert_eq!(rows, json!([["Q-3", 2], ["Q-2", 2], ["Q-3", 1], ["Q-3", 3], ["Q-2", 1], ["Q-1", 1]]));
    assert_eq!(page(&galaxy, "FBillNo", "FID desc", [0, 0, 2]).await, json!([["Q-3"], ["Q-2"]]));
    assert_eq!(refusal(&page(&galaxy, "FBillNo", "FNothing", [0, 0, 2]).await).0, 9);
    assert_eq!(refusal(&page(&galaxy, "FBillNo", "FID upwards", [0, 0, 2]).await).0, 4);
}

#[tokio::test]
async fn start_limit_and_the_absolute_cap_work_together() {
    let galaxy = filled(&[], 4).await;
    let keys = "FBillNo,FEntity_FSeq";
    for order in ["FID ASC, FEntity_FEntryID ASC", "FBillNo,FEntity_FSeq", ""] {
        let all = page(&galaxy, keys, order, [0, 0, 0]).await;
        let all = all.as_array().unwrap();
        assert_eq!(all.len(), 10);
        for (pages, range) in [
            ([0, 0, 3], 0..3),
            ([0, 3, 3], 3..6),
            ([0, 9, 3], 9..10),
            ([0, 10, 3], 10..10),
            ([5, 0, 3], 0..3),
            ([5, 3, 3], 3..5),
            ([5, 6, 3], 6..6),
            ([5, 0, 0], 0..5),
            ([0, 99, 0], 10..10),
        ] {
            let expected = all.get(range).unwrap_or_default();
            assert_eq!(page(&galaxy, keys, order, pages).await, json!(expected), "{order} {pages:?}");
        }
    }
}

#[tokio::test]
async fn the_ceiling_clamps_or_refuses() {
    let clamping = filled(&["--page-clamp", "4"], 4).await;
    for limit in [0, 4, 5, 2_000] {
        assert_eq!(page(&clamping, "FEntity_FSeq", "", [0, 0, limit]).await.as_array().unwrap().len(), 4, "{limit}");
    }
    let refusing = filled(&["--page-refuse", "4"], 4).await;
    assert_eq!(refusal(&page(&refusing, "FEntity_FSeq", "", [0, 0, 5]).await).0, 8);
    for limit in [0, 4] {
        assert_eq!(page(&refusing, "FEntity_FSeq", "", [0, 0, limit]).await.as_array().unwrap().len(), 4, "{limit}");
    }
}

#[tokio::test]
async fn paging_by_key_reads_every_row_once() {
    let galaxy = filled(&[], 7).await;
    let mut rows = Vec::new();
    let (mut id, mut entry) = (0, 0);
    loop {
        let filter = format!("FID > {id} or FID = {id} and FEntity_FEntryID > {entry}");
        let query = json!({ "FormId": FORM, "FieldKeys": "FID,FEntity_FEntryID,FBillNo", "FilterString": filter,
            "OrderString": "FID ASC,FEntity_FEntryID ASC", "Limit": 5 });
        let page = galaxy.query(query).await;
        let Some(last) = page.as_array().unwrap().last() else { break };
        (id, entry) = (last[0].as_i64().unwrap(), last[1].as_i64().unwrap());
        rows.extend(page.as_array().unwrap().clone());
    }
    assert_eq!(json!(rows), galaxy.rows("FID,FEntity_FEntryID,FBillNo", "").await);
    assert_eq!(rows.len(), 28);
}

#[tokio::test]
async fn queries_that_cannot_be_are_refused_in_their_own_shape() {
    let galaxy = filled(&[], 1).await;
    let wrapped = |reply: &Value| reply[0][0]["Result"]["ResponseStatus"]["IsSuccess"] == json!(false);
    for (data, code, text) in [
        (json!({ "FormId": "NOPE", "FieldKeys": "FID" }), 4, "标识为“NOPE”的业务对象不存在，或者被删除。"),
        (json!({ "FormId": FORM, "FieldKeys": "FID,FNope" }), 9, "元数据中标识为FNope的字段不存在"),
        (json!({ "FormId": FORM, "FieldKeys": " " }), 8, "data数据包中的参数FieldKeys的值不能为空。"),
        (json!({ "FieldKeys": "FID" }), 5, ""),
    ] {
        let reply = galaxy.query(data.clone()).await;
        assert!(wrapped(&reply), "{reply}");
        let (got, message) = refusal(&reply);
        assert!(got == code && message.contains(text), "{reply}");
        let bare = galaxy.call("BillQuery", json!({ "data": data })).await;
        assert_eq!(refusal(&bare), (code, message));
        assert!(bare.is_object());
    }
}
