//! Verbs, objects, and the six roles that are made of them.
#![doc = include_str!("roles.md")]

use super::words::words;

words! {
    /// What is done.
    Verb, "verb", {
        /// See what there is, payloads excepted.
        Read = "read",
        /// See payloads, masked.
        ReadPayload = "read_payload",
        /// See a payload as it is.
        Unmask = "unmask",
        /// Take entries out of the system in bulk.
        Export = "export",
        /// Start: a run, a backfill, a test of a connection.
        Run = "run",
        /// Pause, resume, cancel.
        Pause = "pause",
        /// Publish dead letters again.
        Replay = "replay",
        /// Change what a replay would publish.
        Edit = "edit",
        /// Set aside for good, or for later.
        Discard = "discard",
        /// Open again what was set aside for good.
        Reopen = "reopen",
        /// Say what became of a document in doubt.
        Resolve = "resolve",
        /// Agree to what somebody else started.
        Approve = "approve",
        /// Publish, change or take back a definition: a flow, a connection, a binding, a token.
        Apply = "apply",
        /// Check that nothing was changed.
        Verify = "verify",
    }
}

words! {
    /// What it is done to.
    Object, "object", {
        /// A flow and its runs.
        Flow = "flow",
        /// A dead letter.
        DeadLetter = "dead_letter",
        /// A replay job.
        Replay = "replay",
        /// A document of which it is not known whether the target has it.
        Doubt = "doubt",
        /// A job that extracts a past period again.
        Backfill = "backfill",
        /// A document on its way.
        Record = "record",
        /// A connection to an ERP.
        Connection = "connection",
        /// The audit topic.
        Audit = "audit",
        /// Bindings, tokens and keys.
        Access = "access",
        /// The installation itself.
        System = "system",
    }
}

words! {
    /// A set of permissions that is given to people and services as one.
    Role, "role", {
        /// Looks.
        Viewer = "viewer",
        /// Keeps the flows running.
        Operator = "operator",
        /// Makes the flows.
        Engineer = "engineer",
        /// Runs the installation.
        SystemAdministrator = "system_administrator",
        /// Decides who may do what.
        SecurityAdministrator = "security_administrator",
        /// Checks what was done, and changes nothing.
        Auditor = "auditor",
    }
}

type Grants = &'static [(Object, &'static [Verb])];

/// What each role grants. Whoever runs the installation does not decide who may, and whoever decides does not run it.
const GRANTS: [(Role, Grants); 6] = [
    (
        Role::Viewer,
        &[
            (Object::Flow, &[Verb::Read]),
            (Object::DeadLetter, &[Verb::Read, Verb::ReadPayload]),
            (Object::Replay, &[Verb::Read]),
            (Object::Doubt, &[Verb::Read]),
            (Object::Backfill, &[Verb::Read]),
            (Object::Record, &[Verb::Read]),
            (Object::Connection, &[Verb::Read]),
            (Object::System, &[Verb::Read]),
        ],
    ),
    (
        Role::Operator,
        &[
            (Object::Flow, &[Verb::Read, Verb::Run, Verb::Pause]),
            (Object::DeadLetter, &[Verb::Read, Verb::ReadPayload, Verb::Replay, Verb::Edit, Verb::Discard]),
            (Object::Replay, &[Verb::Read, Verb::Pause]),
            (Object::Doubt, &[Verb::Read, Verb::ReadPayload, Verb::Resolve]),
            (Object::Backfill, &[Verb::Read, Verb::Run, Verb::Pause]),
            (Object::Record, &[Verb::Read]),
            (Object::Connection, &[Verb::Read, Verb::Run]),
            (Object::System, &[Verb::Read]),
        ],
    ),
    (
        Role::Engineer,
        &[
            (Object::Flow, &[Verb::Read, Verb::Run, Verb::Pause, Verb::Apply]),
            (Object::DeadLetter, &[Verb::Read, Verb::ReadPayload, Verb::Replay, Verb::Edit]),
            (Object::Replay, &[Verb::Read, Verb::Pause, Verb::Approve]),
            (Object::Doubt, &[Verb::Read, Verb::ReadPayload]),
            (Object::Backfill, &[Verb::Read, Verb::Run, Verb::Pause]),
            (Object::Record, &[Verb::Read]),
            (Object::Connection, &[Verb::Read, Verb::Run]),
            (Object::System, &[Verb::Read]),
        ],
    ),
    (
        Role::SystemAdministrator,
        &[
            (Object::Flow, &[Verb::Read, Verb::Run, Verb::Pause, Verb::Apply]),
            (
                Object::DeadLetter,
                &[
                    Verb::Read,
                    Verb::ReadPayload,
                    Verb::Unmask,
                    Verb::Export,
                    Verb::Replay,
                    Verb::Edit,
                    Verb::Discard,
                    Verb::Reopen,
                ],
            ),
            (Object::Replay, &[Verb::Read, Verb::Pause, Verb::Approve]),
            (Object::Doubt, &[Verb::Read, Verb::ReadPayload, Verb::Unmask, Verb::Resolve]),
            (Object::Backfill, &[Verb::Read, Verb::Run, Verb::Pause]),
            (Object::Record, &[Verb::Read]),
            (Object::Connection, &[Verb::Read, Verb::Run]),
            (Object::System, &[Verb::Read]),
        ],
    ),
    (
        Role::SecurityAdministrator,
        &[
            (Object::Access, &[Verb::Read, Verb::Apply]),
            (Object::Audit, &[Verb::Read]),
            (Object::System, &[Verb::Read]),
        ],
    ),
    (
        Role::Auditor,
        &[
            (Object::Flow, &[Verb::Read]),
            (Object::DeadLetter, &[Verb::Read]),
            (Object::Replay, &[Verb::Read]),
            (Object::Doubt, &[Verb::Read]),
            (Object::Backfill, &[Verb::Read]),
            (Object::Record, &[Verb::Read]),
            (Object::Connection, &[Verb::Read]),
            (Object::Audit, &[Verb::Read, Verb::Verify]),
            (Object::Access, &[Verb::Read]),
            (Object::System, &[Verb::Read]),
        ],
    ),
];

impl Verb {
    /// Whether it leaves everything as it was.
    pub fn is_reading(self) -> bool {
        match self {
            Verb::Read | Verb::ReadPayload | Verb::Unmask | Verb::Export | Verb::Verify => true,
            Verb::Run
            | Verb::Pause
            | Verb::Replay
            | Verb::Edit
            | Verb::Discard
            | Verb::Reopen
            | Verb::Resolve
            | Verb::Approve
            | Verb::Apply => false,
        }
    }
}

impl Role {
    /// What it grants on `object`.
    pub fn verbs(self, object: Object) -> &'static [Verb] {
        let grants = GRANTS.iter().find(|(role, _)| *role == self).map_or(&[] as Grants, |(_, grants)| *grants);
        grants.iter().find(|(granted, _)| *granted == object).map_or(&[], |(_, verbs)| *verbs)
    }

    /// Whether it grants `verb` on `object`.
    pub fn grants(self, verb: Verb, object: Object) -> bool {
        self.verbs(object).contains(&verb)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::PathBuf;

    use document::Code;

    use super::*;

    /// The table of roles as people read it.
    fn page() -> String {
        let mut page = "The built-in roles. A permission that is not named is denied.\n\n| object |".to_owned();
        for role in Role::ALL {
            write!(page, " {role} |").expect("a text takes everything");
        }
        page.push_str(&format!("\n|{}\n", "---|".repeat(Role::ALL.len() + 1)));
        for object in Object::ALL {
            write!(page, "| {object} |").expect("a text takes everything");
            for role in Role::ALL {
                let verbs: Vec<&str> = role.verbs(*object).iter().map(|verb| verb.as_str()).collect();
                write!(page, " {} |", verbs.join(", ")).expect("a text takes everything");
            }
            page.push('\n');
        }
        page
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test has no settings; who writes the page says so by its environment"
    )]
    fn writing() -> bool {
        std::env::var("STARBRIDGE_WRITE").is_ok()
    }

    #[test]
    fn the_page_of_roles_is_current() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/access/roles.md");
        if writing() {
            std::fs::write(&path, page()).expect("the page can be written");
        }
        let published = std::fs::read_to_string(&path).expect("the page is there");
        assert_eq!(published, page(), "write it with STARBRIDGE_WRITE=1");
    }

    #[test]
    fn every_role_has_one_row_and_every_verb_is_granted_by_some_role() {
        for role in Role::ALL {
            assert_eq!(GRANTS.iter().filter(|(known, _)| known == role).count(), 1, "{role}");
        }
        for verb in Verb::ALL {
            let granted = |object: &Object| Role::ALL.iter().any(|role| role.grants(*verb, *object));
            assert!(Object::ALL.iter().any(granted), "{verb} is granted by nobody");
        }
    }

    #[test]
    fn the_auditor_and_the_viewer_change_nothing() {
        for object in Object::ALL {
            for role in [Role::Auditor, Role::Viewer] {
                assert!(role.verbs(*object).iter().all(|verb| verb.is_reading()), "{role} on {object}");
            }
        }
        assert!(Role::Auditor.grants(Verb::Verify, Object::Audit));
    }

    #[test]
    fn deciding_who_may_and_running_the_installation_are_apart() {
        assert!(!Role::SystemAdministrator.grants(Verb::Apply, Object::Access));
        for object in Object::ALL.iter().filter(|object| **object != Object::Access) {
            assert!(Role::SecurityAdministrator.verbs(*object).iter().all(|verb| verb.is_reading()), "{object}");
        }
        for verb in [Verb::Unmask, Verb::Export] {
            assert!(Role::SystemAdministrator.grants(verb, Object::DeadLetter));
            assert!(!Role::Operator.grants(verb, Object::DeadLetter));
        }
    }

    #[test]
    fn words_come_back_from_their_text_and_others_are_refused() {
        for verb in Verb::ALL {
            assert_eq!(verb.as_str().parse(), Ok(*verb));
        }
        let fault = "admin".parse::<Role>().expect_err("no role");
        assert_eq!(fault.code, Code::AccessWord);
        assert!(fault.to_string().contains("system_administrator"), "{fault}");
    }
}
