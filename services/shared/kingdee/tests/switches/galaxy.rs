//! A simulated K3Cloud with some base data, and clients of it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kingdee::{
    BillQuery, Client, DocumentOutcome, HeldSession, LoginMode, LoginTurn, MemorySessions, NoLimit, Outbound,
    SaveReply, SessionCache, Settings,
};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use simulator::{Options, Running};
use tempfile::NamedTempFile;

const ACCOUNT: &str = "5f3c9a1b7d2e40";
const USER: &str = "集成用户";
const APP_ID: &str = "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE";
const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

pub(crate) const FORM: &str = "STK_MISCELLANEOUS";

/// The server and what its clients need to know.
pub(crate) struct Galaxy {
    running: Running,
    admin: reqwest::Client,
    secret: NamedTempFile,
}

/// Sessions of one process whose logins need not be five seconds apart; that they are is tried elsewhere.
#[derive(Default)]
struct Eager(MemorySessions);

#[async_trait]
impl SessionCache for Eager {
    async fn get(&self, identity: &str) -> Option<HeldSession> {
        self.0.get(identity).await
    }

    async fn put(&self, identity: &str, replaces: u64, session: &SecretString) -> HeldSession {
        self.0.put(identity, replaces, session).await
    }

    async fn login_turn(&self, _: &str, _: Duration) -> LoginTurn {
        LoginTurn::Now
    }

    async fn refuse(&self, identity: &str, fingerprint: &str) {
        self.0.refuse(identity, fingerprint).await;
    }

    async fn refused(&self, identity: &str, fingerprint: &str) -> bool {
        self.0.refused(identity, fingerprint).await
    }
}

impl Galaxy {
    /// Starts one that knows organisation 109, material M1 and stock CK01.
    pub(crate) async fn start(arguments: &[String]) -> Self {
        let mut secret = NamedTempFile::new().expect("a scratch file");
        secret.write_all(SECRET.as_bytes()).expect("written");
        let file = secret.path().display().to_string();
        let usual = ["--acct-id", ACCOUNT, "--app-id", APP_ID, "--app-secret-file", &file, "--user", USER];
        let password = ["--password-file", &file];
        let arguments = arguments.iter().map(String::as_str);
        let options = Options::from_arguments(usual.into_iter().chain(password).chain(arguments)).expect("options");
        let running = simulator::start(&options).await.expect("a running simulator");
        let admin = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let galaxy = Self { running, admin, secret };
        for (form, number) in [("ORG_Organizations", "109"), ("BD_MATERIAL", "M1"), ("BD_STOCK", "CK01")] {
            galaxy.plant(form, json!([{"FNumber": number, "FName": number}])).await;
        }
        galaxy
    }

    /// Ends the server; its port is closed then. The secret's file goes with it.
    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }

    /// A client, with a session of its own.
    pub(crate) fn client(&self, login: LoginMode, zone: chrono_tz::Tz, save_timeout: Duration) -> Client {
        let mut settings = Settings::new(self.running.url(), ACCOUNT, USER);
        settings.app_id = APP_ID.to_owned();
        settings.app_secret_file = Some(self.secret.path().to_owned());
        settings.password_file = Some(self.secret.path().to_owned());
        settings.login = login;
        settings.zone = zone;
        settings.connect_timeout = save_timeout / 2;
        settings.query_timeout = save_timeout;
        settings.save_timeout = save_timeout;
        let outbound = Outbound::only(&self.running.address.to_string()).expect("a server");
        Client::new(settings, &outbound, Arc::<Eager>::default(), Arc::new(NoLimit)).expect("good settings")
    }

    /// Puts documents in, audited unless they name a status.
    pub(crate) async fn plant(&self, form: &str, documents: Value) {
        self.tell("/documents", &json!({"form": form, "documents": documents, "create_base_data": true})).await;
    }

    /// Asks for a fault.
    pub(crate) async fn fault(&self, fault: &Value) {
        self.tell("/faults", fault).await;
    }

    /// Ends every fault.
    pub(crate) async fn heal(&self) {
        let url = format!("{}/faults", self.running.admin_url());
        let ended = self.admin.delete(url).send().await.and_then(reqwest::Response::error_for_status);
        ended.expect("the faults are ended");
    }

    /// Ends every session.
    pub(crate) async fn lose_sessions(&self) {
        self.tell("/session-loss", &Value::Null).await;
    }

    /// How many documents carry this number.
    pub(crate) async fn held(&self, number: &str) -> usize {
        let held = self.ask(&format!("/dump?form={FORM}&number={number}")).await;
        held.as_array().expect("documents").len()
    }

    /// Sessions that were opened by a login.
    pub(crate) async fn logins(&self) -> u64 {
        self.ask("/stats").await["sessions"]["logins"].as_u64().expect("a count")
    }

    /// Calls of a method that arrived.
    pub(crate) async fn calls(&self, method: &str) -> u64 {
        self.ask("/stats").await["by_method"][method]["calls"].as_u64().unwrap_or_default()
    }

    async fn tell(&self, path: &str, body: &Value) {
        let url = format!("{}{path}", self.running.admin_url());
        let reply = self.admin.post(url).json(body).send().await.expect("the admin port answers");
        assert!(reply.status().is_success(), "{path} {body}: {}", reply.text().await.unwrap_or_default());
    }

    async fn ask(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.running.admin_url());
        self.admin.get(url).send().await.expect("the admin port answers").json().await.expect("JSON")
    }
}

/// A bill of one row.
pub(crate) fn bill(number: &str, material: &str) -> Value {
    json!({
        "FBillNo": number,
        "FStockOrgId": {"FNumber": "109"},
        "FEntity": [{"FMATERIALID": {"FNumber": material}, "FSTOCKID": {"FNumber": "CK01"}, "FQty": 1}],
    })
}

/// Saves bills in one batchSave that verifies base data; `audit` goes on to submit and audit them.
pub(crate) async fn batch_save(client: &Client, bills: &[Value], audit: bool) -> SaveReply {
    let mut options = Map::from_iter([("IsVerifyBaseDataField".to_owned(), json!(true))]);
    if audit {
        options.insert("IsAutoSubmitAndAudit".to_owned(), json!(true));
    }
    let documents: Vec<Bytes> = bills.iter().map(|bill| bill.to_string().into()).collect();
    client.batch_save(FORM, &options, &documents).await
}

/// The outcomes of a save that was answered document by document.
pub(crate) fn outcomes(reply: SaveReply) -> Vec<DocumentOutcome> {
    match reply {
        SaveReply::Done(outcomes) => outcomes,
        other => panic!("no outcomes: {other:?}"),
    }
}

/// A query of the form.
pub(crate) fn query(keys: &[&str], filter: &str, limit: u32) -> BillQuery {
    BillQuery {
        form_id: FORM.to_owned(),
        field_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        filter: filter.to_owned(),
        order: "FID".to_owned(),
        limit,
        ..BillQuery::default()
    }
}
