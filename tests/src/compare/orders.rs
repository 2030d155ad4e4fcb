//! The orders file, read strictly: one bad row and nothing starts.

use std::collections::HashMap;
use std::path::Path;

use rust_decimal::Decimal;

/// Columns an orders file must have, by name, in any order; others are ignored.
pub const COLUMNS: [&str; 8] =
    ["order_id", "line", "order_date", "state", "region", "product_id", "quantity", "customer_name"];

/// One order, its lines in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Number of the bill on both sides.
    pub id: String,
    /// `yyyy-MM-dd`.
    pub date: String,
    /// Decides the organisation.
    pub region: String,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Code of the material.
    pub product: String,
    /// Decides the stock.
    pub state: String,
    /// Exact, as in the file.
    pub quantity: Decimal,
}

/// What is wrong with an orders file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{code} at {file}{}{}: {detail}",
    line.map(|line| format!(", line {line}")).unwrap_or_default(),
    column.as_ref().map(|column| format!(", column {column}")).unwrap_or_default())]
pub struct OrdersError {
    /// Code of the catalogue.
    pub code: &'static str,
    /// The file as it was named.
    pub file: String,
    /// Line of the file, from 1.
    pub line: Option<u64>,
    /// Name of the column.
    pub column: Option<String>,
    /// What exactly.
    pub detail: String,
}

/// Reads the orders of `path`, in order of first appearance, and the number of data lines.
///
/// # Errors
/// [`OrdersError`] for the first fault: the file, its encoding, a missing column, a value that is no date or quantity.
pub fn read(path: &Path) -> Result<(Vec<Order>, usize), OrdersError> {
    let file = path.display().to_string();
    let fault = |code, line, column: Option<&str>, detail: String| OrdersError {
        code,
        file: file.clone(),
        line,
        column: column.map(str::to_owned),
        detail,
    };
    let bytes = std::fs::read(path).map_err(|error| fault("E_ORDERS_FILE", None, None, error.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        fault("E_ORDERS_ENCODING", Some(line), None, "the file is not UTF-8".to_owned())
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| fault("E_ORDERS_COLUMN", Some(1), None, error.to_string()))?.clone();
    let mut at = HashMap::new();
    for column in COLUMNS {
        let index = headers
            .iter()
            .position(|header| header == column)
            .ok_or_else(|| fault("E_ORDERS_COLUMN", Some(1), Some(column), "the column is missing".to_owned()))?;
        at.insert(column, index);
    }
    let mut orders: Vec<Order> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut count = 0;
    for row in reader.records() {
        let row = row.map_err(|error| {
            let line = error.position().map(csv::Position::line);
            fault("E_ORDERS_COLUMN", line, None, error.to_string())
        })?;
        count += 1;
        let line = row.position().map(csv::Position::line);
        let field = |column: &'static str| row.get(at[column]).unwrap_or_default();
        for column in ["order_id", "region", "product_id", "state"] {
            if field(column).is_empty() {
                return Err(fault("E_ORDERS_VALUE", line, Some(column), "the value is empty".to_owned()));
            }
        }
        let date = field("order_date");
        if chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_err() {
            return Err(fault("E_ORDERS_DATE", line, Some("order_date"), format!("{date:?} is no date yyyy-MM-dd")));
        }
        let quantity = field("quantity");
        let Ok(quantity) = Decimal::from_str_exact(quantity) else {
            return Err(fault("E_ORDERS_NUMBER", line, Some("quantity"), format!("{quantity:?} is no number")));
        };
        let index = *known.entry(field("order_id").to_owned()).or_insert_with(|| {
            orders.push(Order {
                id: field("order_id").to_owned(),
                date: date.to_owned(),
                region: field("region").to_owned(),
                lines: Vec::new(),
            });
            orders.len() - 1
        });
        orders[index].lines.push(Line {
            product: field("product_id").to_owned(),
            state: field("state").to_owned(),
            quantity,
        });
    }
    if orders.is_empty() {
        return Err(fault("E_ORDERS_EMPTY", None, None, "the file has no orders".to_owned()));
    }
    Ok((orders, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "order_id,line,order_date,state,region,product_id,quantity,customer_name\n";

    fn written(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("orders.csv");
        std::fs::write(&path, content).expect("write");
        (folder, path)
    }

    fn fault_of(content: &[u8]) -> (&'static str, Option<u64>, Option<String>) {
        let (_folder, path) = written(content);
        let error = read(&path).expect_err("refused");
        (error.code, error.line, error.column)
    }

    #[test]
    fn bad_files_are_refused_with_line_and_column() {
        let row = |quantity: &str, date: &str| format!("{HEADER}O1,1,{date},Kentucky,South,P1,{quantity},C\n");
        assert_eq!(fault_of(b"order_id,line\n"), ("E_ORDERS_COLUMN", Some(1), Some("order_date".to_owned())));
        assert_eq!(
            fault_of(row("two", "2016-11-08").as_bytes()),
            ("E_ORDERS_NUMBER", Some(2), Some("quantity".to_owned()))
        );
        assert_eq!(
            fault_of(row("2", "08.11.2016").as_bytes()),
            ("E_ORDERS_DATE", Some(2), Some("order_date".to_owned()))
        );
        assert_eq!(fault_of(b"order_id\n\xd6rder\n"), ("E_ORDERS_ENCODING", Some(2), None));
        assert_eq!(fault_of(HEADER.as_bytes()), ("E_ORDERS_EMPTY", None, None));
        assert_eq!(fault_of(format!("{HEADER}O1,1\n").as_bytes()).0, "E_ORDERS_COLUMN");
    }

    #[test]
    fn lines_are_gathered_under_their_order() {
        let (_folder, path) = written(
            format!(
                "{HEADER}O1,1,2016-11-08,Kentucky,South,P1,2,C\nO2,1,2016-11-09,Ohio,East,P2,1.50,D\n\
                 O1,2,2016-11-08,Kentucky,South,\"P 3\",4,C\n"
            )
            .as_bytes(),
        );
        let (orders, lines) = read(&path).expect("good");
        assert_eq!(lines, 3);
        assert_eq!(orders.len(), 2);
        assert_eq!(orders[0].lines.iter().map(|line| line.product.as_str()).collect::<Vec<_>>(), ["P1", "P 3"]);
        assert_eq!(orders[1].lines[0].quantity.to_string(), "1.50");
    }
}
