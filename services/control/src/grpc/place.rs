//! Where the document of a letter is in its target.

use std::sync::Arc;

use document::{Code, Fault, FlowVersion};
use flow::Flow;
use starbridge_proto::v1;

use super::{Shared, show};
use crate::index::Letter;
use crate::systems::System;
use crate::systems::look::{Call, Calls};

/// The place of a flow's documents.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The system, by the connection that reaches it.
    pub(crate) system: Arc<System>,
    /// The connection.
    pub(crate) connection: String,
    /// The form.
    pub(crate) form: String,
    /// The field that holds the key.
    pub(crate) field: String,
}

impl Place {
    /// Whether documents of both places lie together: in one form of one account, under one field.
    pub(crate) fn is_with(&self, other: &Place) -> bool {
        let account = |place: &Place| {
            let settings = place.system.settings();
            (settings.url.trim_end_matches('/').to_lowercase(), settings.acct_id.to_lowercase())
        };
        (self.connection == other.connection || account(self) == account(other))
            && self.form.eq_ignore_ascii_case(&other.form)
            && self.field.eq_ignore_ascii_case(&other.field)
    }
}

impl Shared {
    /// The version of a flow that a letter's document is handled by where it goes on from the failed step.
    ///
    /// # Errors
    /// `E_FLOW_UNKNOWN`.
    pub(crate) fn flow_of(&self, letter: &Letter) -> Result<Arc<Flow>, Fault> {
        self.version_of(letter, &letter.row.flow_version)
    }

    /// The version of a flow that a mapping would use now: the current one, else the letter's.
    ///
    /// # Errors
    /// `E_FLOW_UNKNOWN`.
    pub(crate) fn mapping_of(&self, letter: &Letter) -> Result<Arc<Flow>, Fault> {
        let current = self.flows.current().into_iter().find(|flow| flow.name == letter.row.flow);
        current.map_or_else(|| self.flow_of(letter), Ok)
    }

    fn version_of(&self, letter: &Letter, version: &FlowVersion) -> Result<Arc<Flow>, Fault> {
        let flow = &letter.row.flow;
        self.flows.get(flow, version).ok_or_else(|| {
            let detail = format!("version {version} of {flow} is not published, or cannot be used");
            Fault::new(Code::FlowUnknown, detail).of_record(letter.row.id.0.clone())
        })
    }

    /// Where the documents of a flow are.
    ///
    /// # Errors
    /// `E_CONNECTION_UNKNOWN`, and the fault of a target document whose form cannot be computed.
    pub(crate) fn place_of(&self, flow: &Flow) -> Result<Place, Fault> {
        let connection = &flow.settings.target.connection;
        let system = Arc::clone(self.systems.get(connection)?);
        let now = self.clock.seconds();
        let call = flow.target.call(&flow.run(now, now), &flow.collections)?;
        Ok(Place { system, connection: connection.clone(), form: call.form_id, field: flow.key_field().to_owned() })
    }
}

/// Calls in the words of the interface.
pub(super) fn calls(calls: &Calls) -> Vec<v1::SystemCall> {
    let shown = |call: &Call| v1::SystemCall {
        method: call.method.to_owned(),
        form: call.form.clone(),
        asked: call.asked.clone(),
        answered: call.answered.clone(),
        took_ms: show::count(call.took.as_millis()),
    };
    calls.made.iter().map(shown).collect()
}
