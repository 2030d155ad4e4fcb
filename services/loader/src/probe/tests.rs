use std::sync::Mutex;

use kingdee::BusinessError;
use serde_json::json;

use super::*;

/// A form with rows, which gives at most `clamp` of them at once and knows only some fields.
struct Form {
    rows: Vec<Row>,
    clamp: usize,
    unknown: Vec<&'static str>,
    asked: Mutex<Vec<BillQuery>>,
}

#[async_trait::async_trait]
impl Ask for Form {
    async fn page(&self, query: &BillQuery) -> Result<BillPage, Error> {
        self.asked.lock().expect("alone").push(query.clone());
        if let Some(field) = query.field_keys.iter().find(|field| self.unknown.contains(&field.as_str())) {
            let error = BusinessError::understand(Some(9), None, &format!("元数据中标识为{field}的字段不存在"));
            return Err(Error::Refused { form: query.form_id.clone(), error });
        }
        let lines = query.field_keys.iter().any(|field| field.contains("FQty"));
        let filter = query.filter.to_lowercase();
        let literal = |row: &Row| format!("'{}'", text(row.get("FBillNo")).to_lowercase());
        let mut matching: Vec<&Row> = self.rows.iter().filter(|row| filter.contains(&literal(row))).collect();
        if !lines {
            matching.dedup_by(|a, b| a.get("FID") == b.get("FID"));
        }
        let start = usize::try_from(query.start_row).expect("small");
        let page = matching.into_iter().skip(start).take(self.clamp.min(query.limit as usize));
        let cells =
            |row: &Row| query.field_keys.iter().map(|key| row.get(key).cloned().unwrap_or(Value::Null)).collect();
        Ok(BillPage { rows: page.map(cells).collect(), server_time: None })
    }
}

fn line(id: u64, number: &str, status: &str, quantity: Value) -> Row {
    let cells = json!({"FID": id, "FBillNo": number, "FDocumentStatus": status, "FCreateDate": "2024-03-14T08:00:00",
                       "FNote": "n", "FQty": quantity, "FEntity_FEntryID": 1});
    cells.as_object().expect("an object").iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn form(rows: Vec<Row>, clamp: usize) -> Form {
    Form { rows, clamp, unknown: Vec::new(), asked: Mutex::default() }
}

fn wanted(number: &str) -> ProbeDocument {
    let value = json!({"FBillNo": number, "FNote": "n", "FEntity": [{"FQty": 1}, {"FQty": 2}]}).to_string();
    ProbeDocument { key: number.into(), value: Some(value.into_bytes().into()) }
}

async fn findings(form: &Form, documents: &[ProbeDocument], unknown: &mut BTreeSet<String>) -> Vec<Finding> {
    let question = Question { form: "STK_MISCELLANEOUS", key: "FBillNo", zone: chrono_tz::Asia::Shanghai, documents };
    probe(form, &question, unknown).await.expect("answers")
}

fn asked(form: &Form) -> usize {
    form.asked.lock().expect("alone").len()
}

#[tokio::test]
async fn keys_that_are_not_there_cost_one_call() {
    let form = form(vec![], 100);
    let documents: Vec<ProbeDocument> = (0..100).map(|n| wanted(&format!("A{n}"))).collect();
    let found = findings(&form, &documents, &mut BTreeSet::new()).await;
    assert!(found.iter().all(|finding| *finding == Finding::Absent));
    assert_eq!((found.len(), asked(&form)), (100, 1));
}

#[tokio::test]
async fn a_clamped_page_hides_nothing() {
    for clamp in 1..5 {
        let rows = vec![
            line(1, "A", "C", json!(1)),
            line(1, "A", "C", json!(2.0)),
            line(2, "B", "B", json!(1)),
            line(2, "B", "B", json!(9)),
            line(3, "C", "A", json!(1)),
            line(4, "C", "A", json!(1)),
        ];
        let form = form(rows, clamp);
        let documents = [wanted("A"), wanted("B"), wanted("C"), wanted("D")];
        let found = findings(&form, &documents, &mut BTreeSet::new()).await;
        let created = Some(1_710_374_400_000);
        assert_eq!(
            found[0],
            Finding::Present(Present {
                id: "1".to_owned(),
                reached: Reached::Audited,
                created,
                likeness: Likeness::Same
            })
        );
        let Finding::Present(second) = &found[1] else { panic!("{found:?}") };
        assert_eq!(second.reached, Reached::Submitted);
        assert_eq!(second.likeness, Likeness::Different("FEntity[1].FQty differs".to_owned()));
        assert_eq!(found[2..], [Finding::Many(2), Finding::Absent], "clamp {clamp}");
    }
}

#[tokio::test]
async fn unknown_fields_are_left_out_and_remembered() {
    let mut form = form(vec![line(1, "A", "C", json!(1)), line(1, "A", "C", json!(2))], 100);
    form.unknown = vec!["FCreateDate", "FNote", "FEntity_FEntryID"];
    let mut unknown = BTreeSet::new();
    let found = findings(&form, &[wanted("A")], &mut unknown).await;
    let Finding::Present(present) = &found[0] else { panic!("{found:?}") };
    assert_eq!((present.created, &present.likeness), (None, &Likeness::Same));
    assert_eq!(unknown.len(), 3);
    let before = asked(&form);
    findings(&form, &[wanted("A")], &mut unknown).await;
    assert_eq!(asked(&form) - before, 3, "heads, content, and the empty page that ends it");
}

#[tokio::test]
async fn a_key_the_form_does_not_have_is_an_error() {
    let mut form = form(vec![], 100);
    form.unknown = vec!["FBillNo"];
    let question = Question {
        form: "STK_MISCELLANEOUS",
        key: "FBillNo",
        zone: chrono_tz::Asia::Shanghai,
        documents: &[wanted("A")],
    };
    let refused = probe(&form, &question, &mut BTreeSet::new()).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn numbers_are_escaped_and_found_in_another_case() {
    let form = form(vec![line(1, "OBRIEN", "C", json!(1)), line(1, "OBRIEN", "C", json!(2))], 100);
    let found = findings(&form, &[wanted("a'\n😀"), wanted("obrien")], &mut BTreeSet::new()).await;
    assert!(form.asked.lock().expect("alone")[0].filter.contains("'a''\n😀'"));
    assert_eq!(found[0], Finding::Absent);
    assert!(matches!(&found[1], Finding::Present(present) if present.id == "1"), "{found:?}");
}

#[test]
fn base_data_forms_have_their_own_ids() {
    assert_eq!(
        [id_field("STK_MISCELLANEOUS"), id_field("bd_material"), id_field("BD_Stock")],
        ["FID", "FMATERIALID", "FStockId"]
    );
}
