//! Sessions and logins (kingdee-webapi.md §4, §5).

use std::collections::HashMap;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use crate::options::LoginWords;
use crate::signature::{Credentials, is_fresh, login_sign};

/// Open sessions. Ids never leave but in cookies and login replies; logs name sessions by their count.
#[derive(Debug)]
pub struct Sessions {
    idle: Duration,
    words: LoginWords,
    open: HashMap<String, Session>,
    opened: u64,
    logins: u64,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    count: u64,
    used: Instant,
}

/// The ways to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// User and password.
    Password,
    /// Application id and secret.
    AppSecret,
    /// A hash over all of them.
    Sign,
}

impl Login {
    /// The login behind a method of the AuthService.
    pub fn named(method: &str) -> Option<Self> {
        match method.to_ascii_lowercase().as_str() {
            "validateuser" | "validateuser2" | "validateuserendecode" => Some(Self::Password),
            "loginbyappsecret" => Some(Self::AppSecret),
            "loginbysign" => Some(Self::Sign),
            _ => None,
        }
    }
}

impl Sessions {
    /// No sessions; one ends when unused for `idle`, and a refused login speaks in `words`.
    pub fn new(idle: Duration, words: LoginWords) -> Self {
        Self { idle, words, open: HashMap::new(), opened: 0, logins: 0 }
    }

    /// The count of the session that a request carries, if it is open.
    pub fn of_request(&mut self, headers: &HeaderMap, now: Instant) -> Option<u64> {
        let idle = self.idle;
        let id = carried(headers)?;
        let session = self.open.get_mut(id)?;
        if now.duration_since(session.used) > idle {
            self.open.remove(id);
            return None;
        }
        session.used = now;
        Some(session.count)
    }

    /// Opens a session; gives its id and count.
    pub fn open(&mut self, now: Instant) -> (String, u64) {
        let idle = self.idle;
        self.open.retain(|_, session| now.duration_since(session.used) <= idle);
        self.opened += 1;
        let id = Uuid::new_v4().to_string();
        self.open.insert(id.clone(), Session { count: self.opened, used: now });
        (id, self.opened)
    }

    /// Ends the session that a request carries.
    pub fn close(&mut self, headers: &HeaderMap) -> bool {
        carried(headers).is_some_and(|id| self.open.remove(id).is_some())
    }

    /// Ends every session; gives how many there were.
    pub fn lose_all(&mut self) -> usize {
        let count = self.open.len();
        self.open.clear();
        count
    }

    /// How many are open, and how many were ever opened, and how many of them by a login call.
    pub fn counts(&self) -> (usize, u64, u64) {
        (self.open.len(), self.opened, self.logins)
    }

    /// Answers a login call: the reply, and the id of the session it opened.
    pub fn login(
        &mut self,
        login: Login,
        credentials: &Credentials,
        parameters: &[Value],
        body: &Map<String, Value>,
        wall: DateTime<Utc>,
        now: Instant,
    ) -> (Value, Option<(String, u64)>) {
        let text = |index: usize, names: &[&str]| {
            let named = || {
                body.iter()
                    .find(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name)))
                    .map(|(_, value)| value)
            };
            match parameters.get(index).or_else(named) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            }
        };
        let account = text(0, &["acctid", "dbid"]);
        if account != credentials.acct_id {
            return (reply(None, credentials, -1, "数据中心不存在。"), None);
        }
        let user = text(1, &["username"]) == credentials.user;
        let application = login == Login::Password || text(2, &["appid"]) == credentials.app_id;
        let secret = match login {
            Login::Password => {
                credentials.password.as_ref().is_some_and(|password| *password == text(2, &["password"]))
            }
            Login::AppSecret => text(3, &["appsecret"]) == credentials.app_secret,
            Login::Sign => {
                let timestamp = text(3, &["timestamp"]);
                is_fresh(&timestamp, wall) && text(4, &["sign"]) == login_sign(credentials, &timestamp)
            }
        };
        if !(user && application && secret) {
            let message = match (self.words, login) {
                (LoginWords::Vague, Login::Password) => "用户名或密码错误。",
                (LoginWords::Vague, Login::AppSecret | Login::Sign) => "用户或应用授权信息错误。",
                (LoginWords::Exact, _) if !user => "用户不存在或不是集成用户。",
                (LoginWords::Exact, _) if !application => "应用ID不存在或未启用。",
                (LoginWords::Exact, Login::Password) => "密码错误。",
                (LoginWords::Exact, Login::AppSecret | Login::Sign) => "应用密钥错误。",
            };
            return (reply(None, credentials, 0, message), None);
        }
        self.logins += 1;
        let (id, count) = self.open(now);
        (reply(Some(&id), credentials, 1, ""), Some((id, count)))
    }
}

/// The session id that a request carries: a header of its own, the Java SDK's `SID`, or the cookie.
fn carried(headers: &HeaderMap) -> Option<&str> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).filter(|id| !id.is_empty());
    header("kdservice-sessionid").or_else(|| header("sid")).or_else(|| {
        let cookies = headers.get_all("cookie").into_iter().filter_map(|value| value.to_str().ok());
        cookies.flat_map(|line| line.split(';')).find_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            name.eq_ignore_ascii_case("kdservice-sessionid").then_some(value)
        })
    })
}

/// The cookies of a session. No `Expires`: its comma breaks the SDK's splitting.
pub fn cookies(id: &str) -> [String; 2] {
    [
        format!("kdservice-sessionid={id}; Path=/"),
        format!("ASP.NET_SessionId={}; Path=/; HttpOnly", id.replace('-', "")),
    ]
}

fn reply(session: Option<&str>, credentials: &Credentials, kind: i32, message: &str) -> Value {
    let context = session.map(|id| {
        json!({
            "UserLocale": "zh-CN",
            "LogLocale": "zh-CN",
            "DBid": credentials.acct_id,
            "DatabaseType": 3,
            "SessionId": id,
            "UserId": 16_394,
            "UserName": credentials.user,
            "CustomName": "Starbridge",
            "DisplayVersion": "8.0.0.0",
            "DataCenterName": "Starbridge",
            "UserToken": "",
            "CurrentOrganizationInfo": { "ID": 1, "AcctOrgType": "1", "Name": "Starbridge", "FunctionIds": [] },
            "ClientType": 32,
        })
    });
    json!({
        "Message": message,
        "MessageCode": if kind == 1 { "" } else { "CheckPasswordFailed" },
        "LoginResultType": kind,
        "Context": context,
        "KDSVCSessionId": session.unwrap_or_default(),
        "FormId": null,
        "RedirectFormParam": null,
        "FormInputObject": null,
        "ErrorStackTrace": null,
        "Lcid": 2052,
        "AccessToken": null,
        "KdAccessResult": null,
        "IsSuccessByAPI": kind == 1,
    })
}
