use serde_json::Value;

use super::*;
use crate::session::{WireSession, session_headers};
use crate::wire;

const VECTORS: &str = include_str!("../../tests/data/kingdee-sign-vectors.json");

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}"))
}

fn identity(credentials: &Value) -> Identity<'_> {
    Identity {
        acct_id: text(credentials, "acct_id"),
        user: text(credentials, "user_name"),
        app_id: text(credentials, "app_id"),
        app_secret: text(credentials, "app_secret"),
        lcid: credentials["lcid"].as_i64().expect("lcid"),
        org_num: credentials["org_num"].as_i64().expect("org_num"),
        xor_code: credentials.get("xor_code").and_then(Value::as_str),
    }
}

/// One request of a vector against what this crate makes of the same input.
fn check_request(name: &str, credentials: &Value, unix: f64, expected: &Value, session: Option<&WireSession>) {
    let identity = identity(credentials);
    let wire_path = text(expected, "wire_path");
    let service = wire_path.rsplit('/').next().expect("a path has a last part");
    let url = wire::service_url(text(credentials, "server_url"), service.trim_end_matches(".common.kdsvc"));
    assert_eq!(
        reqwest::Url::parse(&url).expect("a URL").as_str(),
        text(expected, "wire_url"),
        "{name}: URL on the wire"
    );
    assert_eq!(text(expected, "method"), "POST", "{name}");

    let seconds = unix.trunc() as i64;
    let time = seconds.to_string();
    let middle = &expected["intermediate"];
    assert_eq!(text_to_sign(&url, &time, &time).as_deref(), Ok(text(middle, "api_string_to_sign")), "{name}");
    assert_eq!(identity.api_key().as_deref(), Ok(text(middle, "api_key")), "{name}");
    assert_eq!(identity.kd_text(), text(middle, "kd_string_to_sign"), "{name}");
    assert_eq!(identity.app_secret, text(middle, "kd_key"), "{name}");

    let mut headers = identity.headers(&url, seconds).expect("signed");
    headers.extend(session.map(session_headers).unwrap_or_default());
    let lower = |name: &str| name.to_ascii_lowercase();
    let mut ours: Vec<(String, String)> = headers.into_iter().map(|(name, value)| (lower(name), value)).collect();
    let mut theirs: Vec<(String, String)> = expected["headers"]
        .as_object()
        .expect("headers")
        .iter()
        .map(|(name, value)| (lower(name), value.as_str().expect("a header is text").to_owned()))
        .collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs, "{name}");
}

/// Checks every vector of a file; gives back how many there were.
fn check_file(text_of_file: &str) -> usize {
    let file: Value = serde_json::from_str(text_of_file).expect("the vector file is JSON");
    let vectors = file["vectors"].as_array().expect("vectors");
    for vector in vectors {
        let name = text(vector, "name");
        let input = &vector["input"];
        let credentials = &input["credentials"];
        let unix: f64 = input["unix_time"].to_string().parse().expect("unix_time");
        if let Some(sequence) = vector.get("expected_sequence") {
            let mut session = None;
            let requests = sequence.as_array().expect("a sequence");
            for (index, step) in requests.iter().enumerate() {
                check_request(name, credentials, unix, &step["request"], session.as_ref());
                let reply = &input["server_responses"][index];
                if let Some(cookies) = reply["headers"].get("Set-Cookie").and_then(Value::as_str) {
                    session = WireSession::from_set_cookie([cookies]).or(session);
                }
            }
        } else if vector.get("expected_error").is_some() {
            // Where the SDK raises, a typed error is the answer; nothing is claimed to be equal.
            let url = wire::service_url(text(credentials, "server_url"), "Service");
            assert_eq!(identity(credentials).headers(&url, 0), Err(SignError::NoPath), "{name}");
        } else {
            check_request(name, credentials, unix, &vector["expected"], None);
            check_body(name, input, &vector["expected"]["body_json"]);
        }
    }
    vectors.len()
}

/// The body is not signed, but it is the same JSON.
fn check_body(name: &str, input: &Value, expected: &Value) {
    let data = input["data"].to_string();
    let body = match input["form_id"].as_str() {
        Some(form) => wire::form_body(form, data.as_bytes()),
        None => wire::data_body(data.as_bytes()),
    };
    let ours: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(&ours, expected, "{name}");
}

#[test]
fn sign_vectors_of_the_official_sdk_are_met_byte_for_byte() {
    assert_eq!(check_file(VECTORS), 21);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may be pointed at another vector file")]
fn sign_vectors_named_by_the_environment_are_met_too() {
    if let Ok(path) = std::env::var("STARBRIDGE_SIGN_VECTORS") {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(check_file(&text) > 0, "{path} holds no vectors");
    }
}

fn example() -> Identity<'static> {
    Identity {
        acct_id: "5f3c9a1b7d2e40",
        user: "Administrator",
        app_id: "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE",
        app_secret: "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        lcid: 2052,
        org_num: 0,
        xor_code: None,
    }
}

#[test]
fn login_by_sign_hashes_the_five_texts_in_byte_order() {
    assert_eq!(example().login_sign(1_767_225_600), "e17ef9e23aac11e5d92dc24c051d6e3e4a2d1e2d20bde286503a3fba2ad2039c");
}

#[test]
fn sign_refuses_a_mask_that_is_too_short() {
    let identity = Identity { xor_code: Some("short"), ..example() };
    assert_eq!(identity.api_key(), Err(SignError::ShortMask));
}

#[test]
fn sign_identity_never_prints_its_secrets() {
    let printed = format!("{:?}", example());
    assert!(!printed.contains("0f1e2d3c") && !printed.contains("1Z0pwYjo"), "{printed}");
}
