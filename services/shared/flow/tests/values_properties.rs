//! Properties of the value language that hold for any input.

use flow::function::{Program, Run};
use flow::lookup::Lookup;
use flow::reference::{Piece, parse_template};
use flow::{number, text};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Number, Value, json};

fn run() -> Run {
    Run { now: 1_710_403_200, last_sync_time: 0, zone: chrono_tz::Asia::Shanghai, page: None }
}

fn evaluate(expression: &str, record: &Value) -> Value {
    let program = Program::compile(expression).unwrap_or_else(|fault| panic!("{expression}: {fault}"));
    program.evaluate(record, &run()).unwrap_or_else(|fault| panic!("{expression}: {fault}"))
}

/// Text in which braces, filters and paths are frequent.
fn braced() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("{{".to_owned()),
        Just("}}".to_owned()),
        Just("|date".to_owned()),
        Just("{a.b}".to_owned()),
        Just("{{供应商.0.x|timestamp}}".to_owned()),
        "[a-z物料0-9._$ -]{0,6}",
        any::<String>(),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// Pieces of expressions in any order: far more of these are nearly right than of random text.
fn nearly_expression() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "1",
        "2.5",
        "'a'",
        "\"样\"",
        "{a}",
        "{{b|date}}",
        "'{c}'",
        "NULL",
        "TRUE",
        "(",
        ")",
        ",",
        "+",
        "-",
        "*",
        "/",
        "%",
        "=",
        "<=>",
        "<>",
        "<",
        ">=",
        "!",
        "&&",
        "||",
        "AND",
        "OR",
        "XOR",
        "NOT",
        "DIV",
        "MOD",
        "IN",
        "LIKE",
        "ESCAPE",
        "REGEXP",
        "BETWEEN",
        "IS",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "INTERVAL",
        "DAY",
        "IF(",
        "CONCAT(",
        "LEFT(",
        "SUM(",
        "DATE_ADD(",
        "CAST(",
        "AS",
        "SIGNED",
        "DECIMAL(10,2)",
        "TRIM(",
        "BOTH",
        "FROM",
        "SUBSTRING(",
        "ROUND(",
        "NOW()",
        "SELECT",
        "EXTRACT(",
        "YEAR",
        "REPEAT(",
        "STR_TO_DATE(",
        "DATE_FORMAT(",
        "'%Y-%m-%d'",
        "99999999999999999999",
        "_findCollection find a from b where c={d} _endFind",
        "{",
        "}",
        "'",
        "\\",
        "`",
        "#",
        "--",
        "/*",
        ";",
        "@",
        "\u{E000}0\u{E000}",
    ]);
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.join(" "))
}

fn decimal() -> impl Strategy<Value = Decimal> {
    (any::<i64>(), 0_u32..=12).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale))
}

fn exact(value: Decimal) -> (i128, u32) {
    let value = value.normalize();
    (value.mantissa(), value.scale())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_template_joins_to_its_text(text in braced()) {
        if let Ok(template) = parse_template(&text) {
            prop_assert_eq!(template.to_string(), text);
            let literals = |piece: &Piece| matches!(piece, Piece::Literal(_));
            prop_assert!(template.pieces.windows(2).all(|pair| !pair.iter().all(literals)));
            for reference in template.references() {
                let again = parse_template(reference.written());
                prop_assert_eq!(again.as_ref().ok().and_then(|template| template.whole()), Some(reference));
            }
        }
    }

    #[test]
    fn decimals_never_lose_digits(value in decimal()) {
        let written = number::to_json(value).to_string();
        let back: Number = serde_json::from_str(&written).expect("a JSON number");
        prop_assert_eq!(back.to_string(), written.clone());
        let read = number::of_json(&back).expect("within the limit");
        prop_assert_eq!((read, read.scale()), (value, value.scale()));
        prop_assert_eq!(number::read(&text::number_text(&back)), Ok(Some(value)));
        prop_assert_eq!(evaluate("{v}", &json!({"v": back})).to_string(), number::shortest(value));
    }

    #[test]
    fn sums_and_products_are_exact(left in decimal(), right in decimal()) {
        let ((a, a_scale), (b, b_scale)) = (exact(left), exact(right));
        let scale = a_scale.max(b_scale);
        let sum = number::add(left, right).map(exact);
        let expected = a * 10_i128.pow(scale - a_scale) + b * 10_i128.pow(scale - b_scale);
        if let Ok((mantissa, places)) = sum {
            prop_assert!(places <= scale);
            prop_assert_eq!(mantissa * 10_i128.pow(scale - places), expected);
        } else {
            prop_assert!(expected.abs() >= 10_i128.pow(number::DIGITS));
        }
        if let (Ok(product), Some(expected)) = (number::multiply(left, right), a.checked_mul(b)) {
            let (mantissa, places) = exact(product);
            prop_assert_eq!(Some(mantissa), expected.checked_div(10_i128.pow(a_scale + b_scale - places)));
            prop_assert_eq!(expected % 10_i128.pow(a_scale + b_scale - places), 0);
        }
        if let (Ok(Some(whole)), Ok(Some(rest))) = (number::divide_whole(left, right), number::remainder(left, right)) {
            let back = number::multiply(whole, right).and_then(|product| number::add(product, rest));
            if let Ok(back) = back {
                prop_assert_eq!(back, left);
            }
        }
    }

    #[test]
    fn any_text_is_read_as_a_number_or_not(text in any::<String>()) {
        let whole = number::read(&text);
        let leading = number::read_leading(&text);
        if let Ok(Some(value)) = whole {
            prop_assert_eq!(leading, Ok(value));
        }
    }

    #[test]
    fn like_never_panics(text in any::<String>(), pattern in "[%_\\\\a样]{0,12}|\\PC{0,12}") {
        let record = json!({"t": text, "p": pattern});
        let fits = evaluate("'{t}' like '{p}'", &record);
        prop_assert!(fits.is_boolean());
        prop_assert_eq!(evaluate("'{t}' like concat('%', '{t}')", &json!({"t": text.replace(['%', '_', '\\'], "x")})), json!(true));
    }

    #[test]
    fn any_text_compiles_or_is_a_fault_with_a_column(text in any::<String>()) {
        if let Err(fault) = Program::compile(&text) {
            prop_assert!(fault.place.column.is_some(), "{}", fault);
        }
    }

    #[test]
    fn nearly_expressions_compile_or_are_faults_with_a_column(text in nearly_expression()) {
        let record = json!({"a": "12", "b": "2024-03-14", "c": [1, "二"], "d": null});
        match Program::compile(&text) {
            Ok(program) => drop(program.evaluate(&record, &run())),
            Err(fault) => {
                let column: usize = fault.place.column.as_deref().and_then(|column| column.parse().ok()).unwrap_or(0);
                prop_assert!((1..=text.chars().count() + 1).contains(&column), "{}: {}", text, fault);
            }
        }
    }

    #[test]
    fn data_never_becomes_grammar(a in any::<String>(), b in any::<String>()) {
        let record = json!({"a": a, "b": b});
        prop_assert_eq!(evaluate("concat('{a}', '|', \"{b}\")", &record), json!(format!("{a}|{b}")));
        let expected = if a.is_empty() { Value::Null } else { json!(true) };
        prop_assert_eq!(evaluate("{a} = {a}", &record), expected);
    }

    #[test]
    fn any_lookup_splits_or_is_a_fault(text in any::<String>(), filter in braced()) {
        for statement in [
            format!("_findCollection {text}"),
            format!("_findCollection find a from b where {text}"),
            format!("_mongoQuery {text}"),
            format!("_mongoQuery u findField=f where={{\"a\":{}}}", json!(filter)),
        ] {
            if let Some(Ok(lookup)) = Lookup::parse(&statement) {
                drop(lookup.bind(&json!({"a": {"b": text.clone()}}), &run()));
            }
        }
    }

    #[test]
    fn dates_move_there_and_back(days in -20_000_i64..20_000, minutes in 0_i64..100_000) {
        let record = json!({"d": days, "m": minutes});
        let there = "date_add('2024-03-14 16:00:00', interval {d} day)";
        prop_assert_eq!(evaluate(&format!("date_sub({there}, interval {{d}} day)"), &record), json!("2024-03-14 16:00:00"));
        prop_assert_eq!(evaluate(&format!("datediff({there}, '2024-03-14')"), &record), json!(days));
        let later = "'2024-03-14 16:00:00' + interval {m} minute";
        prop_assert_eq!(evaluate(&format!("timestampdiff(minute, '2024-03-14 16:00:00', {later})"), &record), json!(minutes));
    }
}
