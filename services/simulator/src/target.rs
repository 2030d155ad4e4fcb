//! What a target Galaxy holds before the first document arrives: base data, and foreign bills under some numbers.

use std::collections::HashSet;
use std::path::Path;

use chrono::{NaiveDate, NaiveDateTime};
use document::{Code, Fault};
use rust_decimal::Decimal;

use crate::orders::{Line, Order, OrderFile, plant_base_data, plant_bill};
use crate::store::Store;

/// Organisations of the target: those that the published mapping maps to.
const ORGANISATIONS: [&str; 4] = ["125", "126", "121", "109"];
/// The material of foreign bills; no order file has it.
const FOREIGN_MATERIAL: &str = "FOREIGN-0001";
/// The stock of foreign bills.
const FOREIGN_STOCK: &str = "FOREIGN-STOCK";

/// Reads a list file: one value a line; blank lines and trailing line ends do not count.
///
/// # Errors
///
/// A fault when the file cannot be read as UTF-8.
pub fn read_list(path: &Path) -> Result<Vec<String>, Vec<Fault>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![Fault::new(Code::OrdersFile, error.to_string()).in_file(path.display().to_string())])?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

/// Creates the mapped organisations, and the stocks and materials of `file` except `unknown` ones.
pub fn plant(store: &mut Store, file: &OrderFile, unknown: &HashSet<String>, at: NaiveDateTime) {
    for number in ORGANISATIONS {
        store.ensure_base_data("ORG_Organizations", number, &format!("组织{number}"), at);
    }
    plant_base_data(store, file, unknown, at);
}

/// Creates a foreign audited bill for each number.
///
/// # Errors
///
/// A number that is already taken.
pub fn plant_foreign(store: &mut Store, numbers: &[String], at: NaiveDateTime) -> Result<(), String> {
    let organisation = ORGANISATIONS.last().copied().unwrap_or_default();
    store.ensure_base_data("ORG_Organizations", organisation, &format!("组织{organisation}"), at);
    store.ensure_base_data("BD_MATERIAL", FOREIGN_MATERIAL, "外来物料", at);
    store.ensure_base_data("BD_STOCK", FOREIGN_STOCK, "外来仓库", at);
    for number in numbers {
        let order = Order {
            id: number.clone(),
            date: NaiveDate::from_ymd_opt(2001, 1, 1).unwrap_or_default(),
            region: String::new(),
            customer: "外来单据".to_owned(),
            lines: vec![Line {
                number: 1,
                product: FOREIGN_MATERIAL.to_owned(),
                name: "外来物料".to_owned(),
                stock: FOREIGN_STOCK.to_owned(),
                quantity: Decimal::new(987_654_321, 3),
                amount: Decimal::new(1, 2),
            }],
        };
        plant_bill(store, number, organisation, &order, at)?;
    }
    Ok(())
}
