//! What a flow version says about loading, read once.

use std::sync::Arc;

use flow::file::OnChange as FileOnChange;
use flow::{Flow, Operation};
use serde_json::{Map, Value};

use crate::core::ledger::Reached;
use crate::core::rules::{OnChange, Rules};

/// A flow version as the loader uses it.
#[derive(Debug)]
pub struct Definition {
    /// Whose flow it is.
    pub tenant: String,
    /// What the core needs to know.
    pub rules: Arc<Rules>,
    /// The form documents are saved to.
    pub form: String,
    /// The field that holds the target key.
    pub key: String,
    /// The other members of the save's data.
    pub options: Map<String, Value>,
    /// One document goes out by `Save` instead of `BatchSave`.
    pub by_save: bool,
}

impl Definition {
    /// Reads `flow`; `max_bytes` is what a call may carry whatever the flow says. Options are rendered once, at unix second `now`: they are settings of the call, not of a bill.
    ///
    /// # Errors
    /// The fault of an option that cannot be computed.
    pub fn of(flow: &Flow, now: i64, max_bytes: usize) -> Result<Self, document::Fault> {
        let call = flow.target.call(&flow.run(now, flow.start_from.timestamp()))?;
        let together = call.auto_submit_and_audit;
        let wanted = match call.operation {
            Operation::Audit => Reached::Audited,
            Operation::Save | Operation::Submit if together => Reached::Audited,
            Operation::Submit => Reached::Submitted,
            Operation::Save => Reached::Saved,
        };
        let on_change = match flow.settings.target.on_change {
            FileOnChange::Skip => OnChange::Skip,
            FileOnChange::Update => OnChange::Update,
            FileOnChange::Park => OnChange::Park,
        };
        let rules = Rules {
            connection: flow.settings.target.connection.clone(),
            documents: flow.documents_per_call,
            max_bytes: usize::try_from(flow.settings.batch.max_bytes).unwrap_or(usize::MAX).min(max_bytes),
            on_change,
            wanted,
            together,
        };
        Ok(Self {
            tenant: flow.tenant.to_string(),
            rules: Arc::new(rules),
            form: call.form_id,
            key: flow.settings.target.key.clone(),
            options: call.options,
            by_save: flow.documents_per_call == 1 && flow.target.api().eq_ignore_ascii_case("save"),
        })
    }
}
