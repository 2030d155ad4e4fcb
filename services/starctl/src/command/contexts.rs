//! `starctl context`: named control planes.

use serde_json::{Map, Value, json};

use super::view;
use crate::cli::context::ContextCommand;
use crate::cli::{ServerArgs, ShowArgs};
use crate::context::{Context, Settings, Store, is_name};
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;

pub(super) fn run(
    command: &ContextCommand,
    server: &ServerArgs,
    show: &ShowArgs,
    output: &Output,
) -> Result<u8, Failure> {
    let mut store = Store::open(server)?;
    match command {
        ContextCommand::List => {
            let chosen = store.chosen(server);
            let items: Vec<Value> = store
                .contexts
                .contexts
                .iter()
                .map(|(name, context)| shown(name, context, chosen == Some(name)))
                .collect();
            output.list(&view::CONTEXT, &items, &Map::new())?;
        }
        ContextCommand::View => {
            let settings = Settings::resolve(&store, server)?;
            let name = settings.name.as_deref().unwrap_or_default();
            output.one(&view::CONTEXT, &shown(name, &settings.context, settings.name.is_some()))?;
        }
        ContextCommand::Use { name } => {
            store.get(name)?;
            store.contexts.current = Some(name.clone());
            store.save()?;
            output.remark(&output.pick(format!("{name} is current"), format!("当前上下文：{name}")))?;
        }
        ContextCommand::Set { name, production, token_command, tenant } => {
            if !is_name(name) {
                return Err(Failure::usage(format!("{name} is no name of a context; use letters, digits, - and _")));
            }
            let mut context = store.contexts.contexts.remove(name).unwrap_or_default().overlaid(server);
            context.anchor()?;
            context.lang = show.lang.or(context.lang);
            context.utc |= show.utc;
            if let Some(production) = production {
                context.production = *production;
            }
            context.tenant = tenant.chosen(&context).map(str::to_owned);
            if !token_command.is_empty() {
                context.token_command.clone_from(token_command);
                context.token_file = None;
            }
            output.one(&view::CONTEXT, &shown(name, &context, store.chosen(server) == Some(name)))?;
            store.contexts.contexts.insert(name.clone(), context);
            // The first one is the current one: nobody has a choice to make yet.
            if store.contexts.contexts.len() == 1 {
                store.contexts.current = Some(name.clone());
            }
            store.save()?;
        }
        ContextCommand::Delete { name } => {
            store.get(name)?;
            store.contexts.contexts.remove(name);
            if store.contexts.current.as_ref() == Some(name) {
                store.contexts.current = None;
            }
            store.save()?;
            output.remark(&output.pick(format!("{name} is deleted"), format!("已删除 {name}")))?;
        }
    }
    Ok(exit::DONE)
}

fn shown(name: &str, context: &Context, current: bool) -> Value {
    json!({
        "name": name,
        "current": current,
        "endpoint": context.endpoint,
        "production": context.production,
        "ca_cert": context.ca_cert,
        "client_cert": context.client_cert,
        "client_key": context.client_key,
        "server_name": context.server_name,
        "token_file": context.token_file,
        "token_command": context.token_command,
        "tenant": context.tenant,
        "timeout": context.timeout,
        "lang": context.lang,
        "utc": context.utc,
    })
}
