//! What every call of the interface needs, and whether it leaves a trail. A call without a row here is denied.

use super::role::{Object, Verb};

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Anyone, without a credential of the usual kind.
    Nothing,
    /// Whoever is signed in.
    SignedIn,
    /// Who has this permission.
    Permission {
        /// What is done.
        verb: Verb,
        /// To what.
        object: Object,
        /// Where.
        place: Place,
    },
}

/// How the scope of a call is found in its request. Fields are those of the request message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The call is about the whole installation.
    Installation,
    /// No single place: the permission is needed somewhere, and entries outside the caller's scopes are left out.
    Somewhere,
    /// The flow that this field names or holds.
    Flow(&'static str),
    /// The flows of the dead letters that this field names or selects; the permission is needed for all of them.
    Letters(&'static str),
    /// The connection that this field names.
    Connection(&'static str),
    /// The flows of the dead letters in the replay job that this field names; the permission is needed for all of them.
    Job(&'static str),
}

/// What a call leaves in the audit topic, denied or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trail {
    /// Nothing: it shows no payload and changes nothing.
    None,
    /// An entry before the payload is shown.
    Payload,
    /// An entry before the effect.
    Write,
}

/// What one call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The call as it stands in a path: `starbridge.control.v1.FlowService/GetFlow`.
    pub call: &'static str,
    /// Who may make it.
    pub need: Need,
    /// A flag of the request that makes it another deed, and the verb that is needed then instead.
    pub flagged: Option<(&'static str, Verb)>,
    /// What it leaves in the audit topic.
    pub trail: Trail,
}

const fn reads(call: &'static str, object: Object, place: Place) -> Rule {
    Rule { call, need: Need::Permission { verb: Verb::Read, object, place }, flagged: None, trail: Trail::None }
}

const fn writes(call: &'static str, verb: Verb, object: Object, place: Place) -> Rule {
    Rule { call, need: Need::Permission { verb, object, place }, flagged: None, trail: Trail::Write }
}

const fn signed_in(call: &'static str) -> Rule {
    Rule { call, need: Need::SignedIn, flagged: None, trail: Trail::None }
}

/// Every call of the interface.
pub const RULES: &[Rule] = &[
    reads("starbridge.control.v1.FlowService/ListFlows", Object::Flow, Place::Somewhere),
    reads("starbridge.control.v1.FlowService/GetFlow", Object::Flow, Place::Flow("name")),
    writes("starbridge.control.v1.FlowService/ApplyFlow", Verb::Apply, Object::Flow, Place::Flow("bundle")),
    writes("starbridge.control.v1.FlowService/RollbackFlow", Verb::Apply, Object::Flow, Place::Flow("name")),
    writes("starbridge.control.v1.FlowService/StartCanary", Verb::Apply, Object::Flow, Place::Flow("bundle")),
    writes("starbridge.control.v1.FlowService/PromoteCanary", Verb::Apply, Object::Flow, Place::Flow("name")),
    writes("starbridge.control.v1.FlowService/AbortCanary", Verb::Apply, Object::Flow, Place::Flow("name")),
    writes("starbridge.control.v1.FlowService/PauseFlow", Verb::Pause, Object::Flow, Place::Flow("name")),
    writes("starbridge.control.v1.FlowService/ResumeFlow", Verb::Pause, Object::Flow, Place::Flow("name")),
    writes("starbridge.control.v1.FlowService/DeleteFlow", Verb::Apply, Object::Flow, Place::Flow("name")),
    writes("starbridge.control.v1.FlowService/RunFlow", Verb::Run, Object::Flow, Place::Flow("name")),
    reads("starbridge.control.v1.DeadLetterService/ListDeadLetters", Object::DeadLetter, Place::Somewhere),
    Rule {
        call: "starbridge.control.v1.DeadLetterService/GetDeadLetter",
        need: Need::Permission { verb: Verb::ReadPayload, object: Object::DeadLetter, place: Place::Letters("id") },
        flagged: Some(("unmask", Verb::Unmask)),
        trail: Trail::Payload,
    },
    reads("starbridge.control.v1.DeadLetterService/GetDeadLetterStats", Object::DeadLetter, Place::Somewhere),
    reads("starbridge.control.v1.DeadLetterService/TailDeadLetters", Object::DeadLetter, Place::Somewhere),
    reads("starbridge.control.v1.DeadLetterService/ExplainSelector", Object::DeadLetter, Place::Somewhere),
    writes(
        "starbridge.control.v1.DeadLetterService/EditDeadLetter",
        Verb::Edit,
        Object::DeadLetter,
        Place::Letters("id"),
    ),
    writes(
        "starbridge.control.v1.DeadLetterService/ClaimDeadLetters",
        Verb::Edit,
        Object::DeadLetter,
        Place::Letters("selection"),
    ),
    writes(
        "starbridge.control.v1.DeadLetterService/UnclaimDeadLetters",
        Verb::Edit,
        Object::DeadLetter,
        Place::Letters("selection"),
    ),
    Rule {
        call: "starbridge.control.v1.DeadLetterService/ExportDeadLetters",
        need: Need::Permission {
            verb: Verb::ReadPayload,
            object: Object::DeadLetter,
            place: Place::Letters("selection"),
        },
        flagged: Some(("unmask", Verb::Export)),
        trail: Trail::Payload,
    },
    writes(
        "starbridge.control.v1.DeadLetterService/ImportDeadLetters",
        Verb::Edit,
        Object::DeadLetter,
        Place::Letters("letters"),
    ),
    writes(
        "starbridge.control.v1.DeadLetterService/DiscardDeadLetters",
        Verb::Discard,
        Object::DeadLetter,
        Place::Letters("selection"),
    ),
    writes(
        "starbridge.control.v1.DeadLetterService/ParkDeadLetters",
        Verb::Discard,
        Object::DeadLetter,
        Place::Letters("selection"),
    ),
    writes(
        "starbridge.control.v1.DeadLetterService/RefetchDeadLetters",
        Verb::Replay,
        Object::DeadLetter,
        Place::Letters("selection"),
    ),
    Rule {
        call: "starbridge.control.v1.DeadLetterService/ReopenDeadLetters",
        // Whoever may set a letter aside may take it back.
        need: Need::Permission { verb: Verb::Discard, object: Object::DeadLetter, place: Place::Letters("selection") },
        flagged: Some(("discarded", Verb::Reopen)),
        trail: Trail::Write,
    },
    writes(
        "starbridge.control.v1.ReplayService/StartReplay",
        Verb::Replay,
        Object::DeadLetter,
        Place::Letters("selection"),
    ),
    reads("starbridge.control.v1.ReplayService/ListReplays", Object::Replay, Place::Somewhere),
    reads("starbridge.control.v1.ReplayService/GetReplay", Object::Replay, Place::Job("id")),
    reads("starbridge.control.v1.ReplayService/WatchReplay", Object::Replay, Place::Job("id")),
    reads("starbridge.control.v1.ReplayService/ListReplayItems", Object::Replay, Place::Job("id")),
    writes("starbridge.control.v1.ReplayService/ApproveReplay", Verb::Approve, Object::Replay, Place::Job("id")),
    writes("starbridge.control.v1.ReplayService/PauseReplay", Verb::Pause, Object::Replay, Place::Job("id")),
    writes("starbridge.control.v1.ReplayService/ResumeReplay", Verb::Pause, Object::Replay, Place::Job("id")),
    writes("starbridge.control.v1.ReplayService/CancelReplay", Verb::Pause, Object::Replay, Place::Job("id")),
    reads("starbridge.control.v1.DoubtService/ListDoubts", Object::Doubt, Place::Somewhere),
    reads("starbridge.control.v1.DoubtService/GetDoubt", Object::Doubt, Place::Letters("id")),
    Rule {
        call: "starbridge.control.v1.DoubtService/CheckDoubt",
        need: Need::Permission { verb: Verb::ReadPayload, object: Object::Doubt, place: Place::Letters("id") },
        flagged: Some(("unmask", Verb::Unmask)),
        trail: Trail::Payload,
    },
    writes("starbridge.control.v1.DoubtService/ResolveDoubt", Verb::Resolve, Object::Doubt, Place::Letters("id")),
    reads("starbridge.control.v1.ConnectionService/ListConnections", Object::Connection, Place::Somewhere),
    reads("starbridge.control.v1.ConnectionService/GetConnection", Object::Connection, Place::Connection("connection")),
    writes(
        "starbridge.control.v1.ConnectionService/TestConnection",
        Verb::Run,
        Object::Connection,
        Place::Connection("connection"),
    ),
    writes("starbridge.control.v1.BackfillService/StartBackfill", Verb::Run, Object::Backfill, Place::Flow("flow")),
    reads("starbridge.control.v1.BackfillService/ListBackfills", Object::Backfill, Place::Somewhere),
    reads("starbridge.control.v1.BackfillService/GetBackfill", Object::Backfill, Place::Flow("id")),
    reads("starbridge.control.v1.BackfillService/WatchBackfill", Object::Backfill, Place::Flow("id")),
    writes("starbridge.control.v1.BackfillService/PauseBackfill", Verb::Pause, Object::Backfill, Place::Flow("id")),
    writes("starbridge.control.v1.BackfillService/ResumeBackfill", Verb::Pause, Object::Backfill, Place::Flow("id")),
    writes("starbridge.control.v1.BackfillService/CancelBackfill", Verb::Pause, Object::Backfill, Place::Flow("id")),
    writes(
        "starbridge.control.v1.ReconciliationService/StartReconciliation",
        Verb::Run,
        Object::Flow,
        Place::Flow("flow"),
    ),
    reads("starbridge.control.v1.ReconciliationService/ListReconciliations", Object::Record, Place::Somewhere),
    reads("starbridge.control.v1.ReconciliationService/GetReconciliation", Object::Record, Place::Flow("id")),
    reads("starbridge.control.v1.ReconciliationService/WatchReconciliation", Object::Record, Place::Flow("id")),
    reads("starbridge.control.v1.RecordService/TraceRecord", Object::Record, Place::Flow("flow")),
    reads("starbridge.control.v1.AuditService/ListAuditEntries", Object::Audit, Place::Installation),
    reads("starbridge.control.v1.AuditService/GetAuditKeys", Object::Audit, Place::Installation),
    Rule {
        call: "starbridge.control.v1.AuditService/VerifyAudit",
        need: Need::Permission { verb: Verb::Verify, object: Object::Audit, place: Place::Installation },
        flagged: None,
        trail: Trail::None,
    },
    Rule {
        call: "starbridge.control.v1.AccessService/Bootstrap",
        need: Need::Nothing,
        flagged: None,
        trail: Trail::Write,
    },
    signed_in("starbridge.control.v1.AccessService/WhoAmI"),
    signed_in("starbridge.control.v1.AccessService/CheckAccess"),
    writes("starbridge.control.v1.AccessService/IssueToken", Verb::Apply, Object::Access, Place::Installation),
    writes("starbridge.control.v1.AccessService/RevokeToken", Verb::Apply, Object::Access, Place::Installation),
    reads("starbridge.control.v1.AccessService/ListBindings", Object::Access, Place::Installation),
    writes("starbridge.control.v1.AccessService/PutBinding", Verb::Apply, Object::Access, Place::Installation),
    writes("starbridge.control.v1.AccessService/DeleteBinding", Verb::Apply, Object::Access, Place::Installation),
    signed_in("starbridge.control.v1.SystemService/GetVersion"),
    reads("starbridge.control.v1.SystemService/GetStatus", Object::System, Place::Somewhere),
];

/// The rule of the call `path`, as it stands in a request, with or without the slash before it. `None` denies.
pub fn rule(path: &str) -> Option<&'static Rule> {
    let call = path.strip_prefix('/').unwrap_or(path);
    RULES.iter().find(|rule| rule.call == call)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use prost::Message as _;
    use prost_types::{DescriptorProto, FileDescriptorSet};

    use super::super::role::Role;
    use super::*;

    /// Every call of the interface with the message of its request.
    fn calls() -> BTreeMap<String, DescriptorProto> {
        let set = FileDescriptorSet::decode(starbridge_proto::DESCRIPTORS).expect("the descriptors parse");
        let files = || set.file.iter().filter(|file| file.package().starts_with("starbridge."));
        let messages: BTreeMap<String, &DescriptorProto> = files()
            .flat_map(|file| file.message_type.iter().map(|m| (format!(".{}.{}", file.package(), m.name()), m)))
            .collect();
        let mut calls = BTreeMap::new();
        for file in files() {
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                    calls.insert(name, messages[method.input_type()].clone());
                }
            }
        }
        calls
    }

    fn has(request: &DescriptorProto, field: &str) -> bool {
        request.field.iter().any(|known| known.name() == field)
    }

    #[test]
    fn every_call_has_one_rule_and_every_rule_a_call() {
        let rules: BTreeSet<&str> = RULES.iter().map(|rule| rule.call).collect();
        assert_eq!(rules.len(), RULES.len(), "a call has two rules");
        let calls = calls();
        assert_eq!(rules, calls.keys().map(String::as_str).collect());
    }

    #[test]
    fn rules_name_fields_that_requests_have() {
        let calls = calls();
        for rule in RULES {
            let request = &calls[rule.call];
            if let Need::Permission {
                place: Place::Flow(field) | Place::Letters(field) | Place::Job(field) | Place::Connection(field),
                ..
            } = rule.need
            {
                assert!(has(request, field), "{}: {field}", rule.call);
            }
            if let Some((flag, _)) = rule.flagged {
                assert!(has(request, flag), "{}: {flag}", rule.call);
            }
        }
    }

    #[test]
    fn every_change_leaves_a_trail_and_needs_a_permission_that_changes() {
        let calls = calls();
        for rule in RULES {
            let changes = has(&calls[rule.call], "change");
            match rule.need {
                Need::Permission { verb, .. } => {
                    assert_eq!(changes, rule.trail == Trail::Write, "{}", rule.call);
                    assert_eq!(changes, !verb.is_reading(), "{}", rule.call);
                }
                Need::SignedIn => assert!(!changes && rule.trail == Trail::None, "{}", rule.call),
                Need::Nothing => assert_eq!(rule.trail, Trail::Write, "{}", rule.call),
            }
        }
    }

    #[test]
    fn whoever_asks_to_unmask_leaves_a_trail() {
        for rule in RULES {
            let shows =
                matches!(rule.need, Need::Permission { verb: Verb::ReadPayload | Verb::Unmask | Verb::Export, .. });
            let unmasks = matches!(rule.flagged, Some((_, Verb::Unmask | Verb::Export)));
            assert_eq!(shows || unmasks, rule.trail == Trail::Payload, "{}", rule.call);
        }
    }

    #[test]
    fn what_a_role_grants_some_call_needs() {
        let mut needed = BTreeSet::new();
        for rule in RULES {
            if let Need::Permission { verb, object, .. } = rule.need {
                needed.insert((object.as_str(), verb.as_str()));
                needed.extend(rule.flagged.map(|(_, verb)| (object.as_str(), verb.as_str())));
            }
        }
        for role in Role::ALL {
            for object in Object::ALL {
                for verb in role.verbs(*object) {
                    assert!(needed.contains(&(object.as_str(), verb.as_str())), "{role}: {verb} {object}");
                }
            }
        }
    }

    #[test]
    fn only_the_bootstrap_is_open() {
        let open: Vec<&str> = RULES.iter().filter(|rule| rule.need == Need::Nothing).map(|rule| rule.call).collect();
        assert_eq!(open, ["starbridge.control.v1.AccessService/Bootstrap"]);
    }

    #[test]
    fn a_call_without_a_rule_is_not_found() {
        assert_eq!(rule("/starbridge.control.v1.FlowService/DropFlow"), None);
        assert!(rule("/starbridge.control.v1.FlowService/GetFlow").is_some());
    }
}
