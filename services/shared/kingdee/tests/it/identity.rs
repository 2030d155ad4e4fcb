//! Sessions and credentials: who logs in, how often, and when never again.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use document::Code;
use kingdee::{Class, Client, LoginMode, MemorySessions, SaveReply, UnknownReason};
use serde_json::{Map, Value};

use super::server::{Answer, Request, Server, say, status};
use super::{LOST, logged_in, lost_rows, outbound, query, rig};

/// A server with logins: sessions are valid until they are ended.
#[derive(Default)]
struct Sessions {
    issued: AtomicUsize,
    ended: Mutex<HashSet<String>>,
}

impl Sessions {
    fn answer(&self, request: &Request) -> Answer {
        if request.method.starts_with("Login") || request.method == "ValidateUser" {
            let number = self.issued.fetch_add(1, Ordering::SeqCst);
            return Answer::After(Duration::from_millis(30), Box::new(say(logged_in(&format!("s-{number}")))));
        }
        let session = request.headers.get("kdservice-sessionid").cloned().unwrap_or_default();
        let is_good = session.starts_with("s-") && !self.ended.lock().expect("a set").contains(&session);
        match (is_good, request.method.as_str()) {
            (true, "BatchSave") => say(
                "{\"Result\":{\"ResponseStatus\":{\"IsSuccess\":true,\"SuccessEntitys\":[{\"Id\":1,\"Number\":\"A\",\"DIndex\":0}]}}}",
            ),
            (true, _) => say("[[1,\"A\"]]"),
            (false, "BatchSave") => say(LOST),
            (false, _) => say(lost_rows()),
        }
    }

    fn end(&self, session: &str) {
        self.ended.lock().expect("a set").insert(session.to_owned());
    }
}

async fn with_sessions() -> (Arc<Sessions>, Server) {
    let sessions = Arc::<Sessions>::default();
    let shared = sessions.clone();
    let server = Server::start(move |request| shared.answer(request)).await;
    (sessions, server)
}

async fn eight(client: &Client) -> Vec<Result<(), Code>> {
    let calls = (0..8).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.execute_bill_query(&query()).await.map(|_| ()).map_err(|error| error.code()) })
    });
    let mut outcomes = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        outcomes.push(call.await.expect("no panic"));
    }
    outcomes
}

#[tokio::test]
async fn eight_callers_log_in_once_and_once_more_when_the_session_is_lost() {
    for mode in [LoginMode::Password, LoginMode::AppSecret, LoginMode::Sign] {
        let (sessions, server) = with_sessions().await;
        let rig = rig(&server.url(), mode);
        assert_eq!(eight(&rig.client).await, vec![Ok(()); 8], "{mode:?}");
        assert_eq!(sessions.issued.load(Ordering::SeqCst), 1, "{mode:?}");
        assert_eq!(rig.permits.count(), 1, "a permit for the login");
        if mode != LoginMode::Password {
            continue;
        }
        sessions.end("s-0");
        assert_eq!(eight(&rig.client).await, vec![Ok(()); 8]);
        assert_eq!(sessions.issued.load(Ordering::SeqCst), 2, "one login for all eight");
        let repeated = server.seen().len() - 2 - 16;
        assert!((1..=8).contains(&repeated), "{repeated} repeated");
        assert_eq!(rig.permits.count(), 2 + repeated, "a permit for each call the client added");
    }
}

#[tokio::test]
async fn a_replica_takes_over_the_session_of_another() {
    let (sessions, server) = with_sessions().await;
    let first = rig(&server.url(), LoginMode::Password);
    first.client.execute_bill_query(&query()).await.expect("a page");
    let second =
        Client::new(first.settings.clone(), &outbound(&first.settings), first.sessions.clone(), first.permits.clone())
            .expect("a client");
    second.execute_bill_query(&query()).await.expect("a page");
    assert_eq!(sessions.issued.load(Ordering::SeqCst), 1);
    sessions.end("s-0");
    second.execute_bill_query(&query()).await.expect("a page");
    first.client.execute_bill_query(&query()).await.expect("a page");
    assert_eq!(sessions.issued.load(Ordering::SeqCst), 2, "the first takes over what the second opened");
}

#[tokio::test]
async fn a_save_that_lost_its_session_is_not_repeated_but_the_next_has_a_new_one() {
    let (sessions, server) = with_sessions().await;
    let rig = rig(&server.url(), LoginMode::AppSecret);
    let save = || async { rig.client.batch_save("F", &Map::new(), &[Bytes::from_static(b"{}")]).await };
    assert!(matches!(save().await, SaveReply::Done(_)));
    sessions.end("s-0");
    let reply = save().await;
    assert!(matches!(reply, SaveReply::UnknownClosed(UnknownReason::SessionLost)), "{reply:?}");
    assert_eq!((server.count("BatchSave"), sessions.issued.load(Ordering::SeqCst)), (2, 2));
    assert!(matches!(save().await, SaveReply::Done(_)));
    assert_eq!((server.count("BatchSave"), sessions.issued.load(Ordering::SeqCst)), (3, 2));
}

#[tokio::test]
async fn a_save_leaves_at_once_or_not_at_all() {
    let server = Server::start(|request| match request.method.as_str() {
        "ValidateUser" => Answer::After(Duration::from_millis(1500), Box::new(say(logged_in("s-1")))),
        _ => say("{\"Result\":{\"ResponseStatus\":{\"IsSuccess\":true,\"SuccessEntitys\":[{\"Id\":1,\"DIndex\":0}]}}}"),
    })
    .await;
    let rig = rig(&server.url(), LoginMode::Password);
    let save = || async { rig.client.batch_save("F", &Map::new(), &[Bytes::from_static(b"{}")]).await };
    let SaveReply::NotSent(error) = save().await else { panic!("sent late") };
    assert_eq!((error.code(), error.class()), (Code::SessionLost, Class::NotSent));
    assert_eq!(error.fault().place.record.as_deref(), Some("BatchSave"));
    assert_eq!(server.count("BatchSave"), 0);
    assert!(matches!(save().await, SaveReply::Done(_)));
}

#[tokio::test]
async fn a_refused_login_is_tried_once_by_all_callers_and_replicas_until_the_secret_changes() {
    let server = Server::start(|request| {
        let parameters = serde_json::from_str::<Value>(&request.body)
            .map(|body| body["parameters"].as_str().unwrap_or_default().to_owned())
            .unwrap_or_default();
        match request.method.as_str() {
            "ValidateUser" if parameters.contains("right") => say(logged_in("s-1")),
            "ValidateUser" => say("{\"LoginResultType\":0,\"Message\":\"用户名或密码错误\"}"),
            _ => say("[[1,\"A\"]]"),
        }
    })
    .await;
    let rig = rig(&server.url(), LoginMode::Password);
    assert_eq!(eight(&rig.client).await, vec![Err(Code::AuthFailed); 8]);
    assert_eq!(server.seen().len(), 1, "one login, no call");
    let error = rig.client.execute_bill_query(&query()).await.expect_err("refused");
    assert_eq!((error.code(), error.class()), (Code::AuthFailed, Class::Credentials));
    assert!(error.fault().place.record.is_some_and(|identity| identity.contains("acct/集成用户")));
    assert!(!format!("{error:?}").contains("0f1e2d3c"), "no secret in an error");

    let second = Client::new(rig.settings.clone(), &outbound(&rig.settings), rig.sessions.clone(), rig.permits.clone())
        .expect("a client");
    assert_eq!(second.execute_bill_query(&query()).await.expect_err("refused").code(), Code::AuthFailed);
    assert_eq!(server.seen().len(), 1, "the other replica does not try either");

    std::fs::write(rig.secret.path(), "right").expect("written");
    rig.client.execute_bill_query(&query()).await.expect("a page with the new secret");
    assert_eq!(server.count("ValidateUser"), 2);
}

#[tokio::test]
async fn a_session_lost_twice_in_one_call_is_a_refusal() {
    let server = Server::start(|request| match request.method.as_str() {
        "LoginByAppSecret" => say(logged_in("s")),
        _ => say(lost_rows()),
    })
    .await;
    let rig = rig(&server.url(), LoginMode::AppSecret);
    let error = rig.client.execute_bill_query(&query()).await.expect_err("refused");
    assert_eq!((error.code(), error.class()), (Code::AuthFailed, Class::Credentials));
    assert_eq!(
        (server.count("LoginByAppSecret"), server.count("ExecuteBillQuery")),
        (2, 2),
        "one login more, no third"
    );
}

#[tokio::test]
async fn signed_calls_need_no_login_and_keep_the_session_that_comes() {
    let server = Server::start(|request| {
        let is_known = request.headers.get("kdservice-sessionid").is_some_and(|id| id == "abc");
        let is_signed = request.headers.contains_key("x-api-signature");
        match (is_known, is_signed) {
            (_, false) => say(lost_rows()),
            (true, true) => say("[]"),
            (false, true) => status(200, "Set-Cookie: kdservice-sessionid=abc; path=/\r\n", "[]"),
        }
    })
    .await;
    let rig = rig(&server.url(), LoginMode::Signed);
    for _ in 0..3 {
        rig.client.execute_bill_query(&query()).await.expect("a page");
    }
    let sessions: Vec<Option<String>> =
        server.seen().iter().map(|request| request.headers.get("kdservice-sessionid").cloned()).collect();
    assert_eq!(sessions, [None, Some("abc".to_owned()), Some("abc".to_owned())]);
    assert_eq!(server.seen()[1].headers["cookie"], "Theme=standard;kdservice-sessionid=abc");
    assert_eq!(server.seen()[0].headers["x-kd-appkey"], super::APP_ID);
}

#[tokio::test]
async fn a_signed_call_that_lost_its_session_is_repeated_without_it() {
    let server = Server::start(|request| match request.headers.get("kdservice-sessionid") {
        None => status(200, "Set-Cookie: kdservice-sessionid=abc; path=/\r\n", "[[1,\"A\"]]"),
        Some(_) => say(lost_rows()),
    })
    .await;
    let rig = rig(&server.url(), LoginMode::Signed);
    rig.client.execute_bill_query(&query()).await.expect("the first page");
    rig.client.execute_bill_query(&query()).await.expect("the second page, after one repetition");
    assert_eq!(server.seen().len(), 3);
    assert_eq!(rig.permits.count(), 1, "a permit for the repetition");
}

#[tokio::test]
async fn a_refused_signature_is_tried_by_one_of_eight_callers() {
    let server = Server::start(|_| say(lost_rows())).await;
    let rig = rig(&server.url(), LoginMode::Signed);
    assert_eq!(eight(&rig.client).await, vec![Err(Code::AuthFailed); 8]);
    assert_eq!(server.seen().len(), 1);
    let reply = rig.client.batch_save("F", &Map::new(), &[Bytes::from_static(b"{}")]).await;
    assert!(matches!(&reply, SaveReply::NotSent(error) if error.code() == Code::AuthFailed), "{reply:?}");
    assert_eq!(server.seen().len(), 1, "not even sent");
}

#[tokio::test]
async fn an_unknown_account_is_told_from_a_wrong_password() {
    let server = Server::start(|_| status(500, "", "error: Fail to verify thirty passport")).await;
    for mode in [LoginMode::Signed, LoginMode::Password] {
        let rig = rig(&server.url(), mode);
        let error = rig.client.execute_bill_query(&query()).await.expect_err("unknown");
        assert_eq!((error.code(), error.class()), (Code::UnknownAccount, Class::Credentials));
        assert!(error.fault().place.record.is_some_and(|account| account.ends_with("/acct")));
    }
}

#[tokio::test]
async fn trouble_while_logging_in_is_no_refusal_of_the_identity() {
    let limit =
        "{\"Result\":{\"ResponseStatus\":{\"IsSuccess\":false,\"MsgCode\":14,\"Errors\":[{\"Message\":\"上限\"}]}}}";
    let waited = Some(Duration::from_secs(7));
    for (answer, code, class) in [
        (status(429, "Retry-After: 7\r\n", "{}"), Code::ErpThrottled, Class::Throttled(waited)),
        (say(limit), Code::ErpThrottled, Class::Throttled(None)),
        (status(502, "", "<html>"), Code::ErpStatus, Class::Trouble),
        (say("<html>maintenance</html>"), Code::ReplyHtml, Class::Trouble),
        (say("{\"LoginResultType\":"), Code::ReplyUnparsable, Class::Trouble),
    ] {
        let first = answer.clone();
        let asked = AtomicUsize::new(0);
        let server = Server::start(move |request| match request.method.as_str() {
            "ValidateUser" if asked.fetch_add(1, Ordering::SeqCst) == 0 => first.clone(),
            "ValidateUser" => say(logged_in("s-1")),
            _ => say("[[1,\"A\"]]"),
        })
        .await;
        let rig = rig(&server.url(), LoginMode::Password);
        let error = rig.client.execute_bill_query(&query()).await.expect_err("no session");
        assert_eq!((error.code(), error.class()), (code, class), "{answer:?}: {error}");
        // The same server, another process: the identity is not held against it.
        let sessions = Arc::<MemorySessions>::default();
        let second = Client::new(rig.settings.clone(), &outbound(&rig.settings), sessions, rig.permits.clone());
        second.expect("a client").execute_bill_query(&query()).await.expect("a page, after the next login");
    }
}
