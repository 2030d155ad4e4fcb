//! Bindings and what follows from them. What no binding grants is denied.

use std::fmt;

use document::{Code, Fault};
use serde::{Deserialize, Serialize};

use super::principal::{Principal, is_principal_name};
use super::role::{Object, Role, Verb};
use super::scope::Scope;

/// A role that somebody has somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Whose it is: the subject of tokens or of a client certificate.
    pub principal: String,
    /// The role.
    pub role: Role,
    /// Where it holds.
    pub scope: Scope,
}

/// Whether somebody may do something, and why; printed, it is the answer in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// They may, by this role.
    Allowed {
        /// The role, which the audit entry names.
        role: Role,
        /// Where it holds.
        scope: Scope,
    },
    /// They may not.
    Denied {
        /// Why, and which roles would allow it.
        reason: String,
    },
}

impl Decision {
    /// The role that allows it.
    ///
    /// # Errors
    /// A [`Fault`] with [`Code::AccessDenied`] when it is denied.
    pub fn allowed(&self) -> Result<Role, Fault> {
        match self {
            Decision::Allowed { role, .. } => Ok(*role),
            Decision::Denied { reason } => Err(Fault::new(Code::AccessDenied, reason.clone())),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Allowed { role, scope } => write!(f, "allowed by the role {role} in {scope}"),
            Decision::Denied { reason } => f.write_str(reason),
        }
    }
}

/// Whether `principal` may do `verb` to `object` in all of `scope`.
pub fn decide(principal: &Principal, bindings: &[Binding], verb: Verb, object: Object, scope: &Scope) -> Decision {
    let mut elsewhere = None;
    for binding in granting(principal, bindings, verb, object) {
        if binding.scope.covers(scope) {
            return Decision::Allowed { role: binding.role, scope: binding.scope.clone() };
        }
        elsewhere = elsewhere.or(Some(binding));
    }
    match elsewhere {
        Some(Binding { role, scope: held, .. }) => Decision::Denied {
            reason: format!("{} may {verb} {object} as {role} in {held}, which does not cover {scope}", principal.name),
        },
        None => Decision::Denied { reason: no_role(principal, verb, object) },
    }
}

/// Whether `principal` may do `verb` to `object` anywhere at all: what a list needs, whose entries are then judged one
/// by one with [`decide`].
pub fn decide_anywhere(principal: &Principal, bindings: &[Binding], verb: Verb, object: Object) -> Decision {
    match granting(principal, bindings, verb, object).next() {
        Some(Binding { role, scope, .. }) => Decision::Allowed { role: *role, scope: scope.clone() },
        None => Decision::Denied { reason: no_role(principal, verb, object) },
    }
}

/// The principal's bindings that grant `verb` on `object` somewhere.
fn granting<'a>(
    principal: &'a Principal,
    bindings: &'a [Binding],
    verb: Verb,
    object: Object,
) -> impl Iterator<Item = &'a Binding> {
    bindings.iter().filter(move |binding| {
        binding.principal == principal.name
            && binding.role.grants(verb, object)
            && principal.only_roles.as_ref().is_none_or(|only| only.contains(&binding.role))
    })
}

fn no_role(principal: &Principal, verb: Verb, object: Object) -> String {
    let roles: Vec<&str> =
        Role::ALL.iter().filter(|role| role.grants(verb, object)).map(|role| role.as_str()).collect();
    let would =
        if roles.is_empty() { "no role allows it".to_owned() } else { format!("it takes {}", roles.join(" or ")) };
    format!("{} has no role that may {verb} {object}; {would}", principal.name)
}

/// Whether `by` may add `binding` to `bindings`; that they may change bindings at all was decided before.
///
/// # Errors
/// A [`Fault`] with [`Code::Binding`] when the name cannot be a principal's, when somebody would give a role to
/// themselves, or when one principal would hold two of the roles that check each other: system administrator, security
/// administrator and auditor.
pub fn admit(binding: &Binding, bindings: &[Binding], by: &Principal) -> Result<(), Fault> {
    let refused = |detail: String| Fault::new(Code::Binding, detail).of_record(binding.principal.clone());
    if !is_principal_name(&binding.principal) {
        return Err(refused("cannot be the name of a principal".to_owned()));
    }
    if binding.principal == by.name {
        return Err(refused("nobody gives a role to themselves".to_owned()));
    }
    let apart = [Role::SystemAdministrator, Role::SecurityAdministrator, Role::Auditor];
    let held = bindings
        .iter()
        .find(|held| held.principal == binding.principal && held.role != binding.role && apart.contains(&held.role));
    match held {
        Some(held) if apart.contains(&binding.role) => {
            Err(refused(format!("already is {}, which is kept apart from {}", held.role, binding.role)))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether `binding` may be taken out of `bindings`.
///
/// # Errors
/// A [`Fault`] with [`Code::Binding`] for the last one by which anybody gives and takes roles everywhere: nobody could
/// give one again.
pub fn release(binding: &Binding, bindings: &[Binding]) -> Result<(), Fault> {
    let keeps = |held: &&Binding| held.role == Role::SecurityAdministrator && held.scope == Scope::EVERYWHERE;
    let last = keeps(&binding) && bindings.contains(binding) && bindings.iter().filter(keeps).count() == 1;
    if !last {
        return Ok(());
    }
    let fault = Fault::new(Code::Binding, "is the last security administrator of the installation");
    Err(fault.of_record(binding.principal.clone()).hint("give the role to somebody else first"))
}

#[cfg(test)]
mod tests;
