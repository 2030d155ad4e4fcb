//! `starctl auth`: signing in, tokens and roles.

mod token_input;

use std::path::PathBuf;

use document::{Code, Fault};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use starbridge_proto::v1;

use super::{Session, page, view};
use crate::cli::access::{AuthCommand, BindingArgs, ScopeArgs};
use crate::client::{self, Client};
use crate::context::{Settings, Store};
use crate::exit;
use crate::message;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::private_file;

pub(super) async fn run(
    command: &AuthCommand,
    store: Store,
    settings: &Settings,
    output: &Output,
) -> Result<u8, Failure> {
    match command {
        AuthCommand::Login { from } => {
            let token = token_input::read(from.as_deref(), output)?;
            let client = Client::signing(settings, *output, Some(&token))?;
            let who = client.ask(v1::WhoAmIRequest {}).await?;
            keep(store, settings, &token, output)?;
            output.one(&view::WHO, &message::value("WhoAmIResponse", &who)).map(|()| exit::DONE)
        }
        AuthCommand::Logout => logout(&store, settings, output),
        AuthCommand::Bootstrap { principal, credential_file } => {
            let missing = || Failure::of(no_file(credential_file), exit::NOT_FOUND);
            let credential = private_file::read(credential_file)?.ok_or_else(missing)?;
            // Whether the token can be kept is found out before the credential is used up.
            token_path(&store, settings)?;
            let client = Client::signing(settings, *output, None)?;
            let request =
                v1::BootstrapRequest { credential: credential.trim().to_owned(), principal: principal.clone() };
            let mut answer = client.ask(request).await?;
            keep(store, settings, &SecretString::from(std::mem::take(&mut answer.token)), output)?;
            output.one(&view::TOKEN, &message::value("BootstrapResponse", &answer)).map(|()| exit::DONE)
        }
        signed_in => {
            let client = Client::new(settings, *output)?;
            signed(signed_in, &Session { settings: settings.clone(), output: *output, client }).await
        }
    }
}

/// What needs a token or a certificate already.
async fn signed(command: &AuthCommand, session: &Session) -> Result<u8, Failure> {
    let Session { output, client, .. } = session;
    match command {
        AuthCommand::Whoami => {
            let who = client.ask(v1::WhoAmIRequest {}).await?;
            let whole = message::value("WhoAmIResponse", &who);
            output.one(&view::WHO, &whole)?;
            if matches!(output.form(), crate::cli::Form::Table | crate::cli::Form::Wide) && !who.bindings.is_empty() {
                output.line("")?;
                let bindings = whole["bindings"].as_array().map(Vec::as_slice).unwrap_or_default();
                output.list(&view::BINDING, bindings, &Map::new())?;
            }
        }
        AuthCommand::CanI { verb, object, scope } => {
            let request =
                v1::CheckAccessRequest { verb: verb.clone(), object: object.clone(), scope: Some(scope_of(scope)) };
            let answer = client.ask(request).await?;
            output.one(&view::ACCESS, &message::value("CheckAccessResponse", &answer))?;
            return Ok(if answer.allowed { exit::DONE } else { exit::DENIED });
        }
        AuthCommand::IssueToken { principal, lifetime, out, change } => {
            let request = v1::IssueTokenRequest {
                principal: principal.clone(),
                lifetime_seconds: i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX),
                change: Some(client::change(change)),
            };
            if let Some(path) = out
                && path.exists()
            {
                return Err(Failure::usage(format!("{} is there already", path.display())));
            }
            let what =
                output.pick(format!("This makes a token for {principal}."), format!("将为 {principal} 签发令牌。"));
            session.confirm_in_production(change, &what, principal)?;
            let mut answer = client.change(request).await?;
            if change.dry_run {
                // Whoever only wants to see what would happen is given nothing that works.
                answer = v1::IssueTokenResponse { expires_at: answer.expires_at, ..Default::default() };
            } else if let Some(path) = out {
                private_file::write(path, &std::mem::take(&mut answer.token))?;
            }
            output.dry_run(change.dry_run)?;
            output.one(&view::TOKEN, &message::value("IssueTokenResponse", &answer))?;
        }
        AuthCommand::RevokeToken { token_id, change } => {
            let what = output.pick(
                format!("This has the token {token_id} refused for good."),
                format!("将永久吊销令牌 {token_id}。"),
            );
            session.confirm_in_production(change, &what, token_id)?;
            let said = Some(client::change(change));
            client.change(v1::RevokeTokenRequest { token_id: token_id.clone(), change: said }).await?;
            output.dry_run(change.dry_run)?;
            if !change.dry_run {
                // The control plane keeps no list of the tokens it made.
                output.remark(&output.pick(
                    format!("a token of the id {token_id}, if there is one, is refused from now on"),
                    format!("编号为 {token_id} 的令牌（如果存在）从现在起被拒绝"),
                ))?;
            }
        }
        AuthCommand::Bindings { sort } => {
            let answer = client.ask(v1::ListBindingsRequest::default()).await?;
            let mut items: Vec<Value> =
                answer.bindings.iter().map(|binding| message::value("Binding", binding)).collect();
            page::sort(&view::BINDING, &mut items, sort.sort_by.as_deref())?;
            output.list(&view::BINDING, &items, &Map::new())?;
        }
        AuthCommand::Bind { binding, change } => {
            let binding = binding_of(binding);
            let v1::Binding { principal, role, .. } = &binding;
            let what = output
                .pick(format!("This gives {principal} the role {role}."), format!("将授予 {principal} 角色 {role}。"));
            session.confirm_in_production(change, &what, principal)?;
            let request =
                v1::PutBindingRequest { binding: Some(binding.clone()), change: Some(client::change(change)) };
            client.change(request).await?;
            output.dry_run(change.dry_run)?;
            output.one(&view::BINDING, &message::value("Binding", &binding))?;
        }
        AuthCommand::Unbind { binding, change } => {
            let binding = binding_of(binding);
            let v1::Binding { principal, role, .. } = &binding;
            let what = output.pick(
                format!("This takes the role {role} from {principal}."),
                format!("将收回 {principal} 的角色 {role}。"),
            );
            session.confirm_in_production(change, &what, principal)?;
            let request =
                v1::DeleteBindingRequest { binding: Some(binding.clone()), change: Some(client::change(change)) };
            client.change(request).await?;
            output.dry_run(change.dry_run)?;
            output.one(&view::BINDING, &message::value("Binding", &binding))?;
        }
        AuthCommand::Login { .. } | AuthCommand::Logout | AuthCommand::Bootstrap { .. } => {
            unreachable!("these sign in or out; they are done before")
        }
    }
    Ok(exit::DONE)
}

fn scope_of(scope: &ScopeArgs) -> v1::Scope {
    let ScopeArgs { tenant, flow, connection } = scope.clone();
    v1::Scope { tenant, flow, connection }
}

fn binding_of(binding: &BindingArgs) -> v1::Binding {
    let BindingArgs { principal, role, scope } = binding.clone();
    v1::Binding { principal, role, scope: Some(scope_of(&scope)) }
}

/// Where the token of these settings is kept.
fn token_path(store: &Store, settings: &Settings) -> Result<PathBuf, Failure> {
    if !settings.context.token_command.is_empty() {
        return Err(Failure::usage("this context takes its token from a program; keep one in a file by --token-file"));
    }
    match (&settings.context.token_file, &settings.name) {
        (Some(path), _) => Ok(path.clone()),
        (None, Some(name)) => Ok(store.token_file(name)),
        (None, None) => Err(Failure::usage("there is no context to keep the token for; name one, or a --token-file")),
    }
}

/// Keeps a token, and writes its place into the context where that names none.
fn keep(mut store: Store, settings: &Settings, token: &SecretString, output: &Output) -> Result<(), Failure> {
    let path = token_path(&store, settings)?;
    private_file::write(&path, token.expose_secret())?;
    if let Some(context) = settings.name.as_ref().and_then(|name| store.contexts.contexts.get_mut(name))
        && context.token_file.is_none()
    {
        context.token_file = Some(std::path::absolute(&path)?);
        context.token_command.clear();
        store.save()?;
    }
    output.remark(&format!("{} {}", output.pick("token kept in", "令牌保存于"), path.display()))
}

fn logout(store: &Store, settings: &Settings, output: &Output) -> Result<u8, Failure> {
    let path = token_path(store, settings)?;
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::of(no_file(&path), exit::NOT_FOUND));
        }
        Err(error) => return Err(Failure::Output(error)),
    }
    let note =
        output.pick("removed; the token stays valid until it ends or is revoked", "已删除；令牌在到期或吊销前仍然有效");
    output.remark(&format!("{} {note}", path.display())).map(|()| exit::DONE)
}

fn no_file(path: &std::path::Path) -> Fault {
    Fault::new(Code::NoSuchFile, "there is no such file").in_file(path.display().to_string())
}
