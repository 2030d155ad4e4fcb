//! Save, BatchSave and Draft.

use serde_json::{Value, json};

use crate::harness::{FORM, Galaxy, bill, indexes, refusal};

async fn save(galaxy: &Galaxy, model: Value, further: Value) -> Value {
    let mut data = json!({ "Model": model });
    data.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    galaxy.call("Save", json!({ "formid": FORM, "data": data })).await
}

async fn saved_id(galaxy: &Galaxy, number: &str) -> i64 {
    let reply = save(galaxy, bill(number, "M1", "1"), json!({})).await;
    reply["Result"]["Id"].as_i64().unwrap()
}

#[tokio::test]
async fn each_document_of_a_batch_ends_by_itself() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    let mut two_errors = bill("P-3", "NONE", "many");
    two_errors["FStockOrgId"] = json!(null);
    let models = json!([bill("P-1", "M1", "1"), bill("P-1", "M1", "2"), two_errors, {}, bill("P-5", "M2", "5")]);
    let reply = galaxy.batch_save(models, json!({ "IsVerifyBaseDataField": "true", "BatchCount": 3 })).await;
    let status = &reply["Result"]["ResponseStatus"];
    assert_eq!(
        (&status["IsSuccess"], &status["ErrorCode"], &status["MsgCode"]),
        (&json!(false), &json!(500), &json!(11))
    );
    let errors: Vec<(u64, &str, &str)> = status["Errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            (
                error["DIndex"].as_u64().unwrap(),
                error["FieldName"].as_str().unwrap(),
                error["Message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        errors,
        [
            (1, "FBillNo", "违反字段唯一性要求：编码唯一。[P-1]在当前系统中已经被使用。"),
            (2, "FMATERIALID", "基础资料字段“物料编码”的编码值[\"NONE\"]不存在或不可用"),
            (2, "FQty", "字段“实收数量”的值“many”格式不正确"),
            (2, "FStockOrgId", "字段“库存组织”是必填项"),
            (3, "FStockOrgId", "字段“库存组织”是必填项"),
            (3, "FEntity", "单据体“明细信息”是必填项"),
        ]
    );
    assert_eq!(indexes(&reply).0, [json!(0), json!(4)]);
    assert_eq!(reply["Result"]["NeedReturnData"], json!([{}, {}]));
    assert_eq!(galaxy.rows("FBillNo,FDocumentStatus", "").await, json!([["P-1", "A"], ["P-5", "A"]]));
}

#[tokio::test]
async fn unverified_base_data_is_ignored_and_plain_text_is_a_number() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    let mut model = bill("V-1", "M1", "1");
    model["FBillTypeID"] = json!("QTRKD01_SYS");
    model["FSUPPLIERID"] = json!({ "FNumber": "UNKNOWN" });
    model["fnote"] = json!("第一");
    model["FEntity"][0]["FMATERIALID"] = json!({ "FNUMBER": "M1" });
    model["FEntity"][0]["FSTOCKID"] = json!({ "FName": "一号仓" });
    let reply =
        save(&galaxy, model.clone(), json!({ "NeedReturnFields": ["FBillNo", "FEntity.FQty", "FEntity.FEntryID"] }))
            .await;
    let id = reply["Result"]["Id"].as_i64().unwrap();
    let given = &reply["Result"]["NeedReturnData"][0];
    assert_eq!(
        (&given["FBillNo"], &given["FEntity"][0]["FQty"]),
        (&json!("V-1"), &serde_json::from_str("1.0").unwrap())
    );
    assert!(given["FEntity"][0]["FEntryID"].is_i64());
    let keys = "FID,FBillTypeID.FNumber,FSUPPLIERID.FNumber,FNOTE,FMATERIALID.FNumber,FSTOCKID.FNumber";
    assert_eq!(galaxy.rows(keys, "").await, json!([[id, "QTRKD01_SYS", null, "第一", "M1", "CK01"]]));

    // Missing required base data is named by row; a refused document leaves nothing.
    model["FBillNo"] = json!("V-2");
    model["FEntity"][0]["FMATERIALID"] = json!({ "FNumber": "UNKNOWN" });
    let reply = save(&galaxy, model, json!({})).await;
    assert_eq!(refusal(&reply), (11, "单据体实体【明细信息】第【1】行分录，【物料编码】字段必录".to_owned()));
    assert_eq!((&reply["Result"]["Id"], &reply["Result"]["Number"]), (&json!(""), &json!("")));
    assert_eq!(galaxy.rows("FBillNo", "").await, json!([["V-1"]]));
}

#[tokio::test]
async fn disabled_base_data_cannot_be_used() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    let forbid = json!({ "formid": "BD_MATERIAL", "opNumber": "Forbid", "data": { "Numbers": ["M1"] } });
    assert_eq!(indexes(&galaxy.call("ExecuteOperation", forbid).await).0, [json!(0)]);
    let verify = json!({ "IsVerifyBaseDataField": true });
    assert_eq!(refusal(&save(&galaxy, bill("F-1", "M1", "1"), verify.clone()).await).0, 9);
    let enable = json!({ "parameters": ["BD_MATERIAL", "Enable", json!({ "Numbers": ["M1"] }).to_string()] });
    assert_eq!(indexes(&galaxy.call("ExcuteOperation", enable).await).0, [json!(0)]);
    assert_eq!(refusal(&save(&galaxy, bill("F-1", "M1", "1"), verify).await).0, 0);
}

#[tokio::test]
async fn numbers_are_generated_where_absent() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    let mut model = bill("", "M1", "1");
    let first = save(&galaxy, model.clone(), json!({})).await["Result"]["Number"].clone();
    model.as_object_mut().unwrap().remove("FBillNo");
    let second = save(&galaxy, model, json!({})).await["Result"]["Number"].clone();
    assert_eq!((first, second), (json!("QTRK000001"), json!("QTRK000002")));
    let draft = galaxy.call("Draft", json!({ "formid": FORM, "data": { "Model": { "FNOTE": "later" } } })).await;
    assert_eq!(refusal(&draft).0, 0);
    assert_eq!(galaxy.rows("FBillNo,FNOTE", "FDocumentStatus = 'Z'").await, json!([[null, "later"]]));
}

#[tokio::test]
async fn an_update_goes_by_id_and_keeps_or_deletes_rows() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    let id = saved_id(&galaxy, "U-1").await;
    let row = galaxy.rows("FEntity_FEntryID", "").await[0][0].as_i64().unwrap();
    let quantities = async || galaxy.rows("FQty,FNOTE", "").await.to_string();
    let new_row = bill("", "M2", "7")["FEntity"][0].clone();

    let model = json!({ "FID": id, "FNOTE": "changed", "FEntity": [{ "FEntryID": row, "FQty": "2.50" }, new_row] });
    assert_eq!(refusal(&save(&galaxy, model, json!({})).await).0, 0);
    assert_eq!(quantities().await, r#"[[2.5,"changed"],[7.0,"changed"]]"#);

    // Rows that are not listed stay only when asked for; entities that are not listed always stay.
    let model = json!({ "FID": id, "FEntity": [{ "FEntryID": row, "FQty": 3 }] });
    save(&galaxy, model.clone(), json!({ "IsDeleteEntry": "false" })).await;
    assert_eq!(quantities().await, r#"[[3.0,"changed"],[7.0,"changed"]]"#);
    save(&galaxy, json!({ "FID": id, "FNOTE": "head" }), json!({})).await;
    assert_eq!(quantities().await, r#"[[3.0,"head"],[7.0,"head"]]"#);
    save(&galaxy, model, json!({})).await;
    assert_eq!(quantities().await, r#"[[3.0,"head"]]"#);

    // NeedUpDateFields limits what is taken.
    let model = json!({ "FID": id, "FNOTE": "no", "FEntity": [{ "FEntryID": row, "FQty": 9, "FEntryNote": "no" }] });
    save(&galaxy, model, json!({ "NeedUpDateFields": ["FEntity", "FQty"] })).await;
    assert_eq!(galaxy.rows("FQty,FNOTE,FEntryNote", "").await.to_string(), r#"[[9.0,"head",null]]"#);

    let gone = save(&galaxy, json!({ "FID": 1, "FNOTE": "x" }), json!({})).await;
    assert_eq!(refusal(&gone).0, 9);
    let emptied = save(&galaxy, json!({ "FID": id, "FEntity": [{}] }), json!({})).await;
    assert_eq!(refusal(&emptied), (11, "单据体“明细信息”是必填项".to_owned()));
}

#[tokio::test]
async fn an_audited_document_is_not_changed_and_its_number_does_not_select_it() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    let reply = galaxy.batch_save(json!([bill("A-1", "M1", "1")]), json!({ "IsAutoSubmitAndAudit": "true" })).await;
    let id = reply["Result"]["ResponseStatus"]["SuccessEntitys"][0]["Id"].as_i64().unwrap();
    let reply = save(&galaxy, json!({ "FID": id, "FNOTE": "x" }), json!({})).await;
    assert_eq!(refusal(&reply), (12, "单据编号为“A-1”的其他入库单，单据已经审核，不允许修改！".to_owned()));
    assert_eq!(refusal(&save(&galaxy, bill("A-1", "M1", "2"), json!({})).await).0, 11);
    assert_eq!(galaxy.rows("FDocumentStatus,FQty", "").await.to_string(), r#"[["C",1.0]]"#);
}

#[tokio::test]
async fn precision_repetition_and_enumerations_are_checked() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    let mut model = bill("R-1", "M1", "1");
    model["FEntity"][0]["FAmount"] = json!("10.005");
    save(&galaxy, model.clone(), json!({ "IsControlPrecision": true })).await;
    model["FBillNo"] = json!("R-2");
    let data = json!({ "ValidateRepeatJson": true });
    assert_eq!(refusal(&save(&galaxy, model.clone(), data.clone()).await).0, 0);
    assert_eq!(refusal(&save(&galaxy, model.clone(), data).await), (11, "重复的Json数据包，不允许提交。".to_owned()));
    assert_eq!(galaxy.rows("FAmount", "").await.to_string(), "[[10.01],[10.005]]");
    model["FStockDirect"] = json!("SIDEWAYS");
    model["FBillNo"] = json!("R-3");
    assert_eq!(
        refusal(&save(&galaxy, model, json!({})).await),
        (11, "字段“库存方向”的值“SIDEWAYS”格式不正确".to_owned())
    );
}

#[tokio::test]
async fn other_forms_are_saved_with_sub_heads_and_several_entities() {
    let galaxy = Galaxy::with_base_data(&[]).await;
    galaxy.plant("BD_Supplier", json!([{ "FNumber": "VEN1", "FName": "供应商" }])).await;
    let model = json!({
        "FBillNo": "AP-1", "FSUPPLIERID": { "FNumber": "VEN1" }, "FSETTLEORGID": { "FNumber": "109" },
        "FsubHeadFinc": { "FTaxAmountFor": "1.30" },
        "FEntityDetail": [{ "FMATERIALID": { "FNumber": "M1" }, "FPriceQty": "2", "FTaxPrice": "5.65" }],
        "FEntityPlan": [{ "FENDDATE": "2024-04-01", "FPAYRATE": 100 }],
    });
    let reply = galaxy
        .call("Save", json!({ "formid": "AP_Payable", "data": { "Model": model, "IsVerifyBaseDataField": true } }))
        .await;
    assert_eq!(refusal(&reply).0, 0, "{reply}");
    let keys = "FBillNo,FTaxAmountFor,FCURRENCYID.FNumber,FTaxPrice,FEntityDetail_FSeq,FENDDATE,FEntityPlan_FSeq";
    let rows = galaxy.query(json!({ "FormId": "AP_Payable", "FieldKeys": keys })).await;
    assert_eq!(rows.to_string(), r#"[["AP-1",1.3,"PRE001",5.65,1,"2024-04-01T00:00:00",1]]"#);
    let view = galaxy.call("View", json!({ "formid": "AP_Payable", "data": { "Number": "AP-1" } })).await;
    assert_eq!(view["Result"]["Result"]["AP_PAYABLEPLAN"][0]["Seq"], json!(1));
    assert_eq!(view["Result"]["Result"]["AP_PAYABLEFIN"][0]["TaxAmountFor"].to_string(), "1.3");
}
