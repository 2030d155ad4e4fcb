//! `ConnectionService`.

use std::sync::Arc;

use connection::check::{Outcome as StepEnd, Step, Taken};
use document::{Code, Fault};
use kingdee::{LoginMode, Settings};
use starbridge_proto::v1;
use starbridge_proto::v1::connection_service_server::ConnectionService;
use tonic::{Request, Response, Status};

use super::status::status;
use super::{Shared, digest, page_of, show};
use crate::access::Scope;
use crate::access::permission::decide;
use crate::access::policy::Need;
use crate::access::scope::Pattern;
use crate::audit::Outcome;
use crate::writer::request::Decided;

const SERVICE: &str = "starbridge.control.v1.ConnectionService";
/// The form that every installation has.
const ANY_FORM: &str = "ORG_Organizations";

/// The service.
#[derive(Debug, Clone)]
pub struct Connections(pub Arc<Shared>);

/// Where a connection lies: it belongs to the installation and to no tenant, so a role must hold for all of them.
pub(super) fn scope_of(connection: &str) -> Scope {
    Scope { connection: Pattern::Name(connection.to_owned()), ..Scope::EVERYWHERE }
}

#[tonic::async_trait]
impl ConnectionService for Connections {
    async fn list_connections(
        &self,
        request: Request<v1::ListConnectionsRequest>,
    ) -> Result<Response<v1::ListConnectionsResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/ListConnections"), &request)?;
        shared.permit(&caller, &[], false, "connection").await?;
        let Need::Permission { verb, object, .. } = caller.rule.need else {
            return Err(status(&Fault::new(Code::AccessDenied, "the call has no permission")));
        };
        let may =
            |name: &str| decide(&caller.principal, &caller.bindings, verb, object, &scope_of(name)).allowed().is_ok();
        let seen = shared.systems.all().filter(|(name, _)| may(name));
        let seen = seen.map(|(name, system)| self.shown(name, system.settings())).collect();
        let request = request.get_ref();
        let key = |connection: &v1::Connection| connection.name.clone();
        let (connections, next_page_token) = page_of(seen, key, request.page_size, &request.page_token)?;
        Ok(Response::new(v1::ListConnectionsResponse { connections, next_page_token }))
    }

    async fn get_connection(
        &self,
        request: Request<v1::GetConnectionRequest>,
    ) -> Result<Response<v1::GetConnectionResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/GetConnection"), &request)?;
        let name = &request.get_ref().connection;
        shared.permit(&caller, &[scope_of(name)], false, &format!("connection/{name}")).await?;
        let system = shared.systems.get(name).map_err(|fault| status(&fault))?;
        Ok(Response::new(v1::GetConnectionResponse { connection: Some(self.shown(name, system.settings())) }))
    }

    async fn test_connection(
        &self,
        request: Request<v1::TestConnectionRequest>,
    ) -> Result<Response<v1::TestConnectionResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/TestConnection"), &request)?;
        let request = request.into_inner();
        let (name, scope) = (request.connection.clone(), scope_of(&request.connection));
        let object = format!("connection/{name}");
        let role = shared.permit(&caller, std::slice::from_ref(&scope), false, &object).await?;
        shared.systems.get(&name).map_err(|fault| status(&fault))?;
        let meta = caller.meta(&object, scope, digest(&request), role);
        let change = request.change.as_ref();
        let form = self.form(&name, &request.form);
        let tested_at = Some(show::time(shared.clock.millis()));
        let steps = if change.is_some_and(|change| change.dry_run) {
            let skipped = |step: Step| v1::ConnectionStep {
                step: step.as_str().to_owned(),
                outcome: v1::StepOutcome::Skipped.into(),
                note: "a dry run makes no call".to_owned(),
                ..v1::ConnectionStep::default()
            };
            Step::ALL.into_iter().map(skipped).collect()
        } else {
            shared.note(meta.clone(), change, false, Outcome::Begun).await?;
            let taken = shared.systems.check(&name, &form, request.save).await.map_err(|fault| status(&fault))?;
            taken.iter().map(step).collect::<Vec<_>>()
        };
        let passed = steps.iter().all(|step| step.outcome() != v1::StepOutcome::Failed);
        let response = v1::TestConnectionResponse { connection: name, form, steps, passed, tested_at };
        let answer = shared.change(meta, change, false, move |_, _| Ok((Decided::default(), response))).await?;
        Ok(Response::new(answer))
    }
}

impl Connections {
    fn shown(&self, name: &str, settings: &Settings) -> v1::Connection {
        let flows = self.0.flows.current();
        let named = |of: fn(&flow::Flow) -> &str| {
            flows.iter().filter(|flow| of(flow) == name).map(|flow| flow.name.to_string()).collect()
        };
        v1::Connection {
            name: name.to_owned(),
            url: settings.url.clone(),
            account_id: settings.acct_id.clone(),
            user: settings.user.clone(),
            app_id: settings.app_id.clone(),
            login: login(settings.login).to_owned(),
            zone: settings.zone.to_string(),
            calls_per_minute: settings.calls_per_minute,
            read_by: named(|flow| &flow.settings.source.connection),
            written_by: named(|flow| &flow.settings.target.connection),
        }
    }

    /// The form to read: the one asked for, else one that a flow writes or reads there, else one that is everywhere.
    fn form(&self, connection: &str, asked: &str) -> String {
        if !asked.trim().is_empty() {
            return asked.trim().to_owned();
        }
        let flows = self.0.flows.current();
        let written = flows
            .iter()
            .find(|flow| flow.settings.target.connection == connection)
            .and_then(|flow| flow.target.call(&flow.run(0, 0), &flow.collections).ok())
            .map(|call| call.form_id);
        let read = || {
            let flow = flows.iter().find(|flow| flow.settings.source.connection == connection)?;
            flow.source.query(&flow.run(0, 0)).ok().map(|query| query.form_id)
        };
        written.or_else(read).unwrap_or_else(|| ANY_FORM.to_owned())
    }
}

fn login(mode: LoginMode) -> &'static str {
    match mode {
        LoginMode::Signed => "signed",
        LoginMode::Password => "password",
        LoginMode::AppSecret => "app_secret",
        LoginMode::Sign => "sign",
    }
}

fn step(taken: &Taken) -> v1::ConnectionStep {
    let mut shown = v1::ConnectionStep {
        step: taken.step.as_str().to_owned(),
        took_ms: i64::try_from(taken.took.as_millis()).unwrap_or(i64::MAX),
        ..v1::ConnectionStep::default()
    };
    match &taken.outcome {
        StepEnd::Passed(note) => {
            shown.set_outcome(v1::StepOutcome::Passed);
            shown.note.clone_from(note);
        }
        StepEnd::Skipped(note) => {
            shown.set_outcome(v1::StepOutcome::Skipped);
            shown.note.clone_from(note);
        }
        StepEnd::Failed(fault) => {
            let advice = fault.code.english();
            shown.set_outcome(v1::StepOutcome::Failed);
            shown.note = fault.to_string();
            shown.code = fault.code.to_string();
            shown.cause = advice.cause.to_owned();
            shown.way_out = fault.hint.clone().unwrap_or_else(|| advice.way_out.to_owned());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_failed_step_carries_its_code_and_the_way_out() {
        let fault = Fault::new(Code::ErpTlsName, "not valid for name erp").of_record("ExecuteBillQuery");
        let taken =
            Taken { step: Step::Tls, outcome: StepEnd::Failed(Box::new(fault)), took: Duration::from_millis(7) };
        let shown = step(&taken);
        assert_eq!((shown.step.as_str(), shown.outcome(), shown.took_ms), ("tls", v1::StepOutcome::Failed, 7));
        assert_eq!(shown.code, "E_ERP_TLS_NAME");
        assert_eq!(shown.way_out, Code::ErpTlsName.english().way_out);
    }

    #[test]
    fn a_connection_belongs_to_no_tenant() {
        let scope = scope_of("galaxy-b");
        assert!(Scope::EVERYWHERE.covers(&scope) && !Scope::of_tenant("acme").covers(&scope));
    }
}
