//! Who calls, and whether they may: every call passes here first.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use document::{Code, Fault, FlowName, FlowVersion};
use secrecy::SecretString;
use tonic::{Request, Status};

use super::Shared;
use super::status::{not_active, status};
use crate::access::lockout::Lockout;
use crate::access::permission::decide_anywhere;
use crate::access::policy::{self, Need, Rule, Trail};
use crate::access::{Binding, KeyRing, Object, Principal, Role, Scope, Verb, decide, token};
use crate::audit::{Hash, Outcome};
use crate::mirror::{WRITER, Writer};
use crate::selector::Selector;
use crate::writer::request::{Decided, Meta};

/// What proves callers.
#[derive(Debug)]
pub struct Gate {
    /// The keys of tokens, which sign heads of the audit trail, too.
    pub keys: Arc<KeyRing>,
    /// The name of this installation in tokens.
    pub audience: String,
    /// Failures of late, by peer.
    pub lockout: Mutex<Lockout>,
}

/// A caller whose credential was checked, and what the call needs.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// Their roles.
    pub bindings: Vec<Binding>,
    /// What the call needs.
    pub rule: &'static Rule,
    /// Names this call.
    pub request_id: String,
}

/// What of payloads a caller may search.
struct Seen {
    /// In which flows; `None` for all.
    flows: Option<Vec<FlowName>>,
    /// Whether by the values as they are.
    unmasked: bool,
}

/// The name of a caller whose certificate the TLS layer has checked.
#[derive(Debug, Clone)]
pub struct Certified(pub String);

/// The address of a peer, for counting its failures.
#[derive(Debug, Clone)]
pub struct Peer(pub String);

impl Shared {
    /// The present, as tokens and audit tell it.
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.clock.millis()).unwrap_or_default()
    }

    /// Checks the caller's credential. A call that leaves a trail is only taken where the trail is written.
    ///
    /// # Errors
    /// UNAUTHENTICATED, RESOURCE_EXHAUSTED while the peer is locked, UNAVAILABLE with the address of the replica that
    /// writes, and PERMISSION_DENIED for a call without a rule.
    pub fn caller<T>(&self, call: &str, request: &Request<T>) -> Result<Caller, Status> {
        let Some(rule) = policy::rule(call) else {
            return Err(status(&Fault::new(Code::AccessDenied, format!("{call} has no rule"))));
        };
        if rule.trail != Trail::None && !self.writer.is_active() {
            return Err(self.elsewhere());
        }
        let principal = match certified(request) {
            Some(principal) => principal,
            None => self.bearer(request)?,
        };
        let bindings = self.mirror.bindings();
        Ok(Caller { principal, bindings, rule, request_id: uuid::Uuid::now_v7().to_string() })
    }

    fn bearer<T>(&self, request: &Request<T>) -> Result<Principal, Status> {
        let peer = request.extensions().get::<Peer>().map_or_else(String::new, |peer| peer.0.clone());
        let now = self.now();
        let lockout = || self.gate.lockout.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |fault: Fault| {
            self.metrics.not_let_in(fault.code);
            status(&fault)
        };
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let bearer = header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default();
        let token = SecretString::from(bearer);
        let proven = token::verify(&token, now, &self.gate.audience, &self.gate.keys, &self.mirror.revocations());
        let locked = lockout().check(&peer, now);
        match proven {
            Ok(principal) => {
                // Whoever proves a name is let in also where others at the same address fail; their lock stays.
                if locked.is_ok() {
                    lockout().succeeded(&peer);
                }
                Ok(principal)
            }
            Err(denial) => {
                locked.map_err(|locked| refused(locked.into()))?;
                // A credential that ended is no attempt to guess one.
                if matches!(denial, token::Denial::Forged | token::Denial::Malformed | token::Denial::UnknownKey) {
                    lockout().failed(&peer, now).map_err(|locked| refused(locked.into()))?;
                }
                Err(refused(denial.into()))
            }
        }
    }

    /// The status that sends a caller to the replica that writes.
    pub fn elsewhere(&self) -> Status {
        let writer = self.mirror.get::<Writer>(WRITER);
        not_active(writer.as_ref().map(|writer| writer.address.as_str()))
    }

    /// Whether the caller may do what the call does in all of `scopes`, or `flagged` instead where the request asks for
    /// the rule's other deed. A refusal of a call that leaves a trail is audited.
    ///
    /// # Errors
    /// PERMISSION_DENIED, and what keeps the audit topic from being written.
    pub async fn permit(
        &self,
        caller: &Caller,
        scopes: &[Scope],
        flagged: bool,
        object: &str,
    ) -> Result<Option<Role>, Status> {
        let Need::Permission { verb, object: kind, .. } = caller.rule.need else { return Ok(None) };
        let verb = caller.rule.flagged.filter(|_| flagged).map_or(verb, |(_, verb)| verb);
        let mut role = None;
        let mut denied = None;
        if scopes.is_empty() {
            match decide_anywhere(&caller.principal, &caller.bindings, verb, kind).allowed() {
                Ok(found) => role = Some(found),
                Err(fault) => denied = Some((fault, Scope::EVERYWHERE)),
            }
        }
        for scope in scopes {
            match decide(&caller.principal, &caller.bindings, verb, kind, scope).allowed() {
                Ok(found) => role = Some(found),
                Err(fault) => {
                    denied = Some((fault, scope.clone()));
                    break;
                }
            }
        }
        let Some((fault, scope)) = denied else { return Ok(role) };
        if caller.rule.trail != Trail::None {
            let mut meta = caller.meta(object, scope, Hash::ZERO, None);
            meta.result = Outcome::Denied;
            meta.reason.clone_from(&fault.detail);
            self.writer.submit(meta, |_, _| Ok(Decided::default())).await.map_err(|fault| status(&fault))?;
        }
        Err(status(&fault))
    }

    /// The flows that the caller may see with this call; `None` for all of them, whatever they are called.
    pub fn visible(&self, caller: &Caller) -> Option<Vec<FlowName>> {
        let Need::Permission { verb, object, .. } = caller.rule.need else { return None };
        self.flows_where(|scope| decide(&caller.principal, &caller.bindings, verb, object, scope).allowed().is_ok())
    }

    /// The flows in whose scope something may be done; `None` for all, known or not.
    fn flows_where(&self, may: impl Fn(&Scope) -> bool) -> Option<Vec<FlowName>> {
        if may(&Scope::EVERYWHERE) {
            return None;
        }
        let known = self.flows_known();
        Some(known.into_iter().filter(|flow| may(&self.scope_of(flow))).collect())
    }

    /// A selector as it was written, narrowed to what the caller may see. One that asks for what stands in payloads is
    /// a look at them: it needs the permission for that, is audited before it is answered, and meets masked values only
    /// as they are shown.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a selector that does not read; PERMISSION_DENIED for a condition on a payload that the caller
    /// may not see, or on a field that is masked for them; what keeps the audit topic from being written.
    pub async fn selector(&self, caller: &Caller, text: &str) -> Result<Selector, Status> {
        let mut whole = Selector::parse(text).map_err(|fault| status(&fault))?;
        let mut flows = self.visible(caller);
        if !whole.expression().paths().is_empty() {
            let seen = self.search(caller, &whole).await?;
            if !seen.unmasked {
                whole = whole.as_shown();
            }
            flows = match (flows, seen.flows) {
                (None, both) | (both, None) => both,
                (Some(visible), Some(readable)) => {
                    Some(visible.into_iter().filter(|flow| readable.contains(flow)).collect())
                }
            };
        }
        let Some(flows) = flows else { return Ok(whole) };
        let names: Vec<String> = flows.iter().map(|flow| format!("\"{flow}\"")).collect();
        let narrow = match names.is_empty() {
            // No flow can be called so.
            true => "flow = \"\"".to_owned(),
            false => format!("flow in ({})", names.join(", ")),
        };
        Ok(Selector::parse(&narrow).map_err(|fault| status(&fault))?.and(&whole))
    }

    /// Lets a caller search payloads, and leaves a trail of it: by which fields, never for which values.
    async fn search(&self, caller: &Caller, selector: &Selector) -> Result<Seen, Status> {
        const LETTER: Object = Object::DeadLetter;
        let may = |verb, scope: &Scope| decide(&caller.principal, &caller.bindings, verb, LETTER, scope);
        let anywhere = decide_anywhere(&caller.principal, &caller.bindings, Verb::ReadPayload, LETTER).allowed();
        let flows = self.flows_where(|scope| may(Verb::ReadPayload, scope).allowed().is_ok());
        let unmasked = match &flows {
            None => may(Verb::Unmask, &Scope::EVERYWHERE).allowed().is_ok(),
            Some(flows) => flows.iter().all(|flow| may(Verb::Unmask, &self.scope_of(flow)).allowed().is_ok()),
        };
        let paths = selector.expression().paths();
        let hidden = paths.iter().find(|path| !unmasked && self.masker.names(path.members()));
        let refused = hidden.map(|path| {
            let detail =
                format!("{path} is masked for {}; only whoever may unmask selects by it", caller.principal.name);
            Fault::new(Code::AccessDenied, detail).at_path("$.selector")
        });
        let fields: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let digest = Hash::of(selector.text().as_bytes());
        let mut meta = caller.meta("dead_letter/payloads", Scope::EVERYWHERE, digest, anywhere.clone().ok());
        meta.reason = format!("searched by {}", fields.join(", "));
        let denied = anywhere.err().or(refused);
        if denied.is_some() {
            meta.result = Outcome::Denied;
        }
        self.writer.submit(meta, |_, _| Ok(Decided::default())).await.map_err(|fault| match fault.code {
            Code::NotActive => self.elsewhere(),
            _ => status(&fault),
        })?;
        denied.map_or(Ok(Seen { flows, unmasked }), |fault| Err(status(&fault)))
    }

    /// Where a flow lies.
    pub fn scope_of(&self, flow: &FlowName) -> Scope {
        let tenant = self.last_version(flow).and_then(|version| self.flows.get(flow, &version));
        let tenant = tenant.map(|known| known.tenant.to_string());
        Scope::of_flow(&tenant.unwrap_or_else(|| document::Tenant::default().to_string()), flow.as_str())
    }

    /// The current version of a flow, or the one that was current when it was deleted.
    pub fn last_version(&self, flow: &FlowName) -> Option<FlowVersion> {
        self.flows.pointer(flow).or_else(|| self.flows.deleted(flow).map(|deleted| deleted.version))
    }

    fn flows_known(&self) -> Vec<FlowName> {
        let mut flows = self.flows.names();
        let counted = self.index.stats(&Selector::all(), self.clock.millis());
        flows.extend(counted.map(|stats| stats.by_flow.into_keys().collect::<Vec<_>>()).unwrap_or_default());
        flows.sort();
        flows.dedup();
        flows
    }
}

/// Whom a client certificate makes of the caller; nobody where a token was sent along, which then says who it is.
pub(super) fn certified<T>(request: &Request<T>) -> Option<Principal> {
    let Certified(name) = request.extensions().get::<Certified>()?;
    request.metadata().get("authorization").is_none().then(|| Principal::of_certificate(name.clone()))
}

impl Caller {
    /// What the audit topic will tell of the call.
    pub fn meta(&self, object: &str, scope: Scope, digest: Hash, role: Option<Role>) -> Meta {
        Meta {
            actor: self.principal.name.clone(),
            role,
            action: self.rule.call.to_owned(),
            object: object.to_owned(),
            scope,
            reason: String::new(),
            request_id: self.request_id.clone(),
            digest,
            idempotency_key: None,
            result: Outcome::Done,
            dry_run: false,
        }
    }
}
