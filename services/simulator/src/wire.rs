//! Requests as they come: both body families, reduced and form-urlencoded ones, `data` as object or text.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

const DYNAMIC_FORM: &str = "kingdee.bos.webapi.servicesstub.dynamicformservice.";
const AUTH: &str = "kingdee.bos.webapi.servicesstub.authservice.";
const ACCOUNT: &str = "kingdee.bos.servicefacade.servicesstub.account.accountservice.";
const ENDING: &str = ".common.kdsvc";

/// Which service a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Documents.
    DynamicForm,
    /// Logins.
    Auth,
    /// Data centres.
    Account,
}

/// Methods of the document service, in the spelling replies and logs use.
const METHODS: [&str; 16] = [
    "ExecuteBillQuery",
    "BillQuery",
    "View",
    "QueryBusinessInfo",
    "Save",
    "BatchSave",
    "Draft",
    "Submit",
    "Audit",
    "UnAudit",
    "Delete",
    "CancelAssign",
    "ExcuteOperation",
    "ExecuteOperation",
    "QueryAsyncResult",
    "Push",
];

/// A request, read.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// The form: of the call, or `data.FormId`.
    pub form: String,
    /// The number of a generic operation.
    pub operation: String,
    /// The package.
    pub data: Map<String, Value>,
    /// Positional parameters, for logins.
    pub parameters: Vec<Value>,
    /// The body itself, for logins and polling.
    pub body: Map<String, Value>,
}

/// The service and method of a path below `prefix`; names compare without regard to case.
pub fn route(path: &str, prefix: &str) -> Option<(Service, String)> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    for expected in prefix.split('/').filter(|segment| !segment.is_empty()) {
        if !segments.next()?.eq_ignore_ascii_case(expected) {
            return None;
        }
    }
    let name = segments.next()?.to_owned();
    if segments.next().is_some() {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let lower = lower.strip_suffix(ENDING)?;
    for (start, service) in [(DYNAMIC_FORM, Service::DynamicForm), (AUTH, Service::Auth), (ACCOUNT, Service::Account)] {
        if let Some(method) = lower.strip_prefix(start) {
            let known = METHODS.into_iter().find(|known| known.eq_ignore_ascii_case(method));
            let typed: String = name.chars().skip(start.len()).take(method.len()).collect();
            return Some((service, known.map_or(typed, str::to_owned)));
        }
    }
    None
}

/// Reads a body for `method` of `service`; only the document service has packages.
///
/// # Errors
///
/// A text for people when the body is no request.
pub fn read(service: Service, method: &str, body: &[u8]) -> Result<Call, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let body = match text.chars().next() {
        None => Map::new(),
        Some('{') => serde_json::from_str(text).map_err(|error| error.to_string())?,
        Some('[') => {
            Map::from_iter([("parameters".to_owned(), serde_json::from_str(text).map_err(|e| e.to_string())?)])
        }
        Some(_) => form_encoded(text),
    };
    let member = |name: &str| body.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let parameters = match member("parameters") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.clone(),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|error| format!("parameters: {error}"))?,
        Some(_) => return Err("parameters is neither an array nor its text".to_owned()),
    };
    if service != Service::DynamicForm {
        return Ok(Call { parameters, body, ..Call::default() });
    }
    let plain = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut call = Call { parameters, ..Call::default() };
    let mut data = member("data").cloned();
    call.form = plain(member("formid"));
    call.operation = plain(member("opnumber"));
    if data.is_none() && !call.parameters.is_empty() {
        let takes_form = !["ExecuteBillQuery", "BillQuery", "QueryBusinessInfo"].contains(&method);
        let takes_operation = ["ExcuteOperation", "ExecuteOperation"].contains(&method);
        let mut rest = call.parameters.iter();
        if takes_form {
            call.form = plain(rest.next());
        }
        if takes_operation {
            call.operation = plain(rest.next());
        }
        data = rest.next().cloned();
    }
    call.data = match data {
        Some(Value::Object(data)) => data,
        Some(Value::String(text)) if text.trim().is_empty() => Map::new(),
        Some(Value::String(text)) => serde_json::from_str(&text).map_err(|error| format!("data: {error}"))?,
        Some(Value::Null) | None => Map::new(),
        Some(_) => return Err("data is neither an object nor its text".to_owned()),
    };
    if call.form.is_empty() {
        let inner = call.data.iter().find(|(key, _)| key.eq_ignore_ascii_case("FormId")).map(|(_, value)| value);
        call.form = plain(inner);
    } else if !call.data.keys().any(|key| key.eq_ignore_ascii_case("FormId")) && method.ends_with("Query") {
        call.data.insert("FormId".to_owned(), call.form.clone().into());
    }
    call.body = body;
    Ok(call)
}

fn form_encoded(text: &str) -> Map<String, Value> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), Value::from(decode(value))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_compare_without_regard_to_case() {
        let path = "/k3cloud/Kingdee.BOS.WebApi.ServicesStub.DynamicFormService.batchSave.common.kdsvc";
        assert_eq!(route(path, "K3Cloud"), Some((Service::DynamicForm, "BatchSave".to_owned())));
        assert_eq!(route(path, "other"), None);
        let path = "/Kingdee.BOS.WebApi.ServicesStub.AuthService.LoginBySign.common.kdsvc";
        assert_eq!(route(path, ""), Some((Service::Auth, "LoginBySign".to_owned())));
        assert_eq!(route("/K3Cloud/html5", "K3Cloud"), None);
    }

    #[test]
    fn every_body_family_reads_alike() {
        let data = json!({ "Numbers": ["A"], "Ids": "" });
        let quoted = Value::from(data.to_string());
        let bodies = [
            json!({ "formid": "X", "data": data }),
            json!({ "FormId": "X", "Data": quoted }),
            json!({ "format": 1, "useragent": "ApiClient", "rid": 7, "v": "1.0", "parameters": ["X", quoted] }),
            json!({ "parameters": ["X", data] }),
            json!({ "parameters": json!(["X", quoted]).to_string() }),
        ];
        let mut texts: Vec<String> = bodies.iter().map(Value::to_string).collect();
        texts.push("formid=X&data=%7B%22Numbers%22%3A%5B%22A%22%5D%2C%22Ids%22%3A%22%22%7D".to_owned());
        for text in texts {
            let call = read(Service::DynamicForm, "Submit", text.as_bytes()).expect("it is a request");
            assert_eq!((call.form.as_str(), Value::Object(call.data)), ("X", data.clone()), "{text}");
        }
    }

    #[test]
    fn a_generic_operation_names_form_and_operation() {
        let call = read(Service::DynamicForm, "ExcuteOperation", br#"{"parameters":["X","Forbid","{\"Ids\":\"1\"}"]}"#)
            .expect("a request");
        assert_eq!((call.form.as_str(), call.operation.as_str()), ("X", "Forbid"));
        let call = read(Service::DynamicForm, "ExecuteBillQuery", br#"{"parameters":["{\"FormId\":\"Y\"}"]}"#)
            .expect("a request");
        assert_eq!(call.form, "Y");
        let login = read(Service::Auth, "ValidateUser", br#"{"parameters":["acct","user"]}"#).expect("a request");
        assert_eq!(login.parameters, [json!("acct"), json!("user")]);
        assert!(read(Service::DynamicForm, "Save", b"{\"data\":1}").is_err());
    }
}
