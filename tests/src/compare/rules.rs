//! What must be where, written out by hand from the orders file: the rules README states.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::orders::Order;

/// A bill as it must stand in a Galaxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// `FBillTypeID.FNumber`.
    pub bill_type: String,
    /// `FStockOrgId.FNumber`.
    pub organisation: String,
    /// `yyyy-MM-dd`.
    pub date: String,
    /// `FDocumentStatus`.
    pub status: String,
    /// The entries in order.
    pub lines: Vec<BillLine>,
}

/// One entry of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillLine {
    /// `FMATERIALID.FNumber`.
    pub material: String,
    /// `FSTOCKID.FNumber`.
    pub stock: String,
    /// `FQty`.
    pub quantity: Decimal,
}

/// What the run must end with.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    /// Number → bill in A, for every order.
    pub source: BTreeMap<String, Bill>,
    /// Number → bill in B, for every order that must be applied.
    pub target: BTreeMap<String, Bill>,
    /// Number → category, for every order that must be parked.
    pub parked: BTreeMap<String, &'static str>,
    /// Products that B does not know.
    pub unknown_products: BTreeSet<String>,
    /// Numbers that B holds for foreign documents.
    pub held_numbers: BTreeSet<String>,
}

impl Expectation {
    /// The same orders where nothing is planted: every one is applied.
    #[must_use]
    pub fn without_failures(self) -> Self {
        let target = self.source.iter().map(|(number, bill)| {
            let organisation = target_organisation(&bill.organisation).to_owned();
            (number.clone(), Bill { organisation, ..bill.clone() })
        });
        Self { target: target.collect(), source: self.source, ..Self::default() }
    }
}

/// How many products and orders are planted: one per started 2,000 lines.
pub fn planted(lines: usize) -> usize {
    lines.div_ceil(2_000)
}

/// The `count` texts whose SHA-256 is smallest.
fn smallest_hashes<'a>(texts: impl Iterator<Item = &'a str>, count: usize) -> BTreeSet<String> {
    let distinct: BTreeSet<&str> = texts.collect();
    let mut hashed: Vec<([u8; 32], &str)> =
        distinct.into_iter().map(|text| (Sha256::digest(text.as_bytes()).into(), text)).collect();
    hashed.sort();
    hashed.into_iter().take(count).map(|(_, text)| text.to_owned()).collect()
}

/// Organisation of each region in A: the regions in order of their text get 100, 202, 204, 300, then 301, 302, …
pub fn organisations<'a>(regions: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let distinct: BTreeSet<&str> = regions.collect();
    let first = ["100", "202", "204", "300"];
    distinct
        .into_iter()
        .enumerate()
        .map(|(index, region)| {
            let number = first.get(index).map_or_else(|| (297 + index).to_string(), |number| (*number).to_owned());
            (region.to_owned(), number)
        })
        .collect()
}

/// The organisation of B for one of A, as the flow's `CASE WHEN` says.
fn target_organisation(source: &str) -> &'static str {
    match source {
        "100" => "125",
        "202" => "126",
        "204" => "121",
        _ => "109",
    }
}

/// Computes what A holds, what B must hold and what must be parked.
pub fn expect(orders: &[Order], lines: usize) -> Expectation {
    let count = planted(lines);
    let unknown_products =
        smallest_hashes(orders.iter().flat_map(|order| order.lines.iter().map(|line| line.product.as_str())), count);
    let held_numbers = smallest_hashes(orders.iter().map(|order| order.id.as_str()), count);
    let organisations = organisations(orders.iter().map(|order| order.region.as_str()));
    let mut expectation = Expectation { unknown_products, held_numbers, ..Expectation::default() };
    for order in orders {
        let organisation = organisations[&order.region].clone();
        let source = Bill {
            bill_type: "QTRKD01_SYS".to_owned(),
            organisation: organisation.clone(),
            date: order.date.clone(),
            status: "C".to_owned(),
            lines: order
                .lines
                .iter()
                .map(|line| BillLine {
                    material: line.product.clone(),
                    stock: line.state.clone(),
                    quantity: line.quantity,
                })
                .collect(),
        };
        let unknown = order.lines.iter().any(|line| expectation.unknown_products.contains(&line.product));
        // A number that is taken is refused whatever the lines say.
        if expectation.held_numbers.contains(&order.id) {
            expectation.parked.insert(order.id.clone(), "duplicate");
        } else if unknown {
            expectation.parked.insert(order.id.clone(), "reference_missing");
        } else {
            let target = Bill { organisation: target_organisation(&organisation).to_owned(), ..source.clone() };
            expectation.target.insert(order.id.clone(), target);
        }
        expectation.source.insert(order.id.clone(), source);
    }
    expectation
}

#[cfg(test)]
mod tests {
    use super::super::orders;
    use super::*;
    use std::path::Path;

    #[test]
    fn the_planted_rule_over_the_real_file() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/superstore-orders.csv");
        let (orders, lines) = orders::read(&path).expect("the shipped file is good");
        assert_eq!((orders.len(), lines), (5_009, 9_994));
        let expectation = expect(&orders, lines);
        assert_eq!(expectation.unknown_products.len(), 5);
        assert_eq!(expectation.held_numbers.len(), 5);
        assert_eq!(expectation.source.len(), 5_009);
        assert_eq!(expectation.target.len() + expectation.parked.len(), 5_009);
        assert_eq!(expectation.parked.values().filter(|category| **category == "duplicate").count(), 5);
        let organisations: BTreeSet<&str> =
            expectation.target.values().map(|bill| bill.organisation.as_str()).collect();
        assert_eq!(organisations, BTreeSet::from(["109", "121", "125", "126"]));
    }

    #[test]
    fn one_planted_per_started_two_thousand_lines() {
        assert_eq!([1, 2_000, 2_001, 9_994].map(planted), [1, 1, 2, 5]);
    }
}
