use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coordination::{Limit, Limiter};
use document::{Code, TraceParent, Version};
use runtime::metrics::Metrics;
use serde_json::Map;

use super::*;
use crate::core::event::Finding;
use crate::core::ledger::Reached;
use crate::core::rules::{OnChange, Rules};

/// A target that keeps what it was sent and answers what it is told to.
#[derive(Default)]
struct Twin {
    saved: Mutex<Vec<Vec<Bytes>>>,
    queries: AtomicUsize,
    reply: Mutex<Option<kingdee::SaveReply>>,
    operated: Mutex<Option<Result<OperationReply, Error>>>,
}

#[async_trait::async_trait]
impl Erp for Twin {
    async fn query(&self, _: &BillQuery) -> Result<BillPage, Error> {
        if self.queries.fetch_add(1, Ordering::Relaxed) == 0 {
            return Ok(BillPage { rows: Vec::new(), server_time: None });
        }
        Err(Error::Throttled { method: "ExecuteBillQuery".to_owned(), after: None, text: "too many".to_owned() })
    }

    async fn save(&self, _: &Definition, documents: &[Bytes]) -> kingdee::SaveReply {
        self.saved.lock().expect("alone").push(documents.to_vec());
        self.reply.lock().expect("alone").take().unwrap_or(kingdee::SaveReply::Done(Vec::new()))
    }

    async fn operate(&self, _: Operation, _: &str, _: Vec<String>) -> Result<OperationReply, Error> {
        self.operated.lock().expect("alone").take().expect("told")
    }
}

fn definition() -> Definition {
    let rules = Rules {
        connection: "b".to_owned(),
        documents: 50,
        max_bytes: 1 << 20,
        on_change: OnChange::Update,
        wanted: Reached::Saved,
        together: false,
        told_by_save: true,
        retry: crate::core::Retry::default(),
    };
    Definition {
        tenant: "default".to_owned(),
        rules: Arc::new(rules),
        form: "STK_MISCELLANEOUS".to_owned(),
        key: "FBillNo".to_owned(),
        options: Map::new(),
        by_save: false,
    }
}

fn target(twin: &Arc<Twin>) -> (Target, runtime::clock::Hand) {
    let (clock, hand) = Clock::manual(0);
    let limiter = Limiter::connect(None).expect("no settings, no fault");
    let quota = Quota { limiter, account: "b".to_owned(), limit: Limit::alone(600) };
    let metrics = LoaderMetrics::new(&Metrics::new("loader").expect("metrics").meter());
    let erp: Arc<dyn Erp> = Arc::<Twin>::clone(twin);
    (Target::new(erp, quota, chrono_tz::Asia::Shanghai, clock, metrics), hand)
}

fn document(value: &str, update: Option<&str>) -> SaveDocument {
    SaveDocument {
        key: "A".into(),
        value: value.as_bytes().into(),
        update: update.map(str::to_owned),
        version: Version(1),
        trace: TraceParent { trace_id: [1; 16], span_id: [1; 8], flags: 0 },
    }
}

#[tokio::test]
async fn a_save_that_is_late_is_not_sent() {
    let twin = Arc::<Twin>::default();
    let (target, hand) = target(&twin);
    let documents = [document("{}", None)];
    let late = Duration::from_secs(5);
    hand.advance(Duration::from_secs(6));
    let reply = target.save(&definition(), &documents, late, None, Lane::Fresh).await;
    assert_eq!(reply, SaveReply::NotSent(Trouble::Late));
    assert_eq!(twin.saved.lock().expect("alone").len(), 0);
    let in_time = Duration::from_secs(6);
    assert_eq!(target.save(&definition(), &documents, in_time, None, Lane::Fresh).await, SaveReply::Done(Vec::new()));
}

#[tokio::test]
async fn documents_go_out_as_they_were_mapped_and_updates_carry_their_id() {
    let twin = Arc::<Twin>::default();
    let (target, _hand) = target(&twin);
    let text = "{\"FNote\":\"桌 1.50\",\"FQty\":1.50}";
    let documents = [
        document(text, None),
        document(text, Some("100029")),
        document(" {}", Some("7")),
        document("{\"a\":1}", Some("9f\"x")),
    ];
    target.save(&definition(), &documents, Duration::from_secs(5), None, Lane::Fresh).await;
    let saved = twin.saved.lock().expect("alone");
    let bodies: Vec<&str> = saved[0].iter().map(|body| std::str::from_utf8(body).expect("text")).collect();
    assert_eq!(
        bodies,
        [text, "{\"FID\":100029,\"FNote\":\"桌 1.50\",\"FQty\":1.50}", "{\"FID\":7}", "{\"FID\":\"9f\\\"x\",\"a\":1}",]
    );
}

#[test]
fn replies_keep_their_class() {
    let business = BusinessError::understand(
        Some(11),
        Some("FBillNo"),
        "违反字段唯一性要求：编码唯一。[A]在当前系统中已经被使用。",
    );
    let done = save_reply(kingdee::SaveReply::Done(vec![
        DocumentOutcome::Saved { id: "1".to_owned(), number: "A".to_owned(), warnings: Vec::new() },
        DocumentOutcome::Rejected(vec![business]),
        DocumentOutcome::Unknown,
    ]));
    let SaveReply::Done(outcomes) = done else { panic!("{done:?}") };
    assert_eq!(outcomes[0], Outcome::Saved { id: "1".to_owned(), number: "A".to_owned() });
    assert!(matches!(&outcomes[1], Outcome::Rejected(refusals) if refusals[0].code == Code::NumberTaken));
    assert_eq!(outcomes[2], Outcome::Unknown);

    let licence = BusinessError::understand(Some(7), None, "许可数不足");
    let table = [
        (kingdee::SaveReply::UnknownClosed(UnknownReason::SessionLost), SaveReply::UnknownClosed(Unknown::SessionLost)),
        (
            kingdee::SaveReply::UnknownClosed(UnknownReason::Refused(licence)),
            SaveReply::UnknownClosed(Unknown::CallRefused("许可数不足".to_owned())),
        ),
        (
            kingdee::SaveReply::UnknownOpen(UnknownReason::Gateway(502)),
            SaveReply::UnknownOpen(Unknown::Other("status 502".to_owned())),
        ),
        (kingdee::SaveReply::Throttled { after: None }, SaveReply::Throttled(None)),
        (
            kingdee::SaveReply::NotSent(Error::AuthFailed {
                identity: "u".to_owned(), text: "密码错误".to_owned()
            }),
            SaveReply::NotSent(Trouble::Login("the server refuses u: 密码错误".to_owned())),
        ),
    ];
    for (reply, expected) in table {
        assert_eq!(save_reply(reply), expected);
    }
}

#[tokio::test]
async fn probes_and_steps_tell_throttling_from_trouble() {
    let twin = Arc::<Twin>::default();
    let (target, _hand) = target(&twin);
    let asked = [ProbeDocument { key: "A".into(), value: None }];
    let definition = definition();
    assert_eq!(target.probe(&definition, &asked, None, Lane::Fresh).await, ProbeReply::Found(vec![Finding::Absent]));
    assert_eq!(target.probe(&definition, &asked, None, Lane::Replay).await, ProbeReply::Throttled(None));

    let documents = [AdvanceDocument { key: "A".into(), id: "1".to_owned() }];
    let tell = |reply| *twin.operated.lock().expect("alone") = Some(reply);
    tell(Ok(OperationReply {
        outcomes: vec![OperationOutcome::Missing],
        unattributed: Vec::new(),
        messages: Vec::new(),
    }));
    let reply = target.advance(&definition, Step::Audit, &documents, None, Lane::Fresh).await;
    assert_eq!(reply, AdvanceReply::Done(vec![Advance::Unknown]));
    tell(Err(Error::SessionLost { method: "Audit".to_owned() }));
    let reply = target.advance(&definition, Step::Audit, &documents, None, Lane::Fresh).await;
    assert_eq!(reply, AdvanceReply::Failed(Trouble::Unreachable("Audit: the session was lost".to_owned())));
}
