//! Logging in: what is sent, and what the reply means.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::json::excerpt;
use crate::session::WireSession;
use crate::settings::{LoginMode, Settings};
use crate::sign::Identity;
use crate::status::{self, Found, Status};

/// What a login's reply means.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A session.
    Open(WireSession),
    /// The identity is refused; trying again makes it worse.
    Refused(String),
    /// No session, and no clear word of the identity.
    Unclear(String),
}

/// The method and body of a login; `None` in signed mode, which has none.
pub(crate) fn request(
    settings: &Settings,
    secret: &SecretString,
    now: DateTime<Utc>,
) -> Option<(&'static str, String)> {
    let secret = secret.expose_secret();
    let (acct_id, user, app_id, lcid) = (&settings.acct_id, &settings.user, &settings.app_id, settings.lcid());
    let (method, parameters) = match settings.login {
        LoginMode::Signed => return None,
        LoginMode::Password => ("ValidateUser", json!([acct_id, user, secret, lcid])),
        LoginMode::AppSecret => ("LoginByAppSecret", json!([acct_id, user, app_id, secret, lcid])),
        LoginMode::Sign => {
            let identity = identity(settings, secret);
            let seconds = now.timestamp();
            let sign = identity.login_sign(seconds);
            ("LoginBySign", json!([acct_id, user, app_id, seconds, sign, lcid]))
        }
    };
    let envelope = json!({
        "format": 1,
        "useragent": "ApiClient",
        "rid": now.timestamp_subsec_nanos(),
        "parameters": parameters.to_string(),
        "timestamp": now.with_timezone(&settings.zone).format("%Y-%m-%d %H:%M:%S").to_string(),
        "v": "1.0",
    });
    Some((method, envelope.to_string()))
}

/// The settings as the identity that signs.
pub(crate) fn identity<'a>(settings: &'a Settings, app_secret: &'a str) -> Identity<'a> {
    Identity {
        acct_id: &settings.acct_id,
        user: &settings.user,
        app_id: &settings.app_id,
        app_secret,
        lcid: settings.lcid,
        org_num: settings.org_num,
        xor_code: settings.xor_code.as_deref(),
    }
}

/// Understands a login's reply.
///
/// Success is `LoginResultType` 1 and nothing else: a success can carry a message, and a failure without one exists.
pub(crate) fn understand(reply: &Value, cookies: Option<&WireSession>) -> Outcome {
    let message = excerpt(reply.get("Message").and_then(Value::as_str).unwrap_or_default(), 300);
    let named = |word: &str| if message.is_empty() { word.to_owned() } else { message.clone() };
    match reply.get("LoginResultType").and_then(status::whole) {
        Some(1) => {
            let id = reply.get("KDSVCSessionId").and_then(Value::as_str).unwrap_or_default();
            match WireSession::new(id, None) {
                Some(session) => Outcome::Open(session.with_cookies(cookies)),
                None => match cookies {
                    Some(session) => Outcome::Open(session.clone()),
                    None => Outcome::Unclear("the login succeeded but gave no session".to_owned()),
                },
            }
        }
        Some(0) => Outcome::Refused(named("user or password wrong")),
        Some(-2 | -3) => Outcome::Refused(named("the password must be changed")),
        Some(-5) => Outcome::Refused(named("the login asks for an interaction")),
        Some(-6 | -7) => Outcome::Refused(named("the cloud passport is not bound or not active")),
        // "Failure, see the message": a person is needed where the message speaks of the identity.
        Some(-1) if ["密码", "用户", "账号", "锁定", "禁用"].iter().any(|word| message.contains(word)) => {
            Outcome::Refused(message)
        }
        Some(_) => Outcome::Unclear(named("the login failed without a reason")),
        None => Outcome::Unclear(match status::find(reply) {
            Found::Status(Status { errors, .. }) if !errors.is_empty() => {
                errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ")
            }
            _ => "the reply to the login has no LoginResultType".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(login: LoginMode) -> Settings {
        let mut settings = Settings::new("http://127.0.0.1:8080/K3Cloud", "5f3c9a1b7d2e40", "Administrator");
        settings.app_id = "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE".to_owned();
        settings.login = login;
        settings
    }

    fn parameters(login: LoginMode) -> (&'static str, Value) {
        let now = DateTime::from_timestamp(1_767_225_600, 7).expect("a time");
        let secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0".to_owned().into();
        let (method, body) = request(&settings(login), &secret, now).expect("a login");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["format"], 1);
        assert_eq!(body["timestamp"], "2026-01-01 08:00:00");
        (method, serde_json::from_str(body["parameters"].as_str().expect("parameters are a text")).expect("JSON"))
    }

    #[test]
    fn the_three_logins_send_their_parameters_in_order() {
        let app = "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE";
        let secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
        assert_eq!(
            parameters(LoginMode::Password),
            ("ValidateUser", json!(["5f3c9a1b7d2e40", "Administrator", secret, 2052]))
        );
        assert_eq!(
            parameters(LoginMode::AppSecret),
            ("LoginByAppSecret", json!(["5f3c9a1b7d2e40", "Administrator", app, secret, 2052]))
        );
        let sign = "e17ef9e23aac11e5d92dc24c051d6e3e4a2d1e2d20bde286503a3fba2ad2039c";
        assert_eq!(
            parameters(LoginMode::Sign),
            ("LoginBySign", json!(["5f3c9a1b7d2e40", "Administrator", app, 1_767_225_600, sign, 2052]))
        );
        assert!(request(&settings(LoginMode::Signed), &String::new().into(), Utc::now()).is_none());
    }

    #[test]
    fn only_result_type_one_opens_a_session() {
        let reply = |kind: &str, message: &str| {
            let kind: Value = serde_json::from_str(kind).expect("JSON");
            json!({"LoginResultType": kind, "Message": message, "KDSVCSessionId": "s-1"})
        };
        let session = WireSession::new("s-1", None).expect("a session");
        for kind in ["1", "\"1\""] {
            match understand(&reply(kind, "密码将在 3 天后过期"), None) {
                Outcome::Open(open) => assert_eq!(open, session),
                other => panic!("{kind}: {other:?}"),
            }
        }
        for kind in ["0", "-2", "-3", "-5", "-6", "-7"] {
            assert!(matches!(understand(&reply(kind, ""), None), Outcome::Refused(_)), "{kind}");
        }
        assert!(matches!(understand(&reply("-1", "用户名或密码错误"), None), Outcome::Refused(_)));
        assert!(matches!(understand(&reply("-1", "系统正在升级"), None), Outcome::Unclear(_)));
        assert!(matches!(understand(&reply("-4", ""), None), Outcome::Unclear(_)));
        assert!(matches!(understand(&json!({}), None), Outcome::Unclear(_)));
        let status = json!({"Result": {"ResponseStatus": {"IsSuccess": false, "Errors": [{"Message": "维护中"}]}}});
        assert!(matches!(understand(&status, None), Outcome::Unclear(text) if text == "维护中"));
        assert!(matches!(understand(&json!({"LoginResultType": 1}), None), Outcome::Unclear(_)));
    }

    #[test]
    fn the_second_cookie_joins_the_session_of_the_body() {
        let cookies = WireSession::from_set_cookie(["kdservice-sessionid=other", "ASP.NET_SessionId=xyz"]);
        let Outcome::Open(open) = understand(&json!({"LoginResultType": 1, "KDSVCSessionId": "s-1"}), cookies.as_ref())
        else {
            panic!("a session");
        };
        assert_eq!(Some(open), WireSession::new("s-1", Some("xyz")));
    }
}
