use document::{Category, Code};
use serde_json::json;

use super::*;
use crate::error::Class;

const CONTEXT: Context<'_> =
    Context { method: "ExecuteBillQuery", form: "STK_MISCELLANEOUS", account: "erp.example.com:443/a1" };

fn page(status: u16, body: &str, columns: usize) -> Result<Vec<Vec<Value>>, Error> {
    read(CONTEXT, status, Some(Duration::from_secs(9)), body.as_bytes()).and_then(|value| rows(CONTEXT, value, columns))
}

fn failed(code: i64, message: &str) -> String {
    json!({"Result": {"ResponseStatus": {"ErrorCode": 500, "IsSuccess": false,
        "Errors": [{"FieldName": null, "Message": message, "DIndex": 0}],
        "SuccessEntitys": [], "SuccessMessages": [], "MsgCode": code}}})
    .to_string()
}

#[test]
fn rows_come_with_their_numbers_as_written() {
    let rows =
        page(200, "[[348963,\"908X\",\"2026-03-12T00:00:00\",840.70,null,\" \"],[1,\"a\",\"b\",10.0,null,\"\"]]", 6)
            .expect("rows");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0][3].to_string(), "840.70");
    assert_eq!(rows[1][3].to_string(), "10.0");
    assert_eq!(page(200, "[]", 6).expect("an empty page"), Vec::<Vec<Value>>::new());
}

#[test]
fn what_is_not_exactly_rows_is_an_error_with_code_and_place() {
    let wrapped = |code, message: &str| format!("[[{}]]", failed(code, message));
    let cases: Vec<(&str, u16, String, Code, Class)> = vec![
        ("wrapped error", 200, wrapped(4, "GetRealExpress error"), Code::QueryRefused, Class::Final),
        ("bare error", 200, failed(4, "GetRealExpress error"), Code::QueryRefused, Class::Final),
        ("empty keys", 200, wrapped(8, "data数据包中的参数FieldKeys的值不能为空。"), Code::QueryRefused, Class::Final),
        ("unknown field", 200, wrapped(9, "元数据中标识为FXYZ的字段不存在"), Code::SourceSchema, Class::Final),
        ("unknown form", 200, wrapped(4, "标识为“X”的业务对象不存在，或者被删除。"), Code::UnknownForm, Class::Final),
        ("no permission", 200, wrapped(2, "没有查看权限"), Code::TargetPermission, Class::Final),
        ("exception", 200, wrapped(4, "未将对象引用设置到对象的实例"), Code::TargetRefused, Class::Trouble),
        ("database", 200, wrapped(6, "连接超时"), Code::TargetRefused, Class::Trouble),
        ("locked", 200, wrapped(13, "x"), Code::TargetLocked, Class::Trouble),
        ("session lost", 200, wrapped(1, "会话信息已丢失，请重新登录"), Code::SessionLost, Class::Trouble),
        ("throttled", 200, wrapped(14, "x"), Code::ErpThrottled, Class::Throttled(Some(Duration::from_secs(9)))),
        ("429", 429, "slow".to_owned(), Code::ErpThrottled, Class::Throttled(Some(Duration::from_secs(9)))),
        ("page", 200, "<html>".to_owned(), Code::ReplyHtml, Class::Trouble),
        ("cut", 200, "[[1,2],[3".to_owned(), Code::ReplyUnparsable, Class::Trouble),
        ("object", 200, "{\"a\":1}".to_owned(), Code::ReplyShape, Class::Final),
        ("text", 200, "\"x\"".to_owned(), Code::ReplyShape, Class::Final),
        ("objects for rows", 200, "[{\"a\":1}]".to_owned(), Code::ReplyShape, Class::Final),
        ("error among rows", 200, format!("[[1,2],[{},3]]", failed(4, "x")), Code::ReplyShape, Class::Final),
        ("short row", 200, "[[1,2],[3]]".to_owned(), Code::ReplyArity, Class::Final),
        ("long row", 200, "[[1,2,3]]".to_owned(), Code::ReplyArity, Class::Final),
        ("empty row", 200, "[[]]".to_owned(), Code::ReplyArity, Class::Final),
        (
            "filtered",
            200,
            "[{\"actionname\":\"showConfirm\",\"params\":[{\"msg\":\"可疑\"}]}]".to_owned(),
            Code::RequestFiltered,
            Class::Final,
        ),
        ("too deep", 200, format!("{}{}", "[".repeat(65), "]".repeat(65)), Code::ReplyTooDeep, Class::Final),
        ("500", 500, "{\"Message\":\"x\"}".to_owned(), Code::ErpStatus, Class::Trouble),
        ("502", 502, "<html>".to_owned(), Code::ErpStatus, Class::Trouble),
        ("404", 404, "<html>".to_owned(), Code::ErpStatus, Class::Final),
        ("302", 302, String::new(), Code::ErpStatus, Class::Final),
        ("response_error", 200, "response_error:x".to_owned(), Code::ErpStatus, Class::Final),
        ("wrong account", 500, "Fail to verify thirty passport".to_owned(), Code::UnknownAccount, Class::Credentials),
    ];
    for (name, status, body, code, class) in cases {
        let error = page(status, &body, 2).expect_err(name);
        assert_eq!((error.code(), error.class()), (code, class), "{name}: {error}");
        assert!(error.fault().place.record.is_some(), "{name} has a place");
    }
}

#[test]
fn an_unknown_field_is_named_by_its_fault() {
    let error =
        page(200, &format!("[[{}]]", failed(9, "元数据中标识为FXYZ的字段不存在")), 2).expect_err("unknown field");
    let fault = error.fault();
    assert_eq!(fault.code, Code::SourceSchema);
    assert_eq!(fault.place.record.as_deref(), Some("STK_MISCELLANEOUS"));
    assert_eq!(fault.place.column.as_deref(), Some("FXYZ"));
    assert_eq!(fault.code.category(), Category::Configuration);
}

#[test]
fn a_row_of_the_wrong_length_is_named_by_its_path() {
    let fault = page(200, "[[1,2],[3]]", 2).expect_err("arity").fault();
    assert_eq!(fault.code, Code::ReplyArity);
    assert_eq!(fault.place.path.as_deref(), Some("$[1]"));
    assert_eq!(fault.detail, "STK_MISCELLANEOUS: row 1 has 1 cells for 2 columns");
}

#[test]
fn a_cut_reply_is_named_by_line_and_column() {
    let fault = page(200, "[[1,2],\n[3", 2).expect_err("cut").fault();
    assert_eq!(fault.code, Code::ReplyUnparsable);
    assert_eq!((fault.place.line, fault.place.column.as_deref()), (Some(2), Some("2")));
}

#[test]
fn a_query_is_sent_with_every_member() {
    let query = BillQuery {
        form_id: "BD_MATERIAL".to_owned(),
        field_keys: vec!["FMATERIALID".to_owned(), "FNumber".to_owned()],
        filter: "FNumber='a'".to_owned(),
        order: "FMATERIALID ASC".to_owned(),
        limit: 500,
        ..BillQuery::default()
    };
    assert_eq!(
        query.data(),
        json!({"FormId": "BD_MATERIAL", "FieldKeys": "FMATERIALID,FNumber", "FilterString": "FNumber='a'",
            "OrderString": "FMATERIALID ASC", "TopRowCount": 0, "StartRow": 0, "Limit": 500, "SubSystemId": ""})
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(10_000))]

    #[test]
    fn any_bytes_are_rows_of_the_right_length_or_an_error(
        body in proptest::prop_oneof!["[\\[\\]{}:,\"0-9a-zR]{0,60}", "\\[(\\[[0-9],[0-9]\\],?){0,4}\\]?"],
        status in 100_u16..600,
    ) {
        if let Ok(rows) = page(status, &body, 2) {
            proptest::prop_assert!(rows.iter().all(|row| row.len() == 2));
        }
    }
}
