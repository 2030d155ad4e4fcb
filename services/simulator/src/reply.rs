//! Reply shapes and the texts of the server (kingdee-webapi.md §5–§8).

use serde_json::{Map, Value, json};

/// Why a call or a document was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Key of the field, where one is to blame.
    pub field: Option<String>,
    /// What the server says.
    pub message: String,
    /// MsgCode.
    pub code: u32,
}

impl Problem {
    /// A problem without a field.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { field: None, message: message.into(), code }
    }

    /// Names the field.
    #[must_use]
    pub fn of_field(mut self, key: &str) -> Self {
        self.field = Some(key.to_owned());
        self
    }
}

/// What became of one document.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Index in the request, or in the loaded documents.
    pub index: usize,
    /// Number, where it has one.
    pub number: Option<String>,
    /// The internal id, or why not.
    pub outcome: Result<i64, Vec<Problem>>,
}

/// What a call says back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The body.
    pub body: Body,
    /// Short result for the request log: `ok`, `partial` or `msgcode N`.
    pub result: String,
    /// What became of each document, for calls that change them.
    pub documents: Vec<Ended>,
    /// Rows given, for queries.
    pub rows: Option<usize>,
}

/// The body of a reply.
#[derive(Debug, Clone)]
pub enum Body {
    /// JSON that may still be changed by a fault.
    Json(Value),
    /// JSON text, written directly.
    Text(String),
}

impl Body {
    /// The text on the wire.
    pub fn text(&self) -> String {
        match self {
            Body::Json(value) => value.to_string(),
            Body::Text(text) => text.clone(),
        }
    }
}

impl Reply {
    /// A successful reply.
    pub fn ok(body: Value) -> Self {
        Self { body: Body::Json(body), result: "ok".to_owned(), documents: Vec::new(), rows: None }
    }

    /// A call refused as a whole. `wrapped` is ExecuteBillQuery's `[[{…}]]`.
    pub fn refused(problem: &Problem, wrapped: bool) -> Self {
        let errors = [error_entry(problem, Some(0))];
        let status = status(false, errors.into(), Vec::new(), Vec::new(), problem.code);
        let result = json!({ "Result": { "ResponseStatus": status } });
        let body = if wrapped { json!([[result]]) } else { result };
        Self { body: Body::Json(body), result: format!("msgcode {}", problem.code), documents: Vec::new(), rows: None }
    }

    /// The reply of BatchSave, Submit, Audit and the like: per document, by DIndex.
    pub fn of_documents(ended: Vec<Ended>, messages: Vec<Value>, extra: Map<String, Value>) -> Self {
        let mut errors = Vec::new();
        let mut saved = Vec::new();
        let mut code = 0;
        for document in &ended {
            match &document.outcome {
                Ok(id) => saved.push(json!({ "Id": id, "Number": document.number, "DIndex": document.index })),
                Err(problems) => {
                    for problem in problems {
                        errors.push(error_entry(problem, Some(document.index)));
                        code = if code == 0 { problem.code } else { code };
                    }
                }
            }
        }
        let result = match (errors.is_empty(), saved.is_empty()) {
            (true, _) => "ok".to_owned(),
            (false, true) => format!("msgcode {code}"),
            (false, false) => "partial".to_owned(),
        };
        let status = status(errors.is_empty(), errors, saved, messages, code);
        let mut inner = Map::from_iter([("ResponseStatus".to_owned(), status)]);
        inner.extend(extra);
        Self { body: Body::Json(json!({ "Result": inner })), result, documents: ended, rows: None }
    }
}

/// A `ResponseStatus`. `ErrorCode` is there only on failure.
pub fn status(success: bool, errors: Vec<Value>, saved: Vec<Value>, messages: Vec<Value>, code: u32) -> Value {
    let mut status = Map::new();
    if !success {
        status.insert("ErrorCode".to_owned(), 500.into());
    }
    status.insert("IsSuccess".to_owned(), success.into());
    status.insert("Errors".to_owned(), errors.into());
    status.insert("SuccessEntitys".to_owned(), saved.into());
    status.insert("SuccessMessages".to_owned(), messages.into());
    status.insert("MsgCode".to_owned(), code.into());
    Value::Object(status)
}

/// One entry of `Errors` or `SuccessMessages`.
pub fn error_entry(problem: &Problem, index: Option<usize>) -> Value {
    json!({ "FieldName": problem.field, "Message": problem.message, "DIndex": index })
}

/// The session is gone, or the credentials are wrong.
pub fn session_lost() -> Problem {
    Problem::new(1, "会话信息已丢失，请重新登录")
}

/// No such form.
pub fn unknown_form(form: &str) -> Problem {
    Problem::new(4, format!("标识为“{form}”的业务对象不存在，或者被删除。"))
}

/// No such field.
pub fn unknown_field(key: &str) -> Problem {
    Problem::new(9, format!("元数据中标识为{key}的字段不存在"))
}

/// The filter cannot be read.
pub fn bad_filter(why: &str) -> Problem {
    Problem::new(4, format!("GetRealExpress error: {why}"))
}

/// A parameter of the package is empty.
pub fn empty_parameter(name: &str) -> Problem {
    Problem::new(8, format!("data数据包中的参数{name}的值不能为空。"))
}

/// None of the numbers exists.
pub fn unknown_numbers(numbers: &[String]) -> Problem {
    match numbers {
        [one] => Problem::new(9, format!("编码值[\"{one}\"]不存在")),
        _ => Problem::new(9, format!("传递的编码值不存在：{}", numbers.join(","))),
    }
}

/// The number is taken.
pub fn number_taken(key: &str, number: &str) -> Problem {
    Problem::new(11, format!("违反字段唯一性要求：编码唯一。[{number}]在当前系统中已经被使用。")).of_field(key)
}

/// A lock is held by someone else.
pub fn locked(number: &str) -> Problem {
    Problem::new(13, format!("网络控制冲突：单据“{number}”正被其他用户操作，请稍后再试。"))
}

/// Too many calls.
pub fn throttled() -> Problem {
    Problem::new(14, "WebAPI调用次数已达到上限，请稍后再试。")
}
