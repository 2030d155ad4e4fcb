//! The orders file, and by hand from it what both systems must hold: the rules that the guide states.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, ensure};
use history_checker::{Bill, Field};
use rust_decimal::Decimal;
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    order_id: String,
    order_date: String,
    state: String,
    region: String,
    product_id: String,
    quantity: Decimal,
}

/// The orders, each as the bill that must stand in the target.
#[derive(Debug)]
pub struct Orders(BTreeMap<String, Bill>);

impl Orders {
    /// Reads `file`.
    ///
    /// # Errors
    /// It cannot be read, has no order, or a row is not as it must be; names the row.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let name = || format!("in {}", file.display());
        let text = std::fs::read_to_string(file).with_context(name)?;
        Self::parse(text.trim_start_matches('\u{feff}')).with_context(name)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let rows: Vec<Row> = csv::Reader::from_reader(text.as_bytes()).deserialize().collect::<Result<_, _>>()?;
        ensure!(!rows.is_empty(), "there is no order");
        let organisations = organisations(rows.iter().map(|row| row.region.as_str()));
        let mut bills: BTreeMap<String, Bill> = BTreeMap::new();
        for row in rows {
            let organisation = organisations.get(row.region.as_str()).copied().unwrap_or("109");
            let bill = bills.entry(row.order_id.clone()).or_insert_with(|| Bill {
                key: row.order_id,
                fields: BTreeMap::from(
                    [
                        ("FBillTypeID.FNumber", "QTRKD01_SYS"),
                        ("FStockOrgId.FNumber", organisation),
                        ("FDate", &row.order_date),
                        // Saved, submitted and audited.
                        ("FDocumentStatus", "C"),
                    ]
                    .map(|(name, text)| (name.to_owned(), Field::Text(text.to_owned()))),
                ),
                rows: Vec::new(),
            });
            bill.rows.push(BTreeMap::from([
                ("FMATERIALID.FNumber".to_owned(), Field::Text(row.product_id)),
                ("FSTOCKID.FNumber".to_owned(), Field::Text(row.state)),
                ("FQty".to_owned(), Field::Number(row.quantity)),
            ]));
        }
        Ok(Self(bills))
    }

    /// What the target must hold under `number`: the order of that number; for `X~3` a copy of the order `X`, whatever
    /// stands behind the sign; for `X~3x500` one with 500 rows, those of the order over and over.
    pub fn bill(&self, number: &str) -> Option<Bill> {
        let (order, mark) = match self.0.get(number) {
            Some(order) => (order, ""),
            None => {
                let (name, mark) = number.rsplit_once('~')?;
                (self.0.get(name)?, mark)
            }
        };
        let mut bill = Bill { key: number.to_owned(), ..order.clone() };
        let rows = mark.split_once('x').filter(|(copy, _)| copy.parse::<usize>().is_ok());
        if let Some(rows) = rows.and_then(|(_, rows)| rows.parse().ok()) {
            bill.rows = order.rows.iter().cycle().take(rows).cloned().collect();
        }
        Some(bill)
    }
}

/// Organisation of each region in the target. In the source, the regions in order of their text have 100, 202, 204, 300
/// and further ones; the flow makes 125, 126 and 121 of the first three and 109 of every other.
fn organisations<'a>(regions: impl Iterator<Item = &'a str>) -> BTreeMap<String, &'static str> {
    let distinct: BTreeSet<&str> = regions.collect();
    let targets = ["125", "126", "121"].into_iter().chain(std::iter::repeat("109"));
    distinct.into_iter().map(str::to_owned).zip(targets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "order_id,line,order_date,state,region,product_id,quantity,customer_name\n\
                        O1,1,2016-11-08,Kentucky,South,P1,2,C\nO2,1,2016-11-09,Ohio,East,P2,1.50,D\n\
                        O1,2,2016-11-08,Kentucky,South,\"P 3\",4,C\n";

    #[test]
    fn an_order_is_a_bill_and_so_are_its_copies() {
        let orders = Orders::parse(FILE).expect("good");
        let bill = orders.bill("O1").expect("an order");
        assert_eq!(bill.fields["FStockOrgId.FNumber"], Field::Text("126".to_owned()));
        assert_eq!(bill.rows.len(), 2);
        assert_eq!(bill.rows[1]["FMATERIALID.FNumber"], Field::Text("P 3".to_owned()));
        let copy = orders.bill("O2~3").expect("a copy");
        assert_eq!(copy.key, "O2~3");
        assert_eq!(copy.rows[0]["FQty"], Field::Number(Decimal::new(150, 2)));
        let long = orders.bill("O1~7x5").expect("a long copy");
        assert_eq!(long.rows.len(), 5);
        assert_eq!((&long.rows[0], &long.rows[4]), (&bill.rows[0], &bill.rows[0]));
        assert_eq!(orders.bill("O1~7' or 'x'='x").map(|bill| bill.rows.len()), Some(2));
        assert_eq!(orders.bill("O3"), None);
        assert_eq!(orders.bill("O3~1"), None);
    }

    #[test]
    fn regions_in_order_of_their_text_have_their_organisations() {
        let found = organisations(["West", "East", "South", "East", "Central", "North"].into_iter());
        let found: Vec<(&str, &str)> = found.iter().map(|(region, number)| (region.as_str(), *number)).collect();
        assert_eq!(found, [("Central", "125"), ("East", "126"), ("North", "121"), ("South", "109"), ("West", "109")]);
    }

    #[test]
    fn a_bad_row_is_named() {
        let error = Orders::parse(&FILE.replace("1.50", "many")).expect_err("bad");
        assert!(format!("{error:#}").contains("line: 3"), "{error:#}");
        assert!(Orders::parse("order_id\n").is_err());
    }
}
