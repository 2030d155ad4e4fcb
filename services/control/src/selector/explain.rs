//! A selector in plain words.

use chrono::DateTime;

use super::expression::{Check, Cost, Expression, Literal, Operator, Subject, Test};
use super::field::Field;
use super::literal::duration_text;

/// What a selector means and what answering it takes.
///
/// The parts that must all hold are listed, in English, under what each of them takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The whole in English.
    pub english: String,
    /// The whole in Chinese.
    pub chinese: String,
    /// Parts that the index's columns answer.
    pub on_columns: Vec<String>,
    /// Parts whose pattern is tried on every letter that the columns leave, up to the scan limit.
    pub over_rows: Vec<String>,
    /// Parts that read the body of every letter that the columns leave, up to the scan limit.
    pub over_bodies: Vec<String>,
}

pub(super) fn explain(expression: &Expression) -> Explanation {
    let mut explanation = Explanation {
        english: words(expression, &ENGLISH),
        chinese: words(expression, &CHINESE),
        on_columns: Vec::new(),
        over_rows: Vec::new(),
        over_bodies: Vec::new(),
    };
    for part in expression.conjuncts() {
        let list = match part.cost() {
            Cost::Columns => &mut explanation.on_columns,
            Cost::Rows => &mut explanation.over_rows,
            Cost::Bodies => &mut explanation.over_bodies,
        };
        list.push(render(part, &ENGLISH));
    }
    explanation
}

/// The words of one language. `{s}` stands for the subject, `{v}` for the value, `{w}` for the second value.
struct Words {
    all: &'static str,
    of: fn(&str) -> String,
    and: &'static str,
    or: &'static str,
    not: &'static str,
    comma: &'static str,
    field: fn(Field) -> &'static str,
    payload: &'static str,
    exists: &'static str,
    equal: &'static str,
    less: &'static str,
    less_or_equal: &'static str,
    greater: &'static str,
    greater_or_equal: &'static str,
    between: &'static str,
    one_of: &'static str,
    matches: &'static str,
}

const ENGLISH: Words = Words {
    all: "all dead letters",
    of: |condition| format!("dead letters for which {condition}"),
    and: " and ",
    or: " or ",
    not: "not ({s})",
    comma: ", ",
    field: Field::english,
    payload: "the body's {s}",
    exists: "there is a value of {s}",
    equal: "{s} is {v}",
    less: "{s} is below {v}",
    less_or_equal: "{s} is at most {v}",
    greater: "{s} is above {v}",
    greater_or_equal: "{s} is at least {v}",
    between: "{s} is from {v} to {w}",
    one_of: "{s} is one of {v}",
    matches: "{s} matches the pattern {v}",
};

const CHINESE: Words = Words {
    all: "全部死信",
    of: |condition| format!("满足以下条件的死信：{condition}"),
    and: "，且",
    or: "，或",
    not: "并非（{s}）",
    comma: "、",
    field: Field::chinese,
    payload: "单据内容 {s} ",
    exists: "{s}有值",
    equal: "{s}为 {v}",
    less: "{s}小于 {v}",
    less_or_equal: "{s}不大于 {v}",
    greater: "{s}大于 {v}",
    greater_or_equal: "{s}不小于 {v}",
    between: "{s}介于 {v} 与 {w} 之间（含）",
    one_of: "{s}为以下之一：{v}",
    matches: "{s}匹配正则 {v}",
};

fn words(expression: &Expression, words: &Words) -> String {
    match expression {
        Expression::And(parts) if parts.is_empty() => words.all.to_owned(),
        expression => (words.of)(&render(expression, words)),
    }
}

fn render(expression: &Expression, words: &Words) -> String {
    let joined = |parts: &[Expression], link: &str| {
        let parts: Vec<String> = parts
            .iter()
            .map(|part| match part {
                Expression::And(_) | Expression::Or(_) => format!("({})", render(part, words)),
                part => render(part, words),
            })
            .collect();
        parts.join(link)
    };
    match expression {
        Expression::And(parts) => joined(parts, words.and),
        Expression::Or(parts) => joined(parts, words.or),
        Expression::Not(inner) => fill(words.not, &[("{s}", &render(inner, words))]),
        Expression::Test(test) => test_words(test, words),
    }
}

fn test_words(test: &Test, words: &Words) -> String {
    let subject = match &test.subject {
        Subject::Field(field) => (words.field)(*field).to_owned(),
        Subject::Payload(path) => {
            let path = path.to_string();
            let inner = path.strip_prefix("payload").unwrap_or(&path);
            fill(words.payload, &[("{s}", inner.strip_prefix('.').unwrap_or(inner))])
        }
    };
    let (form, value, second) = match &test.check {
        Check::Exists => (words.exists, String::new(), String::new()),
        Check::Compare(operator, literal) => (operator_form(*operator, words), shown(literal), String::new()),
        Check::Between(low, high) => (words.between, shown(low), shown(high)),
        Check::OneOf(literals) => {
            (words.one_of, literals.iter().map(shown).collect::<Vec<_>>().join(words.comma), String::new())
        }
        Check::Matches(pattern) => (words.matches, format!("{:?}", pattern.0.as_str()), String::new()),
    };
    fill(form, &[("{s}", &subject), ("{v}", &value), ("{w}", &second)])
}

fn operator_form(operator: Operator, words: &Words) -> &'static str {
    match operator {
        Operator::Equal => words.equal,
        Operator::Less => words.less,
        Operator::LessOrEqual => words.less_or_equal,
        Operator::Greater => words.greater,
        Operator::GreaterOrEqual => words.greater_or_equal,
    }
}

/// Fills the places of a form in one pass, so that a value which looks like a place stays what it is.
fn fill(form: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = form;
    while let Some((before, place, after)) = values
        .iter()
        .filter_map(|(place, value)| rest.split_once(place).map(|(before, after)| (before, *value, after)))
        .min_by_key(|(before, _, _)| before.len())
    {
        filled.push_str(before);
        filled.push_str(place);
        rest = after;
    }
    filled + rest
}

fn shown(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => format!("{text:?}"),
        Literal::Number(number) => number.to_string(),
        Literal::Time(millis) => match DateTime::from_timestamp_millis(*millis) {
            Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            None => millis.to_string(),
        },
        Literal::Duration(millis) => duration_text(*millis),
        Literal::Truth(truth) => truth.to_string(),
    }
}
