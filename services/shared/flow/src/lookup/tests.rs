use serde_json::json;

use super::*;

fn run() -> Run {
    Run { now: 0, last_sync_time: 0, zone: chrono_tz::Asia::Shanghai, page: None }
}

fn collection() -> Collection {
    let records = json!([
        {"id": "1", "number": "M1", "content": {"FNumber": "M1", "FIsKFPeriod": true, "FID": 814, "F_SKU": "A B", "in": [{"x": 1}]}},
        {"id": "2", "number": "M2", "status": 2, "content": {"FNumber": "M2", "FID": 815.0, "FName": "物料'二'"}},
        {"id": "3", "number": "M2", "status": 3, "content": {"FNumber": "M2", "FID": 816, "number": "own", "FQty": "12.50"}},
    ]);
    Collection::new(serde_json::from_value(records).expect("stored records"))
}

fn find(text: &str, record: Value) -> Value {
    let lookup = Lookup::parse(text).expect("a lookup").expect("split");
    assert_eq!(lookup.collection(), "U");
    collection().find(&lookup.bind(&record, &run()).expect("bound"))
}

#[test]
fn find_collection_answers_the_examples() {
    let by_sku = "_findCollection find FID from U where FNumber={sku}";
    assert_eq!(find(by_sku, json!({"sku": "M1"})), json!(814));
    assert_eq!(find(by_sku, json!({"sku": "M9"})), Value::Null);
    assert_eq!(find(by_sku, json!({"sku": ""})), Value::Null);
    assert_eq!(find(by_sku, json!({})), Value::Null);
    assert_eq!(find("_findCollection find number from U where FID={f} FNumber='M1'", json!({"f": "814"})), json!("M1"));
}

#[test]
fn find_collection_compares_by_text_and_takes_the_oldest() {
    assert_eq!(find("_findCollection find FID from U where FNumber=M2", json!({})), json!(815.0));
    assert_eq!(find("_findCollection find FNumber from U where FID=815", json!({})), json!("M2"));
    assert_eq!(find("_findCollection find id from U where F_SKU={s}", json!({"s": "A B"})), json!("1"));
    assert_eq!(find("_findCollection find id from U where F_SKU='A B'", json!({})), json!("1"));
    assert_eq!(find("_findCollection find id from U where FName='物料''二'''", json!({})), json!("2"));
    assert_eq!(find("_findCollection find in.x from U where FIsKFPeriod=true", json!({})), json!(1));
    assert_eq!(find("_findCollection find id from U where number=own", json!({})), json!("3"));
    assert_eq!(find("_findCollection find id from U where FNumber=M{n} id={i|date}", json!({"n": 2})), Value::Null);
}

#[test]
fn find_collection_that_does_not_split_is_a_fault_with_its_column() {
    for (text, column) in [
        ("_findCollection find F from U where a", "37"),
        ("_findCollection find F from U where", "36"),
        ("_findCollection find F from U", "30"),
        ("_findCollection get F from U where a=1", "17"),
        ("_findCollection find F where a=1 b=2", "24"),
        ("_findCollection find F from U where a=1 and b=2", "41"),
        ("_findCollection find F from U where a='x", "39"),
        ("_findCollection find F from U where a= b=1", "37"),
        ("find F from U where =1", "21"),
    ] {
        let fault = Lookup::parse_find_collection(text).expect_err(text);
        assert_eq!(fault.code, Code::Lookup, "{text}");
        assert_eq!(fault.place.column.as_deref(), Some(column), "{text}: {fault}");
    }
}

#[test]
fn mongo_query_answers_the_examples() {
    let by_sku = "_mongoQuery U findField=content.FID where={\"content.FNumber\":{\"$eq\":\"{{sku}}\"}}";
    assert_eq!(find(by_sku, json!({"sku": "M1"})), json!(814));
    assert_eq!(find(by_sku, json!({"sku": "\"},{\"$ne\":\""})), Value::Null);
    assert_eq!(find(by_sku, json!({})), Value::Null);
    let typed = "_mongoQuery U findField=number where={\"content.FID\":814,\"content.FIsKFPeriod\":true}";
    assert_eq!(find(typed, json!({})), json!("M1"));
}

#[test]
fn mongo_operators_match() {
    for (filter, expected) in [
        (r#"{"content.FID":{"$gt":814}}"#, json!("2")),
        (r#"{"content.FID":{"$gte":"814"}}"#, json!("1")),
        (r#"{"content.FID":{"$gt":814,"$ne":815}}"#, json!("3")),
        (r#"{"content.FID":{"$lt":815}}"#, json!("1")),
        (r#"{"content.FID":{"$lte":1}}"#, Value::Null),
        (r#"{"content.FQty":{"$lt":13}}"#, json!("3")),
        (r#"{"content.FNumber":{"$gt":"M1"}}"#, json!("2")),
        (r#"{"content.FNumber":{"$gt":1}}"#, Value::Null),
        (r#"{"status":{"$in":[2,3]}}"#, json!("2")),
        (r#"{"content.FNumber":{"$in":"{list}"}}"#, json!("2")),
        (r#"{"content.FNumber":{"$nin":["M1"]}}"#, json!("2")),
        (r#"{"content.FName":{"$regex":"^物.*二"}}"#, json!("2")),
        (r#"{"content.FName":{"$regex":"{pattern}"}}"#, json!("2")),
        (r#"{"content.FQty":{"$exists":true}}"#, json!("3")),
        (r#"{"content.FIsKFPeriod":{"$exists":false}}"#, json!("2")),
        (r#"{"content.FIsKFPeriod":null}"#, json!("2")),
        (r#"{"$or":[{"number":"M9"},{"status":3}]}"#, json!("3")),
        (r#"{"$and":[{"number":"M2"},{"content.FID":816}]}"#, json!("3")),
        (r#"{"content.FID":"815"}"#, json!("2")),
        (r#"{"id":1}"#, json!("1")),
        (r#"{}"#, json!("1")),
    ] {
        let text = format!("_mongoQuery U findField=id where={filter}");
        assert_eq!(find(&text, json!({"list": ["M2", "M3"], "pattern": "二"})), expected, "{filter}");
    }
}

#[test]
fn mongo_query_that_does_not_split_is_a_fault_with_its_column() {
    for (text, column, word) in [
        ("_mongoQuery U", "13", "expected"),
        ("_mongoQuery U find=a where={}", "15", "expected"),
        ("_mongoQuery U findField=a", "15", "expected"),
        ("_mongoQuery U findField=a where={\"a\":", "33", "not JSON"),
        ("_mongoQuery U findField=a where=[1]", "33", "must be a JSON object"),
        ("_mongoQuery U findField=a where={\"a\":{\"$near\":1}}", "33", "unknown operator"),
        ("_mongoQuery U findField=a where={\"$not\":{}}", "33", "unknown operator"),
        ("_mongoQuery U findField=a where={\"$or\":1}", "33", "needs a list"),
        ("_mongoQuery U findField=a where={\"a\":{\"$in\":1}}", "33", "needs a list"),
        ("_mongoQuery U findField=a where={\"a\":{\"$regex\":\"(\"}}", "33", "is not one"),
        ("_mongoQuery U findField=a where={\"a\":{\"$regex\":1}}", "33", "needs a text"),
        ("_mongoQuery U findField=a where={\"a\":{\"$exists\":1}}", "33", "true or false"),
    ] {
        let fault = Lookup::parse_mongo_query(text).expect_err(text);
        assert_eq!(fault.code, Code::Lookup, "{text}");
        assert_eq!(fault.place.column.as_deref(), Some(column), "{text}");
        assert!(fault.detail.contains(word), "{fault}");
    }
}

#[test]
fn statements_know_their_references() {
    let names = |text: &str| -> Vec<String> {
        let lookup = Lookup::parse(text).expect("a lookup").expect("split");
        lookup.references().iter().map(|reference| reference.path.to_string()).collect()
    };
    assert_eq!(names("_findCollection find F from U where a={x} b='{y|date}z' c=1"), ["x", "y"]);
    assert_eq!(
        names("_mongoQuery U findField=a where={\"a\":{\"$in\":[\"{x}\",1]},\"$or\":[{\"b\":\"{{y}}\"}]}"),
        ["x", "y"]
    );
    assert!(Lookup::parse("findCollection").is_none());
    assert!(Lookup::parse(" _findCollection find").is_none());
}
