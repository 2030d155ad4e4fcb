//! Looks at a simulated system.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use connection::Quota;
use coordination::{Limit, Limiter};
use document::Code;
use kingdee::{Client, MemorySessions, NoLimit, Outbound, Settings};
use serde_json::{Value, json};
use simulator::{Options, Running, start};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::System;
use super::look::Calls;
use crate::reconcile::read;

const ACCOUNT: &str = "5f3c9a1b7d2e40";
const USER: &str = "Administrator";
const APP_ID: &str = "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE";
const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const FORM: &str = "STK_MISCELLANEOUS";

struct Place {
    running: Running,
    system: System,
    _folder: tempfile::TempDir,
}

async fn place(switches: &[&str]) -> Place {
    let usual = ["--acct-id", ACCOUNT, "--app-id", APP_ID, "--app-secret", SECRET, "--user", USER];
    let options = Options::from_arguments(usual.into_iter().chain(switches.iter().copied())).expect("options");
    let running = start(&options).await.expect("started");
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, SECRET).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("for us alone");
    let mut settings = Settings::new(running.url(), ACCOUNT, USER);
    settings.app_id = APP_ID.to_owned();
    settings.app_secret_file = Some(path);
    let account = settings.account();
    let outbound = Outbound::only(account.split('/').next().expect("a server")).expect("a server");
    let client = Client::new(settings, &outbound, Arc::new(MemorySessions::default()), Arc::new(NoLimit));
    let limiter = Limiter::connect(None).expect("no settings, no fault");
    let quota = Quota { limiter, account, limit: Limit::alone(60_000) };
    Place { running, system: System::new(client.expect("a client"), quota), _folder: folder }
}

impl Place {
    /// Puts documents into the system as a person would.
    async fn plant(&self, form: &str, documents: Value) {
        let body = json!({"form": form, "documents": documents, "create_base_data": true, "allow_duplicate": true});
        let body = body.to_string();
        let admin = self.running.admin_url();
        let mut stream = tokio::net::TcpStream::connect(admin.trim_start_matches("http://")).await.expect("admin");
        let head = format!(
            "POST /documents HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
}

fn bill(number: &str, quantity: &str) -> Value {
    let quantity: Value = serde_json::from_str(quantity).expect("a number");
    json!({
        "FBillNo": number,
        "FStockOrgId": {"FNumber": "109"},
        "FDate": "2024-03-14",
        "FEntity": [{"FMATERIALID": {"FNumber": "M1"}, "FSTOCKID": {"FNumber": "CK01"}, "FQty": quantity}],
    })
}

fn calls(most: usize) -> Calls {
    Calls::at_most(most, Duration::from_secs(30))
}

#[tokio::test]
async fn a_document_is_found_absent_the_same_different_or_several() {
    let place = place(&[]).await;
    let one = bill("A-1", "12.5");
    place.plant(FORM, json!([bill("A-1", "12.5000"), bill("A-2", "1"), bill("A-2", "2")])).await;
    let look = async |key: &str, ours: &Value| {
        let mut made = calls(3);
        let beside = place.system.beside(FORM, ("FBillNo", key), ours, &mut made, 0).await.expect("answered");
        (beside, made.made.len())
    };
    let (same, made) = look("A-1", &one).await;
    let sides = same.sides.expect("one document");
    assert_eq!((sides.differ, sides.compared, made), (Vec::new(), 6, 3));
    assert_eq!(same.heads[0].status, "C");
    assert_eq!(sides.theirs["FStockOrgId"]["FNumber"], "109");
    // What the form holds is asked once for a time.
    let (different, made) = look("A-1", &bill("A-1", "13")).await;
    assert_eq!(different.sides.expect("one document").differ, ["/FEntity/0/FQty"]);
    assert_eq!(made, 2);
    let (absent, _) = look("A-9' or 1=1 --", &one).await;
    assert!(absent.heads.is_empty() && absent.sides.is_none(), "{absent:?}");
    let (several, _) = look("A-2", &one).await;
    assert!(several.heads.len() == 2 && several.sides.is_none(), "{several:?}");
}

#[tokio::test]
async fn what_a_form_says_is_believed_for_a_time_and_the_calls_are_told() {
    let place = place(&[]).await;
    let mut made = calls(2);
    for now in [0, 599_999, 600_000] {
        place.system.form(FORM, &mut made, now).await.expect("a form");
    }
    assert_eq!(made.made.len(), 2);
    assert_eq!((made.made[0].method, made.made[0].form.as_str()), ("QueryBusinessInfo", FORM));
    let spent = place.system.form("BD_STOCK", &mut made, 0).await.expect_err("no further call");
    assert_eq!(spent.code, Code::ErpTimeout);
    let mut made = calls(1);
    let unknown = place.system.form("NO_SUCH_FORM", &mut made, 0).await.expect_err("no form");
    assert_eq!((unknown.code, unknown.place.record.as_deref()), (Code::UnknownForm, Some("NO_SUCH_FORM")));
}

#[tokio::test]
async fn existing_keys_are_found_in_batches_and_within_the_calls() {
    // Pages are clamped to 2 rows, so more than one is read.
    let place = place(&["--page-clamp", "2"]).await;
    let planted: Vec<Value> = (0..5).map(|number| bill(&format!("B-{number}"), "1")).collect();
    place.plant(FORM, json!(planted)).await;
    let keys: Vec<String> = (0..450).map(|number| format!("B-{number}")).collect();
    let mut made = calls(20);
    let existing = place.system.existing(FORM, "FBillNo", &keys, &mut made).await.expect("answered");
    assert_eq!((existing.asked, existing.found.len()), (450, 5));
    // Three pages and an empty one for the first 200 keys, an empty one for each of the others.
    assert_eq!(made.made.len(), 6, "{:#?}", made.made);
    let mut made = calls(2);
    let existing = place.system.existing(FORM, "FBillNo", &keys, &mut made).await.expect("answered");
    assert_eq!((existing.asked, existing.found.len(), made.made.len()), (0, 4, 2));
    let found = place.system.existing(FORM, "FBillNo", &keys[..5], &mut calls(20)).await.expect("answered");
    assert_eq!((found.asked, found.found.len()), (5, 5));
}

#[tokio::test]
async fn how_much_a_report_is_about_takes_few_calls_to_tell_and_is_never_told_too_little() {
    let place = place(&[]).await;
    let form = place.system.form(FORM, &mut calls(1), 0).await.expect("a form");
    let most = async || {
        let mut made = calls(20);
        let most = read::created_at_most(&place.system, &form, "FBillNo", (0, 4_000_000_000), &mut made).await;
        (most.expect("told"), made.made.len())
    };
    assert_eq!(most().await, (2_000, 1));
    let planted = |numbers: std::ops::Range<u32>| -> Vec<Value> {
        numbers.map(|number| bill(&format!("B-{number}"), "1")).collect()
    };
    place.plant(FORM, json!(planted(0..2_000))).await;
    assert_eq!(most().await, (2_000, 1));
    place.plant(FORM, json!(planted(2_000..2_001))).await;
    assert_eq!(most().await, (4_000, 2));
}

#[tokio::test]
async fn a_system_that_is_slower_than_the_look_may_take_is_told() {
    let place = place(&["--fail", "latency:ms=60000"]).await;
    let mut made = Calls::at_most(3, Duration::from_secs(2));
    let fault = place.system.form(FORM, &mut made, 0).await.expect_err("too slow");
    assert_eq!((fault.code, fault.place.record.as_deref()), (Code::ErpTimeout, Some("QueryBusinessInfo")));
    assert!(made.are_spent());
}
