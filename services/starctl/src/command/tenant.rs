//! `starctl tenant`: whose flows there are. Put together here, from what is published.

use std::collections::{BTreeMap, BTreeSet};

use document::{Code, Fault};
use serde_json::{Map, Value, json};
use starbridge_proto::v1;

use super::schedule::{self, PAUSED};
use super::{Session, page, view};
use crate::cli::tenant::TenantCommand;
use crate::exit;
use crate::output::failure::Failure;

/// Flows by whose they are, without those that were deleted.
type Tenants = BTreeMap<String, Vec<v1::Flow>>;

pub(super) async fn run(command: &TenantCommand, session: &Session) -> Result<u8, Failure> {
    let output = &session.output;
    let mut tenants = Tenants::new();
    for flow in session.client.ask(v1::ListFlowsRequest::default()).await?.flows {
        if flow.deleted_note.is_empty() {
            tenants.entry(flow.tenant.clone()).or_default().push(flow);
        }
    }
    match command {
        TenantCommand::List { sort } => {
            let mut items = Vec::new();
            for (name, flows) in &tenants {
                items.push(tenant(session, name, flows).await?);
            }
            page::sort(&view::TENANT, &mut items, sort.sort_by.as_deref())?;
            output.list(&view::TENANT, &items, &Map::new())?;
        }
        TenantCommand::Get { name } => {
            let items: Vec<Value> = of(&tenants, name)?.iter().map(flow).collect();
            output.list(&view::TENANT_FLOW, &items, &of_tenant(name))?;
        }
        TenantCommand::Quota { name } => {
            let items = quotas(session, name, of(&tenants, name)?).await?;
            output.list(&view::QUOTA, &items, &of_tenant(name))?;
        }
    }
    Ok(exit::DONE)
}

fn of<'a>(tenants: &'a Tenants, name: &str) -> Result<&'a [v1::Flow], Failure> {
    tenants.get(name).map(Vec::as_slice).ok_or_else(|| {
        let fault = Fault::new(Code::FlowUnknown, format!("no flow that you may see is of the tenant {name}"));
        Failure::of(fault.hint("starctl tenant list"), exit::NOT_FOUND)
    })
}

fn of_tenant(name: &str) -> Map<String, Value> {
    Map::from_iter([("tenant".to_owned(), Value::from(name))])
}

/// A tenant as lists show it.
async fn tenant(session: &Session, name: &str, flows: &[v1::Flow]) -> Result<Value, Failure> {
    let count = async |state: &str| {
        let selector = format!("tenant = \"{name}\" and {state}");
        session.client.ask(v1::GetDeadLetterStatsRequest { selector }).await.map(|stats| stats.total)
    };
    Ok(json!({
        "name": name,
        "flows": flows.len(),
        "paused": flows.iter().filter(|flow| schedule::state(flow) == PAUSED).count(),
        "open": count("state = open").await?,
        "parked": count("state = parked").await?,
        "in_doubt": count("state = open and category = in_doubt").await?,
    }))
}

fn flow(flow: &v1::Flow) -> Value {
    json!({
        "flow": flow.name,
        "state": schedule::state(flow),
        "source": flow.source_connection,
        "target": flow.target_connection,
        "title": flow.title,
    })
}

/// The connections of a tenant's flows: how many calls each permits, and which flows take from it.
async fn quotas(session: &Session, name: &str, flows: &[v1::Flow]) -> Result<Vec<Value>, Failure> {
    let own: BTreeSet<&str> = flows.iter().map(|flow| flow.name.as_str()).collect();
    let known = session.client.ask(v1::ListConnectionsRequest::default()).await?.connections;
    let quota = |connection: v1::Connection| {
        let takers: BTreeSet<&str> =
            connection.read_by.iter().chain(&connection.written_by).map(String::as_str).collect();
        let (mine, others): (Vec<&str>, Vec<&str>) = takers.into_iter().partition(|flow| own.contains(flow));
        let used = !mine.is_empty();
        used.then(|| {
            json!({
                "connection": connection.name,
                "calls_per_minute": connection.calls_per_minute,
                "flows": mine,
                "others": others,
                "tenant": name,
            })
        })
    };
    Ok(known.into_iter().filter_map(quota).collect())
}
