//! A Galaxy as its WebAPI shows it: log in with the application secret, read bills page by page.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use history_checker::{Bill, Field};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};

/// Where a Galaxy is and who we are there. Read from a file, so that no secret stands on a command line.
#[derive(Deserialize)]
struct Access {
    /// Ends in `/K3Cloud/`.
    url: String,
    acct_id: String,
    user: String,
    app_id: String,
    app_secret: String,
}

/// A bill and when it was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The bill.
    pub bill: Bill,
    /// `FApproveDate` in server local time, as it came.
    pub approved: String,
}

const STUB: &str = "Kingdee.BOS.WebApi.ServicesStub";
const FORM: &str = "STK_MISCELLANEOUS";
const PAGE: usize = 2_000;
const KEYS: [&str; 11] = [
    "FID",
    "FBillNo",
    "FApproveDate",
    "FBillTypeID.FNumber",
    "FStockOrgId.FNumber",
    "FDate",
    "FDocumentStatus",
    "FEntity_FSeq",
    "FMATERIALID.FNumber",
    "FSTOCKID.FNumber",
    "FQty",
];

struct Galaxy {
    client: reqwest::Client,
    url: String,
    session: String,
}

/// Reads every 其他入库单 of the Galaxy that `access` leads to. It must be at rest: pages go by row number.
///
/// # Errors
/// It does not answer, refuses, or a row is not of the expected shape.
pub async fn bills(access: &Path) -> anyhow::Result<Vec<Standing>> {
    let text = std::fs::read(access).with_context(|| format!("reading {}", access.display()))?;
    let access: Access = serde_json::from_slice(&text).with_context(|| format!("in {}", access.display()))?;
    let galaxy = Galaxy::login(&access).await?;
    let mut rows = Vec::new();
    loop {
        let page = galaxy.page(rows.len()).await?;
        if page.is_empty() {
            return standing(&rows);
        }
        rows.extend(page);
    }
}

impl Galaxy {
    async fn login(access: &Access) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        let mut galaxy = Self { client, url: access.url.clone(), session: String::new() };
        let parameters = json!([access.acct_id, access.user, access.app_id, access.app_secret, 2052]);
        let reply = galaxy.call("AuthService.LoginByAppSecret", json!({ "parameters": parameters })).await?;
        ensure!(reply["LoginResultType"] == json!(1), "the log-in was refused: {}", reply["Message"]);
        galaxy.session = reply["KDSVCSessionId"].as_str().context("a log-in without a session")?.to_owned();
        Ok(galaxy)
    }

    /// A reply, whatever it says, once the call limit permits.
    async fn call(&self, service: &str, body: Value) -> anyhow::Result<Value> {
        for _ in 0..24 {
            let address = format!("{}{STUB}.{service}.common.kdsvc", self.url);
            let cookie = format!("kdservice-sessionid={}", self.session);
            let reply = self.client.post(address).header("Cookie", cookie).json(&body).send().await;
            let reply: Value = reply.with_context(|| format!("calling {service}"))?.json().await?;
            let status = reply.pointer("/0/0/Result/ResponseStatus").or(reply.pointer("/Result/ResponseStatus"));
            if status.is_none_or(|status| status["MsgCode"] != json!(14)) {
                return Ok(reply);
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        bail!("{service} was refused by the call limit for two minutes")
    }

    async fn page(&self, start: usize) -> anyhow::Result<Vec<Vec<Value>>> {
        let data = json!({
            "FormId": FORM, "FieldKeys": KEYS.join(","), "FilterString": "", "OrderString": "FID ASC,FEntity_FSeq ASC",
            "TopRowCount": 0, "StartRow": start, "Limit": PAGE,
        });
        let reply = self.call("DynamicFormService.ExecuteBillQuery", json!({ "data": data })).await?;
        ensure!(reply.is_array() && reply.pointer("/0/0/Result").is_none(), "the query was refused: {reply}");
        serde_json::from_value(reply).context("the query's reply is not rows")
    }
}

/// Gathers rows, in order of their bill, to bills.
fn standing(rows: &[Vec<Value>]) -> anyhow::Result<Vec<Standing>> {
    let mut bills: Vec<(&Value, Standing)> = Vec::new();
    for row in rows {
        let [id, number, approved, head @ .., sequence, material, stock, quantity] = row.as_slice() else {
            bail!("{} columns", row.len());
        };
        ensure!(head.len() == 4 && sequence.is_number(), "not the columns that were asked for: {row:?}");
        if bills.last().is_none_or(|(last, _)| *last != id) {
            let names = KEYS.iter().skip(3).map(|name| (*name).to_owned());
            let mut fields: BTreeMap<String, Field> =
                names.zip(head.iter().map(|value| Field::Text(text(value)))).collect();
            // A date without its time of day, which is none.
            if let Some(Field::Text(date)) = fields.get_mut("FDate") {
                *date = date.split('T').next().unwrap_or_default().to_owned();
            }
            let bill = Bill { key: text(number), fields, rows: Vec::new() };
            bills.push((id, Standing { bill, approved: text(approved) }));
        }
        let exact = Decimal::from_str_exact(text(quantity).as_str());
        let exact = exact.with_context(|| format!("{}: the quantity {quantity}", text(number)))?;
        let values = [Field::Text(text(material)), Field::Text(text(stock)), Field::Number(exact)];
        let names = KEYS.iter().skip(8).map(|name| (*name).to_owned());
        if let Some((_, last)) = bills.last_mut() {
            last.bill.rows.push(names.zip(values).collect());
        }
    }
    Ok(bills.into_iter().map(|(_, standing)| standing).collect())
}

/// A text as it is, anything else as JSON; nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64, line: u64, quantity: Value) -> Vec<Value> {
        let texts = ["N", "2026-01-01T08:00:00", "QTRKD01_SYS", "125", "2014-01-03T00:00:00", "C"].map(Value::from);
        [&[json!(id)][..], &texts, &[json!(line), json!("P"), json!("S"), quantity]].concat()
    }

    #[test]
    fn rows_of_one_id_are_one_bill_and_numbers_may_come_twice() {
        let rows = [row(1, 1, json!("2.50")), row(1, 2, json!(3)), row(2, 1, json!("1"))];
        let bills = standing(&rows).expect("rows");
        let lines: Vec<usize> = bills.iter().map(|standing| standing.bill.rows.len()).collect();
        assert_eq!(lines, [2, 1]);
        assert_eq!(bills[0].bill.fields["FDate"], Field::Text("2014-01-03".to_owned()));
        assert_eq!(bills[0].bill.rows[0]["FQty"], Field::Number(Decimal::new(25, 1)));
        assert_eq!(bills[1].approved, "2026-01-01T08:00:00");
    }

    #[test]
    fn what_is_no_row_is_refused() {
        assert!(standing(&[vec![json!(1)]]).is_err());
        assert!(standing(&[row(1, 1, json!("many"))]).is_err());
    }
}
