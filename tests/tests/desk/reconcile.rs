//! Reports on both systems: clean where they agree, complete where somebody went behind our back, and never wrong about
//! documents that are on their way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use control::reconcile::plan::{self, Size};
use control::reconcile::read::HEADS;
use e2e::mend::model;
use e2e::road::{Road, RoadPlan};
use serde_json::{Value, json};
use starbridge_proto::v1;

use super::client::{Caller, People, change};
use super::{PATIENCE, until};

pub(crate) const FORM: &str = "STK_MISCELLANEOUS";

/// Asks for a report on everything there ever was, and waits for it.
pub(crate) async fn report(
    operator: &Caller,
    sample: impl Into<Option<f64>>,
    grace_seconds: i64,
) -> v1::Reconciliation {
    let id = begin(operator, sample, grace_seconds).await;
    whole(operator, id).await
}

/// Reports on everything there ever was until nothing of `documents` is on its way any more: a document is in the target a
/// moment before its end is on record.
pub(crate) async fn settled(operator: &Caller, documents: usize, sample: f64) -> v1::Reconciliation {
    on_record(operator, documents).await;
    let settled = until("nothing is on its way", async || {
        let report = report(operator, sample, 1).await;
        if report.on_the_way == 0 { Ok(report) } else { Err(format!("{report:#?}")) }
    });
    settled.await
}

/// Waits until so many documents are on record at the desk. A report before that takes the others for missing, and plans too
/// few calls: its plan tells how many are known.
async fn on_record(operator: &Caller, documents: usize) {
    // As few as there are on either side, one page holds them.
    let page = u64::from(HEADS);
    let size = Size { known: documents as u64, source: page, created: page };
    let known = plan::calls(&size, 1.0) as i64;
    let planned = until("every document is on record", async || {
        let look = Some(v1::Change { dry_run: true, ..v1::Change::default() });
        let asked = v1::StartReconciliationRequest { change: look, ..asked(1.0, 1) };
        let planned = operator.reconciliations().start_reconciliation(asked).await.expect("planned").into_inner();
        if planned.planned_calls == known { Ok(()) } else { Err(format!("{known} calls expected: {planned:?}")) }
    });
    planned.await;
}

/// What asks for a report on everything there ever was.
fn asked(sample: impl Into<Option<f64>>, grace_seconds: i64) -> v1::StartReconciliationRequest {
    v1::StartReconciliationRequest {
        flow: "misc-inbound".to_owned(),
        from: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        sample: sample.into(),
        grace_seconds: Some(grace_seconds),
        change: change("end of the day"),
        ..v1::StartReconciliationRequest::default()
    }
}

/// Asks for a report on everything there ever was. Gives its id.
async fn begin(operator: &Caller, sample: impl Into<Option<f64>>, grace_seconds: i64) -> String {
    let asked = asked(sample, grace_seconds);
    let begun = operator.reconciliations().start_reconciliation(asked).await.expect("begun").into_inner();
    begun.reconciliation.expect("a report").id
}

/// Waits for a report.
async fn whole(operator: &Caller, id: String) -> v1::Reconciliation {
    let watched = v1::WatchReconciliationRequest { id };
    let mut stream = operator.reconciliations().watch_reconciliation(watched).await.expect("watched").into_inner();
    let mut last = None;
    while let Some(next) = stream.message().await.expect("the stream goes to its end") {
        last = next.reconciliation;
    }
    let last = last.expect("seen");
    assert_eq!(last.status(), v1::ReconciliationStatus::Done, "{}", last.fault);
    assert!(last.calls <= last.planned_calls, "{} of {} calls", last.calls, last.planned_calls);
    last
}

fn found(report: &v1::Reconciliation, kind: &str) -> Vec<String> {
    let of_kind = report.findings.iter().filter(|finding| finding.kind == kind);
    let mut keys: Vec<String> = of_kind.map(|finding| finding.target_key.clone()).collect();
    keys.sort();
    keys
}

async fn plant(galaxy: &e2e::fleet::Galaxy, documents: Vec<Value>) {
    let order = json!({"form": FORM, "documents": documents, "allow_duplicate": true});
    galaxy.admin("/documents", Some(&order)).await.expect("planted");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_done_behind_our_back_is_in_one_report() {
    // Only without unique numbers can there be a copy.
    let target = vec![("--unique-numbers", "off".to_owned())];
    let plan = RoadPlan { planted: false, target, controls: 1, ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("opened");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, _| applied >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;

    let clean = settled(&operator, orders, 0.1).await;
    assert!(clean.clean && clean.findings.is_empty(), "{clean:#?}");
    let count = i64::try_from(orders).expect("few");
    assert_eq!((clean.source, clean.applied), (count, count));
    assert!(clean.compared > 0 && clean.compared < count, "{}", clean.compared);

    let numbers: Vec<String> = road.expectation.target.keys().cloned().collect();
    let (deleted, rest) = numbers.split_at(25);
    let (copied, rest) = rest.split_at(25);
    let (edited, rest) = rest.split_at(5);
    let (opened, _) = rest.split_at(5);
    for number in deleted {
        road.target.remove(FORM, number).await.expect("removed");
    }
    let bill = |number: &String| road.expectation.target[number].clone();
    plant(&road.target, copied.iter().map(|number| model(number, &bill(number))).collect()).await;
    // By hand, in the target itself: another quantity, and an audit taken back.
    for (numbers, field, value) in
        [(edited, "/FEntity/0/FQty", json!("777.5")), (opened, "/FDocumentStatus", json!("D"))]
    {
        for number in numbers {
            let path = format!("/dump?form={FORM}&number={number}");
            let mut held = road.target.admin(&path, None).await.expect("dumped");
            *held[0].pointer_mut(field).expect("a field of every bill") = value.clone();
            plant(&road.target, vec![held[0].take()]).await;
        }
    }
    let foreign = ["foreign-1".to_owned(), "foreign-2".to_owned()];
    plant(&road.target, foreign.iter().map(|number| model(number, &bill(&numbers[0]))).collect()).await;
    let gone = &numbers[orders - 1];
    road.source.remove(FORM, gone).await.expect("removed");

    let dirty = report(&operator, 1.0, 1).await;
    assert!(!dirty.clean);
    assert_eq!(found(&dirty, "missing"), deleted, "{:#?}", dirty.totals);
    assert_eq!(found(&dirty, "duplicate"), copied, "{:#?}", dirty.totals);
    let with = |report: &v1::Reconciliation, detail: &str| {
        let mut named = report.clone();
        named.findings.retain(|finding| finding.detail.starts_with(detail));
        found(&named, "different")
    };
    assert_eq!(with(&dirty, "/FEntity/0/FQty: 1 of "), edited, "{:#?}", dirty.findings);
    let taken_back = "FDocumentStatus: it was taken to C (audited), and D is found";
    assert_eq!(with(&dirty, taken_back), opened, "{:#?}", dirty.findings);
    let mut extra = vec![gone.clone()];
    extra.extend(foreign);
    extra.sort();
    assert_eq!(found(&dirty, "extra"), extra, "{:#?}", dirty.totals);
    let totals: BTreeMap<&str, i64> = dirty.totals.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(totals, BTreeMap::from([("missing", 25), ("duplicate", 25), ("different", 10), ("extra", 3)]));
    // Only what a field holds takes a comparison; the sample that is taken where nobody says one finds all else.
    let headers = report(&operator, None::<f64>, 1).await;
    assert_eq!(with(&headers, taken_back), opened, "{:#?}", headers.findings);
    for kind in ["missing", "duplicate", "extra"] {
        assert_eq!(found(&headers, kind), found(&dirty, kind), "{:#?}", headers.totals);
    }

    let listed = v1::ListReconciliationsRequest { flow: "misc-inbound".to_owned(), ..Default::default() };
    let listed = operator.reconciliations().list_reconciliations(listed).await.expect("listed").into_inner();
    let ids: Vec<&str> = listed.reconciliations.iter().map(|report| report.id.as_str()).collect();
    assert_eq!(ids[..3], [headers.id.as_str(), dirty.id.as_str(), clean.id.as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_missing_document_is_listed_however_many_they_are() {
    let plan = RoadPlan { orders: 1_200, planted: false, controls: 1, ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("opened");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, _| applied >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;
    settled(&operator, orders, 0.0).await;
    let gone: Vec<String> = road.expectation.target.keys().take(1_150).cloned().collect();
    for number in &gone {
        road.target.remove(FORM, number).await.expect("removed");
    }
    let first = report(&operator, 0.0, 1).await;
    assert_eq!((first.totals["missing"], first.findings.len()), (1_150, 1_000), "{:#?}", first.totals);

    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let asked = v1::GetReconciliationRequest { id: first.id.clone(), page_size: 400, page_token };
        let page = operator.reconciliations().get_reconciliation(asked).await.expect("a page").into_inner();
        listed.extend(found(&page.reconciliation.expect("the report"), "missing"));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    listed.sort();
    assert_eq!(listed, gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_due_is_made_by_itself() {
    let plan = RoadPlan { orders: 20, planted: false, controls: 1, ..RoadPlan::default() };
    let mut road = Road::lay(plan).await.expect("laid");
    let file = road.flow_folder().join("flow.toml");
    let text = std::fs::read_to_string(&file).expect("the flow file");
    let due = "\n[reconcile]\ncron = \"* * * * *\"\ngrace = \"1s\"\n";
    std::fs::write(&file, format!("{text}{due}")).expect("written");
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, _| applied >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;

    settled(&operator, orders, 0.0).await;
    let gone = road.expectation.target.keys().next().expect("one").clone();
    road.target.remove(FORM, &gone).await.expect("removed");
    let named = until("a report that nobody asked for names it", async || {
        let listed = v1::ListReconciliationsRequest::default();
        let listed = operator.reconciliations().list_reconciliations(listed).await.expect("listed").into_inner();
        let found = listed.reconciliations.iter().find(|report| report.totals.contains_key("missing"));
        found.map(|report| report.id.clone()).ok_or_else(|| format!("{listed:#?}"))
    });
    let report = whole(&operator, named.await).await;
    assert_eq!(found(&report, "missing"), [gone], "{report:#?}");
    assert_eq!((report.created_by.as_str(), report.reason.as_str()), ("control", "due by * * * * *"));
    let count = i64::try_from(orders).expect("few");
    assert_eq!((report.source, report.sample, report.grace_seconds), (count, 0.01, 1), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_writer_is_killed_is_made_by_another_and_shown_whole() {
    let plan = RoadPlan { orders: 20, planted: false, controls: 2, ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("opened");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, _| applied >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;
    settled(&operator, orders, 0.0).await;
    let gone = road.expectation.target.keys().next().expect("one").clone();
    road.target.remove(FORM, &gone).await.expect("removed");

    // It has its first look behind it and waits for the second one.
    let id = begin(&operator, 0.0, 10).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (_, address) = people.writer(&road).await;
    let dead = (0..2).find(|ordinal| road.desk_address(*ordinal).ok().as_deref() == Some(address.as_str()));
    road.of("control")[dead.expect("one of two") as usize].kill().expect("killed");

    let operator = people.at_writer(&road, &token).await;
    let asked = v1::GetReconciliationRequest { id: id.clone(), ..Default::default() };
    let half = operator.reconciliations().get_reconciliation(asked).await.expect("known").into_inner();
    let half = half.reconciliation.expect("a report");
    assert_eq!(
        (half.status(), half.source, half.findings.len()),
        (v1::ReconciliationStatus::Running, 0, 0),
        "{half:?}"
    );
    let report = whole(&operator, id).await;
    assert_eq!(found(&report, "missing"), [gone], "{report:#?}");
    assert_eq!((report.source, report.findings.len()), (i64::try_from(orders).expect("few"), 1), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_reports_in_a_row_are_never_wrong_about_documents_on_their_way() {
    let plan = RoadPlan { orders: 100, planted: false, documents: Some(5), controls: 1, ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("opened");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, _| applied >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;
    on_record(&operator, orders).await;
    road.fault(json!({"kind": "latency", "call": "BatchSave", "ms": 300, "count": 0})).await.expect("a known fault");

    let bills: Vec<_> = road.expectation.source.clone().into_iter().collect();
    let flowing = tokio::spawn({
        let (operator, bills) = (operator.clone(), bills.clone());
        let source = road.source.admin_port();
        async move {
            for round in 1..1_000 {
                for portion in bills.chunks(10) {
                    let documents: Vec<Value> =
                        portion.iter().map(|(number, bill)| model(&format!("{number}~{round}"), bill)).collect();
                    source.plant(FORM, documents).await.expect("planted");
                    let run = v1::RunFlowRequest {
                        name: "misc-inbound".to_owned(),
                        kind: v1::RunKind::Scan.into(),
                        change: change("now"),
                        window: None,
                    };
                    operator.flows().run_flow(run).await.expect("asked");
                    // Half of what the target takes: what waits for it grows on no machine beyond the time of grace.
                    tokio::time::sleep(Duration::from_millis(1_200)).await;
                }
            }
        }
    });
    let (mut seen, begin) = (0, Instant::now());
    for number in 1..=20 {
        let report = report(&operator, 0.05, 20).await;
        assert!(report.clean && report.findings.is_empty(), "report {number}: {report:#?}");
        let known = report.applied + report.on_the_way + report.parked;
        assert_eq!(known, report.source, "report {number}: {report:#?}");
        seen = report.source;
        assert!(begin.elapsed() < 3 * PATIENCE, "{number} reports in {:?}", begin.elapsed());
    }
    flowing.abort();
    assert!(seen > i64::try_from(orders).expect("few"), "documents were flowing meanwhile: {seen}");
}
