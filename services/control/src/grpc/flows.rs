//! `FlowService`.

use std::collections::BTreeSet;
use std::sync::Arc;

use document::{Code, Fault, FlowName, FlowVersion, Headers, Record, topic};
use queue::registry::{deleting, pausing, pointing, publishing, trying, withdrawing};
use queue::{Deleted, Paused, TopicSpec, topics};
use similar::{ChangeTag, TextDiff};
use starbridge_proto::v1;
use starbridge_proto::v1::flow_service_server::FlowService;
use tonic::{Request, Response, Status};

use super::dead_letters::reason;
use super::gate::Caller;
use super::status::status;
use super::under_way::{keys_may_move, may_go};
use super::{Shared, digest, page_of, show};
use crate::access::{Pattern, Role, Scope};
use crate::audit::Outcome;
use crate::core::Effects;
use crate::writer::desk::Desk;
use crate::writer::request::{Decided, Jobs, Meta};

const SERVICE: &str = "starbridge.control.v1.FlowService";

/// The service.
#[derive(Debug, Clone)]
pub struct Flows(pub Arc<Shared>);

#[tonic::async_trait]
impl FlowService for Flows {
    async fn list_flows(
        &self,
        request: Request<v1::ListFlowsRequest>,
    ) -> Result<Response<v1::ListFlowsResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/ListFlows"), &request)?;
        shared.permit(&caller, &[], false, "flow").await?;
        let visible = shared.visible(&caller);
        let request = request.into_inner();
        let mut names = shared.flows.names();
        names.retain(|name| visible.as_ref().is_none_or(|visible| visible.contains(name)));
        let (names, next_page_token) = page_of(names, ToString::to_string, request.page_size, &request.page_token)?;
        let flows = names.iter().map(|name| self.shown(name)).collect();
        Ok(Response::new(v1::ListFlowsResponse { flows, next_page_token }))
    }

    async fn get_flow(&self, request: Request<v1::GetFlowRequest>) -> Result<Response<v1::GetFlowResponse>, Status> {
        let (_, _, name) = self.known("GetFlow", &request, |request| &request.name).await?;
        let request = request.into_inner();
        let version = match request.version.as_str() {
            "" => self.0.last_version(&name),
            version => Some(FlowVersion::from(version)),
        };
        let bundle = version.and_then(|version| self.0.flows.bundle(&name, &version));
        let bundle = bundle.ok_or_else(|| status(&unknown(&name)))?;
        Ok(Response::new(v1::GetFlowResponse {
            flow: Some(self.shown(&name)),
            bundle: Some(v1::FlowBundle {
                flow: bundle.flow.clone(),
                source: bundle.source.clone(),
                target: bundle.target.clone(),
                collections: bundle.collections.clone().into_iter().collect(),
            }),
        }))
    }

    async fn apply_flow(
        &self,
        request: Request<v1::ApplyFlowRequest>,
    ) -> Result<Response<v1::ApplyFlowResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/ApplyFlow"), &request)?;
        let request = request.into_inner();
        let texts = request.bundle.clone().unwrap_or_default();
        let (bundle, compiled) = compiled(texts).map_err(|fault| status(&fault))?;
        let name = compiled.flow.name.clone();
        let scope = Scope::of_flow(compiled.flow.tenant.as_str(), name.as_str());
        let object = format!("flow/{name}");
        let role = shared.permit(&caller, &self.scopes_of(&compiled.flow), false, &object).await?;
        let meta = caller.meta(&object, scope, digest(&request), role);
        self.tries_nothing(&name)?;
        let previous = shared.last_version(&name);
        let before = previous.as_ref().and_then(|version| shared.flows.bundle(&name, version));
        let differences = before.as_ref().map(|before| differences(before, &bundle)).unwrap_or_default();
        self.hold_keys(&name, previous.as_ref(), &compiled.flow).await?;
        let partitions = i32::try_from(compiled.flow.settings.partitions).unwrap_or(i32::MAX);
        let missing = self.missing(&topics::of_flow(&name, partitions)).await?;
        let change = request.change.as_ref();
        if !change.is_some_and(|change| change.dry_run) && !missing.is_empty() {
            // Before the version: no record of it may find its topic missing. Before the topics: what is not audited is
            // not done.
            shared.note(meta.clone(), change, true, Outcome::Begun).await?;
            if let Err(error) = shared.admin.ensure(&missing, shared.replication).await {
                shared.note(meta, change, true, Outcome::Failed).await?;
                return Err(status(&error.fault()));
            }
        }
        let mut shown = self.shown(&name);
        describe(&mut shown, &compiled.flow);
        shown.version = bundle.version().to_string();
        shown.deleted_note = String::new();
        let response = v1::ApplyFlowResponse {
            flow: Some(shown),
            previous_version: previous.map(|version| version.to_string()).unwrap_or_default(),
            differences,
        };
        let mut records = publishing(&name, &bundle).to_vec();
        records.extend(self.undeleting(&name));
        self.publish(topic::FLOWS, meta, change, true, records, response).await.map(Response::new)
    }

    async fn rollback_flow(
        &self,
        request: Request<v1::RollbackFlowRequest>,
    ) -> Result<Response<v1::RollbackFlowResponse>, Status> {
        let (caller, role, name) = self.known("RollbackFlow", &request, |request| &request.name).await?;
        let request = request.into_inner();
        let version = FlowVersion::from(request.version.as_str());
        let Some(earlier) = self.0.flows.get(&name, &version) else { return Err(status(&unknown(&name))) };
        self.0.permit(&caller, &self.scopes_of(&earlier), false, &format!("flow/{name}")).await?;
        self.tries_nothing(&name)?;
        self.hold_keys(&name, self.0.last_version(&name).as_ref(), &earlier).await?;
        let meta = self.meta(&caller, role, &name, digest(&request));
        let mut shown = self.shown(&name);
        describe(&mut shown, &earlier);
        shown.version = version.to_string();
        shown.deleted_note = String::new();
        let records = std::iter::once(pointing(&name, &version)).chain(self.undeleting(&name)).collect();
        let answer = v1::RollbackFlowResponse { flow: Some(shown) };
        self.publish(topic::FLOWS, meta, request.change.as_ref(), true, records, answer).await.map(Response::new)
    }

    async fn pause_flow(
        &self,
        request: Request<v1::PauseFlowRequest>,
    ) -> Result<Response<v1::PauseFlowResponse>, Status> {
        let (caller, role, name) = self.admitted("PauseFlow", &request, |request| &request.name).await?;
        let request = request.into_inner();
        let meta = self.meta(&caller, role, &name, digest(&request));
        let paused = Paused {
            by: caller.principal.name.clone(),
            reason: reason(request.change.as_ref()),
            at: self.0.clock.millis(),
        };
        let mut shown = self.shown(&name);
        shown.paused = true;
        shown.paused_note = note(&paused.by, &paused.reason);
        let records = vec![pausing(&name, Some(&paused))];
        let answer = v1::PauseFlowResponse { flow: Some(shown) };
        self.publish(topic::FLOWS, meta, request.change.as_ref(), false, records, answer).await.map(Response::new)
    }

    async fn resume_flow(
        &self,
        request: Request<v1::ResumeFlowRequest>,
    ) -> Result<Response<v1::ResumeFlowResponse>, Status> {
        let (caller, role, name) = self.admitted("ResumeFlow", &request, |request| &request.name).await?;
        let request = request.into_inner();
        let meta = self.meta(&caller, role, &name, digest(&request));
        let mut shown = self.shown(&name);
        shown.paused = false;
        shown.paused_note = String::new();
        let records = vec![pausing(&name, None)];
        let answer = v1::ResumeFlowResponse { flow: Some(shown) };
        self.publish(topic::FLOWS, meta, request.change.as_ref(), false, records, answer).await.map(Response::new)
    }

    async fn delete_flow(
        &self,
        request: Request<v1::DeleteFlowRequest>,
    ) -> Result<Response<v1::DeleteFlowResponse>, Status> {
        let (caller, role, name) = self.admitted("DeleteFlow", &request, |request| &request.name).await?;
        let request = request.into_inner();
        let meta = self.meta(&caller, role, &name, digest(&request));
        let rest = self.0.rest_of(&name).await.map_err(|fault| status(&fault))?;
        if !request.force {
            may_go(&name, &rest).map_err(|fault| status(&fault))?;
        }
        let Some(version) = self.0.flows.pointer(&name) else { return Err(status(&unknown(&name))) };
        let deleted = Deleted {
            by: caller.principal.name.clone(),
            reason: reason(request.change.as_ref()),
            at: self.0.clock.millis(),
            version,
        };
        let mut shown = self.shown(&name);
        shown.version = String::new();
        shown.deleted_note = note(&deleted.by, &deleted.reason);
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let answer = v1::DeleteFlowResponse {
            flow: Some(shown),
            under_way: number(rest.under_way.total()),
            open_letters: number(rest.open_letters),
        };
        let mut records = vec![deleting(&name, Some(&deleted)), withdrawing(&name)];
        records.extend(self.0.flows.canary(&name).map(|_| trying(&name, None)));
        self.publish(topic::FLOWS, meta, request.change.as_ref(), true, records, answer).await.map(Response::new)
    }

    async fn start_canary(
        &self,
        request: Request<v1::StartCanaryRequest>,
    ) -> Result<Response<v1::StartCanaryResponse>, Status> {
        self.try_version(request).await
    }

    async fn promote_canary(
        &self,
        request: Request<v1::PromoteCanaryRequest>,
    ) -> Result<Response<v1::PromoteCanaryResponse>, Status> {
        self.promote(request).await
    }

    async fn abort_canary(
        &self,
        request: Request<v1::AbortCanaryRequest>,
    ) -> Result<Response<v1::AbortCanaryResponse>, Status> {
        self.abort(request).await
    }

    async fn run_flow(&self, request: Request<v1::RunFlowRequest>) -> Result<Response<v1::RunFlowResponse>, Status> {
        let (caller, role, name) = self.admitted("RunFlow", &request, |request| &request.name).await?;
        let request = request.into_inner();
        let meta = self.meta(&caller, role, &name, digest(&request));
        let value = command(&name, request.kind(), request.window.as_ref()).map_err(|fault| status(&fault))?;
        let key = name.as_str().as_bytes().to_vec();
        let record = Record { key, headers: Headers::new(), value: Some(value.to_string().into_bytes()) };
        let records = vec![record];
        let answer = v1::RunFlowResponse { flow: Some(self.shown(&name)) };
        self.publish(topic::COMMANDS, meta, request.change.as_ref(), false, records, answer).await.map(Response::new)
    }
}

impl Flows {
    /// A caller who may do this to the flow that the request names, which is published.
    pub(super) async fn admitted<T>(
        &self,
        method: &str,
        request: &Request<T>,
        name: impl Fn(&T) -> &String,
    ) -> Result<(Caller, Option<Role>, FlowName), Status> {
        let (caller, role, name) = self.known(method, request, name).await?;
        match self.0.flows.pointer(&name) {
            Some(_) => Ok((caller, role, name)),
            None => Err(status(&unknown(&name).hint("it was deleted; flow history lists its versions"))),
        }
    }

    /// A caller who may do this to the flow that the request names, which is published or was deleted.
    async fn known<T>(
        &self,
        method: &str,
        request: &Request<T>,
        name: impl Fn(&T) -> &String,
    ) -> Result<(Caller, Option<Role>, FlowName), Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/{method}"), request)?;
        let name = FlowName::new(name(request.get_ref()).clone())
            .map_err(|error| status(&Fault::new(Code::RequestInvalid, error.to_string()).at_path("$.name")))?;
        let role = shared.permit(&caller, &[shared.scope_of(&name)], false, &format!("flow/{name}")).await?;
        match shared.last_version(&name) {
            Some(_) => Ok((caller, role, name)),
            None => Err(status(&unknown(&name))),
        }
    }

    /// Where somebody must be allowed to publish a version: where it will lie, once for each system that it reads from or
    /// writes to, and likewise where the flow of this name lies now, if that is another tenant's.
    pub(super) fn scopes_of(&self, version: &flow::Flow) -> Vec<Scope> {
        let of = |flow: &flow::Flow| {
            let settings = &flow.settings;
            [&settings.source.connection, &settings.target.connection].map(|connection| Scope {
                connection: Pattern::Name(connection.clone()),
                ..Scope::of_flow(flow.tenant.as_str(), flow.name.as_str())
            })
        };
        let name = &version.name;
        let before = self.0.last_version(name).and_then(|before| self.0.flows.get(name, &before));
        let before = before.filter(|before| before.tenant != version.tenant);
        of(version).into_iter().chain(before.iter().flat_map(|before| of(before))).collect()
    }

    /// The record that makes a deleted flow be there again; none for one that is.
    fn undeleting(&self, name: &FlowName) -> Option<Record> {
        self.0.flows.deleted(name).map(|_| deleting(name, None))
    }

    /// Refuses a version that moves the keys of documents while some are on their way.
    async fn hold_keys(&self, name: &FlowName, before: Option<&FlowVersion>, after: &flow::Flow) -> Result<(), Status> {
        let Some(before) = before.and_then(|version| self.0.flows.get(name, version)) else { return Ok(()) };
        let moved = flow::change::moved_keys(&before, after);
        if moved.is_empty() {
            return Ok(());
        }
        let under_way = self.0.under_way(name).await.map_err(|fault| status(&fault))?;
        keys_may_move(name, &moved, &under_way).map_err(|fault| status(&fault))
    }

    /// The topics that are not there yet.
    async fn missing(&self, specs: &[TopicSpec]) -> Result<Vec<TopicSpec>, Status> {
        let mut missing = Vec::new();
        for spec in specs {
            match self.0.admin.partitions(&spec.name).await.map_err(|error| status(&error.fault()))? {
                None => missing.push(spec.clone()),
                Some(found) if found == spec.partitions => {}
                Some(found) => {
                    let (topic, wanted) = (spec.name.clone(), spec.partitions);
                    return Err(status(&queue::Error::PartitionsDiffer { topic, wanted, found }.fault()));
                }
            }
        }
        Ok(missing)
    }

    pub(super) fn meta(
        &self,
        caller: &Caller,
        role: Option<Role>,
        name: &FlowName,
        digest: crate::audit::Hash,
    ) -> Meta {
        caller.meta(&format!("flow/{name}"), self.0.scope_of(name), digest, role)
    }

    /// Has `records` written to a topic, `answer` being what is said of it.
    pub(super) async fn publish<R: prost::Message + Default + 'static>(
        &self,
        topic: &'static str,
        meta: Meta,
        change: Option<&v1::Change>,
        needs_reason: bool,
        records: Vec<Record>,
        answer: R,
    ) -> Result<R, Status> {
        let decide = move |_: &mut Desk<'_>, _: &Jobs<'_>| {
            let records = records.into_iter().map(|record| (topic.to_owned(), record)).collect();
            let effects = Effects { records, ..Effects::default() };
            Ok((Decided { effects, ..Decided::default() }, answer))
        };
        self.0.change(meta, change, needs_reason, decide).await
    }

    pub(super) fn shown(&self, name: &FlowName) -> v1::Flow {
        let flows = &self.0.flows;
        let pointer = flows.pointer(name);
        let compiled = pointer.as_ref().and_then(|version| flows.get(name, version));
        let faults = pointer.as_ref().map(|version| flows.faults(name, version)).unwrap_or_default();
        let (paused, deleted) = (flows.paused(name), flows.deleted(name));
        let mut shown = v1::Flow {
            name: name.to_string(),
            version: pointer.as_ref().map(ToString::to_string).unwrap_or_default(),
            paused: paused.is_some(),
            paused_note: paused.map(|paused| note(&paused.by, &paused.reason)).unwrap_or_default(),
            canary: self.shown_canary(name, pointer.as_ref()),
            reading: self.0.extracts.reading(name).map(|reading| v1::Reading {
                completed_at: reading.completed.map(|at| show::time(at.saturating_mul(1_000))),
                read_up_to: reading.watermark.map(|at| show::time(at.saturating_mul(1_000))),
                scanning: reading.scanning,
            }),
            deleted_note: deleted.map(|deleted| note(&deleted.by, &deleted.reason)).unwrap_or_default(),
            faults: faults.iter().map(ToString::to_string).collect(),
            versions: flows
                .versions(name)
                .into_iter()
                .map(|published| v1::FlowVersion {
                    current: pointer.as_ref() == Some(&published.version),
                    version: published.version.to_string(),
                    published_at: published.at.map(show::time),
                })
                .collect(),
            ..v1::Flow::default()
        };
        if let Some(flow) = compiled {
            describe(&mut shown, &flow);
        }
        shown
    }
}

/// What a version says of its flow.
fn describe(shown: &mut v1::Flow, flow: &flow::Flow) {
    let settings = &flow.settings;
    shown.tenant = flow.tenant.to_string();
    shown.title.clone_from(&settings.title);
    shown.source_connection.clone_from(&settings.source.connection);
    shown.target_connection.clone_from(&settings.target.connection);
    shown.schedule.clone_from(&settings.schedule.cron);
    shown.zone = flow.plan.zone().to_string();
    shown.delivery = settings.delivery.to_string();
}

/// What the extractor is told.
fn command(name: &FlowName, kind: v1::RunKind, window: Option<&v1::Window>) -> Result<serde_json::Value, Fault> {
    let wrong = |path: &str, detail: &str| Err(Fault::new(Code::RequestInvalid, detail).at_path(path));
    let word = match (kind, window) {
        (v1::RunKind::Unspecified | v1::RunKind::Scan, None) => "run",
        (v1::RunKind::Lookback, None) => "lookback",
        (v1::RunKind::Window, Some(window)) => {
            let (Some(from), Some(to)) = (&window.from, &window.to) else {
                return wrong("$.window", "names no from or no to");
            };
            if from.seconds >= to.seconds {
                return wrong("$.window.to", "is not later than from");
            }
            let (from, to, again) = (from.seconds, to.seconds, window.again);
            return Ok(serde_json::json!({
                "flow": name, "command": "window", "from": from, "to": to, "again": again,
            }));
        }
        (v1::RunKind::Window, None) => return wrong("$.window", "is missing"),
        (_, Some(_)) => return wrong("$.window", "belongs to RUN_KIND_WINDOW"),
    };
    Ok(serde_json::json!({"flow": name, "command": word}))
}

/// The texts of a request, compiled.
///
/// # Errors
/// All faults in one, with the code of the first.
pub(super) fn compiled(texts: v1::FlowBundle) -> Result<(flow::FlowBundle, flow::Compiled), Fault> {
    let bundle = flow::FlowBundle {
        flow: texts.flow,
        source: texts.source,
        target: texts.target,
        collections: texts.collections.into_iter().collect(),
    };
    let compiled = flow::compile(&bundle).map_err(|faults| {
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let first = faults.first().map_or(Code::RequestInvalid, |fault| fault.code);
        Fault::new(first, all.join("; ")).at_path("$.bundle")
    })?;
    Ok((bundle, compiled))
}

/// Who did it and why.
pub(super) fn note(by: &str, reason: &str) -> String {
    if reason.is_empty() { by.to_owned() } else { format!("{by}: {reason}") }
}

pub(super) fn unknown(name: &FlowName) -> Fault {
    Fault::new(Code::FlowUnknown, "no such flow, or no such version of it, is published").of_record(name.to_string())
}

/// The lines that differ, text by text.
pub(super) fn differences(before: &flow::FlowBundle, after: &flow::FlowBundle) -> Vec<String> {
    let mut texts = vec![
        ("flow", before.flow.as_str(), after.flow.as_str()),
        ("source", &before.source, &after.source),
        ("target", &before.target, &after.target),
    ];
    let schemes: BTreeSet<&String> = before.collections.keys().chain(after.collections.keys()).collect();
    let text = |bundle: &'_ flow::FlowBundle, scheme: &String| bundle.collections.get(scheme).cloned();
    let collections: Vec<(&String, String, String)> = schemes
        .into_iter()
        .map(|scheme| (scheme, text(before, scheme).unwrap_or_default(), text(after, scheme).unwrap_or_default()))
        .collect();
    texts.extend(collections.iter().map(|(scheme, before, after)| (scheme.as_str(), before.as_str(), after.as_str())));
    let mut lines = Vec::new();
    for (name, before, after) in texts {
        for change in TextDiff::from_lines(before, after).iter_all_changes() {
            let sign = match change.tag() {
                ChangeTag::Equal => continue,
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            lines.push(format!("{name}: {sign}{}", change.value().trim_end()));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_extractor() {
        let name = FlowName::new("misc").expect("valid");
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let text = |kind, window: Option<v1::Window>| {
            command(&name, kind, window.as_ref()).map(|value| value.to_string()).map_err(|fault| fault.place.path)
        };
        assert_eq!(text(v1::RunKind::Scan, None).as_deref(), Ok(r#"{"flow":"misc","command":"run"}"#));
        let window = v1::Window { from: at(5), to: at(9), again: true };
        let told = r#"{"flow":"misc","command":"window","from":5,"to":9,"again":true}"#;
        assert_eq!(text(v1::RunKind::Window, Some(window)).as_deref(), Ok(told));
        for (kind, wrong) in [
            (v1::RunKind::Window, None),
            (v1::RunKind::Window, Some(v1::Window { from: at(5), to: None, again: false })),
            (v1::RunKind::Lookback, Some(window)),
        ] {
            assert_eq!(text(kind, wrong), Err(Some("$.window".to_owned())));
        }
        let empty = v1::Window { from: at(5), to: at(5), again: false };
        assert_eq!(text(v1::RunKind::Window, Some(empty)), Err(Some("$.window.to".to_owned())));
    }

    #[test]
    fn an_unknown_flow_is_named() {
        let fault = unknown(&FlowName::new("other").expect("valid"));
        assert_eq!((fault.code, fault.place.record.as_deref()), (Code::FlowUnknown, Some("other")));
    }

    #[test]
    fn differences_name_their_text_and_line() {
        let before = flow::FlowBundle {
            flow: "a = 1\nb = 2\n".into(),
            source: "{}".into(),
            target: "{}".into(),
            collections: Default::default(),
        };
        let after = flow::FlowBundle { flow: "a = 1\nb = 3\n".into(), ..before.clone() };
        assert_eq!(differences(&before, &after), ["flow: -b = 2", "flow: +b = 3"]);
        assert!(differences(&before, &before).is_empty());
    }
}
