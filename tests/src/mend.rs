//! What a person does in a Galaxy: makes bills, before parked orders are replayed creates missing products in the target and
//! frees used numbers, and corrects a bill in the source.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::compare::rules::{Bill, Expectation};
use crate::compare::webapi::{self, Access};
use crate::fleet::Galaxy;

const FORM: &str = "STK_MISCELLANEOUS";

/// Creates the products that the target does not know and removes the foreign documents that hold our numbers.
///
/// # Errors
/// The target does not do it.
pub async fn target(galaxy: &Galaxy, expectation: &Expectation) -> anyhow::Result<()> {
    let products: Vec<_> =
        expectation.unknown_products.iter().map(|product| json!({"FNumber": product, "FName": product})).collect();
    if !products.is_empty() {
        let order = json!({"form": "BD_MATERIAL", "documents": products, "create_base_data": true});
        galaxy.admin("/documents", Some(&order)).await.context("creating products")?;
    }
    for number in &expectation.held_numbers {
        galaxy.remove(FORM, number).await.context("removing a foreign document")?;
    }
    Ok(())
}

/// Corrects the date of an audited bill of the source: takes the audit back, saves, submits and audits it again.
///
/// # Errors
/// The source refuses a step.
pub async fn redate(source: &Galaxy, number: &str, date: &str) -> anyhow::Result<()> {
    let mut clerk = Clerk::at(source).await?;
    let numbers = [number.to_owned()];
    let id = clerk.take_back(&numbers).await?;
    clerk.step("Save", json!({ "Model": { "FID": id, "FDate": date } })).await?;
    clerk.approve(&numbers).await
}

/// Somebody who works in a Galaxy.
#[derive(Debug)]
pub struct Clerk(webapi::Galaxy);

impl Clerk {
    /// Logs in.
    ///
    /// # Errors
    /// The Galaxy cannot be reached or refuses the log-in.
    pub async fn at(galaxy: &Galaxy) -> anyhow::Result<Self> {
        let access: Access = serde_json::from_slice(&std::fs::read(galaxy.access_file()?)?)?;
        webapi::Galaxy::login(&access).await.map(Self)
    }

    /// Takes back the audit of bills; gives the id of the first.
    ///
    /// # Errors
    /// The Galaxy refuses it.
    pub async fn take_back(&mut self, numbers: &[String]) -> anyhow::Result<Value> {
        let undone = self.step("UnAudit", json!({ "Numbers": numbers })).await?;
        undone.pointer("/Result/ResponseStatus/SuccessEntitys/0/Id").cloned().context("a bill's id")
    }

    /// Submits and audits bills.
    ///
    /// # Errors
    /// The Galaxy refuses a step.
    pub async fn approve(&mut self, numbers: &[String]) -> anyhow::Result<()> {
        self.step("Submit", json!({ "Numbers": numbers })).await?;
        self.step("Audit", json!({ "Numbers": numbers })).await.map(drop)
    }

    async fn step(&mut self, method: &str, data: Value) -> anyhow::Result<Value> {
        let service = format!("Kingdee.BOS.WebApi.ServicesStub.DynamicFormService.{method}");
        let reply = self.0.post(&service, json!({ "parameters": [FORM, data.to_string()] })).await?;
        let status = &reply["Result"]["ResponseStatus"];
        ensure!(status["IsSuccess"] == json!(true), "{method} of {data} was refused: {status}");
        Ok(reply)
    }
}

/// A bill as a Galaxy is given it.
pub fn model(number: &str, bill: &Bill) -> Value {
    let lines: Vec<Value> = bill
        .lines
        .iter()
        .map(|line| {
            json!({"FMATERIALID": {"FNumber": line.material}, "FSTOCKID": {"FNumber": line.stock},
                "FQty": line.quantity.to_string()})
        })
        .collect();
    json!({"FBillNo": number, "FBillTypeID": {"FNumber": bill.bill_type}, "FStockOrgId": {"FNumber": bill.organisation},
        "FDate": bill.date, "FDocumentStatus": bill.status, "FEntity": lines})
}

/// The bills of one portion, under numbers that no earlier one had.
pub fn portion(orders: &[(&String, &Bill)], from: usize, count: usize) -> Vec<(String, Bill)> {
    (from..from + count)
        .map(|at| {
            let (number, bill) = orders[at % orders.len()];
            (format!("{number}~{}", at / orders.len()), bill.clone())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_comes_twice() {
        let bill = Bill {
            bill_type: "QTRKD01_SYS".to_owned(),
            organisation: "100".to_owned(),
            date: "2014-01-03".to_owned(),
            status: "C".to_owned(),
            lines: Vec::new(),
        };
        let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let orders: Vec<(&String, &Bill)> = names.iter().map(|name| (name, &bill)).collect();
        let numbers: Vec<String> = portion(&orders, 3, 7).into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, ["a~1", "b~1", "c~1", "a~2", "b~2", "c~2", "a~3"]);
        assert_eq!(model("a~1", &bill)["FStockOrgId"]["FNumber"], "100");
    }
}
