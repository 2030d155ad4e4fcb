//! A running simulator with some base data, and a client of its own for it.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Options, Running, start};
use tokio::sync::OnceCell;

pub(crate) const ACCOUNT: &str = "5f3c9a1b7d2e40";
pub(crate) const USER: &str = "Administrator";
pub(crate) const APP_ID: &str = "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE";
pub(crate) const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
pub(crate) const FORM: &str = "STK_MISCELLANEOUS";

const DYNAMIC_FORM: &str = "Kingdee.BOS.WebApi.ServicesStub.DynamicFormService";
const AUTH: &str = "Kingdee.BOS.WebApi.ServicesStub.AuthService";

pub(crate) struct Galaxy {
    pub(crate) running: Running,
    pub(crate) http: reqwest::Client,
    session: OnceCell<String>,
}

impl Galaxy {
    /// Starts a server with the usual credentials and these further arguments.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let usual = ["--acct-id", ACCOUNT, "--app-id", APP_ID, "--app-secret", SECRET, "--user", USER];
        let options = Options::from_arguments(usual.into_iter().chain(arguments.iter().copied())).unwrap();
        let running = start(&options).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        Self { running, http, session: OnceCell::new() }
    }

    /// A server that knows organisation 109, materials M1 and M2 and stock CK01.
    pub(crate) async fn with_base_data(arguments: &[&str]) -> Self {
        let galaxy = Self::start(arguments).await;
        galaxy.plant("ORG_Organizations", json!([{ "FNumber": "109", "FName": "组织109" }])).await;
        galaxy
            .plant("BD_MATERIAL", json!([{ "FNumber": "M1", "FName": "一" }, { "FNumber": "M2", "FName": "二" }]))
            .await;
        galaxy.plant("BD_STOCK", json!([{ "FNumber": "CK01", "FName": "一号仓" }])).await;
        galaxy
    }

    /// Calls a method of the document service within a session; gives status and text.
    pub(crate) async fn send(&self, method: &str, body: &Value) -> Result<(u16, String), reqwest::Error> {
        let session = self.session.get_or_init(|| self.login()).await;
        let request = self.http.post(self.method_url(method)).header("kdservice-sessionid", session).json(body);
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.text().await?))
    }

    /// Calls a method and reads its JSON.
    pub(crate) async fn call(&self, method: &str, body: Value) -> Value {
        let (status, text) = self.send(method, &body).await.unwrap();
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Saves documents in one BatchSave with further keys.
    pub(crate) async fn batch_save(&self, models: Value, further: Value) -> Value {
        let mut data = json!({ "Model": models });
        data.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        self.call("BatchSave", json!({ "formid": FORM, "data": data })).await
    }

    /// Rows of the form, without a page.
    pub(crate) async fn rows(&self, keys: &str, filter: &str) -> Value {
        self.query(json!({ "FormId": FORM, "FieldKeys": keys, "FilterString": filter })).await
    }

    pub(crate) async fn query(&self, data: Value) -> Value {
        self.call("ExecuteBillQuery", json!({ "data": data })).await
    }

    pub(crate) async fn login(&self) -> String {
        let reply = self.auth("LoginByAppSecret", json!({ "parameters": [ACCOUNT, USER, APP_ID, SECRET, 2052] })).await;
        reply["KDSVCSessionId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn auth(&self, method: &str, body: Value) -> Value {
        let url = format!("{}{AUTH}.{method}.common.kdsvc", self.running.url());
        self.http.post(url).json(&body).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) fn method_url(&self, method: &str) -> String {
        format!("{}{DYNAMIC_FORM}.{method}.common.kdsvc", self.running.url())
    }

    pub(crate) async fn plant(&self, form: &str, documents: Value) -> Value {
        self.tell("/documents", json!({ "form": form, "documents": documents, "create_base_data": true })).await
    }

    /// Posts to the admin port.
    pub(crate) async fn tell(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.running.admin_url());
        let response = self.http.post(url).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
        response.json().await.unwrap()
    }

    /// Reads from the admin port.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.running.admin_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }
}

/// A bill of one row.
pub(crate) fn bill(number: &str, material: &str, quantity: &str) -> Value {
    json!({
        "FBillNo": number,
        "FStockOrgId": { "FNumber": "109" },
        "FDate": "2024-03-14",
        "FEntity": [{ "FMATERIALID": { "FNumber": material }, "FSTOCKID": { "FNumber": "CK01" }, "FQty": quantity }],
    })
}

/// The saved and refused indexes of a reply.
pub(crate) fn indexes(reply: &Value) -> (Vec<Value>, Vec<Value>) {
    let status = &reply["Result"]["ResponseStatus"];
    let of = |list: &str| status[list].as_array().unwrap().iter().map(|entry| entry["DIndex"].clone()).collect();
    (of("SuccessEntitys"), of("Errors"))
}

/// MsgCode and first message of a reply, also of the wrapped shape.
pub(crate) fn refusal(reply: &Value) -> (u64, String) {
    let reply = if reply.is_array() { &reply[0][0] } else { reply };
    let status = &reply["Result"]["ResponseStatus"];
    (status["MsgCode"].as_u64().unwrap(), status["Errors"][0]["Message"].as_str().unwrap_or_default().to_owned())
}
