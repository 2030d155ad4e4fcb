//! `starctl api`: the interfaces that flows speak to.

use std::collections::BTreeMap;

use document::{Code, Fault};
use flow::FlowBundle;
use flow::api::Api;
use serde_json::{Map, Value, json};
use starbridge_proto::v1;

use super::{Session, page, view};
use crate::cli::TenantArgs;
use crate::cli::api::{ApiCommand, FlowsArgs};
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;

/// Flows by the interface that they use.
type Uses = BTreeMap<Api, Vec<String>>;

/// Which flows are to be told, if any are.
pub(super) fn flows_of(command: &ApiCommand) -> Option<&TenantArgs> {
    let (ApiCommand::List { flows, .. } | ApiCommand::Get { flows, .. }) = command;
    let FlowsArgs { flows, tenant } = flows;
    flows.then_some(tenant)
}

/// Without the control plane.
pub(super) fn offline(command: &ApiCommand, output: &Output) -> Result<u8, Failure> {
    show(command, None, output)
}

/// With the flows that use them.
pub(super) async fn with_flows(command: &ApiCommand, tenant: &TenantArgs, session: &Session) -> Result<u8, Failure> {
    let mut uses = Uses::new();
    for flow in session.client.ask(v1::ListFlowsRequest::default()).await?.flows {
        // What is deleted or cannot be used speaks to nobody.
        if flow.version.is_empty() || !flow.faults.is_empty() || !tenant.takes(&session.settings.context, &flow.tenant)
        {
            continue;
        }
        let request = v1::GetFlowRequest { name: flow.name.clone(), version: flow.version };
        let texts = session.client.ask(request).await?.bundle.unwrap_or_default();
        let v1::FlowBundle { flow: text, source, target, collections } = texts;
        let bundle = FlowBundle { flow: text, source, target, collections: collections.into_iter().collect() };
        let Ok(compiled) = flow::compile(&bundle) else { continue };
        for api in [compiled.flow.source.api(), compiled.flow.target.api()].into_iter().filter_map(Api::named) {
            uses.entry(api).or_default().push(flow.name.clone());
        }
    }
    show(command, Some(&uses), &session.output)
}

fn show(command: &ApiCommand, uses: Option<&Uses>, output: &Output) -> Result<u8, Failure> {
    let item = |api: Api| {
        json!({
            "name": api.name(),
            "system": api.system(),
            "direction": api.direction().as_str(),
            "documents": api.documents(),
            "repeatable": api.is_repeatable(),
            "does": does(api, output),
            "flows": uses.map(|uses| uses.get(&api).cloned().unwrap_or_default()),
        })
    };
    match command {
        ApiCommand::List { sort, .. } => {
            let mut items: Vec<Value> = Api::ALL.into_iter().map(item).collect();
            page::sort(&view::API, &mut items, sort.sort_by.as_deref())?;
            output.list(&view::API, &items, &Map::new())?;
        }
        ApiCommand::Get { name, .. } => {
            let api = Api::named(name.strip_prefix("api/").unwrap_or(name)).ok_or_else(|| {
                let known: Vec<&str> = Api::ALL.into_iter().map(Api::name).collect();
                let fault = Fault::new(Code::Api, format!("no interface is called so; known: {}", known.join(", ")));
                Failure::of(fault.of_record(name.clone()), exit::NOT_FOUND)
            })?;
            output.one(&view::API, &item(api))?;
        }
    }
    Ok(exit::DONE)
}

/// What it is for, and how it is spoken to.
fn does(api: Api, output: &Output) -> &'static str {
    let (english, chinese) = match api {
        Api::ExecuteBillQuery => (
            "reads rows of a form by filter, page by page along the bills' own key",
            "按条件读取业务对象的行，沿单据自身的键逐页读取",
        ),
        Api::Save => ("saves one document a call where it travels alone", "单据单独成批时逐张保存"),
        Api::BatchSave => ("saves documents, each with an outcome of its own", "批量保存单据，每张各有结果"),
    };
    output.pick(english, chinese)
}
