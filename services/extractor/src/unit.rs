//! A flow made ready to be scanned: its plan, worked out once per version.

use std::sync::Arc;

use document::{Code, Digest, Fault};
use flow::Flow;
use serde_json::json;

use crate::config::Config;
use crate::core::columns::{Columns, Roles};
use crate::core::emit::{Rules, Share};
use crate::core::run::{LookbackPlan, Plan};
use crate::core::schedule::Timing;

/// What a flow file says as `source.key` of a form that has none; such a form is paged by row number.
pub const WITHOUT_KEY: &str = "none";

/// A flow and how it is scanned.
#[derive(Debug)]
pub struct Unit {
    /// The flow.
    pub flow: Arc<Flow>,
    /// How it is scanned.
    pub plan: Arc<Plan>,
    /// When.
    pub timing: Timing,
}

impl Unit {
    /// Works out how `flow` is scanned.
    ///
    /// # Errors
    /// What keeps it from being scanned: an interface that cannot be queried ([`Code::SourceApi`]), a connection that is
    /// not in the settings ([`Code::ConnectionUnknown`]), a lookback without a key ([`Code::LookbackKey`]), and what the
    /// source document says of its query.
    pub fn new(flow: Arc<Flow>, config: &Config) -> Result<Self, Vec<Fault>> {
        let settings = &flow.settings.source;
        let place = |fault: Fault, path: &str| fault.in_file("flow.toml").at_path(path).of_record(flow.name.as_str());
        let mut faults = Vec::new();
        let connection = config.connections.get(&settings.connection);
        if connection.is_none() {
            let known: Vec<&str> = config.connections.keys().map(String::as_str).collect();
            let fault = Fault::new(Code::ConnectionUnknown, format!("no connection {:?}", settings.connection));
            faults.push(place(fault, "$.source.connection").hint(format!("known: {}", known.join(", "))));
        }
        if !flow.source.is_bill_query() {
            let detail = format!("interface {:?} cannot be queried", flow.source.api());
            let fault = Fault::new(Code::SourceApi, detail).in_file(settings.document.as_str());
            faults.push(fault.at_path("$.api").of_record(flow.name.as_str()));
            return Err(faults);
        }
        let key = Some(settings.key.trim()).filter(|key| !key.eq_ignore_ascii_case(WITHOUT_KEY));
        if key.is_none() && flow.lookback.is_some() {
            let fault = Fault::new(Code::LookbackKey, "a form without a key has no lookback");
            faults.push(place(fault, "$.source.key"));
        }
        // Rendered once for instants that do not matter: what cannot be rendered at all is found before the first run.
        let query = match flow.source.query(&flow.run(0, 0)) {
            Ok(query) => query,
            Err(fault) => {
                faults.push(fault.of_record(flow.name.as_str()));
                return Err(faults);
            }
        };
        let Some(connection) = connection.filter(|_| faults.is_empty()) else { return Err(faults) };

        let declared: Vec<(String, String)> =
            query.columns.iter().map(|column| (column.field.clone(), column.key.clone())).collect();
        let stamp = settings.watermark.as_deref();
        let columns = Columns::new(
            &declared,
            Roles { key, entry: key.and(flow.entry_key()), stamp, created: settings.created.as_deref() },
        );
        let (id, number) = (flow.source.id_field(), flow.source.number_field());
        let number_column = match key {
            Some(_) => None,
            None => Some(declared.iter().position(|(member, _)| member == number).unwrap_or(0)),
        };
        let config_digest = Digest::of_value(&json!([
            query.form_id,
            columns.keys(),
            query.filter,
            query.sub_system_id,
            key,
            flow.entry_key(),
            stamp,
            settings.connection,
        ]));
        let lookback = flow.lookback.as_ref().zip(key).map(|(look, key)| LookbackPlan {
            reach: i64::from(look.days) * 86_400,
            columns: Columns::header(key, stamp),
            limit: config.lookback.page_rows,
            chunk: config.lookback.chunk,
            conclusive: stamp.is_some() && (settings.lookback.is_some() || flow.source.remedy_cron().is_none()),
            shrunk_ratio: config.lookback.shrunk_ratio,
        });
        let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let plan = Plan {
            rules: Rules {
                tenant: flow.tenant.clone(),
                flow: flow.name.clone(),
                flow_version: flow.version.clone(),
                canary: None,
                zone: connection.zone,
                columns,
                by_number: id != number,
                id_check: flow.source.id_check(),
                max_record_bytes: config.scan.max_record_bytes,
            },
            config: config_digest.to_string(),
            overlap: seconds(settings.overlap),
            settle: seconds(settings.settle),
            limit: query.limit.clamp(1, config.scan.max_page_rows),
            number_column,
            max_bill_bytes: config.scan.max_record_bytes as u64,
            max_batch_bytes: config.scan.max_batch_bytes,
            lookback,
            #[cfg(feature = "ablation")]
            off: None,
        };
        let timing = Timing {
            scan: flow.plan.clone(),
            lookback: flow.lookback.as_ref().map(|look| look.plan.clone()),
            windows: key.is_some() && stamp.is_some(),
            when_running: flow.settings.schedule.when_running,
        };
        Ok(Self { plan: Arc::new(plan), timing, flow })
    }

    /// The same with some of its documents handled by another version.
    #[must_use]
    pub fn trying(mut self, share: Option<Share>) -> Self {
        Arc::make_mut(&mut self.plan).rules.canary = share;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FLOW, config, flow, source, unit};

    fn refused(text: &str, source: &serde_json::Value) -> Vec<Fault> {
        Unit::new(flow(text, source), &config()).expect_err("refused")
    }

    #[test]
    fn columns_the_scan_needs_are_added_to_the_documents() {
        let unit = unit();
        let keys = ["FEntity_FEntryID", "FBillNo", "FQty", "FID", "FApproveDate"];
        assert_eq!(unit.plan.rules.columns.keys(), keys);
        assert!(unit.plan.rules.by_number && !unit.plan.rules.id_check);
        assert_eq!((unit.plan.limit, unit.plan.overlap, unit.plan.settle), (4, 600, 30));
        let look = unit.plan.lookback.as_ref().expect("a lookback");
        assert_eq!((look.reach, look.columns.keys().len(), look.conclusive), (3 * 86_400, 2, true));
    }

    #[test]
    fn a_connection_that_is_not_in_the_settings_is_named() {
        let faults = refused(&FLOW.replace("galaxy-a", "galaxy-z"), &source());
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].code, Code::ConnectionUnknown);
        assert_eq!(faults[0].place.path.as_deref(), Some("$.source.connection"));
        assert_eq!(faults[0].place.record.as_deref(), Some("misc-inbound"));
    }

    #[test]
    fn an_interface_that_cannot_be_queried_is_refused() {
        let mut other = source();
        other["api"] = json!("/open/inventory/query");
        let faults = refused(FLOW, &other);
        assert_eq!(faults[0].code, Code::SourceApi);
        assert_eq!(faults[0].place.path.as_deref(), Some("$.api"));
    }

    #[test]
    fn a_lookback_needs_a_key() {
        let faults = refused(&FLOW.replace("watermark =", "key = \"none\"\nwatermark ="), &source());
        assert_eq!(faults[0].code, Code::LookbackKey);
        assert_eq!(faults[0].place.path.as_deref(), Some("$.source.key"));
    }

    #[test]
    fn the_configuration_changes_with_what_a_scan_sees_and_with_nothing_else() {
        let digest = |flow_file: &str, source: &serde_json::Value| {
            Unit::new(flow(flow_file, source), &config()).expect("good").plan.config.clone()
        };
        let base = digest(FLOW, &source());
        assert_eq!(base, digest(&FLOW.replace("days = 3", "days = 4"), &source()));
        assert_ne!(base, digest(&FLOW.replace("FApproveDate", "FModifyDate"), &source()));
        let mut filter = source();
        filter["request"][3]["value"] = json!("FNote = 'y'");
        assert_ne!(base, digest(FLOW, &filter));
    }
}
