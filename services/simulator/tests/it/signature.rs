//! Signed requests: the published vectors, and requests signed here by hand.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use simulator::options::SignedPath;
use simulator::signature::{Credentials, Verdict, judge};
use std::collections::BTreeMap;

use crate::harness::{ACCOUNT, APP_ID, Galaxy, SECRET, USER, refusal};

/// What the secret part of the application id unmasks to.
const CLIENT_SECRET: &str = "5a0c9e7be2d14f3896b1c4d07e8fa263";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    acct_id: String,
    user: String,
    app_id: String,
    app_secret: String,
    unix_time: i64,
    path: String,
    headers: BTreeMap<String, String>,
}

#[test]
fn requests_signed_by_the_official_sdk_are_accepted() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../data/sign-vectors.json")).unwrap();
    assert_eq!(vectors.len(), 18);
    for vector in vectors {
        let mut headers = HeaderMap::new();
        for (name, value) in &vector.headers {
            headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        }
        let mut credentials = Credentials {
            acct_id: vector.acct_id,
            user: vector.user,
            app_id: vector.app_id,
            app_secret: vector.app_secret,
            password: None,
        };
        let now = DateTime::from_timestamp(vector.unix_time, 0).unwrap();
        let verdict = |credentials: &Credentials, now: DateTime<Utc>| {
            judge(credentials, &headers, &vector.path, SignedPath::Any, now)
        };
        // Only here the client was given another mask, which the server cannot know.
        let expected = if vector.name == "edge/xor-code-from-config" { Verdict::Bad } else { Verdict::Good };
        assert_eq!(verdict(&credentials, now), expected, "{}", vector.name);
        assert_eq!(verdict(&credentials, now + chrono::Duration::hours(25)), Verdict::Bad, "{}", vector.name);
        credentials.app_secret.push('x');
        assert_eq!(verdict(&credentials, now), Verdict::Bad, "{}", vector.name);
        credentials.acct_id.push('x');
        assert_eq!(verdict(&credentials, now), Verdict::UnknownAccount, "{}", vector.name);
    }
}

fn hmac(key: &str, message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    STANDARD.encode(hex::encode(mac.finalize().into_bytes()))
}

struct Signer<'a> {
    account: &'a str,
    user: &'a str,
    secret: &'a str,
    locale: &'a str,
    organisation: &'a str,
    time: String,
    nonce_first: [&'a str; 2],
}

impl Signer<'_> {
    fn usual() -> Self {
        let time = Utc::now().timestamp().to_string();
        let nonce_first = ["x-api-nonce", "x-api-timestamp"];
        Self { account: ACCOUNT, user: USER, secret: SECRET, locale: "2052", organisation: "0", time, nonce_first }
    }

    async fn query(&self, galaxy: &Galaxy, session: Option<&str>) -> (u16, Vec<String>, String) {
        let url = galaxy.method_url("ExecuteBillQuery");
        let path = url.split_once("//").unwrap().1.split_once('/').unwrap().1;
        let path = format!("%2F{}", path.replace('/', "%2F"));
        let [nonce, timestamp] = self.nonce_first;
        let message = format!("POST\n{path}\n\n{nonce}:{0}\n{timestamp}:{0}\n", self.time);
        let identity = format!("{},{},{},{}", self.account, self.user, self.locale, self.organisation);
        let mut request = galaxy
            .http
            .post(url)
            .header("X-Api-ClientID", "118273")
            .header("X-Api-Auth-Version", "2.0")
            .header(timestamp, &self.time)
            .header(nonce, &self.time)
            .header("x-api-signheaders", format!("{timestamp},{nonce}"))
            .header("X-Api-Signature", hmac(CLIENT_SECRET, &message))
            .header("X-Kd-Appkey", APP_ID)
            .header("X-Kd-Appdata", STANDARD.encode(&identity))
            .header("X-Kd-Signature", hmac(self.secret, &format!("{APP_ID}{identity}")))
            .header("Content-Type", "applicatin/json");
        if let Some(session) = session {
            request = request.header("kdservice-sessionid", session);
        }
        let body = json!({ "data": { "FormId": "BD_UNIT", "FieldKeys": "FNumber" } });
        let response = request.body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        let cookies = response.headers().get_all("set-cookie").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
        (status, cookies, response.text().await.unwrap())
    }
}

const SERVED: &str = r#"[["Pcs"],["kg"]]"#;

#[tokio::test]
async fn a_good_signature_is_served_and_a_session_comes_back() {
    let galaxy = Galaxy::start(&[]).await;
    let (status, cookies, text) = Signer::usual().query(&galaxy, Some("stale")).await;
    assert_eq!((status, text.as_str()), (200, SERVED));
    let session = cookies.iter().find_map(|cookie| cookie.strip_prefix("kdservice-sessionid=")).unwrap();
    let (session, rest) = session.split_once(';').unwrap();
    assert_eq!(rest, " Path=/");
    assert!(cookies.iter().all(|cookie| !cookie.contains("Expires")));

    // A valid session is served whatever the signature, and no other is issued.
    let stranger = Signer { secret: "wrong", ..Signer::usual() };
    assert_eq!(stranger.query(&galaxy, Some(session)).await, (200, vec![], SERVED.to_owned()));
    assert_eq!(galaxy.ask("/stats").await["sessions"], json!({ "open": 1, "opened": 1, "logins": 0 }));
}

#[tokio::test]
async fn a_bad_signature_is_msgcode_1_with_a_session_worth_nothing() {
    let galaxy = Galaxy::start(&[]).await;
    let day = 86_400;
    let stale = (Utc::now().timestamp() - day - 60).to_string();
    for (what, signer) in [
        ("secret", Signer { secret: "wrong", ..Signer::usual() }),
        ("user", Signer { user: "nobody", ..Signer::usual() }),
        ("locale", Signer { locale: "7", ..Signer::usual() }),
        ("time", Signer { time: stale, ..Signer::usual() }),
    ] {
        let (status, cookies, text) = signer.query(&galaxy, None).await;
        let reply: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, refusal(&reply)), (200, (1, "会话信息已丢失，请重新登录".to_owned())), "{what}");
        let session = cookies[0].strip_prefix("kdservice-sessionid=").unwrap().split_once(';').unwrap().0;
        assert_ne!(signer.query(&galaxy, Some(session)).await.2, SERVED, "{what}");
    }
    let (status, _, text) = Signer { account: "nowhere", ..Signer::usual() }.query(&galaxy, None).await;
    assert_eq!((status, text.contains("Fail to verify thirty passport")), (500, true));
}

#[tokio::test]
async fn milliseconds_other_header_names_any_organisation_and_clock_within_a_day_are_accepted() {
    let galaxy = Galaxy::start(&[]).await;
    for signer in [
        Signer { time: Utc::now().timestamp_millis().to_string(), ..Signer::usual() },
        Signer { time: (Utc::now().timestamp() - 80_000).to_string(), ..Signer::usual() },
        Signer { nonce_first: ["X-Api-Nonce", "X-Api-TimeStamp"], ..Signer::usual() },
        Signer { organisation: "999", locale: "1033", ..Signer::usual() },
    ] {
        assert_eq!(signer.query(&galaxy, None).await.2, SERVED);
    }
}
