use document::{Code, Fault};
use proptest::prelude::*;

use super::*;

fn fault(text: &str) -> Fault {
    Selector::parse(text).expect_err(text)
}

/// Code, column and hint of what is wrong with a selector.
fn told(text: &str) -> (Code, usize, String) {
    let fault = fault(text);
    let column = fault.place.column.expect("a column").parse().expect("a number");
    (fault.code, column, fault.hint.unwrap_or_default())
}

fn expression(text: &str) -> Expression {
    Selector::parse(text).expect(text).expression().clone()
}

#[test]
fn the_selector_of_the_manual_is_read_and_explained_in_both_languages() {
    let selector = Selector::parse(
        r#"flow=misc-inbound and category in (reference_missing, validation) and code~"^E_REF" and age>10m and attempts<3 and payload.FBillNo="X1""#,
    )
    .expect("readable");
    let explained = selector.explain();
    assert_eq!(
        explained.english,
        "dead letters for which flow is \"misc-inbound\" and category is one of \"reference_missing\", \
         \"validation\" and code matches the pattern \"^E_REF\" and age is above 10m and number of attempts is below \
         3 and the body's FBillNo is \"X1\""
    );
    assert_eq!(
        explained.chinese,
        "满足以下条件的死信：流程为 \"misc-inbound\"，且类别为以下之一：\"reference_missing\"、\"validation\"，且错误码匹配正则 \
         \"^E_REF\"，且首次失败至今时长大于 10m，且尝试次数小于 3，且单据内容 FBillNo 为 \"X1\""
    );
    assert_eq!(explained.on_columns.len(), 4);
    assert_eq!(explained.over_rows, ["code matches the pattern \"^E_REF\""]);
    assert_eq!(explained.over_bodies, ["the body's FBillNo is \"X1\""]);
    assert_eq!(Selector::all().explain().english, "all dead letters");
    assert_eq!(Selector::all().explain().chinese, "全部死信");
}

#[test]
fn every_form_is_explained() {
    let english = |text: &str| Selector::parse(text).expect(text).explain().english;
    assert_eq!(
        english("not (exists(retry_at) or edited = true) and attempts not between 2 and 3"),
        "dead letters for which not (there is a value of time of the next try or edited mark is true) and not \
         (number of attempts is from 2 to 3)"
    );
    assert_eq!(
        english("first_failed >= 2026-03-14 and last_failed<=2026-03-14T08:00:00+08:00 and attempts != 1"),
        "dead letters for which first failure is at least 2026-03-14T00:00:00Z and last failure is at most \
         2026-03-14T00:00:00Z and not (number of attempts is 1)"
    );
    // What looks like a place of the form is a value like any other.
    assert_eq!(english("message = \"{w}{s}\""), "dead letters for which message is \"{w}{s}\"");
}

#[test]
fn blanks_alone_select_every_letter() {
    assert_eq!(expression(" \t\n"), Expression::And(Vec::new()));
    assert_eq!(Selector::parse("  ").expect("all"), Selector { text: String::new(), ..Selector::all() });
}

#[test]
fn a_scope_narrows_a_selector_whatever_that_says() {
    let scope = Selector::parse("tenant = default and flow in (a, b)").expect("readable");
    let wish = Selector::parse("flow = c or payload.x = 1").expect("readable");
    let both = scope.and(&wish);
    assert_eq!(both.text(), "(tenant = default and flow in (a, b)) and (flow = c or payload.x = 1)");
    let explained = both.explain();
    assert_eq!((explained.on_columns.len(), explained.over_bodies.len()), (2, 1));
    assert_eq!((Selector::all().and(&wish), scope.and(&Selector::all())), (wish, scope));
}

#[test]
fn and_binds_closer_than_or_and_not_closest() {
    let plain = expression("flow=a or not flow=b and flow=c");
    let grouped = expression("(flow=a or ((not (flow=b)) and flow=c))");
    assert_eq!(plain, grouped);
    let Expression::Or(parts) = plain else { panic!("or is outermost") };
    assert!(matches!(parts.as_slice(), [Expression::Test(_), Expression::And(_)]));
}

#[test]
fn keywords_are_read_in_any_case_and_mean_values_only_in_quotes() {
    assert_eq!(expression("flow=a AND NOT flow IN (b)"), expression("flow=a and flow not in (b)"));
    assert_eq!(told("reason = and").0, Code::SelectorSyntax);
    assert_eq!(told("reason = and").2, "put it in quotes to mean the text");
    assert!(Selector::parse("reason = \"and\"").is_ok());
}

#[test]
fn patterns_are_written_as_they_are_and_quotes_escape_themselves() {
    let text = |selector: &str| match expression(selector) {
        Expression::Test(Test { check: Check::Compare(_, Literal::Text(text)), .. }) => text,
        Expression::Test(Test { check: Check::Matches(pattern), .. }) => pattern.0.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text(r#"message ~ "^\d+\.5""#), r"^\d+\.5");
    assert_eq!(text(r#"message = "a\"b\\c""#), r#"a"b\c"#);
    assert_eq!(text(r#"message = 'it''s \n "so"'"#), r#"it's \n "so""#);
    assert_eq!(text("message = 编码不存在"), "编码不存在");
}

#[test]
fn paths_reach_into_the_body() {
    let path = |selector: &str| match expression(selector) {
        Expression::Test(Test { subject: Subject::Payload(path), .. }) => path.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(path("payload.FEntity[0].FQty > 1"), "payload.FEntity[0].FQty");
    assert_eq!(path("payload[0].FBillNo = x"), "payload[0].FBillNo");
    assert_eq!(path("exists(payload.FEntity[*].数量)"), "payload.FEntity[*].数量");
    assert_eq!(path("payload[\"a name\"].b = x"), "payload[\"a name\"].b");
    for wrong in ["payload. = 1", "payload[ = 1", "payload[x] = 1", "payload[1 = 1", "payload[\"a = 1"] {
        assert_eq!(fault(wrong).code, Code::SelectorSyntax, "{wrong}");
    }
}

#[test]
fn values_without_quotes_in_the_body_are_what_they_look_like() {
    let literal = |selector: &str| match expression(selector) {
        Expression::Test(Test { check: Check::Compare(_, literal), .. }) => literal,
        other => panic!("{other:?}"),
    };
    assert_eq!(literal("payload.a = 1.50"), Literal::Number("1.5".parse().expect("a decimal")));
    assert_eq!(literal("payload.a = 1970-01-01"), Literal::Time(0));
    assert_eq!(literal("payload.a = true"), Literal::Truth(true));
    assert_eq!(literal("payload.a = A-1"), Literal::Text("A-1".to_owned()));
    assert_eq!(literal("payload.a = \"1\""), Literal::Text("1".to_owned()));
    assert_eq!(told("payload.a = null").2, "write not exists(payload.a), or \"null\" for the text");
}

#[test]
fn a_selector_that_does_not_read_names_column_and_expectation() {
    let at = |text: &str| {
        let (code, column, _) = told(text);
        assert_eq!(code, Code::SelectorSyntax, "{text}");
        (column, fault(text).detail)
    };
    assert_eq!(at("flow = a and"), (13, "expected a field, found the end".to_owned()));
    assert_eq!(at("flow a"), (6, format!("expected {}, found \"a\"", "=, !=, <, <=, >, >=, ~, in, not in or between")));
    assert_eq!(at("(flow=a"), (8, "expected \")\", found the end".to_owned()));
    assert_eq!(at("flow=a flow=b"), (8, "expected and, or or the end, found \"flow\"".to_owned()));
    assert_eq!(at("reason=消息 and flow=\"a"), (20, "the quote is not closed".to_owned()));
    assert_eq!(at("flow in a"), (9, "expected \"(\", found \"a\"".to_owned()));
    assert_eq!(at("flow in (a,)").0, 12);
    assert_eq!(at("flow ! a").0, 6);
    assert_eq!(at("flow = a; drop").0, 9);
    assert_eq!(at("attempts between 1 or 2"), (20, "expected and, found \"or\"".to_owned()));
    assert_eq!(at("code ~ \"(\"").1, "the pattern does not read: unclosed group");
    assert_eq!(told("flow beween 1").2, "did you mean between?");
}

#[test]
fn an_unknown_field_is_answered_with_the_nearest() {
    assert_eq!(told("flow=a and catgory=x"), (Code::SelectorField, 12, "did you mean category?".to_owned()));
    assert_eq!(told("payload=x").2, "name a member of the body, as payload.FBillNo");
    let hint = told("FBillNo = \"x\"").2;
    assert!(
        hint.starts_with("of the document it is payload.FBillNo; of the letter there are id, tenant, flow"),
        "{hint}"
    );
}

#[test]
fn a_value_that_a_field_cannot_have_is_refused_with_what_it_can() {
    let hint = |text: &str| {
        let (code, _, hint) = told(text);
        assert_eq!(code, Code::SelectorValue, "{text}");
        hint
    };
    assert_eq!(told("state = opne"), (Code::SelectorValue, 9, "did you mean open?".to_owned()));
    assert_eq!(hint("stage in (load, save)"), "known are extract, transform, load, submit, audit");
    assert_eq!(hint("category = referense_missing"), "did you mean reference_missing?");
    assert_eq!(hint("code = E_REFERENCE_MISING"), "did you mean E_REFERENCE_MISSING?");
    assert!(hint("code = whatever").contains("catalogue"));
    assert_eq!(hint("age > 10"), "write 10s, 5m, 2h, 3d or 1h30m");
    assert!(hint("first_failed > yesterday").starts_with("write 2026-03-14"));
    assert_eq!(hint("edited = yes"), "write true or false");
    assert_eq!(hint("state < open"), "compare it by =, != or in");
    for wrong in ["attempts = many", "attempts ~ 1", "version = 1e99", "edited between true and false"] {
        assert_eq!(fault(wrong).code, Code::SelectorValue, "{wrong}");
    }
}

#[test]
fn limits_are_told_and_not_run_into() {
    let nested = |depth: usize| format!("{}flow=a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Selector::parse(&nested(MAX_DEPTH - 1)).is_ok());
    for too_much in [
        nested(MAX_DEPTH),
        format!("{} flow=a", "not ".repeat(2_000)),
        vec!["flow=a"; MAX_TESTS + 1].join(" and "),
        format!("flow in ({})", vec!["a"; MAX_VALUES + 1].join(",")),
        "flow=a ".repeat(MAX_LENGTH),
        format!("payload{} = 1", ".a".repeat(MAX_STEPS + 1)),
        r#"message ~ "\w{500}""#.to_owned(),
    ] {
        assert_eq!(fault(&too_much).code, Code::SelectorLimit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,60}") {
        if let Err(fault) = Selector::parse(&text) {
            prop_assert!(fault.place.column.is_some());
        }
    }

    #[test]
    fn no_row_of_words_breaks_the_parser(words in prop::collection::vec(
        prop::sample::select(vec![
            "flow", "age", "payload.a", "and", "or", "not", "in", "between", "exists", "(", ")", ",", "=", "!=", "<",
            "~", "1", "10m", "\"x\"", "open", "[", "2026-01-01",
        ]),
        0..12,
    )) {
        let text = words.join(" ");
        match Selector::parse(&text) {
            Ok(selector) => prop_assert!(!selector.explain().chinese.is_empty()),
            Err(fault) => prop_assert!(fault.place.column.is_some()),
        }
    }
}
