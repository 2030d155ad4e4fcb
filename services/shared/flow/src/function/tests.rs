use document::Code;
use serde_json::json;

use super::*;
use crate::lookup::{Collection, Query};
use crate::reference::Path;

fn run() -> Run {
    Run { now: 1_710_403_200, last_sync_time: 1_710_403_200, zone: chrono_tz::Asia::Shanghai, page: None }
}

fn value(text: &str, record: Value) -> Value {
    let body = text.strip_prefix(FUNCTION).unwrap_or(text);
    let program = Program::compile(body).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    program.evaluate(&record, &run()).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn compile_fault(text: &str) -> Fault {
    Program::compile(text).map(|_| ()).expect_err(text)
}

fn run_fault(text: &str, record: Value) -> Fault {
    Program::compile(text).expect("compiles").evaluate(&record, &run()).expect_err(text)
}

fn column(fault: &Fault) -> &str {
    fault.place.column.as_deref().unwrap_or("none")
}

#[test]
fn the_published_examples() {
    let organisation = "_function case when '{o}' ='100' then '125' when '{o}' ='202' then '126' else '109' end";
    assert_eq!(value(organisation, json!({"o": "202"})), json!("126"));
    assert_eq!(value(organisation, json!({"o": 300})), json!("109"));
    assert_eq!(value("_function {{tax}} * 100", json!({"tax": 0.13})), json!(13));
    assert_eq!(value("_function {{amt}}/{{n}}", json!({"amt": 100, "n": 3})).to_string(), "33.3333");
    assert_eq!(value("_function {{amt}}/{{n}}", json!({"amt": "99.90", "n": 3})).to_string(), "33.3");
    assert_eq!(value("_function {{q}}*-1", json!({"q": "2"})), json!(-2));
    assert_eq!(value("_function case {{p}} when 0 then true else false end", json!({"p": "0.00"})), json!(true));
    let defect = "_function case '{{defect}}' when true then 'KCZT08_SYS' else 'KCZT01_SYS' end";
    assert_eq!(value(defect, json!({"defect": true})), json!("KCZT08_SYS"));
    assert_eq!(
        value("_function case LEFT('{no}',2) when 'AD' then 100 else 103 end", json!({"no": "AD0001"})),
        json!(100)
    );
    let sample = "_function CASE LOCATE('样品','{m}') WHEN 0 THEN '{a}' ELSE '{b}' END";
    assert_eq!(value(sample, json!({"m": "含样品", "a": "A", "b": "B"})), json!("B"));
    let earlier = "_function FROM_UNIXTIME({{LAST_SYNC_TIME}}-600,'%Y-%m-%d %H:%i:%s')";
    assert_eq!(value(earlier, json!({})), json!("2024-03-14 15:50:00"));
    let millis = "_function FROM_UNIXTIME( ( {{t}} / 1000 ) ,'%Y-%m-%d %T' )";
    assert_eq!(value(millis, json!({"t": 1_710_403_200_000_i64})), json!("2024-03-14 16:00:00"));
    let list = json!({"details_list": [{"qty": 10}, {"qty": 20}, {"qty": 30}]});
    assert_eq!(value("_function SUM({{details_list.qty}})", list), json!(60));
    assert_eq!(value("_function concat('{a}','/',ifnull({b},'-'))", json!({"a": "x'y"})), json!("x'y/-"));
}

#[test]
fn the_documents_in_use() {
    let approved = "DATE_FORMAT(DATE_ADD(FROM_UNIXTIME({{form.preNodeApprovedTime}}/1000),INTERVAL 30 DAY),'%Y-%m-%d')";
    assert_eq!(value(approved, json!({"form": {"preNodeApprovedTime": 1_710_403_200_000_i64}})), json!("2024-04-13"));
    let price = "case when {{d.right_num}}=0 then 0 else round({{d.total_cost}}/{{d.right_num}},4) end";
    assert_eq!(value(price, json!({"d": [{"right_num": "3", "total_cost": "10.00"}]})).to_string(), "3.3333");
    assert_eq!(value(price, json!({"d": [{"right_num": 0, "total_cost": "10.00"}]})), json!(0));
    let organisation =
        "case when '{F}' ='100' then '125' \n                when '{F}' ='202' then '126' \n\t else '109' end";
    assert_eq!(value(organisation, json!({"F": "202"})), json!("126"));
    assert_eq!(value("ifnull({{form.taxRate}},0)*100", json!({})), json!(0));
    assert_eq!(value("ifnull({{form.taxRate}},0)*100", json!({"form": {"taxRate": 0.06}})), json!(6));
    assert_eq!(
        value("FORMAT_DATE({t},'yyyy-MM-dd HH:mm:ss')", json!({"t": 1_710_403_200_000_i64})),
        json!("2024-03-14 16:00:00")
    );
    assert_eq!(value("FORMAT_DATE('2024-03-04','yy/M/d ''at'' EEE')", json!({})), json!("24/3/4 at Mon"));
    assert_eq!(value("FORMAT_DATE({gone},'yyyy')", json!({})), Value::Null);
}

/// A record with a collection behind it.
struct WithCollection(Value, Collection);

impl Scope for WithCollection {
    fn value(&self, path: &Path) -> Value {
        self.0.value(path)
    }
    fn elements(&self, path: &Path) -> Vec<Value> {
        self.0.elements(path)
    }
    fn find(&self, query: &Query) -> Value {
        assert_eq!(query.collection(), "U");
        self.1.find(query)
    }
}

#[test]
fn a_lookup_stands_for_a_value() {
    let records = json!([{"id": "1", "number": "M1", "content": {"FNumber": "M1", "FIsKFPeriod": true, "FID": 814}}]);
    let found = |text: &str, record: Value| {
        let records = serde_json::from_value(records.clone()).expect("stored records");
        let program = Program::compile(text).expect("compiles");
        assert_eq!(program.lookups().len(), 1);
        program.evaluate(&WithCollection(record, Collection::new(records)), &run()).expect("computes")
    };
    let text =
        "case _findCollection find FIsKFPeriod from U where FNumber={sku} _endFind when true then '{d}' else '' end";
    assert_eq!(found(text, json!({"sku": "M1", "d": "2024-01-01"})), json!("2024-01-01"));
    assert_eq!(found(text, json!({"sku": "M9", "d": "2024-01-01"})), json!(""));
    assert_eq!(found("1 + _findCollection find FID from U where FNumber='M1'", json!({})), json!(815));
    assert_eq!(
        found("ifnull(_findCollection find FID from U where FNumber={sku} _endFind, 'none')", json!({})),
        json!("none")
    );
    let program = Program::compile(text).expect("compiles");
    let names: Vec<&str> = program.references().iter().map(|reference| reference.path.as_str()).collect();
    assert_eq!(names, ["sku", "d"]);
}

#[test]
fn values_are_bound_and_never_pasted() {
    let hostile = json!({"a": "'||1||'", "b": "') or (1=1", "c": "\\'", "d": "{e}", "e": "secret", "n": "1; 2"});
    assert_eq!(value("'{a}'", hostile.clone()), json!("'||1||'"));
    assert_eq!(value("concat({b},'{c}','{d}')", hostile.clone()), json!("') or (1=1\\'{e}"));
    assert_eq!(value("{n} + 1", hostile), json!(2));
}

#[test]
fn references_are_typed_by_their_value() {
    let record = json!({"text": "abc", "code": "007", "amount": "12.50", "zero": "", "flag": true, "number": 12.0,
        "object": {"a": 1}, "long": "20240314000000000000000000000001", "exp": "12E3"});
    for (text, expected) in [
        ("{code}", json!(7)),
        ("concat({code})", json!("007")),
        ("left({code},2)", json!("00")),
        ("{amount}*2", json!(25)),
        ("concat({amount},'')", json!("12.50")),
        ("concat({number},'件')", json!("12件")),
        ("'{number}件'", json!("12件")),
        ("'{flag}'", json!("1")),
        ("{flag}", json!(true)),
        ("{flag}+1", json!(2)),
        ("{zero} is null", json!(true)),
        ("{gone}", Value::Null),
        ("{gone}+1", Value::Null),
        ("{object}", json!("{\"a\":1}")),
        ("concat({long})", json!("20240314000000000000000000000001")),
        ("{exp}", json!("12E3")),
        ("round(12.5,2)", json!(12.5)),
        ("concat(round(12.5,2))", json!("12.50")),
        ("concat(0.13*100)", json!("13")),
    ] {
        assert_eq!(value(text, record.clone()), expected, "{text}");
    }
}

#[test]
fn untaken_branches_are_not_computed() {
    let record = json!({"n": 0, "amt": 10});
    for text in [
        "case when {n}=0 then 0 else {amt}/{n} end",
        "if({n}=0, 0, {amt}/{n})",
        "ifnull({n}, {amt}/{n})",
        "coalesce({gone}, {n}, {amt}/{n})",
        "0 * ({n}=0 or {amt}/{n} > 1) * 0",
        "if({n}<>0 and {amt}/{n} > 1, 1, 0)",
    ] {
        assert_eq!(value(text, record.clone()), json!(0), "{text}");
    }
}

#[test]
fn aggregates_see_all_elements() {
    let record = json!({
        "d": [{"q": 10, "p": "1.5", "n": "b"}, {"q": null, "p": "x", "n": "a"}, {"q": "20.50", "n": ""}], "empty": [], "q": 5,
    });
    for (text, expected) in [
        ("sum({d.q})", json!(30.5)),
        ("avg({{d.q}})", json!(15.25)),
        ("min({d.q})", json!(10)),
        ("max({d.q})", json!(20.5)),
        ("count({d.q})", json!(3)),
        ("count({d})", json!(3)),
        ("sum({d.p})", json!(1.5)),
        ("max({d.n})", json!("b")),
        ("min({d.n})", json!("a")),
        ("sum({empty.q})", Value::Null),
        ("avg({gone.q})", Value::Null),
        ("max({gone})", Value::Null),
        ("count({gone.q})", json!(0)),
        ("sum({q})", json!(5)),
        ("sum('{d.q}')", json!(30.5)),
        ("ifnull(sum({empty.q}),0)+1", json!(1)),
    ] {
        assert_eq!(value(text, record.clone()), expected, "{text}");
    }
}

#[test]
fn the_run_gives_the_time() {
    for (text, expected) in [
        ("now()", json!("2024-03-14 16:00:00")),
        ("curdate()", json!("2024-03-14")),
        ("current_date", json!("2024-03-14")),
        ("CURRENT_TIMESTAMP", json!("2024-03-14 16:00:00")),
        ("curtime()", json!("16:00:00")),
        ("unix_timestamp()", json!(1_710_403_200)),
        ("{CURRENT_TIME}", json!(1_710_403_200)),
        ("'{{DAYS_AGO_1|datetime}}'", json!("2024-03-13 16:00:00")),
        ("{LAST_SYNC_TIME|date}", json!("2024-03-14")),
        ("{PAGINATION_START_ROW}", Value::Null),
    ] {
        assert_eq!(value(text, json!({"CURRENT_TIME": "hidden"})), expected, "{text}");
    }
}

#[test]
fn mistakes_are_faults_with_their_column() {
    for (text, at, words) in [
        ("", "1", "empty"),
        ("  ", "1", "empty"),
        ("concatt('a')", "1", "unknown function CONCATT"),
        ("1 + foo(2)", "5", "unknown function FOO"),
        ("'样品' + bar(1)", "8", "unknown function BAR"),
        ("1 +", "4", "expression ends here"),
        ("case when 1 then 2", "19", "expression ends here"),
        ("(1 + 2", "7", "expression ends here"),
        ("1 + 2)", "6", "should end before"),
        ("1 2", "3", "should end before"),
        ("{a} {b}", "5", "side by side"),
        ("'a' 'b'", "5", "side by side"),
        ("{a}{b}", "1", "side by side"),
        ("{a}b", "1", "side by side"),
        ("'abc", "1", "not closed"),
        ("concat('a', 'b", "13", "not closed"),
        ("{1a}", "1", "braces must hold a path"),
        ("1 + {\"a\":1}", "5", "braces must hold a path"),
        ("abc", "1", "neither a keyword nor a reference"),
        ("now", "1", "neither a keyword nor a reference"),
        ("`a`", "1", "column name"),
        ("1; drop", "2", "cannot stand in an expression"),
        ("@x", "1", "neither a keyword nor a reference"),
        ("a.b", "2", "cannot stand in an expression"),
        ("(select 1)", "1", "SELECT"),
        ("exists (select 1)", "1", "SELECT"),
        ("left('a')", "1", "LEFT takes 2 arguments, not 1"),
        ("if(1,2)", "1", "IF takes 3 arguments, not 2"),
        ("ifnull(1)", "1", "IFNULL takes 2 arguments, not 1"),
        ("concat()", "1", "CONCAT takes 1 or more arguments, not 0"),
        ("round(1,2,3)", "1", "ROUND takes 1 to 2 arguments, not 3"),
        ("sum(1)", "5", "one reference"),
        ("sum({a}+{b})", "5", "one reference"),
        ("sum({a},{b})", "1", "one reference, not 2"),
        ("count(*)", "1", "not an argument of COUNT"),
        ("interval 1 day", "10", "INTERVAL stands only"),
        ("now() + interval 1 fortnight", "20", "INTERVAL requires a unit"),
        ("now() + interval '1:2' century", "18", "is not a unit"),
        ("timestampdiff(x, now(), now())", "1", "the first argument"),
        ("cast(1 as json)", "6", "is not a type of CAST"),
        ("cast(1 as decimal(70,2))", "6", "DECIMAL takes"),
        ("'a' like 'b' escape 'cd'", "21", "ESCAPE needs"),
        ("'a' regexp '('", "12", "the pattern of REGEXP"),
        ("1 ^ 2", "3", "cannot stand in an expression"),
        ("1 == 1", "3", "cannot stand in an expression"),
        ("concat('a' separator ',')", "12", "Expected: ), found \"separator\""),
        ("sum({a}) over ()", "1", "nothing else"),
    ] {
        let fault = compile_fault(text);
        assert_eq!(fault.code, Code::Function, "{text}: {fault}");
        assert!(fault.detail.contains(words), "{text}: {fault}");
        assert_eq!(column(&fault), at, "{text}: {fault}");
    }
    assert_eq!(compile_fault("concatt('a')").hint.as_deref(), Some("did you mean CONCAT?"));
    assert_eq!(compile_fault("now").hint.as_deref(), Some("a function needs its parentheses: NOW(…)"));
    assert_eq!(column(&Program::compile_from("1 + foo(2)", 11).expect_err("unknown")), "15");
    let lookup = compile_fault("1 + _findCollection find F from U where a _endFind");
    assert_eq!((lookup.code, column(&lookup)), (Code::Lookup, "41"));
    let filter = compile_fault("concat('x{a|dates}')");
    assert_eq!((filter.code, column(&filter)), (Code::Filter, "11"));
    let filter = compile_fault("1 + {a|dates}");
    assert_eq!((filter.code, column(&filter)), (Code::Filter, "6"));
}

#[test]
fn what_cannot_be_computed_is_a_fault_with_its_column() {
    let record = json!({"amt": 1, "n": 0, "t": "never", "p": "("});
    for (text, at, words) in [
        ("{{amt}}/{{n}}", "9", "division by zero"),
        ("1 + 5 % 0", "9", "division by zero"),
        ("5 div ({n})", "8", "division by zero"),
        ("2 * mod(5, {n})", "5", "division by zero"),
        ("cast({n}-1 as unsigned)", "6", "UNSIGNED"),
        ("cast(12345 as decimal(4,1))", "6", "DECIMAL"),
        ("'a' regexp {p}", "12", "the pattern of REGEXP"),
    ] {
        let fault = run_fault(text, record.clone());
        assert_eq!(fault.code, Code::Function, "{text}: {fault}");
        assert!(fault.detail.contains(words), "{text}: {fault}");
        assert_eq!(column(&fault), at, "{text}: {fault}");
    }
    let fault = run_fault("concat({t|date})", record);
    assert_eq!(fault.code, Code::Filter);
    assert!(fault.detail.starts_with("{t|date}: \"never\""), "{fault}");
}

#[test]
fn limits_hold() {
    let deep = |depth: usize| format!("{}1{}", "abs(".repeat(depth), ")".repeat(depth));
    assert_eq!(value(&deep(64), json!({})), json!(1));
    let fault = compile_fault(&deep(65));
    assert_eq!((fault.code, column(&fault)), (Code::Limit, "261"));
    assert_eq!(compile_fault(&deep(5_000)).code, Code::Limit);
    // Operators in a row and parentheses alone are not nesting.
    assert_eq!(value(&format!("0{}", " + 1".repeat(5_000)), json!({})), json!(5_000));
    assert_eq!(value(&format!("0{}", " div 1".repeat(5_000)), json!({})), json!(0));
    assert_eq!(value(&format!("{}7{}", "(".repeat(100), ")".repeat(100)), json!({})), json!(7));
    assert_eq!(compile_fault(&format!("0{}", " + 1".repeat(12_000))).code, Code::Limit);
    assert_eq!(compile_fault(&format!("1{}", " is null".repeat(2_000))).code, Code::Limit);
    assert_eq!(compile_fault(&"not ".repeat(5_000)).code, Code::Limit);
    assert_eq!(compile_fault(&"- ".repeat(5_000)).code, Code::Limit);
    assert_eq!(compile_fault("12345678901234567890123456789").code, Code::Limit);
    let text = "文".repeat(100_000);
    let record = json!({"a": text, "e": "", "n": 10_000_000_000_000_000_000_u64, "list": vec![1; 10_001], "many": vec![1; 10_000]});
    for over in [
        "concat({a},{a},{a},{a})",
        "'{a}{a}{a}{a}'",
        "repeat({a},4)",
        "repeat('x',9000000000)",
        "replace({a},'文',{a})",
        "lpad('x',2000000,'y')",
        "rpad('x',600000,'文')",
        "concat_ws({a},1,2,3,4,5)",
        "{n}*{n}",
        "sum({list})",
        "count({list})",
        "{a} like concat('%',repeat('文',5000),'x')",
        "'a' regexp concat('(a{1,1000}){1,', 1000, '}')",
    ] {
        assert_eq!(run_fault(over, record.clone()).code, Code::Limit, "{over}");
    }
    assert_eq!(value("sum({many})", record.clone()), json!(10_000));
    let joined = value(&format!("concat({}1)", "1,".repeat(9_998)), json!({}));
    assert_eq!(char_count(&joined), 9_999);
    let steps = (0..30).fold("{a}".to_owned(), |inner, _| format!("reverse({inner})"));
    assert_eq!(char_count(&value(&format!("concat({steps})"), record.clone())), 100_000);
    let long = format!("coalesce({})", vec!["nullif(concat({a}),concat({a}))"; 20].join(","));
    assert_eq!(run_fault(&long, record).code, Code::Limit);
    assert_eq!(compile_fault("'a' regexp '(a{1,1000}){1,1000}'").code, Code::Limit);
}

fn char_count(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

#[test]
fn other_zones_have_their_own_clock() {
    let run = Run { zone: chrono_tz::Europe::Berlin, ..run() };
    let value = |text: &str| Program::compile(text).expect("compiles").evaluate(&json!({}), &run).expect("computes");
    assert_eq!(value("now()"), json!("2024-03-14 09:00:00"));
    assert_eq!(value("unix_timestamp('2024-07-01 00:00:00')"), json!(1_719_784_800));
    assert_eq!(value("from_unixtime(1719784800)"), json!("2024-07-01 00:00:00"));
    assert_eq!(value("date('2024-07-01T23:30:00Z')"), json!("2024-07-02"));
}
