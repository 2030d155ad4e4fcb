//! The calls of `FlowService` that try a version with some documents.

use document::{Code, Fault, FlowName, FlowVersion, topic};
use queue::Canary;
use queue::registry::{pointing, publishing, trying};
use starbridge_proto::v1;
use tonic::{Request, Response, Status};

use super::dead_letters::reason;
use super::flows::{Flows, compiled, differences, note, unknown};
use super::status::status;
use super::{blocking, digest, show};

const START: &str = "starbridge.control.v1.FlowService/StartCanary";
/// The ratio that may fail, and how many documents must have ended, where nothing is said.
const ABORT_ABOVE: f64 = 0.05;
const LEAST: i64 = 20;

impl Flows {
    pub(super) async fn try_version(
        &self,
        request: Request<v1::StartCanaryRequest>,
    ) -> Result<Response<v1::StartCanaryResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(START, &request)?;
        let request = request.into_inner();
        let (bundle, tried) = compiled(request.bundle.clone().unwrap_or_default()).map_err(|fault| status(&fault))?;
        let name = tried.flow.name.clone();
        let scope = crate::access::Scope::of_flow(tried.flow.tenant.as_str(), name.as_str());
        let object = format!("flow/{name}");
        let role = shared.permit(&caller, &self.scopes_of(&tried.flow), false, &object).await?;
        self.tries_nothing(&name)?;
        let current = shared
            .flows
            .pointer(&name)
            .and_then(|version| Some((shared.flows.get(&name, &version)?, shared.flows.bundle(&name, &version)?)));
        let Some((flow, before)) = current else {
            return Err(status(
                &unknown(&name).hint("apply its first version; there is nothing to try another beside"),
            ));
        };
        may_try((&flow, &before), (&tried.flow, &bundle)).map_err(|fault| status(&fault))?;
        let canary = canary(&request, &bundle.version()).map_err(|fault| status(&fault))?;
        let canary = Canary { by: caller.principal.name.clone(), at: shared.clock.millis(), ..canary };
        let meta = caller.meta(&object, scope, digest(&request), role);
        let mut shown = self.shown(&name);
        shown.canary = Some(shown_canary(&canary, Vec::new()));
        let [version, _] = publishing(&name, &bundle);
        let records = vec![version, trying(&name, Some(&canary))];
        let answer = v1::StartCanaryResponse { flow: Some(shown), differences: differences(&before, &bundle) };
        self.publish(topic::FLOWS, meta, request.change.as_ref(), true, records, answer).await.map(Response::new)
    }

    pub(super) async fn promote(
        &self,
        request: Request<v1::PromoteCanaryRequest>,
    ) -> Result<Response<v1::PromoteCanaryResponse>, Status> {
        let (caller, role, name) = self.admitted("PromoteCanary", &request, |request| &request.name).await?;
        let request = request.into_inner();
        let canary = self.tried(&name)?;
        let meta = self.meta(&caller, role, &name, digest(&request));
        let mut shown = self.shown(&name);
        (shown.version, shown.canary) = (canary.version.to_string(), None);
        let records = vec![pointing(&name, &canary.version), trying(&name, None)];
        let answer = v1::PromoteCanaryResponse { flow: Some(shown) };
        self.publish(topic::FLOWS, meta, request.change.as_ref(), true, records, answer).await.map(Response::new)
    }

    pub(super) async fn abort(
        &self,
        request: Request<v1::AbortCanaryRequest>,
    ) -> Result<Response<v1::AbortCanaryResponse>, Status> {
        let (caller, role, name) = self.admitted("AbortCanary", &request, |request| &request.name).await?;
        let request = request.into_inner();
        self.tried(&name)?;
        let meta = self.meta(&caller, role, &name, digest(&request));
        let shown = v1::Flow { canary: None, ..self.shown(&name) };
        let answer = v1::AbortCanaryResponse { flow: Some(shown) };
        let records = vec![trying(&name, None)];
        self.publish(topic::FLOWS, meta, request.change.as_ref(), true, records, answer).await.map(Response::new)
    }

    /// The version of a flow that is tried.
    fn tried(&self, name: &FlowName) -> Result<Canary, Status> {
        self.0.flows.canary(name).ok_or_else(|| status(&state("no version of the flow is tried", name)))
    }

    /// Refuses what changes the current version of a flow while another one is tried beside it.
    pub(super) fn tries_nothing(&self, name: &FlowName) -> Result<(), Status> {
        match self.0.flows.canary(name) {
            None => Ok(()),
            Some(canary) => {
                let detail = format!("version {} of the flow is tried with some documents", canary.version);
                Err(status(&state(detail, name)))
            }
        }
    }

    /// What is tried of a flow, with what became of it so far.
    pub(super) fn shown_canary(&self, name: &FlowName, current: Option<&FlowVersion>) -> Option<v1::Canary> {
        let canary = self.0.flows.canary(name)?;
        let sides = [("canary", Some(&canary.version)), ("current", current)];
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let sides = sides.into_iter().filter_map(|(side, version)| {
            let version = version?;
            let outcomes = blocking(|| self.0.index.outcomes(name, version, canary.at)).ok()?;
            let (applied, failed) = (number(outcomes.applied), number(outcomes.failed));
            Some(v1::CanarySide { side: side.to_owned(), version: version.to_string(), applied, failed })
        });
        Some(shown_canary(&canary, sides.collect()))
    }
}

fn state(detail: impl Into<String>, name: &FlowName) -> Fault {
    Fault::new(Code::CanaryState, detail).of_record(name.to_string())
}

/// Refuses a version that cannot be tried beside the current one.
fn may_try(
    (current, before): (&flow::Flow, &flow::FlowBundle),
    (tried, after): (&flow::Flow, &flow::FlowBundle),
) -> Result<(), Fault> {
    let refused = |detail: String| Err(Fault::new(Code::CanaryVersion, detail).of_record(tried.name.to_string()));
    if before.version() == after.version() {
        return refused("it is the current version".to_owned());
    }
    let reads = flow::change::reads_differently((current, before), (tried, after));
    if !reads.is_empty() {
        return refused(format!("it differs in {}", reads.join(", ")));
    }
    let moved = flow::change::moved_keys(current, tried);
    if !moved.is_empty() {
        return refused(format!("it moves keys by {}", moved.join(", ")));
    }
    Ok(())
}

/// What a request asks for, with what it leaves open filled in.
fn canary(request: &v1::StartCanaryRequest, version: &FlowVersion) -> Result<Canary, Fault> {
    let wrong = |path: &str, detail: String| Err(Fault::new(Code::RequestInvalid, detail).at_path(path));
    let percent = match u8::try_from(request.percent) {
        Ok(percent @ 1..=99) => percent,
        _ => return wrong("$.percent", format!("is {}, but must be 1 to 99", request.percent)),
    };
    let abort_above = request.abort_above.unwrap_or(ABORT_ABOVE);
    if !(0.0..=1.0).contains(&abort_above) {
        return wrong("$.abort_above", format!("is {abort_above}, but must be 0 to 1"));
    }
    let least = match u64::try_from(request.least_documents.unwrap_or(LEAST)) {
        Ok(least @ 1..) => least,
        _ => return wrong("$.least_documents", "must be 1 at least".to_owned()),
    };
    let reason = reason(request.change.as_ref());
    Ok(Canary { version: version.clone(), percent, abort_above, least, by: String::new(), reason, at: 0 })
}

fn shown_canary(canary: &Canary, sides: Vec<v1::CanarySide>) -> v1::Canary {
    v1::Canary {
        percent: i32::from(canary.percent),
        abort_above: canary.abort_above,
        least_documents: i64::try_from(canary.least).unwrap_or(i64::MAX),
        note: note(&canary.by, &canary.reason),
        since: Some(show::time(canary.at)),
        sides,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = "flow = \"f\"\nstart_from = \"2024-01-01T00:00:00+08:00\"\n[source]\nconnection = \"a\"\n\
                        [target]\nconnection = \"b\"\n";

    fn whole(file: &str, value: &str) -> (flow::Flow, flow::FlowBundle) {
        let source = serde_json::json!({
            "api": "executeBillQuery", "id": "FID", "number": "FNo",
            "request": [{"field": "FID", "value": "FID"}, {"field": "FNo", "value": "FNo"}],
            "otherRequest": [{"field": "FormId", "value": "X"}]
        });
        let target = serde_json::json!({
            "api": "batchSave",
            "request": [
                {"field": "FBillNo", "type": "string", "value": "{FNo}"},
                {"field": "FOld", "type": "string", "value": "{FID}"},
                {"field": "FNote", "type": "string", "value": value},
            ],
            "otherRequest": [{"field": "FormId", "value": "X"}]
        });
        let bundle = flow::FlowBundle {
            flow: file.to_owned(),
            source: source.to_string(),
            target: target.to_string(),
            collections: Default::default(),
        };
        (flow::compile(&bundle).expect("a flow").flow, bundle)
    }

    #[test]
    fn only_what_is_made_of_a_bill_can_be_tried() {
        let (flow, before) = whole(FLOW, "old");
        let tried = |file: &str, value: &str| {
            let (tried, after) = whole(file, value);
            may_try((&flow, &before), (&tried, &after)).map_err(|fault| {
                assert_eq!((fault.code, fault.place.record.as_deref()), (Code::CanaryVersion, Some("f")));
                fault.detail
            })
        };
        assert_eq!(tried(FLOW, "new"), Ok(()));
        assert_eq!(tried(FLOW, "old"), Err("it is the current version".to_owned()));
        let detail = tried(&FLOW.replace("\"a\"", "\"c\""), "new");
        assert_eq!(detail, Err("it differs in source".to_owned()));
        let detail = tried(&format!("{FLOW}key = \"FOld\"\n"), "new");
        assert_eq!(detail, Err("it moves keys by target.key".to_owned()));
    }

    #[test]
    fn what_a_request_leaves_open_is_filled_in_and_what_cannot_be_is_named() {
        let asked = |percent, abort_above, least_documents| {
            let request = v1::StartCanaryRequest { percent, abort_above, least_documents, ..Default::default() };
            canary(&request, &"v2".into()).map_err(|fault| fault.place.path.unwrap_or_default())
        };
        let canary = asked(5, None, None).expect("a canary");
        assert_eq!((canary.percent, canary.abort_above, canary.least), (5, 0.05, 20));
        for (percent, above, least, path) in [
            (0, None, None, "$.percent"),
            (100, None, None, "$.percent"),
            (5, Some(1.5), None, "$.abort_above"),
            (5, Some(f64::NAN), None, "$.abort_above"),
            (5, None, Some(0), "$.least_documents"),
        ] {
            assert_eq!(asked(percent, above, least).expect_err("refused"), path);
        }
    }

    #[test]
    fn a_flow_that_tries_nothing_says_so() {
        let fault = state("none", &FlowName::new("misc").expect("valid"));
        assert_eq!((fault.code, fault.place.record.as_deref()), (Code::CanaryState, Some("misc")));
        assert_eq!(status(&fault).code(), tonic::Code::FailedPrecondition);
    }
}
