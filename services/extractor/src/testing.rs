//! A small real flow, for the tests of everything around the core.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use document::{Code, Fault, topic};
use flow::{Flow, FlowBundle, compile};
use queue::Next;
use runtime::settings::{Invocation, load};
use runtime::{Clock, Shutdown};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::behind::{Congestion, Downstream, HowFar};
use crate::config::{Config, DEFAULTS};
use crate::core::checkpoint::Checkpoint;
use crate::core::reply::SourceError;
use crate::core::run::{Answer, Ask};
use crate::core::sim;
use crate::log::{Entries, Log, Portion};
use crate::metrics::Instruments;
use crate::source::Source;
use crate::unit::Unit;
use crate::work::Means;

/// The flow file.
pub(crate) const FLOW: &str = r#"flow = "misc-inbound"
start_from = "2024-03-01T00:00:00+08:00"
[source]
connection = "galaxy-a"
watermark = "FApproveDate"
lookback = { cron = "2 */2 * * *", days = 3 }
[target]
connection = "galaxy-b"
"#;

/// The source document.
pub(crate) fn source() -> Value {
    json!({
        "api": "executeBillQuery", "id": "line", "number": "no", "idCheck": false, "pagination": {"pageSize": 4},
        "request": [
            {"field": "line", "value": "FEntity_FEntryID"},
            {"field": "no", "value": "FBillNo"},
            {"field": "qty", "value": "FQty"},
            {"field": "FilterString", "value": "FAPPROVEDATE >='{{LAST_SYNC_TIME|date}}' or FNote = 'x'"}
        ],
        "otherRequest": [{"field": "FormId", "value": "STK_MISCELLANEOUS"}]
    })
}

/// The target document.
pub(crate) fn target() -> Value {
    json!({
        "api": "batchSave",
        "request": [{"field": "FBillNo", "type": "string", "value": "{no}"}],
        "otherRequest": [{"field": "FormId", "value": "STK_MISCELLANEOUS"}]
    })
}

/// The three texts.
pub(crate) fn bundle(flow: &str, source: &Value) -> FlowBundle {
    let (source, target) = (source.to_string(), target().to_string());
    FlowBundle { flow: flow.to_owned(), source, target, collections: BTreeMap::new() }
}

/// Compiled.
pub(crate) fn flow(flow: &str, source: &Value) -> Arc<Flow> {
    Arc::new(compile(&bundle(flow, source)).expect("a good flow").flow)
}

/// The default settings with one connection.
pub(crate) fn config() -> Config {
    let mut config = load::<Config>("extractor", DEFAULTS, &Invocation::default()).expect("good defaults").settings;
    let connection = kingdee::Settings::new("http://127.0.0.1:1/K3Cloud/", "account", "user");
    config.connections.insert("galaxy-a".to_owned(), connection);
    config
}

/// Ready to be scanned.
pub(crate) fn unit() -> Unit {
    Unit::new(flow(FLOW, &source()), &config()).expect("a flow that can be scanned")
}

/// A source that answers from memory, after the errors it was told to give first.
#[derive(Debug)]
pub(crate) struct MemorySource {
    /// Its tables.
    pub(crate) tables: Mutex<sim::Source>,
    /// What the next calls end with instead.
    pub(crate) errors: Mutex<VecDeque<SourceError>>,
    /// Asked when so many calls were answered.
    pub(crate) drain_after: Mutex<Option<(u32, Shutdown)>>,
}

impl MemorySource {
    /// Bills 1 to `bills` of two lines each.
    pub(crate) fn new(bills: i64) -> Arc<Self> {
        let mut tables = sim::Source::at(sim::NOON);
        for id in 1..=bills {
            tables.add(id, &[id, id]);
        }
        Arc::new(Self { tables: Mutex::new(tables), errors: Mutex::default(), drain_after: Mutex::default() })
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn page(&self, _: &Unit, ask: &Ask) -> Result<Answer, SourceError> {
        if let Some(error) = self.errors.lock().expect("whole").pop_front() {
            return Err(error);
        }
        let mut tables = self.tables.lock().expect("whole");
        let answer = tables.answer(ask);
        if let Some((calls, drain)) = &*self.drain_after.lock().expect("whole")
            && tables.calls >= *calls
        {
            drain.request();
        }
        Ok(answer)
    }
}

type Values = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// A log in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryLog {
    /// Values by topic and key.
    pub(crate) tables: Mutex<Values>,
    /// Everything written, in order: topic and key.
    pub(crate) written: Mutex<Vec<(String, String)>>,
    /// Positions saved.
    pub(crate) saved: Mutex<Vec<Next>>,
    /// Commits that still succeed; `None` for all.
    pub(crate) alive_for: Mutex<Option<u32>>,
}

impl MemoryLog {
    fn get(&self, topic: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.tables.lock().expect("whole").get(&(topic.to_owned(), key.to_vec())).cloned()
    }

    /// Keys written to a topic, in order.
    pub(crate) fn keys(&self, topic: &str) -> Vec<String> {
        let written = self.written.lock().expect("whole");
        written.iter().filter(|(name, _)| name == topic).map(|(_, key)| key.clone()).collect()
    }

    /// The checkpoint of the flow.
    pub(crate) fn saved_checkpoint(&self) -> Option<Checkpoint> {
        let flow = document::FlowName::new("misc-inbound").expect("valid");
        let bytes = self.get(topic::EXTRACT_STATE, b"misc-inbound")?;
        Some(Checkpoint::from_bytes(&flow, &bytes).expect("our own"))
    }
}

#[async_trait]
impl Log for MemoryLog {
    fn checkpoint(&self, _: i32, flow: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.get(topic::EXTRACT_STATE, flow.as_bytes()))
    }

    fn seen(&self, _: i32, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.get(topic::EXTRACT_SEEN, key.as_bytes()))
    }

    fn seen_page(&self, _: i32, prefix: &str, after: Option<&[u8]>, limit: usize) -> Result<Entries, Fault> {
        let tables = self.tables.lock().expect("whole");
        let entries = tables.iter().filter(|((topic, key), _)| {
            topic == topic::EXTRACT_SEEN
                && key.starts_with(prefix.as_bytes())
                && after.is_none_or(|after| key.as_slice() > after)
        });
        Ok(entries.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    async fn commit(&self, portion: Portion) -> Result<(), Fault> {
        if portion.void.is_requested() {
            return Err(Fault::new(Code::NotOwned, "void"));
        }
        if let Some(left) = &mut *self.alive_for.lock().expect("whole") {
            *left = left.checked_sub(1).ok_or_else(|| Fault::new(Code::Fenced, "another owner"))?;
        }
        for record in portion.data.into_iter().chain(portion.seen).chain(portion.state) {
            let key = String::from_utf8_lossy(&record.record.key).into_owned();
            self.written.lock().expect("whole").push((record.topic.clone(), key));
            let value = record.record.value.unwrap_or_default();
            self.tables.lock().expect("whole").insert((record.topic, record.record.key), value);
        }
        self.saved.lock().expect("whole").extend(portion.offsets);
        Ok(())
    }
}

/// Stages behind that say these numbers, then nothing.
#[derive(Debug, Default)]
pub(crate) struct Numbers(pub(crate) Mutex<VecDeque<HowFar>>);

#[async_trait]
impl Downstream for Numbers {
    async fn ask(&self, _: &document::FlowName, _: i64) -> Result<HowFar, Fault> {
        Ok(self.0.lock().expect("whole").pop_front().unwrap_or_default())
    }
}

/// Everything a run needs, in memory. The clock stands at [`sim::NOON`].
pub(crate) fn means(source: Arc<MemorySource>, log: Arc<MemoryLog>) -> Means {
    let config = config();
    let metrics = runtime::metrics::Metrics::new("extractor").expect("metrics");
    let (clock, _) = Clock::manual(u64::try_from(sim::NOON).expect("positive") * 1_000_000);
    Means {
        source,
        log,
        downstream: Arc::new(Numbers::default()),
        congestion: Arc::new(Congestion::new(config.behind.clone())),
        clock,
        turns: Arc::new(Semaphore::new(2)),
        instruments: Instruments::new(&metrics.meter()),
        scan: config.scan,
        behind: config.behind,
        random: || [7; 24],
    }
}
