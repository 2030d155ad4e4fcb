//! Order files: CSV in, checked rows out, and the documents they become.
//!
//! A file is taken whole or not at all: every bad row is a fault with file, line and column.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use document::{Code, Fault};
use rust_decimal::Decimal;

use crate::store::{Document, Entry, Store};
use crate::value::Cell;

/// The columns, in the order of the published file; any order is taken.
const COLUMNS: [&str; 16] = [
    "order_id",
    "line",
    "order_date",
    "ship_date",
    "customer_id",
    "customer_name",
    "city",
    "state",
    "region",
    "product_id",
    "category",
    "sub_category",
    "product_name",
    "quantity",
    "amount",
    "discount",
];
/// Columns that must not be blank.
const NEEDED: [&str; 3] = ["order_id", "product_id", "region"];
/// Organisations of the known regions.
const REGIONS: [(&str, &str); 4] = [("Central", "100"), ("East", "202"), ("South", "204"), ("West", "300")];
/// Number of the organisation of the first other region, in the order of their names.
const FIRST_OTHER: usize = 301;
/// Most faults reported of one file.
const MAX_FAULTS: usize = 100;
/// The form that orders become.
pub const FORM: &str = "STK_MISCELLANEOUS";

/// An order: its head from its first row in the file, its lines by line number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// `order_id`.
    pub id: String,
    /// `order_date`.
    pub date: NaiveDate,
    /// `region`.
    pub region: String,
    /// `customer_name`, exactly.
    pub customer: String,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `line`.
    pub number: u32,
    /// `product_id`.
    pub product: String,
    /// `product_name`, exactly.
    pub name: String,
    /// The stock: `state`, or `category` where that is blank.
    pub stock: String,
    /// `quantity`.
    pub quantity: Decimal,
    /// `amount`.
    pub amount: Decimal,
}

/// A whole file.
#[derive(Debug, Clone, Default)]
pub struct OrderFile {
    /// Orders by first appearance.
    pub orders: Vec<Order>,
}

impl OrderFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Every fault found, up to a hundred.
    pub fn open(path: &Path) -> Result<Self, Vec<Fault>> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|error| vec![Fault::new(Code::OrdersFile, error.to_string()).in_file(&file)])?;
        Self::read(&file, &bytes)
    }

    /// Reads the content of a file called `file`.
    ///
    /// # Errors
    ///
    /// Every fault found, up to a hundred.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, Vec<Fault>> {
        let text = decode(file, bytes)?;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let header: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
            Err(error) => {
                return Err(vec![Fault::new(Code::OrdersColumn, error.to_string()).in_file(file).at_line(1, "1")]);
            }
        };
        let places = places(file, &header)?;
        let mut rows =
            Rows { file, faults: Vec::new(), orders: Vec::new(), known: HashMap::new(), lines: HashSet::new() };
        for record in reader.records() {
            if rows.faults.len() >= MAX_FAULTS {
                break;
            }
            match record {
                Ok(record) => rows.add(&record, &places, header.len()),
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    rows.faults
                        .push(Fault::new(Code::OrdersColumn, error.to_string()).in_file(file).at_line(line, "1"));
                }
            }
        }
        let Rows { mut faults, mut orders, .. } = rows;
        if orders.is_empty() && faults.is_empty() {
            faults.push(Fault::new(Code::OrdersEmpty, "the file has no orders").in_file(file).at_line(2, "order_id"));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        for order in &mut orders {
            order.lines.sort_by_key(|line| line.number);
        }
        Ok(Self { orders })
    }

    /// Regions in the order of their names, with the numbers of their organisations.
    pub fn organisations(&self) -> Vec<(String, String)> {
        let regions: BTreeSet<&str> = self.orders.iter().map(|order| order.region.as_str()).collect();
        let mut other = FIRST_OTHER;
        let mut number = |region: &str| match REGIONS.iter().find(|(known, _)| *known == region) {
            Some((_, number)) => (*number).to_owned(),
            None => {
                other += 1;
                (other - 1).to_string()
            }
        };
        regions.into_iter().map(|region| (region.to_owned(), number(region))).collect()
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.orders.iter().flat_map(|order| &order.lines)
    }
}

/// Refuses what is not UTF-8; takes a byte order mark off.
fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Vec<Fault>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let (good, _) = bytes.split_at(error.valid_up_to());
            let good = String::from_utf8_lossy(good);
            let line = good.matches('\n').count() + 1;
            let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let line = u64::try_from(line).unwrap_or(u64::MAX);
            Err(vec![
                Fault::new(Code::OrdersEncoding, "the file is not UTF-8 here")
                    .in_file(file)
                    .at_line(line, column.to_string())
                    .hint("save it as UTF-8"),
            ])
        }
    }
}

/// Where each column is.
fn places(file: &str, header: &[String]) -> Result<HashMap<&'static str, usize>, Vec<Fault>> {
    let mut places = HashMap::new();
    let mut faults = Vec::new();
    for name in COLUMNS {
        let fault = |what: String| Fault::new(Code::OrdersColumn, what).in_file(file).at_line(1, name);
        let mut found = header.iter().enumerate().filter(|(_, column)| *column == name).map(|(index, _)| index);
        match (found.next(), found.next()) {
            (Some(index), None) => {
                places.insert(name, index);
            }
            (None, _) => faults.push(fault(format!("the column {name} is missing"))),
            (Some(_), Some(_)) => faults.push(fault(format!("the column {name} is there twice"))),
        }
    }
    if faults.is_empty() { Ok(places) } else { Err(faults) }
}

struct Rows<'a> {
    file: &'a str,
    faults: Vec<Fault>,
    orders: Vec<Order>,
    known: HashMap<String, usize>,
    lines: HashSet<(String, u32)>,
}

impl Rows<'_> {
    fn add(&mut self, record: &csv::StringRecord, places: &HashMap<&'static str, usize>, width: usize) {
        let line = record.position().map_or(0, csv::Position::line);
        let fault = |code, column: &str, what: String| Fault::new(code, what).in_file(self.file).at_line(line, column);
        if record.len() != width {
            let column = COLUMNS.iter().find(|name| places.get(*name).is_some_and(|at| *at == record.len()));
            let column = column.map_or_else(|| (record.len().min(width) + 1).to_string(), |name| (*name).to_owned());
            let what = format!("the row has {} columns, the header {width}", record.len());
            self.faults.push(fault(Code::OrdersColumn, &column, what));
            return;
        }
        let get = |name: &str| places.get(name).and_then(|index| record.get(*index)).unwrap_or_default();
        let mut faults = Vec::new();
        for name in NEEDED {
            if get(name).trim().is_empty() {
                faults.push(fault(Code::OrdersEmpty, name, format!("{name} is blank")));
            }
        }
        let mut date = |name: &str| {
            let text = get(name);
            let plain = text.len() == 10;
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| plain);
            if date.is_none() {
                faults.push(fault(Code::OrdersDate, name, format!("{text:?} is not a date such as 2016-11-08")));
            }
            date
        };
        let day = date("order_date");
        date("ship_date");
        let mut number = |name: &str| {
            let text = get(name);
            let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-');
            let number = Decimal::from_str_exact(text).ok().filter(|_| plain);
            if number.is_none() {
                faults.push(fault(Code::OrdersNumber, name, format!("{text:?} is not a number")));
            }
            number
        };
        let (quantity, amount, _) = (number("quantity"), number("amount"), number("discount"));
        let at = get("line").parse::<u32>().ok().filter(|at| *at > 0);
        if at.is_none() {
            faults.push(fault(Code::OrdersNumber, "line", format!("{:?} is not a line number", get("line"))));
        }
        let id = get("order_id");
        if let Some(at) = at
            && !self.lines.insert((id.to_owned(), at))
        {
            faults.push(fault(Code::OrdersDuplicateLine, "line", format!("line {at} of order {id} is there twice")));
        }
        if let (true, Some(day), Some(quantity), Some(amount), Some(at)) =
            (faults.is_empty(), day, quantity, amount, at)
        {
            let stock = if get("state").trim().is_empty() { get("category") } else { get("state") };
            let line = Line {
                number: at,
                product: get("product_id").to_owned(),
                name: get("product_name").to_owned(),
                stock: stock.to_owned(),
                quantity,
                amount,
            };
            let index = *self.known.entry(id.to_owned()).or_insert_with(|| {
                self.orders.push(Order {
                    id: id.to_owned(),
                    date: day,
                    region: get("region").to_owned(),
                    customer: get("customer_name").to_owned(),
                    lines: Vec::new(),
                });
                self.orders.len() - 1
            });
            if let Some(order) = self.orders.get_mut(index) {
                order.lines.push(line);
            }
        }
        self.faults.append(&mut faults);
    }
}

/// Creates the stocks and materials of a file, except the products in `unknown`.
pub fn plant_base_data(store: &mut Store, file: &OrderFile, unknown: &HashSet<String>, at: NaiveDateTime) {
    for line in file.lines() {
        if !line.stock.trim().is_empty() {
            store.ensure_base_data("BD_STOCK", &line.stock, &line.stock, at);
        }
        if !unknown.contains(&line.product) {
            store.ensure_base_data("BD_MATERIAL", &line.product, &line.name, at);
        }
    }
}

/// Turns the orders of a file into audited documents, with their organisations, stocks and materials.
///
/// # Errors
///
/// A number that the store already holds, by name.
pub fn plant(store: &mut Store, file: &OrderFile, prefix: &str, at: NaiveDateTime) -> Result<usize, String> {
    let numbers: HashMap<String, String> = file.organisations().into_iter().collect();
    for (region, number) in &numbers {
        store.ensure_base_data("ORG_Organizations", number, region, at);
    }
    plant_base_data(store, file, &HashSet::new(), at);
    for order in &file.orders {
        let organisation = numbers.get(&order.region).map_or("", String::as_str);
        plant_bill(store, &format!("{prefix}{}", order.id), organisation, order, at)?;
    }
    Ok(file.orders.len())
}

/// Creates an audited 其他入库单.
///
/// # Errors
///
/// A form that lacks a field, or a number that is taken.
pub fn plant_bill(
    store: &mut Store,
    number: &str,
    organisation: &str,
    order: &Order,
    at: NaiveDateTime,
) -> Result<(), String> {
    let table = store.find(FORM).ok_or_else(|| format!("there is no form {FORM}"))?;
    if !store.table(table).by_number(number).is_empty() {
        return Err(format!("the number {number} is already taken"));
    }
    let form = std::sync::Arc::clone(&store.table(table).form);
    let reference = |store: &Store, form: &str, number: &str| {
        let found = store.find(form).and_then(|at| store.base_data(at, number));
        found.map_or(Cell::Null, |document| Cell::Reference(document.id))
    };
    let mut document = Document::empty(&form, store.allot_id());
    let head = [
        ("FBillNo", Cell::text(number)),
        ("FStockOrgId", reference(store, "ORG_Organizations", organisation)),
        ("FDate", Cell::Time(order.date.and_time(NaiveTime::MIN))),
        ("FNOTE", Cell::text(&order.customer)),
    ];
    for (key, cell) in head {
        let index = form.head.iter().position(|field| field.key.eq_ignore_ascii_case(key));
        document.maintain(Some(index.ok_or_else(|| format!("{FORM} has no {key}"))?), cell);
    }
    let entity = form.entities.first().ok_or_else(|| format!("{FORM} has no rows"))?;
    let mut rows = Vec::with_capacity(order.lines.len());
    for line in &order.lines {
        let mut entry = Entry { id: store.allot_entry(), cells: vec![Cell::Null; entity.fields.len()] };
        let cells = [
            ("FMATERIALID", reference(store, "BD_MATERIAL", &line.product)),
            ("FSTOCKID", reference(store, "BD_STOCK", &line.stock)),
            ("FQty", Cell::Decimal(line.quantity)),
            ("FAmount", Cell::Decimal(line.amount)),
            ("FEntryNote", Cell::text(&line.name)),
        ];
        for (key, cell) in cells {
            let index = entity.fields.iter().position(|field| field.key.eq_ignore_ascii_case(key));
            let slot =
                index.and_then(|index| entry.cells.get_mut(index)).ok_or_else(|| format!("{FORM} has no {key}"))?;
            *slot = cell;
        }
        rows.push(entry);
    }
    if let Some(slot) = document.entries.first_mut() {
        *slot = rows;
    }
    store.finish_planting(&form, &mut document, at);
    store.table_mut(table).put(document);
    Ok(())
}
