use super::*;

fn understand(msg_code: i64, message: &str) -> BusinessError {
    BusinessError::understand(Some(msg_code), Some("FField"), message)
}

#[test]
fn texts_of_the_server_become_codes_at_their_place() {
    let table: &[(i64, &str, Code)] = &[
        (11, "违反字段唯一性要求：编码唯一。[RK-7]在当前系统中已经被使用。", Code::NumberTaken),
        (11, "字段“客户”是必填项", Code::TargetRequired),
        (11, "单据体实体【明细信息】第【1】行分录，【仓库】字段必录", Code::TargetRequired),
        (8, "供应商不能为空", Code::TargetRequired),
        (9, "编码值[\"19\" Monitor\"]不存在", Code::ReferenceMissing),
        (9, "传递的编码值不存在", Code::ReferenceMissing),
        (11, "基础资料“物料”[M-1]不存在或已禁用", Code::ReferenceMissing),
        (9, "元数据中标识为FXYZ的字段不存在", Code::TargetSchema),
        (4, "标识为“X”的业务对象不存在，或者被删除。", Code::UnknownForm),
        (2, "您没有【其他入库单】的【新增】权限", Code::TargetPermission),
        (7, "无可用许可", Code::TargetLicence),
        (13, "单据正在被其他用户操作", Code::TargetLocked),
        (4, "已被其他用户修改", Code::TargetLocked),
        (6, "事务与另一个进程被死锁", Code::TargetLocked),
        (11, "单据编号为“X”的销售出库单，单据已经审核！", Code::AlreadyAudited),
        (11, "单据已提交，不能重复提交", Code::AlreadySubmitted),
        (12, "单据编号为“X”的其他入库单，单据已经审核，不允许修改！", Code::TargetState),
        (11, "单据编号为“X”的其他入库单，单据未提交，不允许审核！", Code::TargetState),
        (8, "data数据包中的参数Model的值不能为空。", Code::TargetValidation),
        (9, "基础资料字段“物料”的编码值[\"M-1\"]不存在或不可用", Code::ReferenceMissing),
        (13, "网络控制冲突：单据“X”正被其他用户操作，请稍后再试。", Code::TargetLocked),
        (11, "更新库存时出现负库存，审核失败！", Code::StockShort),
        (14, "WebAPI调用次数已达到上限，请稍后再试。", Code::ErpThrottled),
        (12, "", Code::TargetState),
        (11, "当前单据状态不允许删除", Code::TargetState),
        (11, "物料的即时库存小于出库数量", Code::StockShort),
        (11, "会产生负库存", Code::StockShort),
        (11, "库存组织已关账，不能录入关账日期前的单据", Code::PeriodClosed),
        (11, "自定义校验未通过", Code::TargetValidation),
        (4, "未将对象引用设置到对象的实例", Code::TargetRefused),
        (0, "插件拒绝", Code::TargetRefused),
        (14, "", Code::ErpThrottled),
        (1, "", Code::SessionLost),
        (10, "", Code::ReferenceMissing),
        (15, "", Code::TargetPermission),
    ];
    for (msg_code, message, code) in table {
        let error = understand(*msg_code, message);
        assert_eq!(error.code, *code, "{msg_code} {message}");
        assert_eq!(error.category, code.category());
        let fault = error.fault("QT-0001");
        assert_eq!(fault.code, *code);
        assert_eq!(fault.place.record.as_deref(), Some("QT-0001"));
        assert_eq!(fault.place.column.as_deref(), Some("FField"));
    }
}

#[test]
fn only_locks_and_missing_references_may_pass_by_themselves() {
    for code in Code::ALL {
        assert_eq!(is_timed(*code), matches!(code, Code::TargetLocked | Code::ReferenceMissing), "{code}");
    }
    assert!(understand(13, "x").timed);
    assert!(understand(9, "编码值[\"A\"]不存在").timed);
    assert!(!understand(11, "违反字段唯一性要求").timed);
}

#[test]
fn values_of_the_document_decide_nothing() {
    for value in ["必录", "违反字段唯一性要求", "会话信息已丢失", "没有权限", "已经审核", "rate limit", "死锁"]
    {
        for (message, code) in [
            (format!("编码值[\"{value}\"]不存在"), Code::ReferenceMissing),
            (format!("字段“{value}”是必填项"), Code::TargetRequired),
            (format!("【{value}】字段必录"), Code::TargetRequired),
            (format!("违反字段唯一性要求：编码唯一。[{value}]在当前系统中已经被使用。"), Code::NumberTaken),
        ] {
            assert_eq!(understand(11, &message).code, code, "{message}");
        }
    }
}

#[test]
fn quoted_parts_are_taken_out_and_the_rest_stays() {
    assert_eq!(without_quotes("字段“客户”是“必”填项"), "字段“”是“”填项");
    assert_eq!(without_quotes("[a]b]c"), "[]c");
    assert_eq!(without_quotes("“没有结束"), "“没有结束");
    assert_eq!(without_quotes("没有引号"), "没有引号");
}

#[test]
fn unknown_fields_are_named() {
    assert_eq!(understand(9, "元数据中标识为FXYZ的字段不存在").unknown_field().as_deref(), Some("FXYZ"));
    assert_eq!(
        understand(9, "元数据中标识为“F_A.FNumber”的字段不存在").unknown_field().as_deref(),
        Some("F_A.FNumber")
    );
    assert_eq!(understand(9, "编码值[\"A\"]不存在").unknown_field(), None);
}
