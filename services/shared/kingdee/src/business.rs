//! What the target says is wrong with a document.

use document::{Category, Code, Fault};

/// One entry of `ResponseStatus.Errors`, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusinessError {
    /// The field the target names, such as `FBillNo`.
    pub field: Option<String>,
    /// The target's own words, Chinese as a rule; cut at 2,000 characters.
    pub message: String,
    /// The entry of the catalogue.
    pub code: Code,
    /// Its category.
    pub category: Category,
    /// Whether it may pass by itself: a lock, or base data that another flow has yet to bring.
    pub timed: bool,
    /// The reply's `MsgCode`, where it had one.
    pub msg_code: Option<i64>,
}

impl BusinessError {
    /// Understands one error by the server's text first and the reply's code second: one reply has one `MsgCode` for
    /// errors of several kinds.
    pub fn understand(msg_code: Option<i64>, field: Option<&str>, message: &str) -> Self {
        let code = by_text(&without_quotes(message)).unwrap_or_else(|| by_number(msg_code));
        Self {
            field: field.map(str::to_owned),
            message: message.to_owned(),
            code,
            category: code.category(),
            timed: is_timed(code),
            msg_code,
        }
    }

    /// As a fault of `record` (a target key), with the field as its column.
    pub fn fault(&self, record: impl Into<String>) -> Fault {
        let fault = Fault::new(self.code, self.message.clone()).of_record(record);
        match &self.field {
            Some(field) => fault.at_column(field.clone()),
            None => fault,
        }
    }

    /// Whether it is the server's trouble rather than the document's: an exception or a failed database operation that
    /// no text explains.
    pub fn is_server_trouble(&self) -> bool {
        matches!(self.msg_code, Some(4 | 6)) && self.code == Code::TargetRefused
    }

    /// Whether it concerns the call or the identity, never one document.
    pub fn is_of_the_call(&self) -> bool {
        matches!(self.code, Code::TargetLicence | Code::UnknownForm | Code::ErpThrottled | Code::SessionLost)
            || matches!(self.msg_code, Some(3 | 5 | 15))
    }

    /// The field of the form that the server does not know.
    pub fn unknown_field(&self) -> Option<String> {
        if !matches!(self.code, Code::TargetSchema | Code::SourceSchema) {
            return None;
        }
        let (_, rest) = self.message.split_once("标识为")?;
        let (name, _) = rest.split_once("的字段")?;
        let name = name.trim_matches(|c: char| c.is_whitespace() || "“”\"'".contains(c));
        (!name.is_empty()).then(|| name.to_owned())
    }
}

/// Faults that may pass by themselves.
fn is_timed(code: Code) -> bool {
    matches!(code, Code::TargetLocked | Code::ReferenceMissing)
}

/// Rules in order; the first whose every text occurs decides. Quoted parts, which hold document data, are taken out first.
const RULES: &[(&[&str], Code)] = &[
    (&["data数据包中的参数"], Code::TargetValidation),
    (&["违反字段唯一性要求"], Code::NumberTaken),
    (&["编码唯一"], Code::NumberTaken),
    (&["编码", "已经被使用"], Code::NumberTaken),
    (&["编号", "已存在"], Code::NumberTaken),
    (&["元数据中标识为", "不存在"], Code::TargetSchema),
    (&["业务对象不存在"], Code::UnknownForm),
    (&["GetRealExpress"], Code::QueryRefused),
    (&["会话信息已丢失"], Code::SessionLost),
    (&["被其他用户修改"], Code::TargetLocked),
    (&["网络控制"], Code::TargetLocked),
    (&["网控"], Code::TargetLocked),
    (&["被锁定"], Code::TargetLocked),
    (&["正在被", "操作"], Code::TargetLocked),
    (&["正在被", "使用"], Code::TargetLocked),
    (&["死锁"], Code::TargetLocked),
    (&["deadlock"], Code::TargetLocked),
    (&["已关账"], Code::PeriodClosed),
    (&["已结账"], Code::PeriodClosed),
    (&["关账日期"], Code::PeriodClosed),
    (&["负库存"], Code::StockShort),
    (&["库存不足"], Code::StockShort),
    (&["即时库存", "小于"], Code::StockShort),
    (&["无", "许可"], Code::TargetLicence),
    (&["许可", "过期"], Code::TargetLicence),
    (&["许可", "不足"], Code::TargetLicence),
    (&["许可", "超"], Code::TargetLicence),
    (&["没有", "权限"], Code::TargetPermission),
    (&["无", "权限"], Code::TargetPermission),
    (&["权限不足"], Code::TargetPermission),
    (&["未授权"], Code::TargetPermission),
    (&["不允许修改"], Code::TargetState),
    (&["不允许删除"], Code::TargetState),
    (&["不能修改"], Code::TargetState),
    (&["不能删除"], Code::TargetState),
    (&["已经审核"], Code::AlreadyAudited),
    (&["已审核"], Code::AlreadyAudited),
    (&["已经提交"], Code::AlreadySubmitted),
    (&["已提交"], Code::AlreadySubmitted),
    (&["必填"], Code::TargetRequired),
    (&["必录"], Code::TargetRequired),
    (&["不能为空"], Code::TargetRequired),
    (&["不允许为空"], Code::TargetRequired),
    (&["编码值", "不存在"], Code::ReferenceMissing),
    (&["传递的编码", "不存在"], Code::ReferenceMissing),
    (&["基础资料", "不存在"], Code::ReferenceMissing),
    (&["基础资料", "禁用"], Code::ReferenceMissing),
    (&["基础资料", "未审核"], Code::ReferenceMissing),
    (&["基础资料", "未分配"], Code::ReferenceMissing),
    (&["未找到", "编码"], Code::ReferenceMissing),
    (&["找不到", "编码"], Code::ReferenceMissing),
    (&["状态", "不允许"], Code::TargetState),
    (&["状态", "不能"], Code::TargetState),
    (&["状态", "不可"], Code::TargetState),
    (&["单据", "不允许提交"], Code::TargetState),
    (&["单据", "不允许审核"], Code::TargetState),
    (&["单据", "不允许反审核"], Code::TargetState),
    (&["单据", "不允许撤销"], Code::TargetState),
    (&["不存在"], Code::ReferenceMissing),
];

fn by_text(bare: &str) -> Option<Code> {
    if crate::status::is_throttle_text(bare) {
        return Some(Code::ErpThrottled);
    }
    RULES.iter().find(|(texts, _)| texts.iter().all(|text| bare.contains(text))).map(|(_, code)| *code)
}

/// By the reply's code alone.
///
/// **Source**: the table of MsgCode in the official documentation.
fn by_number(msg_code: Option<i64>) -> Code {
    match msg_code {
        Some(1) => Code::SessionLost,
        Some(2 | 15) => Code::TargetPermission,
        Some(7) => Code::TargetLicence,
        Some(9 | 10) => Code::ReferenceMissing,
        Some(8 | 11) => Code::TargetValidation,
        Some(12) => Code::TargetState,
        Some(13) => Code::TargetLocked,
        Some(14) => Code::ErpThrottled,
        Some(_) | None => Code::TargetRefused,
    }
}

/// A server text without its quoted parts, which hold names, numbers and values of documents.
///
/// Chinese quotation marks end at the first closing mark; ASCII ones and square brackets, which data may hold, at the
/// last of the text.
pub(crate) fn without_quotes(message: &str) -> String {
    let mut text = message.to_owned();
    for (open, close) in [('“', '”'), ('‘', '’'), ('【', '】'), ('「', '」'), ('《', '》')] {
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, inside)) = rest.split_once(open) {
            out.push_str(before);
            out.push(open);
            match inside.split_once(close) {
                Some((_, after)) => {
                    out.push(close);
                    rest = after;
                }
                None => rest = inside,
            }
        }
        out.push_str(rest);
        text = out;
    }
    for (open, close) in [('[', ']'), ('"', '"'), ('\'', '\'')] {
        if let Some((before, inside)) = text.split_once(open)
            && let Some((_, after)) = inside.rsplit_once(close)
        {
            text = format!("{before}{open}{close}{after}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
