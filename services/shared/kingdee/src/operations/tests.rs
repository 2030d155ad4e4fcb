use document::Code;
use serde_json::json;

use super::*;

const CONTEXT: Context<'_> = Context { method: "Audit", form: "STK_MISCELLANEOUS", account: "h/a" };

fn numbers(items: &[&str]) -> Selection {
    Selection::Numbers(items.iter().map(|item| (*item).to_owned()).collect())
}

fn status(entities: Value, errors: Value, code: i64) -> Value {
    let good = errors.as_array().is_some_and(Vec::is_empty);
    json!({"Result": {"ResponseStatus": {"IsSuccess": good, "Errors": errors, "SuccessEntitys": entities,
        "SuccessMessages": [{"Message": "单据编号为“AR-1”的应收单，审核成功！"}], "MsgCode": code}}})
}

fn outcome(reply: &Value, selection: &Selection) -> OperationReply {
    let value = read(CONTEXT, 200, None, reply.to_string().as_bytes()).expect("about documents");
    understand(CONTEXT, &value, selection).expect("a status")
}

fn done(id: &str, number: &str) -> OperationOutcome {
    OperationOutcome::Done { id: id.to_owned(), number: number.to_owned() }
}

fn codes(outcome: &OperationOutcome) -> Vec<Code> {
    match outcome {
        OperationOutcome::Refused(errors) => errors.iter().map(|error| error.code).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn documents_are_matched_by_number_never_by_index() {
    let reply =
        status(json!([{"Id": 743, "Number": "B", "DIndex": 0}, {"Id": 744, "Number": "A", "DIndex": 1}]), json!([]), 0);
    let reply = outcome(&reply, &numbers(&["A", "B", "C"]));
    assert_eq!(reply.outcomes, [done("744", "A"), done("743", "B"), OperationOutcome::Missing]);
    assert_eq!(reply.messages, ["单据编号为“AR-1”的应收单，审核成功！"]);
    assert!(reply.unattributed.is_empty());
}

#[test]
fn documents_are_matched_by_id_when_chosen_by_id() {
    let reply = status(json!([{"Id": 744, "Number": "A", "DIndex": 0}]), json!([]), 0);
    let selection = Selection::Ids(vec!["743".to_owned(), "744".to_owned()]);
    assert_eq!(outcome(&reply, &selection).outcomes, [OperationOutcome::Missing, done("744", "A")]);
}

#[test]
fn errors_find_their_document_by_the_number_they_name() {
    let reply = status(
        json!([{"Id": 1, "Number": "A", "DIndex": 0}]),
        json!([
            {"FieldName": null, "Message": "单据编号为“A-2”的销售出库单，单据已经审核！", "DIndex": 1},
            {"FieldName": "FQty", "Message": "单据编号为“A-3”的单据，负库存", "DIndex": 2},
        ]),
        11,
    );
    let reply = outcome(&reply, &numbers(&["A", "A-3", "A-2", "A-4"]));
    assert_eq!(reply.outcomes[0], done("1", "A"));
    assert_eq!(codes(&reply.outcomes[1]), [Code::StockShort]);
    assert_eq!(codes(&reply.outcomes[2]), [Code::AlreadyAudited]);
    assert_eq!(reply.outcomes[3], OperationOutcome::Missing);
}

#[test]
fn errors_that_name_nobody_belong_to_the_only_document_left() {
    let errors = json!([{"Message": "字段“客户”是必填项", "DIndex": 5}, {"Message": "状态不允许", "DIndex": 5}]);
    let reply = status(json!([{"Id": 1, "Number": "A", "DIndex": 0}]), errors.clone(), 11);
    let both = outcome(&reply, &numbers(&["A", "B"]));
    assert_eq!(codes(&both.outcomes[1]), [Code::TargetRequired, Code::TargetState]);

    let open = outcome(&reply, &numbers(&["A", "B", "C"]));
    assert_eq!(open.outcomes[1..], [OperationOutcome::Missing, OperationOutcome::Missing]);
    assert_eq!(open.unattributed.len(), 2);
}

#[test]
fn a_number_inside_a_longer_one_is_not_named() {
    assert!(names("单据编号为“A-2”的单据", "A-2"));
    assert!(names("[A-2]", "A-2"));
    assert!(!names("单据编号为“A-22”的单据", "A-2"));
    assert!(!names("单据编号为“XA-2”的单据", "A-2"));
    assert!(!names("任何文字", ""));
}

#[test]
fn what_concerns_the_call_is_an_error() {
    let refuse = |code: i64, message: &str| {
        let reply = status(json!([]), json!([{"Message": message, "DIndex": 0}]), code);
        read(CONTEXT, 200, None, reply.to_string().as_bytes()).expect_err("about the call").code()
    };
    assert_eq!(refuse(1, "会话信息已丢失，请重新登录"), Code::SessionLost);
    assert_eq!(refuse(14, ""), Code::ErpThrottled);
    assert_eq!(refuse(7, ""), Code::TargetLicence);
    assert_eq!(refuse(4, "标识为“X”的业务对象不存在"), Code::UnknownForm);
    let shape = understand(CONTEXT, &json!([]), &numbers(&["A"])).expect_err("no status");
    assert_eq!(shape.code(), Code::ReplyShape);
    assert_eq!(shape.fault().place.record.as_deref(), Some("Audit"));
}

#[test]
fn all_missing_is_said_of_the_document() {
    let reply = status(json!([]), json!([{"Message": "编码值[\"A\"]不存在", "DIndex": 0}]), 9);
    assert_eq!(codes(&outcome(&reply, &numbers(&["A"])).outcomes[0]), [Code::ReferenceMissing]);
}

#[test]
fn data_names_numbers_or_ids_and_keeps_the_extras() {
    let mut extra = Extra::new();
    extra.insert("InterationFlags".to_owned(), json!("STK_InvCheckResult"));
    assert_eq!(
        data(&numbers(&["A", "B"]), &extra),
        json!({"InterationFlags": "STK_InvCheckResult", "Numbers": ["A", "B"], "Ids": ""})
    );
    let ids = Selection::Ids(vec!["1".to_owned(), "2".to_owned()]);
    assert_eq!(data(&ids, &Extra::new()), json!({"Numbers": [], "Ids": "1,2"}));
}
