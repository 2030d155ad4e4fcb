use document::Code;
use proptest::prelude::*;

use super::*;
use crate::access::scope::Pattern;

fn binding(principal: &str, role: Role, scope: Scope) -> Binding {
    Binding { principal: principal.to_owned(), role, scope }
}

fn li() -> Principal {
    Principal::of_certificate("li")
}

#[test]
fn without_a_binding_everything_is_denied_with_what_it_would_take() {
    for verb in Verb::ALL {
        for object in Object::ALL {
            let fault = decide(&li(), &[], *verb, *object, &Scope::EVERYWHERE).allowed().expect_err("nothing granted");
            assert_eq!(fault.code, Code::AccessDenied);
            assert!(fault.detail.contains(verb.as_str()) && fault.detail.contains(object.as_str()), "{fault}");
        }
    }
    let decision = decide(&li(), &[], Verb::Unmask, Object::DeadLetter, &Scope::EVERYWHERE);
    assert_eq!(decision.to_string(), "li has no role that may unmask dead_letter; it takes system_administrator");
    let decision = decide(&li(), &[], Verb::Unmask, Object::Flow, &Scope::EVERYWHERE);
    assert_eq!(decision.to_string(), "li has no role that may unmask flow; no role allows it");
}

#[test]
fn a_role_holds_in_its_scope_alone() {
    let bindings = [binding("li", Role::Operator, Scope::of_flow("acme", "orders"))];
    let may = |scope: &Scope| decide(&li(), &bindings, Verb::Replay, Object::DeadLetter, scope);
    assert_eq!(may(&Scope::of_flow("acme", "orders")).allowed(), Ok(Role::Operator));
    for outside in [
        Scope::of_flow("acme", "stock"),
        Scope::of_flow("other", "orders"),
        Scope::of_tenant("acme"),
        Scope::EVERYWHERE,
        Scope::of_connection("acme", "erp"),
    ] {
        assert!(may(&outside).allowed().is_err(), "{outside}");
    }
    assert_eq!(
        may(&Scope::of_tenant("acme")).to_string(),
        "li may replay dead_letter as operator in tenant acme, flow orders, connection *, which does not cover tenant \
         acme, flow *, connection *"
    );
    assert_eq!(decide_anywhere(&li(), &bindings, Verb::Replay, Object::DeadLetter).allowed(), Ok(Role::Operator));
    assert!(decide_anywhere(&li(), &bindings, Verb::Apply, Object::Flow).allowed().is_err());
}

#[test]
fn a_credential_for_some_roles_cannot_use_the_others() {
    let bindings = [binding("li", Role::Operator, Scope::EVERYWHERE), binding("li", Role::Viewer, Scope::EVERYWHERE)];
    let narrow = Principal { only_roles: Some(vec![Role::Viewer]), ..li() };
    let may = |verb| decide(&narrow, &bindings, verb, Object::Flow, &Scope::EVERYWHERE).allowed();
    assert_eq!(may(Verb::Read), Ok(Role::Viewer));
    assert_eq!(may(Verb::Pause).expect_err("operators only").code, Code::AccessDenied);
    // A token cannot bring a role that its owner was not given.
    let greedy = Principal { only_roles: Some(vec![Role::SystemAdministrator]), ..li() };
    assert!(decide(&greedy, &bindings, Verb::Apply, Object::Flow, &Scope::EVERYWHERE).allowed().is_err());
}

#[test]
fn roles_that_check_each_other_are_not_held_by_one() {
    let administrator = Principal::of_certificate("zhang");
    let bindings = [binding("li", Role::Auditor, Scope::EVERYWHERE)];
    for role in [Role::SystemAdministrator, Role::SecurityAdministrator] {
        let fault =
            admit(&binding("li", role, Scope::of_tenant("acme")), &bindings, &administrator).expect_err("apart");
        assert_eq!(fault.code, Code::Binding);
        assert!(fault.detail.contains("auditor"), "{fault}");
    }
    for role in [Role::Auditor, Role::Viewer, Role::Operator, Role::Engineer] {
        assert_eq!(admit(&binding("li", role, Scope::of_tenant("acme")), &bindings, &administrator), Ok(()));
    }
}

#[test]
fn nobody_gives_a_role_to_themselves_or_to_no_name() {
    for name in ["li", "", "a b", "a\u{7}"] {
        let fault = admit(&binding(name, Role::Viewer, Scope::EVERYWHERE), &[], &li()).expect_err("refused");
        assert_eq!(fault.code, Code::Binding, "{name:?}");
    }
}

#[test]
fn the_last_one_who_gives_roles_keeps_theirs() {
    let [root, other] = ["root", "other"].map(|name| binding(name, Role::SecurityAdministrator, Scope::EVERYWHERE));
    let of_tenant = binding("acme-root", Role::SecurityAdministrator, Scope::of_tenant("acme"));
    let viewer = binding("li", Role::Viewer, Scope::EVERYWHERE);
    let alone = [root.clone(), of_tenant.clone(), viewer.clone()];
    assert_eq!(release(&root, &alone).expect_err("the last one").code, Code::Binding);
    release(&root, &[root.clone(), other]).expect("another one is left");
    for may_go in [of_tenant, viewer] {
        release(&may_go, &alone).expect("not the last one");
    }
    release(&root, &[]).expect("it is not there");
}

#[test]
fn a_binding_survives_its_json_and_refuses_unknown_keys() {
    let json = r#"{"principal":"li","role":"operator","scope":{"tenant":"acme","flow":"sales-*","connection":"*"}}"#;
    let read: Binding = serde_json::from_str(json).expect("a binding");
    assert_eq!(read.scope.flow, Pattern::Beginning("sales-".to_owned()));
    assert_eq!(serde_json::to_string(&read).expect("JSON"), json);
    let more = json.replace("\"role\"", "\"rank\":1,\"role\"");
    serde_json::from_str::<Binding>(&more).expect_err("a key that is none");
}

fn some_binding() -> impl Strategy<Value = Binding> {
    let pattern = || prop::sample::select(vec!["a", "b", "a*", "*"]).prop_map(|text| text.parse().expect("a pattern"));
    let scope =
        (pattern(), pattern(), pattern()).prop_map(|(tenant, flow, connection)| Scope { tenant, flow, connection });
    (prop::sample::select(vec!["li", "wang"]), prop::sample::select(Role::ALL), scope)
        .prop_map(|(principal, role, scope)| binding(principal, role, scope))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_is_allowed_is_granted_by_a_binding_that_covers_it(
        bindings in prop::collection::vec(some_binding(), 0..6),
        asked in some_binding(),
        verb in prop::sample::select(Verb::ALL),
        object in prop::sample::select(Object::ALL),
    ) {
        let principal = Principal::of_certificate(asked.principal);
        let decision = decide(&principal, &bindings, verb, object, &asked.scope);
        let granted = bindings.iter().any(|held| {
            held.principal == principal.name && held.role.grants(verb, object) && held.scope.covers(&asked.scope)
        });
        prop_assert_eq!(decision.allowed().is_ok(), granted);
        if granted {
            prop_assert!(decide_anywhere(&principal, &bindings, verb, object).allowed().is_ok());
        }
    }

    #[test]
    fn another_binding_never_takes_a_permission_away(
        bindings in prop::collection::vec(some_binding(), 0..6),
        more in some_binding(),
        asked in some_binding(),
        verb in prop::sample::select(Verb::ALL),
        object in prop::sample::select(Object::ALL),
    ) {
        let principal = Principal::of_certificate(asked.principal);
        let before = decide(&principal, &bindings, verb, object, &asked.scope).allowed().is_ok();
        let mut bindings = bindings;
        bindings.insert(0, more);
        let after = decide(&principal, &bindings, verb, object, &asked.scope).allowed().is_ok();
        prop_assert!(!before || after);
    }
}
