//! `AccessService`.

use std::str::FromStr;
use std::sync::{Arc, PoisonError};

use chrono::TimeDelta;
use document::{Code, Fault};
use secrecy::ExposeSecret as _;
use starbridge_proto::v1;
use starbridge_proto::v1::access_service_server::AccessService;
use tonic::{Request, Response, Status};
use tracing::warn;

use super::gate::{Caller, Peer};
use super::status::status;
use super::{Shared, digest, page_of, secret, show};
use crate::access::permission::{admit, release};
use crate::access::policy;
use crate::access::token::{self, MAX_LIFETIME};
use crate::access::{Binding, Bootstrap, Credential, Object, Pattern, Role, Scope, Verb, decide};
use crate::audit::{Hash, Outcome};
use crate::core::{Effects, Memory};
use crate::mirror::{BINDINGS, BOOTSTRAP, REVOKED, Revoked, binding_key};
use crate::own::{self, Rounds};
use crate::writer::desk::Desk;
use crate::writer::request::{Decided, Jobs, Meta};

const SERVICE: &str = "starbridge.control.v1.AccessService";
/// How long the first administrator's token holds.
const FIRST_TOKEN: TimeDelta = TimeDelta::hours(1);

/// Time between two looks at whether the bootstrap credential is remembered.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// The service.
#[derive(Debug, Clone)]
pub struct Access(pub Arc<Shared>);

#[tonic::async_trait]
impl AccessService for Access {
    async fn bootstrap(
        &self,
        request: Request<v1::BootstrapRequest>,
    ) -> Result<Response<v1::BootstrapResponse>, Status> {
        let shared = &self.0;
        let peer = request.extensions().get::<Peer>().map_or_else(String::new, |peer| peer.0.clone());
        let now = shared.now();
        let lockout = || shared.gate.lockout.lock().unwrap_or_else(PoisonError::into_inner);
        lockout().check(&peer, now).map_err(|locked| status(&locked.into()))?;
        if !shared.writer.is_active() {
            return Err(shared.elsewhere());
        }
        let mut request = request.into_inner();
        let (credential, principal) = (secret(&mut request.credential), request.principal);
        let configured = shared.bootstrap.clone();
        let object = format!("access/{principal}");
        let rule = policy::rule(&format!("{SERVICE}/Bootstrap")).expect("a call of ours");
        let meta = Meta {
            actor: principal.clone(),
            role: None,
            action: rule.call.to_owned(),
            object,
            scope: Scope::EVERYWHERE,
            reason: "first administrator".to_owned(),
            request_id: uuid::Uuid::now_v7().to_string(),
            digest: Hash::ZERO,
            idempotency_key: None,
            result: Outcome::Done,
            dry_run: false,
        };
        let name = principal.clone();
        let redeemed = shared.writer.submit(meta, move |desk, _| {
            let kept = desk.memory(BOOTSTRAP)?.and_then(|bytes| serde_json::from_slice::<Bootstrap>(&bytes).ok());
            let none = || Fault::new(Code::Bootstrap, "no bootstrap credential is set up");
            let known = match configured {
                Some(configured) => configured.holding(kept),
                None => kept.ok_or_else(none)?,
            };
            let (used, binding) = known.redeem(&credential, &name, now)?;
            let json = |value: serde_json::Result<Vec<u8>>| Some(value.expect("plain structures of text"));
            let memory = vec![
                (BOOTSTRAP.to_owned(), json(serde_json::to_vec(&used))),
                (binding_key(&binding), json(serde_json::to_vec(&binding))),
            ];
            Ok(Decided { effects: Effects { memory, ..Effects::default() }, ..Decided::default() })
        });
        if let Err(fault) = redeemed.await {
            if fault.code == Code::Bootstrap {
                shared.metrics.not_let_in(fault.code);
                lockout().failed(&peer, now).map_err(|locked| status(&locked.into()))?;
            }
            return Err(status(&fault));
        }
        let issued = self.issued(&principal, FIRST_TOKEN).map_err(|fault| status(&fault))?;
        Ok(Response::new(v1::BootstrapResponse {
            token: issued.token.expose_secret().to_owned(),
            expires_at: Some(show::instant(issued.expires)),
        }))
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/WhoAmI"), &request)?;
        let (proven_by, expires_at) = match &caller.principal.credential {
            Credential::Token { expires, .. } => ("token", Some(show::instant(*expires))),
            Credential::Certificate => ("certificate", None),
        };
        let own = caller.bindings.iter().filter(|binding| binding.principal == caller.principal.name);
        Ok(Response::new(v1::WhoAmIResponse {
            principal: caller.principal.name.clone(),
            proven_by: proven_by.to_owned(),
            expires_at,
            bindings: own.map(binding_shown).collect(),
        }))
    }

    async fn check_access(
        &self,
        request: Request<v1::CheckAccessRequest>,
    ) -> Result<Response<v1::CheckAccessResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/CheckAccess"), &request)?;
        let request = request.into_inner();
        let asked = || {
            let verb = Verb::from_str(&request.verb)?;
            let object = Object::from_str(&request.object)?;
            Ok((verb, object, scope(request.scope.as_ref())?))
        };
        let (verb, object, scope) = asked().map_err(|fault: Fault| status(&fault))?;
        let decision = decide(&caller.principal, &caller.bindings, verb, object, &scope);
        Ok(Response::new(v1::CheckAccessResponse { allowed: decision.allowed().is_ok(), why: decision.to_string() }))
    }

    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        let request = self.admitted("IssueToken", request).await?;
        let (caller, request) = request;
        let lifetime = match request.lifetime_seconds {
            0 => MAX_LIFETIME,
            seconds => TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX),
        };
        let issued = self.issued(&request.principal, lifetime).map_err(|fault| status(&fault))?;
        let object = format!("access/token/{}", issued.id);
        let mut meta = self.meta(&caller, &object, digest(&request));
        meta = super::with_change(meta, request.change.as_ref(), false).map_err(|fault| status(&fault))?;
        meta.reason = format!("token for {}: {}", request.principal, meta.reason);
        let dry_run = meta.dry_run;
        // What is kept for a request that comes again is the answer without the token, which is shown once.
        let told = v1::IssueTokenResponse {
            token: String::new(),
            token_id: if dry_run { String::new() } else { issued.id.clone() },
            expires_at: Some(show::instant(issued.expires)),
        };
        let mut answer = self.0.changed(meta, move |_, _| Ok((Decided::default(), told))).await?;
        if dry_run {
            return Ok(Response::new(answer));
        }
        if answer.token_id != issued.id {
            let detail = format!("the request was answered with token {}, which was shown that once", answer.token_id);
            let fault = Fault::new(Code::IdempotencyReused, detail).at_path("$.change.idempotency_key");
            return Err(status(&fault.hint("revoke that token if its answer was lost, and ask with another key")));
        }
        issued.token.expose_secret().clone_into(&mut answer.token);
        Ok(Response::new(answer))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let (caller, request) = self.admitted("RevokeToken", request).await?;
        if request.token_id.is_empty() {
            return Err(status(&Fault::new(Code::RequestInvalid, "is missing").at_path("$.token_id")));
        }
        let meta = self.meta(&caller, &format!("access/token/{}", request.token_id), digest(&request));
        // Its end is not known here; no token lives longer.
        let revoked = Revoked { expires: self.0.now() + MAX_LIFETIME };
        let key = format!("{REVOKED}{}", request.token_id);
        let value = serde_json::to_vec(&revoked).expect("an instant");
        self.remember(meta, request.change.as_ref(), vec![(key, Some(value))]).await?;
        Ok(Response::new(v1::RevokeTokenResponse {}))
    }

    async fn list_bindings(
        &self,
        request: Request<v1::ListBindingsRequest>,
    ) -> Result<Response<v1::ListBindingsResponse>, Status> {
        let (caller, request) = self.admitted("ListBindings", request).await?;
        let key = |binding: &Binding| format!("{} {:?} {}", binding.principal, binding.role, binding.scope);
        let (bindings, next_page_token) = page_of(caller.bindings, key, request.page_size, &request.page_token)?;
        let bindings = bindings.iter().map(binding_shown).collect();
        Ok(Response::new(v1::ListBindingsResponse { bindings, next_page_token }))
    }

    async fn put_binding(
        &self,
        request: Request<v1::PutBindingRequest>,
    ) -> Result<Response<v1::PutBindingResponse>, Status> {
        let (caller, request) = self.admitted("PutBinding", request).await?;
        let binding = binding(request.binding.as_ref()).map_err(|fault| status(&fault))?;
        let meta = self.meta(&caller, &format!("access/{}", binding.principal), digest(&request));
        let by = caller.principal.clone();
        let decide = move |desk: &mut Desk<'_>, _: &Jobs<'_>| {
            admit(&binding, &bindings(desk)?, &by)?;
            let value = serde_json::to_vec(&binding).expect("a plain structure of text");
            let memory = vec![(binding_key(&binding), Some(value))];
            let effects = Effects { memory, ..Effects::default() };
            Ok((Decided { effects, ..Decided::default() }, v1::PutBindingResponse {}))
        };
        self.0.change(meta, request.change.as_ref(), false, decide).await.map(Response::new)
    }

    async fn delete_binding(
        &self,
        request: Request<v1::DeleteBindingRequest>,
    ) -> Result<Response<v1::DeleteBindingResponse>, Status> {
        let (caller, request) = self.admitted("DeleteBinding", request).await?;
        let binding = binding(request.binding.as_ref()).map_err(|fault| status(&fault))?;
        let meta = self.meta(&caller, &format!("access/{}", binding.principal), digest(&request));
        let decide = move |desk: &mut Desk<'_>, _: &Jobs<'_>| {
            release(&binding, &bindings(desk)?)?;
            let effects = Effects { memory: vec![(binding_key(&binding), None)], ..Effects::default() };
            Ok((Decided { effects, ..Decided::default() }, v1::DeleteBindingResponse {}))
        };
        self.0.change(meta, request.change.as_ref(), false, decide).await.map(Response::new)
    }
}

/// Remembers the credential that is set up, on the replica that writes: until when it holds is not to move with every start.
pub async fn remember_bootstrap(shared: Arc<Shared>) {
    let Some(configured) = shared.bootstrap.clone() else { return };
    let mut rounds = Rounds::every(LOOK);
    loop {
        rounds.next(&shared).await;
        let seen = shared.mirror.get::<Bootstrap>(BOOTSTRAP);
        let holding = configured.clone().holding(seen.clone());
        if seen.as_ref() == Some(&holding) {
            return;
        }
        let reason = format!("a bootstrap credential is set up; it ends at {}", holding.expires);
        let meta = own::meta(
            "AccessService/Bootstrap",
            "access/bootstrap".to_owned(),
            Scope::EVERYWHERE,
            reason,
            holding.hash,
        );
        let configured = configured.clone();
        let remembered = shared.writer.submit(meta, move |desk, _| {
            let kept = desk.memory(BOOTSTRAP)?.and_then(|bytes| serde_json::from_slice::<Bootstrap>(&bytes).ok());
            let value = serde_json::to_vec(&configured.holding(kept)).expect("plain structures of text");
            let memory = vec![(BOOTSTRAP.to_owned(), Some(value))];
            Ok(Decided { effects: Effects { memory, ..Effects::default() }, ..Decided::default() })
        });
        if let Err(fault) = remembered.await {
            warn!(code = %fault.code, detail = fault.detail, "the bootstrap credential is not remembered yet");
        }
    }
}

impl Access {
    /// A caller who may do this anywhere.
    async fn admitted<T>(&self, method: &str, request: Request<T>) -> Result<(Caller, T), Status> {
        let caller = self.0.caller(&format!("{SERVICE}/{method}"), &request)?;
        self.0.permit(&caller, &[Scope::EVERYWHERE], false, "access").await?;
        Ok((caller, request.into_inner()))
    }

    fn meta(&self, caller: &Caller, object: &str, digest: Hash) -> Meta {
        caller.meta(object, Scope::EVERYWHERE, digest, Some(Role::SecurityAdministrator))
    }

    fn issued(&self, principal: &str, lifetime: TimeDelta) -> Result<token::Issued, Fault> {
        let gate = &self.0.gate;
        let request = token::Request { principal, audience: &gate.audience, lifetime, only_roles: None };
        token::issue(&request, &gate.keys, self.0.now(), &mut rand::rng())
    }

    async fn remember(&self, meta: Meta, change: Option<&v1::Change>, memory: Vec<Memory>) -> Result<(), Status> {
        let decide = move |_: &mut Desk<'_>, _: &Jobs<'_>| {
            let effects = Effects { memory, ..Effects::default() };
            Ok((Decided { effects, ..Decided::default() }, ()))
        };
        self.0.change(meta, change, false, decide).await
    }
}

/// The bindings there are.
fn bindings(desk: &Desk<'_>) -> Result<Vec<Binding>, Fault> {
    let known = desk.memories(BINDINGS)?;
    Ok(known.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect())
}

fn pattern(text: &str, path: &str) -> Result<Pattern, Fault> {
    let text = if text.is_empty() { "*" } else { text };
    Pattern::from_str(text).map_err(|fault| fault.at_path(path))
}

fn scope(asked: Option<&v1::Scope>) -> Result<Scope, Fault> {
    let asked = asked.cloned().unwrap_or_default();
    Ok(Scope {
        tenant: pattern(&asked.tenant, "$.scope.tenant")?,
        flow: pattern(&asked.flow, "$.scope.flow")?,
        connection: pattern(&asked.connection, "$.scope.connection")?,
    })
}

fn binding(asked: Option<&v1::Binding>) -> Result<Binding, Fault> {
    let asked = asked.ok_or_else(|| Fault::new(Code::RequestInvalid, "is missing").at_path("$.binding"))?;
    let wide = asked.scope.as_ref().is_none_or(|scope| scope.tenant.is_empty());
    if wide {
        // Whoever leaves it out has not thought of every tenant.
        let fault = Fault::new(Code::RequestInvalid, "is missing").at_path("$.binding.scope.tenant");
        return Err(fault.hint("name a tenant, or * for every one"));
    }
    Ok(Binding {
        principal: asked.principal.clone(),
        role: Role::from_str(&asked.role)?,
        scope: scope(asked.scope.as_ref())?,
    })
}

fn binding_shown(binding: &Binding) -> v1::Binding {
    v1::Binding {
        principal: binding.principal.clone(),
        role: binding.role.to_string(),
        scope: Some(v1::Scope {
            tenant: binding.scope.tenant.to_string(),
            flow: binding.scope.flow.to_string(),
            connection: binding.scope.connection.to_string(),
        }),
    }
}
