//! `ResponseStatus`, the part of every reply that says how it went, read with patience for its spellings.

use serde_json::Value;

use crate::json::excerpt;

/// The longest text of the server that is kept.
const TEXT_LIMIT: usize = 2000;

/// To which document an entry belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// The entry has no `DIndex`.
    Missing,
    /// A whole number from 0, written as number or as text.
    At(u64),
    /// Anything else: negative, a fraction, words.
    Odd,
}

impl Index {
    fn of(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null) => Index::Missing,
            Some(Value::Number(number)) => number.to_string().parse().map_or(Index::Odd, Index::At),
            Some(Value::String(text)) => text.trim().parse().map_or(Index::Odd, Index::At),
            Some(_) => Index::Odd,
        }
    }
}

/// One entry of `Errors` or `SuccessMessages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `FieldName`.
    pub field: Option<String>,
    /// `Message`; cut at 2,000 characters.
    pub message: String,
    /// `DIndex`.
    pub index: Index,
}

/// One entry of `SuccessEntitys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// `Id` as text; empty when missing.
    pub id: String,
    /// `Number`; empty when missing.
    pub number: String,
    /// `DIndex`.
    pub index: Index,
}

/// `ResponseStatus`, normalised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// `IsSuccess`, if it is there at all.
    pub success: Option<bool>,
    /// `MsgCode`, number or text.
    pub msg_code: Option<i64>,
    /// What failed.
    pub errors: Vec<Entry>,
    /// What succeeded.
    pub entities: Vec<Entity>,
    /// What else is said.
    pub messages: Vec<Entry>,
}

/// Where a reply keeps its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A status.
    Status(Status),
    /// The place of a status, but null or empty: a `View` that went well, or a save that says nothing.
    Empty,
    /// No such place.
    None,
}

/// Looks for the status of a reply: `Result.ResponseStatus`, bare or as the only cell of the only row.
pub fn find(reply: &Value) -> Found {
    let reply = sole_cell(reply).unwrap_or(reply);
    let Some(result) = reply.get("Result") else { return Found::None };
    match result {
        Value::Null => Found::Empty,
        Value::Object(members) => match members.get("ResponseStatus") {
            Some(Value::Object(_)) => Found::Status(Status::of(&members["ResponseStatus"])),
            None | Some(Value::Null) => Found::Empty,
            Some(_) => Found::None,
        },
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Found::None,
    }
}

/// The object in `[[{…}]]`, the shape queries wrap their errors in.
pub fn sole_cell(reply: &Value) -> Option<&Value> {
    let [row] = reply.as_array()?.as_slice() else { return None };
    let [cell] = row.as_array()?.as_slice() else { return None };
    cell.get("Result")?.get("ResponseStatus")?;
    Some(cell)
}

/// The words of the server's request filter: `[{"actionname":"showConfirm","params":[{"msg":"…"}]}]`.
pub fn confirm(reply: &Value) -> Option<String> {
    let first = reply.as_array()?.first()?;
    let action = first.get("actionname")?.as_str()?;
    let text = first.pointer("/params/0/msg").and_then(Value::as_str).unwrap_or(action);
    Some(excerpt(text, 300))
}

impl Status {
    fn of(value: &Value) -> Self {
        let list = |name: &str| value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Self {
            success: value.get("IsSuccess").and_then(flag),
            msg_code: value.get("MsgCode").and_then(whole),
            errors: list("Errors").iter().map(entry).collect(),
            entities: list("SuccessEntitys").iter().map(entity).collect(),
            messages: list("SuccessMessages").iter().map(entry).collect(),
        }
    }

    /// Whether anything succeeded.
    pub fn has_success(&self) -> bool {
        !self.entities.is_empty()
    }

    /// Whether the session was lost, or the identity refused: the two look alike on the wire.
    ///
    /// A session text counts only where no other code contradicts it, since messages quote document data.
    pub fn session_lost(&self) -> bool {
        if self.has_success() || self.success == Some(true) {
            return false;
        }
        match self.msg_code {
            Some(1) => true,
            None | Some(0 | 4) => self.errors.iter().any(|error| is_session_text(&error.message)),
            Some(_) => false,
        }
    }

    /// Whether the server refuses calls for now and did nothing.
    pub fn throttled(&self) -> bool {
        if self.has_success() || self.success == Some(true) {
            return false;
        }
        self.msg_code == Some(14) || self.errors.iter().any(|error| is_throttle_text(&error.message))
    }

    /// Whether it reports a failure.
    pub fn failed(&self) -> bool {
        self.success == Some(false) || !self.errors.is_empty()
    }
}

/// Texts of a lost session.
pub fn is_session_text(message: &str) -> bool {
    let bare = crate::business::without_quotes(message);
    ["会话信息已丢失", "会话已丢失", "会话超时", "会话已过期", "ctx == null", "ctx==null"]
        .iter()
        .any(|marker| bare.contains(marker))
}

/// Texts of a refusal for too many calls.
pub fn is_throttle_text(message: &str) -> bool {
    let bare = crate::business::without_quotes(message).to_lowercase();
    [
        "调用次数超",
        "调用次数已",
        "调用频率",
        "调用过于频繁",
        "调用上限",
        "请求频率",
        "请求过于频繁",
        "访问过于频繁",
        "操作过于频繁",
        "接口限流",
        "too many requests",
        "rate limit",
    ]
    .iter()
    .any(|marker| bare.contains(marker))
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

pub(crate) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A number or text as text; anything else is empty.
pub(crate) fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => excerpt(text, TEXT_LIMIT),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn entry(value: &Value) -> Entry {
    let field = text(value.get("FieldName"));
    let message = match value {
        Value::String(bare) => excerpt(bare, TEXT_LIMIT),
        other => text(other.get("Message")),
    };
    Entry { field: (!field.is_empty()).then_some(field), message, index: Index::of(value.get("DIndex")) }
}

fn entity(value: &Value) -> Entity {
    Entity { id: text(value.get("Id")), number: text(value.get("Number")), index: Index::of(value.get("DIndex")) }
}
