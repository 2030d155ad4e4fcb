//! The WebAPI as the comparison needs it: log in with the application secret, read bills page by page.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rules::{Bill, BillLine};

/// Where a Galaxy is and who we are there. Read from a JSON file, so that no secret stands on a command line.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Base address, ending in `/K3Cloud/`.
    pub url: String,
    /// The data centre.
    pub acct_id: String,
    /// The user.
    pub user: String,
    /// The application.
    pub app_id: String,
    /// Its secret.
    pub app_secret: String,
}

/// What one Galaxy holds: number → every bill of that number.
pub type Bills = BTreeMap<String, Vec<Bill>>;

/// A logged-in reader.
#[derive(Debug)]
pub struct Galaxy {
    client: reqwest::Client,
    url: String,
    session: String,
    calls: u32,
}

const STUB: &str = "Kingdee.BOS.WebApi.ServicesStub";
const PAGE: usize = 2_000;

impl Galaxy {
    /// Logs in.
    ///
    /// # Errors
    /// The server cannot be reached or refuses the log-in.
    pub async fn login(access: &Access) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .context("making a client")?;
        let mut galaxy = Self { client, url: access.url.clone(), session: String::new(), calls: 0 };
        let parameters = json!([access.acct_id, access.user, access.app_id, access.app_secret, 2052]);
        let reply =
            galaxy.post(&format!("{STUB}.AuthService.LoginByAppSecret"), json!({ "parameters": parameters })).await?;
        if reply["LoginResultType"] != json!(1) {
            bail!("log-in refused: {}", reply["Message"]);
        }
        galaxy.session = reply["KDSVCSessionId"].as_str().context("no session in the log-in's reply")?.to_owned();
        Ok(galaxy)
    }

    /// Calls made so far.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Calls one service of the WebAPI and gives its reply, whatever it says.
    ///
    /// # Errors
    /// No JSON comes back, or the call limit refuses for two minutes.
    pub(crate) async fn post(&mut self, service: &str, body: Value) -> anyhow::Result<Value> {
        // A call limit that is just used up is waited for: at most two sliding minutes.
        for _ in 0..24 {
            self.calls += 1;
            let reply: Value = self
                .client
                .post(format!("{}{service}.common.kdsvc", self.url))
                .header("Cookie", format!("kdservice-sessionid={}", self.session))
                .json(&body)
                .send()
                .await
                .with_context(|| format!("calling {service}"))?
                .json()
                .await
                .with_context(|| format!("reading the reply of {service}"))?;
            let status =
                reply.pointer("/0/0/Result/ResponseStatus").or_else(|| reply.pointer("/Result/ResponseStatus"));
            match status.map(|status| &status["MsgCode"]) {
                Some(code) if *code == json!(14) => tokio::time::sleep(Duration::from_secs(5)).await,
                _ => return Ok(reply),
            }
        }
        bail!("{service} was refused by the call limit for two minutes")
    }

    async fn query(&mut self, keys: &str, filter: &str, order: &str, start: usize) -> anyhow::Result<Vec<Vec<Value>>> {
        let data = json!({
            "FormId": "STK_MISCELLANEOUS", "FieldKeys": keys, "FilterString": filter, "OrderString": order,
            "TopRowCount": 0, "StartRow": start, "Limit": PAGE,
        });
        let reply = self.post(&format!("{STUB}.DynamicFormService.ExecuteBillQuery"), json!({ "data": data })).await?;
        if reply.pointer("/0/0/Result").is_some() || !reply.is_array() {
            bail!("the query was refused: {reply}");
        }
        serde_json::from_value(reply).context("the query's reply is not rows")
    }

    /// Reads every 其他入库单. The Galaxy must be at rest: pages go by row number.
    ///
    /// # Errors
    /// A call fails, or a row is not of the expected shape.
    pub async fn bills(&mut self) -> anyhow::Result<Bills> {
        let keys = "FID,FBillNo,FBillTypeID.FNumber,FStockOrgId.FNumber,FDate,FDocumentStatus,FEntity_FSeq,\
                    FMATERIALID.FNumber,FSTOCKID.FNumber,FQty";
        let mut by_id: BTreeMap<u64, (String, Bill)> = BTreeMap::new();
        let mut start = 0;
        loop {
            let rows = self.query(keys, "", "FID ASC,FEntity_FSeq ASC", start).await?;
            if rows.is_empty() {
                break;
            }
            start += rows.len();
            for row in rows {
                let text = |at: usize| row.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
                let id = row.first().and_then(Value::as_u64).context("a row without FID")?;
                let quantity = row.get(9).map(ToString::to_string).unwrap_or_default();
                let quantity = Decimal::from_str_exact(quantity.trim_matches('"'))
                    .with_context(|| format!("FQty {quantity:?} of {}", text(1)))?;
                let date = text(4).split('T').next().unwrap_or_default().to_owned();
                let entry = by_id.entry(id).or_insert_with(|| {
                    let bill =
                        Bill { bill_type: text(2), organisation: text(3), date, status: text(5), lines: Vec::new() };
                    (text(1), bill)
                });
                entry.1.lines.push(BillLine { material: text(7), stock: text(8), quantity });
            }
        }
        let mut bills = Bills::new();
        for (number, bill) in by_id.into_values() {
            bills.entry(number).or_default().push(bill);
        }
        Ok(bills)
    }
}
