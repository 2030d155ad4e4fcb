//! Order files: what they become, and how bad ones are refused.

use document::{Code, Fault, Place};
use serde_json::json;
use simulator::orders::OrderFile;

use crate::harness::{FORM, Galaxy};

const HEADER: &str = "order_id,line,order_date,ship_date,customer_id,customer_name,city,state,region,product_id,category,sub_category,product_name,quantity,amount,discount";
const ROW: &str = "CA-1,1,2016-11-08,2016-11-11,CG-1,Claire Gute,Henderson,Kentucky,South,FUR-1,Furniture,Bookcases,Bookcase,2,261.96,0";

fn faults(text: &[u8]) -> Vec<Fault> {
    OrderFile::read("orders.csv", text).expect_err("the file is bad")
}

fn with(old: &str, new: &str) -> String {
    assert!(ROW.contains(old), "{old}");
    format!("{HEADER}\n{ROW}\n{}\n", ROW.replace("CA-1,1,", "CA-1,2,").replace(old, new))
}

fn place(line: u64, column: &str) -> Place {
    Place { file: Some("orders.csv".to_owned()), line: Some(line), column: Some(column.to_owned()), ..Place::default() }
}

#[test]
fn bad_files_are_refused_with_line_and_column() {
    for (text, code, at) in [
        (HEADER.replace("quantity,", "") + "\n", Code::OrdersColumn, place(1, "quantity")),
        (HEADER.replace("city", "state") + "\n", Code::OrdersColumn, place(1, "city")),
        (with(",261.96,0", ""), Code::OrdersColumn, place(3, "amount")),
        (with(",261.96,0", ",261.96,0,9"), Code::OrdersColumn, place(3, "17")),
        (with(",2,261.96", ",two,261.96"), Code::OrdersNumber, place(3, "quantity")),
        (with("261.96", "1e3"), Code::OrdersNumber, place(3, "amount")),
        (with(",0", ",half"), Code::OrdersNumber, place(3, "discount")),
        (with("2016-11-08", "08/11/2016"), Code::OrdersDate, place(3, "order_date")),
        (with("2016-11-11", "2016-02-30"), Code::OrdersDate, place(3, "ship_date")),
        (with("FUR-1", " "), Code::OrdersEmpty, place(3, "product_id")),
        (format!("{HEADER}\n"), Code::OrdersEmpty, place(2, "order_id")),
        (format!("{HEADER}\n{ROW}\n{ROW}\n"), Code::OrdersDuplicateLine, place(3, "line")),
        (format!("{HEADER}\n{ROW}\n").replace("CA-1,1,", "CA-1,first,"), Code::OrdersNumber, place(2, "line")),
    ] {
        let found = faults(text.as_bytes());
        let first = found.first().expect("there is a fault");
        assert_eq!((first.code, &first.place), (code, &at), "{text}");
    }
}

#[test]
fn another_encoding_is_found_at_its_first_byte() {
    let mut text = format!("{HEADER}\n").into_bytes();
    text.extend("CA-1,1,价".as_bytes());
    text.extend([0xb2, 0xe2, b'\n']);
    let found = faults(&text);
    assert_eq!((found[0].code, &found[0].place), (Code::OrdersEncoding, &place(2, "9")));
}

#[test]
fn a_file_that_is_not_there_is_a_fault_with_its_name() {
    let found = OrderFile::open(std::path::Path::new("nowhere/orders.csv")).expect_err("it is not there");
    let at = Place { file: Some("nowhere/orders.csv".to_owned()), ..Place::default() };
    assert_eq!((found[0].code, &found[0].place), (Code::OrdersFile, &at));
}

#[test]
fn every_bad_row_is_named() {
    let found =
        faults(format!("{HEADER}\n{}\n{}\n", ROW.replace(",2,", ",x,"), ROW.replace("2016-11-08", "-")).as_bytes());
    let codes: Vec<(Code, Option<u64>)> = found.iter().map(|fault| (fault.code, fault.place.line)).collect();
    assert_eq!(
        codes,
        [(Code::OrdersNumber, Some(2)), (Code::OrdersDate, Some(3)), (Code::OrdersDuplicateLine, Some(3))]
    );
}

#[test]
fn regions_get_their_organisations() {
    let row = |order: &str, region: &str| ROW.replace("CA-1", order).replace("South", region);
    let rows = [row("1", "West"), row("2", "华东"), row("3", "Central"), row("4", "Alps")].join("\n");
    let file = OrderFile::read("orders.csv", format!("\u{feff}{HEADER}\n{rows}\n").as_bytes()).expect("it is good");
    let pairs: Vec<(String, String)> = file.organisations();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(region, number)| (region.as_str(), number.as_str())).collect();
    assert_eq!(pairs, [("Alps", "301"), ("Central", "100"), ("West", "300"), ("华东", "302")]);
}

#[tokio::test]
async fn orders_become_audited_bills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.csv");
    let second = "CA-1,2,2016-11-08,2016-11-11,CG-1,Claire Gute,Henderson,,South,OFF-1,Office Supplies,Paper,\"It's  2 3/4\"\" x\u{a0}5\"\"\",10,957.5775,0.2";
    std::fs::write(&path, format!("{HEADER}\r\n{second}\r\n{ROW}\r\n\r\n")).unwrap();
    let path = path.to_str().unwrap();
    let galaxy =
        Galaxy::start(&["--orders", path, "--orders-prefix", "X-", "--approved-at", "2026-01-02 03:04:05"]).await;
    let keys = "FBillNo,FBillTypeID.FNumber,FStockOrgId.FNumber,FStockOrgId.FName,FDate,FDocumentStatus,FApproveDate,FCreateDate,FNOTE";
    let time = "2026-01-02T03:04:05";
    assert_eq!(
        galaxy.rows(keys, "").await,
        json!([["X-CA-1", "QTRKD01_SYS", "204", "South", "2016-11-08T00:00:00", "C", time, time, "Claire Gute"]])
    );
    let keys = "FEntity_FSeq,FMATERIALID.FNumber,FSTOCKID.FNumber,FQty,FAmount,FEntryNote";
    assert_eq!(
        galaxy.rows(keys, "").await.to_string(),
        "[[1,\"FUR-1\",\"Kentucky\",2.0,261.96,\"Bookcase\"],[2,\"OFF-1\",\"Office Supplies\",10.0,957.5775,\"It's  2 3/4\\\" x\u{a0}5\\\"\"]]"
    );
}

#[tokio::test]
async fn a_target_has_base_data_but_unknown_products_and_holds_foreign_bills() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let orders = file(
        "orders.csv",
        format!("{HEADER}\n{ROW}\n{}\n", ROW.replace("CA-1,1,", "CA-1,2,").replace("FUR-1", "FUR-2")),
    );
    let (unknown, held) = (file("unknown.txt", "FUR-2\r\n".to_owned()), file("held.txt", "CA-9\n\n".to_owned()));
    let galaxy =
        Galaxy::start(&["--base-data-from", &orders, "--unknown-products", &unknown, "--held-numbers", &held]).await;
    let numbers = async |form: &str| {
        galaxy.query(json!({ "FormId": form, "FieldKeys": "FNumber", "OrderString": "FNumber" })).await
    };
    assert_eq!(numbers("ORG_Organizations").await, json!([["109"], ["121"], ["125"], ["126"]]));
    assert_eq!(numbers("BD_MATERIAL").await, json!([["FOREIGN-0001"], ["FUR-1"]]));
    assert_eq!(numbers("BD_STOCK").await, json!([["FOREIGN-STOCK"], ["Kentucky"]]));
    let keys = "FBillNo,FDocumentStatus,FStockOrgId.FNumber,FDate,FMATERIALID.FNumber,FQty,FNOTE";
    assert_eq!(
        galaxy.rows(keys, "").await.to_string(),
        r#"[["CA-9","C","109","2001-01-01T00:00:00","FOREIGN-0001",987654.321,"外来单据"]]"#
    );
    assert_eq!(galaxy.ask("/stats").await["documents"][FORM], json!(1));
}

#[tokio::test]
async fn ten_thousand_rows_are_filtered_and_paged_quickly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.csv");
    let mut text = format!("{HEADER}\n");
    for order in 0..2_500 {
        for line in 1..=4 {
            text += &ROW.replace("CA-1,1,", &format!("CA-{order},{line},"));
            text.push('\n');
        }
    }
    std::fs::write(&path, text).unwrap();
    let galaxy = Galaxy::start(&["--orders", path.to_str().unwrap()]).await;
    let last = galaxy.rows("FID", "FBillNo = 'CA-2400'").await[0][0].as_i64().unwrap();
    let filter = format!("FID >= {last} and FBillTypeID.FNumber <> 'QTRKD03_SYS' and FSTOCKID.fnumber <> '406'");
    let query = json!({ "FormId": FORM, "FieldKeys": "FID,FEntity_FEntryID,FBillNo,FMATERIALID.FNumber,FQty",
        "FilterString": filter, "OrderString": "FID ASC,FEntity_FEntryID ASC", "Limit": 200 });
    let started = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(galaxy.query(query.clone()).await.as_array().unwrap().len(), 200);
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
}
