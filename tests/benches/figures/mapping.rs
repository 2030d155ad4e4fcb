//! Mapping: bytes of rows in, bytes of documents out, by the shipped flow and by code written by hand for it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use e2e::servers::workspace;
use flow::{Flow, FlowBundle, NoCollections, Run};
use rust_decimal::Decimal;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use crate::figure::{Figure, Output};
use crate::{machine, say};

const RUNS: usize = 7;
/// How often a run maps every bill: enough for a few tenths of a second.
const PASSES: usize = 10;
const BY_HAND: &str = "serde_json Value code written by hand";

/// Measures both engines, run by run in turn, and says how they compare.
///
/// # Errors
/// The shipped flow or orders cannot be read, or the two do not write the same.
pub(crate) fn measure(output: &Output) -> anyhow::Result<()> {
    machine::load()?;
    let flow = shipped_flow()?;
    let run = flow.run(1_710_489_600, 1_388_505_600);
    let bills = bills(&flow, &run)?;
    let bytes: usize = bills.iter().map(Vec::len).sum();
    say(&format!("mapping: {} bills, {bytes} bytes, {PASSES} passes a run", bills.len()));
    for bill in &bills {
        let (ours, by_hand) = (by_flow(&flow, &run, bill)?, by_hand(bill)?);
        anyhow::ensure!(
            ours == by_hand,
            "the engines differ:\n{}\n{}",
            String::from_utf8_lossy(&ours),
            String::from_utf8_lossy(&by_hand),
        );
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of bytes")]
    let megabytes = (bytes * PASSES) as f64 / 1e6;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(megabytes / processor_time(|| passes(&bills, |bill| by_flow(&flow, &run, bill)))?.as_secs_f64());
        theirs.push(megabytes / processor_time(|| passes(&bills, by_hand))?.as_secs_f64());
    }
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    let speed = |name| Figure { name, unit: "MB/CPU-s", baseline: None };
    output.write(speed("mapping"), &ours)?;
    output.write(speed("mapping_by_hand"), &theirs)?;
    output.write(Figure { name: "mapping_ratio", unit: "1", baseline: Some(BY_HAND) }, &ratios)
}

fn passes(bills: &[Vec<u8>], map: impl Fn(&[u8]) -> anyhow::Result<Vec<u8>>) -> anyhow::Result<()> {
    for _ in 0..PASSES {
        for bill in bills {
            std::hint::black_box(map(std::hint::black_box(bill))?);
        }
    }
    Ok(())
}

/// What `work` takes of this thread's processor time.
fn processor_time(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).context("the processor time of a thread");
    let before = now()?;
    work()?;
    Ok(now()?.saturating_sub(before))
}

fn shipped_flow() -> anyhow::Result<Flow> {
    let folder = workspace().join("deploy/flows/misc-inbound");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).with_context(|| format!("reading {name}"));
    let bundle = FlowBundle {
        flow: text("flow.toml")?,
        source: text("source.json")?,
        target: text("target.json")?,
        collections: BTreeMap::new(),
    };
    let compiled = flow::compile(&bundle).map_err(|faults| anyhow::anyhow!("the shipped flow: {faults:?}"))?;
    Ok(compiled.flow)
}

/// The shipped orders as values of the extracted topic: for each bill a JSON array of its rows, shaped by the flow from
/// what a Galaxy answers.
fn bills(flow: &Flow, run: &Run) -> anyhow::Result<Vec<Vec<u8>>> {
    let path = workspace().join("tests/data/superstore-orders.csv");
    let mut reader = csv::Reader::from_path(path).context("opening the orders")?;
    let mut ids = BTreeMap::new();
    let mut rows = Vec::new();
    for (entry, order) in reader.deserialize::<BTreeMap<String, String>>().enumerate() {
        let order = order.context("reading the orders")?;
        let next = 100_001 + ids.len();
        let id = *ids.entry(order["order_id"].clone()).or_insert(next);
        let organisation = match order["region"].as_str() {
            "Central" => "100",
            "East" => "202",
            "South" => "204",
            _ => "300",
        };
        let quantity: Value = serde_json::from_str(&format!("{}.0", order["quantity"])).context("a whole quantity")?;
        let row = json!({
            "FEntity_FEntryID": 200_001 + entry,
            "FID": id,
            "FBillNo": order["order_id"],
            "FDocumentStatus": "C",
            "FStockOrgId_FNumber": organisation,
            "FDate": format!("{}T00:00:00", order["order_date"]),
            "FMATERIALID_FNumber": order["product_id"],
            "FSTOCKID_FNumber": order["state"],
            "FQty": quantity,
        });
        let Value::Object(row) = row else { anyhow::bail!("a row is an object") };
        rows.push(row);
    }
    let records = flow.source.shape(rows, run).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let mut bills: BTreeMap<String, Vec<Map<String, Value>>> = BTreeMap::new();
    for record in records {
        bills.entry(record.number).or_default().push(record.content);
    }
    bills.into_values().map(|rows| serde_json::to_vec(&rows).context("writing rows")).collect()
}

/// The document of one bill, as the transformer makes it.
fn by_flow(flow: &Flow, run: &Run, bill: &[u8]) -> anyhow::Result<Vec<u8>> {
    let rows: Vec<Value> = serde_json::from_slice(bill)?;
    let mut documents = flow.target.render(&rows, run, &NoCollections);
    let document = documents.pop().filter(|_| documents.is_empty()).context("one document a bill")?;
    Ok(serde_json::to_vec(&document.map_err(|fault| anyhow::anyhow!("{fault}"))?)?)
}

/// The same document by code that knows it: parsed to values, built of values, written.
fn by_hand(bill: &[u8]) -> anyhow::Result<Vec<u8>> {
    let rows: Vec<Value> = serde_json::from_slice(bill)?;
    let head = rows.first().context("a bill has rows")?;
    let organisation = match head["FStockOrgId_FNumber"].as_str() {
        Some("100") => "125",
        Some("202") => "126",
        Some("204") => "121",
        _ => "109",
    };
    let date = head["FDate"].as_str().and_then(|date| date.split('T').next()).context("a date")?;
    let lines = rows.iter().map(line).collect::<anyhow::Result<Vec<Value>>>()?;
    let document = json!({
        "FBillNo": head["FBillNo"],
        "FBillTypeID": {"FNumber": "QTRKD01_SYS"},
        "FStockOrgId": {"FNumber": organisation},
        "FDate": date,
        "FEntity": lines,
    });
    Ok(serde_json::to_vec(&document)?)
}

fn line(row: &Value) -> anyhow::Result<Value> {
    let quantity = row["FQty"].as_number().context("a quantity")?;
    let quantity = Decimal::from_str_exact(quantity.as_str())?.normalize();
    Ok(json!({
        "FMATERIALID": {"FNumber": row["FMATERIALID_FNumber"]},
        "FSTOCKID": {"FNumber": row["FSTOCKID_FNumber"]},
        "FQty": quantity.to_string(),
    }))
}
