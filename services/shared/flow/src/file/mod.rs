//! The flow file: what joins a source document, a target document, two connections and a schedule.
//!
//! TOML, every key optional in syntax so that one reading can name all faults; what a flow cannot do without is
//! checked afterwards ([`read`]). The JSON Schema of this form is published beside the ready flows.

mod read;
pub mod span;
mod text_form;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use read::{Reading, read};

/// Most documents one call may carry.
pub const MAX_DOCUMENTS: u32 = 500;
/// Most partitions a flow's topics may have.
pub const MAX_PARTITIONS: u32 = 1000;

/// A flow file as read: see the field documentation for units and defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Starbridge flow file", extend("required" = ["flow", "start_from", "source", "target"]))]
pub struct FlowFile {
    /// Name of the flow: 1 to 63 of a-z, 0-9 and inner dashes. Part of its topics' names.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub flow: String,
    /// Whose documents they are. `default` where nothing else is said.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub tenant: String,
    /// What people call it.
    pub title: String,
    /// LAST_SYNC_TIME of the very first run: RFC 3339 with offset, such as `2024-01-01T00:00:00+08:00`.
    #[serde(with = "text_form::instant")]
    #[schemars(with = "Option<String>")]
    pub start_from: Option<DateTime<FixedOffset>>,
    /// Zone in which filters and date functions speak.
    #[serde(with = "text_form::zone")]
    #[schemars(with = "String")]
    pub zone: Tz,
    /// What is promised of every document: that it is in the target once, proven, or at least once.
    pub delivery: Delivery,
    /// What happens when a `_function` cannot be computed: the bill fails, or the text is passed through as written.
    pub function_error: Option<FunctionError>,
    /// Where documents come from.
    pub source: SourceSettings,
    /// Where they go.
    pub target: TargetSettings,
    /// When the source is asked.
    pub schedule: Schedule,
    /// How many documents travel in one call.
    pub batch: Batch,
    /// How often a call is tried again.
    pub retry: Retry,
    /// When both systems are compared by themselves; absent: only when somebody asks.
    pub reconcile: Option<Reconcile>,
    /// Records that `_findCollection` and `_mongoQuery` look into: scheme id = file beside the flow file, a JSON list of
    /// `{"id", "number", "content"}`, oldest first.
    pub collections: BTreeMap<String, String>,
    /// Partitions of the flow's topics, 1 to 1000; fixed once the topics exist.
    #[schemars(range(min = 1, max = 1000))]
    pub partitions: u32,
}

/// What a flow promises of every document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// It is in the target once: the target is asked for it by a key of its own, or a marker, before it is saved again.
    #[default]
    ProvenOnce,
    /// It arrives, but its key may change when it is read again, and then it arrives once more.
    AtLeastOnce,
}

impl Delivery {
    /// The word of the flow file.
    pub fn as_str(self) -> &'static str {
        match self {
            Delivery::ProvenOnce => "proven_once",
            Delivery::AtLeastOnce => "at_least_once",
        }
    }
}

impl std::fmt::Display for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a `_function` that cannot be computed does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FunctionError {
    /// The bill fails with `E_FUNCTION` and is not sent.
    #[default]
    Fail,
    /// The text of the value, references filled in, is used instead, as the published platform does.
    Passthrough,
}

/// `[source]` of a flow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["connection"]))]
pub struct SourceSettings {
    /// File of the source document, beside the flow file.
    pub document: String,
    /// Name of the connection in the services' settings.
    pub connection: String,
    /// Form to query where the document names no FormId; wins over the document's.
    pub form: Option<String>,
    /// Kingdee key of the bill's inner id, by which pages are cut.
    pub key: String,
    /// Kingdee key of the line's id; absent: the document's column that ends in `_FEntryID`, else the head alone.
    pub entry_key: Option<String>,
    /// Kingdee key of the date that moves when a bill becomes due (`FApproveDate`, `FModifyDate`); absent: no bound is added.
    pub watermark: Option<String>,
    /// Kingdee key of the date the bill was made; added to the query and taken off again.
    pub created: Option<String>,
    /// How far a scan reaches back behind the watermark.
    #[serde(with = "span::text")]
    #[schemars(with = "String")]
    pub overlap: Duration,
    /// How far the watermark stays behind the start of the scan that moved it.
    #[serde(with = "span::text")]
    #[schemars(with = "String")]
    pub settle: Duration,
    /// The slow second look for missed documents; absent: what the document's `omissionRemedy` says.
    pub lookback: Option<Lookback>,
}

/// `[source.lookback]` of a flow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["cron"]))]
pub struct Lookback {
    /// Five-field cron, in the schedule's zone.
    pub cron: String,
    /// Days behind the watermark, 1 to 366.
    #[schemars(range(min = 1, max = 366))]
    pub days: u32,
}

/// `[target]` of a flow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["connection"]))]
pub struct TargetSettings {
    /// File of the target document, beside the flow file.
    pub document: String,
    /// Name of the connection in the services' settings.
    pub connection: String,
    /// Form to save to where the document names no FormId; wins over the document's.
    pub form: Option<String>,
    /// Field of the target document that names it in the target system; at most one document there carries a value.
    pub key: String,
    /// In place of `key` where the target numbers its bills itself: a text field that the document leaves empty. It is
    /// filled with flow and document key (`misc-inbound/SO-1`), and the bill is found by it.
    pub marker: Option<String>,
    /// What a changed source document does after it was loaded.
    pub on_change: OnChange,
}

/// What a changed source document does after it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// Nothing: it is counted and listed as changed after load.
    #[default]
    Skip,
    /// The target document is written again.
    Update,
    /// It waits as a dead letter for a decision.
    Park,
}

/// `[schedule]` of a flow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Five-field cron; firings missed while nothing ran happen once.
    pub cron: String,
    /// Zone of the cron; absent: the flow's zone.
    #[serde(with = "text_form::optional_zone")]
    #[schemars(with = "Option<String>")]
    pub zone: Option<Tz>,
    /// What a firing does while the run before it still goes on.
    pub when_running: WhenRunning,
}

/// What a firing does while the run before it still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenRunning {
    /// It is left out.
    #[default]
    Skip,
    /// It happens once when the run is over.
    Wait,
}

/// `[batch]` of a flow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// Documents per call, 1 to 500; absent: the target document's `operation.rows`, else 1.
    #[schemars(range(min = 1, max = 500))]
    pub documents: Option<u32>,
    /// Most bytes of documents in one call; one larger document still travels alone.
    #[schemars(range(min = 1024))]
    pub max_bytes: u64,
}

/// `[retry]` of a flow file. What is absent is as the service that makes the call has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Tries to connect before a call is given up for this round, 1 to 20.
    #[schemars(range(min = 1, max = 20))]
    pub connect: Option<u32>,
    /// Tries after an answer of the 5xx kind, 1 to 20.
    #[schemars(range(min = 1, max = 20))]
    pub server_error: Option<u32>,
    /// Tries of one document over all rounds before it is parked, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub attempt_cap: u32,
    /// Wait before the second try, 10ms to 10m; doubles from try to try.
    #[serde(with = "span::optional_text")]
    #[schemars(with = "Option<String>")]
    pub first_wait: Option<Duration>,
    /// Where doubling stops, up to 10m.
    #[serde(with = "span::optional_text")]
    #[schemars(with = "Option<String>")]
    pub longest_wait: Option<Duration>,
}

/// `[reconcile]` of a flow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["cron"]))]
pub struct Reconcile {
    /// Five-field cron, in the schedule's zone.
    pub cron: String,
    /// Days of the watermark date that are compared, 1 to 366.
    #[schemars(range(min = 1, max = 366))]
    pub days: u32,
    /// The share of documents that is compared field by field, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample: f64,
    /// How long a document may be on its way, and what looks wrong waits for its second look: up to a day.
    #[serde(with = "span::text")]
    #[schemars(with = "String")]
    pub grace: Duration,
    /// Whether bills that never arrived anywhere are read again by themselves.
    pub repair: bool,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self { cron: String::new(), days: 3, sample: 0.01, grace: Duration::from_secs(900), repair: false }
    }
}

impl Default for FlowFile {
    fn default() -> Self {
        Self {
            flow: String::new(),
            tenant: "default".to_owned(),
            title: String::new(),
            start_from: None,
            zone: chrono_tz::Asia::Shanghai,
            delivery: Delivery::default(),
            function_error: None,
            source: SourceSettings::default(),
            target: TargetSettings::default(),
            schedule: Schedule::default(),
            batch: Batch::default(),
            retry: Retry::default(),
            reconcile: None,
            collections: BTreeMap::new(),
            partitions: 6,
        }
    }
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            document: "source.json".to_owned(),
            connection: String::new(),
            form: None,
            key: "FID".to_owned(),
            entry_key: None,
            watermark: None,
            created: None,
            overlap: Duration::from_secs(600),
            settle: Duration::from_secs(30),
            lookback: None,
        }
    }
}

impl Default for Lookback {
    fn default() -> Self {
        Self { cron: String::new(), days: 3 }
    }
}

impl Default for TargetSettings {
    fn default() -> Self {
        Self {
            document: "target.json".to_owned(),
            connection: String::new(),
            form: None,
            key: "FBillNo".to_owned(),
            marker: None,
            on_change: OnChange::default(),
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self { cron: "*/5 * * * *".to_owned(), zone: None, when_running: WhenRunning::default() }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self { documents: None, max_bytes: 4 * 1024 * 1024 }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { connect: None, server_error: None, attempt_cap: 10, first_wait: None, longest_wait: None }
    }
}

/// The JSON Schema of the flow file, as published at `deploy/flows/flow.schema.json`.
///
/// It is the schema of the TOML read as JSON; durations, instants, crons and zones are text there.
pub fn schema() -> serde_json::Value {
    serde_json::Value::from(schemars::schema_for!(FlowFile))
}
