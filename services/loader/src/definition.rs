//! What a flow version says about loading, read once.

use std::iter;
use std::sync::Arc;

use flow::api::Api;
use flow::file::{OnChange as FileOnChange, Retry as FileRetry};
use flow::{Flow, Operation};
use serde_json::{Map, Value};

use crate::core::ledger::Reached;
use crate::core::rules::{OnChange, Retry, Rules};

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

/// What the settings of the service say beside the flow.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of documents in one call, at most, whatever the flow says.
    pub max_bytes: usize,
    /// How often calls are made again where the flow says nothing.
    pub retry: Retry,
}

impl Definition {
    /// Reads `flow` within `limits`. Options are rendered once, at unix second `now`: they are settings of the call, not
    /// of a bill.
    ///
    /// # Errors
    /// The fault of an option that cannot be computed.
    pub fn of(flow: &Flow, now: i64, limits: &Limits) -> Result<Self, document::Fault> {
        let call = flow.target.call(&flow.run(now, flow.start_from.timestamp()), &flow.collections)?;
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
            max_bytes: usize::try_from(flow.settings.batch.max_bytes).unwrap_or(usize::MAX).min(limits.max_bytes),
            on_change,
            wanted,
            together,
            told_by_save: ["FBillNo", "FNumber"].iter().any(|number| number.eq_ignore_ascii_case(flow.key_field())),
            retry: retry(&flow.settings.retry, &limits.retry),
        };
        Ok(Self {
            tenant: flow.tenant.to_string(),
            rules: Arc::new(rules),
            form: call.form_id,
            key: flow.key_field().to_owned(),
            options: call.options,
            by_save: flow.documents_per_call == 1 && Api::named(flow.target.api()) == Some(Api::Save),
        })
    }
}

/// The flow's own word on retries where it gives one, else the service's.
fn retry(own: &FileRetry, service: &Retry) -> Retry {
    let waits = match (own.first_wait, own.longest_wait) {
        (None, None) => service.waits.clone(),
        (first, longest) => {
            let first = first.or(service.waits.first().copied()).unwrap_or_default();
            let longest = longest.or(service.waits.last().copied()).unwrap_or_default().max(first);
            // As many as the service has: after so many questions an absent document is asked about only when its save
            // can no longer be under way.
            let doubled = iter::successors(Some(first), |wait| Some(wait.saturating_mul(2).min(longest)));
            doubled.take(service.waits.len()).collect()
        }
    };
    Retry {
        connect: own.connect.unwrap_or(service.connect),
        attempts: own.server_error.unwrap_or(service.attempts),
        waits,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flow_overrides_the_retries_that_it_names_and_no_others() {
        let service = Retry::default();
        assert_eq!(retry(&FileRetry::default(), &service), service);
        let own = FileRetry { connect: Some(1), server_error: Some(2), ..FileRetry::default() };
        assert_eq!(retry(&own, &service), Retry { connect: 1, attempts: 2, waits: service.waits.clone() });
    }

    #[test]
    fn a_flows_waits_double_up_to_its_longest_and_are_as_many_as_the_services() {
        let seconds = |own: &FileRetry| -> Vec<u64> {
            retry(own, &Retry::default()).waits.iter().map(Duration::as_secs).collect()
        };
        let s = |seconds| Some(Duration::from_secs(seconds));
        let own = FileRetry { first_wait: s(3), longest_wait: s(20), ..FileRetry::default() };
        assert_eq!(seconds(&own), [3, 6, 12, 20, 20]);
        assert_eq!(seconds(&FileRetry { first_wait: s(10), ..FileRetry::default() }), [10, 10, 10, 10, 10]);
        assert_eq!(seconds(&FileRetry { longest_wait: s(2), ..FileRetry::default() }), [1, 2, 2, 2, 2]);
    }
}
