//! Logins and sessions.

use serde_json::json;
use sha2::{Digest, Sha256};
use simulator::signature::{Credentials, login_sign};

use crate::harness::{ACCOUNT, APP_ID, Galaxy, SECRET, USER, refusal};

async fn with_password() -> (Galaxy, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "pass word\n").unwrap();
    (Galaxy::start(&["--password-file", file.to_str().unwrap()]).await, folder)
}

fn sign(timestamp: &str) -> String {
    let mut parts = [ACCOUNT, USER, APP_ID, SECRET, timestamp];
    parts.sort_unstable();
    hex::encode(Sha256::digest(parts.concat().as_bytes()))
}

#[tokio::test]
async fn three_logins_open_sessions() {
    let (galaxy, _folder) = with_password().await;
    let timestamp = chrono::Utc::now().timestamp().to_string();
    let logins = [
        ("ValidateUser", json!({ "parameters": [ACCOUNT, USER, "pass word", 2052] })),
        ("ValidateUser", json!({ "acctID": ACCOUNT, "username": USER, "password": "pass word", "lcid": 2052 })),
        ("validateuser", json!({ "format": 1, "parameters": json!([ACCOUNT, USER, "pass word", 2052]).to_string() })),
        ("LoginByAppSecret", json!({ "parameters": [ACCOUNT, USER, APP_ID, SECRET, 2052] })),
        ("LoginBySign", json!({ "parameters": [ACCOUNT, USER, APP_ID, timestamp, sign(&timestamp), 2052] })),
        (
            "LoginBySign",
            json!({ "parameters": [ACCOUNT, USER, APP_ID, timestamp.parse::<i64>().unwrap(), sign(&timestamp), 2052] }),
        ),
    ];
    for (method, body) in logins {
        let reply = galaxy.auth(method, body.clone()).await;
        assert_eq!(reply["LoginResultType"], json!(1), "{method} {body}");
        assert_eq!(reply["Context"]["UserName"], json!(USER));
        let session = reply["KDSVCSessionId"].as_str().unwrap();
        assert_eq!(reply["Context"]["SessionId"], json!(session));
        let query = json!({ "data": { "FormId": "BD_UNIT", "FieldKeys": "FNumber" } });
        for header in
            [("Cookie", format!("Theme=standard; kdservice-sessionid={session}")), ("SID", session.to_owned())]
        {
            let request = galaxy.http.post(galaxy.method_url("ExecuteBillQuery")).header(header.0, &header.1);
            let text = request.json(&query).send().await.unwrap().text().await.unwrap();
            assert_eq!(text, r#"[["Pcs"],["kg"]]"#, "{method} by {}", header.0);
        }
    }
    assert_eq!(galaxy.ask("/stats").await["sessions"], json!({ "open": 6, "opened": 6, "logins": 6 }));
}

#[tokio::test]
async fn wrong_logins_say_so() {
    let (galaxy, _folder) = with_password().await;
    let timestamp = chrono::Utc::now().timestamp().to_string();
    let old = (chrono::Utc::now().timestamp() - 90_000).to_string();
    for (method, parameters, kind) in [
        ("ValidateUser", json!([ACCOUNT, USER, "wrong", 2052]), 0),
        ("ValidateUser", json!([ACCOUNT, "nobody", "pass word", 2052]), 0),
        ("ValidateUser", json!(["no such account", USER, "pass word", 2052]), -1),
        ("LoginByAppSecret", json!([ACCOUNT, USER, APP_ID, "wrong", 2052]), 0),
        ("LoginBySign", json!([ACCOUNT, USER, APP_ID, timestamp, "wrong", 2052]), 0),
        ("LoginBySign", json!([ACCOUNT, USER, APP_ID, old, sign(&old), 2052]), 0),
    ] {
        let reply = galaxy.auth(method, json!({ "parameters": parameters })).await;
        assert_eq!(
            (&reply["LoginResultType"], &reply["Context"]),
            (&json!(kind), &json!(null)),
            "{method} {parameters}"
        );
        assert_eq!(reply["KDSVCSessionId"], json!(""));
    }
}

#[tokio::test]
async fn a_changed_secret_ends_sessions_and_refuses_the_old_one() {
    let galaxy = Galaxy::start(&[]).await;
    let login = async |secret: &str| {
        let reply =
            galaxy.auth("LoginByAppSecret", json!({ "parameters": [ACCOUNT, USER, APP_ID, secret, 2052] })).await;
        (reply["LoginResultType"].clone(), reply["Message"].clone())
    };
    assert_eq!(login(SECRET).await.0, json!(1));
    galaxy.tell("/secret", json!({ "app_secret": "another" })).await;
    assert_eq!(galaxy.ask("/stats").await["sessions"]["open"], json!(0));
    assert_eq!(login(SECRET).await, (json!(0), json!("用户或应用授权信息错误。")));
    assert_eq!(login("another").await.0, json!(1));
}

#[tokio::test]
async fn the_published_example_of_a_login_signature_comes_out() {
    let credentials = Credentials {
        acct_id: ACCOUNT.to_owned(),
        user: USER.to_owned(),
        app_id: APP_ID.to_owned(),
        app_secret: SECRET.to_owned(),
        password: None,
    };
    let expected = "e17ef9e23aac11e5d92dc24c051d6e3e4a2d1e2d20bde286503a3fba2ad2039c";
    assert_eq!(login_sign(&credentials, "1767225600"), expected);
    assert_eq!(sign("1767225600"), expected);
}

#[tokio::test]
async fn a_session_ends_by_logout_by_loss_and_by_idling() {
    let galaxy = Galaxy::start(&["--session-idle-s", "1"]).await;
    let query = json!({ "data": { "FormId": "BD_UNIT", "FieldKeys": "FNumber" } });
    let ask = async |session: &str| {
        let request = galaxy.http.post(galaxy.method_url("ExecuteBillQuery")).header("kdservice-sessionid", session);
        request.json(&query).send().await.unwrap().json::<serde_json::Value>().await.unwrap()
    };
    let lost = (1, "会话信息已丢失，请重新登录".to_owned());
    let served = json!([["Pcs"], ["kg"]]);

    let session = galaxy.login().await;
    assert_eq!(ask(&session).await, served);
    let url = galaxy.method_url("Logout").replace("DynamicFormService", "AuthService");
    let out = galaxy.http.post(url).header("kdservice-sessionid", &session).json(&json!({ "parameters": [] }));
    assert_eq!(out.send().await.unwrap().text().await.unwrap(), "true");
    assert_eq!(refusal(&ask(&session).await), lost);

    let session = galaxy.login().await;
    assert_eq!(galaxy.tell("/session-loss", json!({})).await, json!({ "lost": 1 }));
    assert_eq!(refusal(&ask(&session).await), lost);

    let session = galaxy.login().await;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    assert_eq!(refusal(&ask(&session).await), lost);
}
