//! Whether a letter satisfies an expression, for the parts that columns cannot answer.

use std::cmp::Ordering;

use document::Fault;
use rust_decimal::Decimal;
use serde_json::Value;

use super::expression::{Check, Expression, Literal, Operator, Subject, Test};
use super::field::Field;
use super::literal;
use crate::mask;

/// What is known of a letter.
pub(crate) trait Facts {
    /// The value of a field; none when the letter has none. Not asked for the age.
    fn fact(&self, field: Field) -> Option<Fact<'_>>;

    /// The body as JSON, at least as far as the expression's paths lead; none when it is something else.
    ///
    /// # Errors
    /// When the body cannot be had.
    fn body(&self) -> Result<Option<&Value>, Unanswered>;
}

/// Why it is not known whether a letter satisfies a selector.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The body is too large to be read.
    TooLarge,
    /// The body could not be fetched.
    Failed(Fault),
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fact<'a> {
    Text(&'a str),
    Number(Decimal),
    /// Unix milliseconds.
    Time(i64),
    Truth(bool),
}

/// Whether the letter satisfies the expression at `now`, unix milliseconds. Bodies are fetched only where the answer
/// hangs on them.
///
/// # Errors
/// When the answer hangs on a body that cannot be had.
pub(crate) fn holds(expression: &Expression, letter: &dyn Facts, now: i64) -> Result<bool, Unanswered> {
    match expression {
        Expression::And(parts) => by_cost(parts, letter, now, false),
        Expression::Or(parts) => by_cost(parts, letter, now, true),
        Expression::Not(inner) => holds(inner, letter, now).map(|answer| !answer),
        Expression::Test(test) => test_holds(test, letter, now),
    }
}

/// Asks the cheap parts first, until one answers `decisive`.
fn by_cost(parts: &[Expression], letter: &dyn Facts, now: i64, decisive: bool) -> Result<bool, Unanswered> {
    let mut parts: Vec<&Expression> = parts.iter().collect();
    parts.sort_by_key(|part| part.cost());
    for part in parts {
        if holds(part, letter, now)? == decisive {
            return Ok(decisive);
        }
    }
    Ok(!decisive)
}

fn test_holds(test: &Test, letter: &dyn Facts, now: i64) -> Result<bool, Unanswered> {
    match &test.subject {
        Subject::Field(Field::Age) => {
            let Some(Fact::Time(first)) = letter.fact(Field::FirstFailed) else { return Ok(false) };
            let age = now.saturating_sub(first);
            Ok(check(
                &test.check,
                &|literal| match literal {
                    Literal::Duration(duration) => Some(age.cmp(duration)),
                    _ => None,
                },
                None,
            ))
        }
        Subject::Field(field) => {
            let Some(fact) = letter.fact(*field) else { return Ok(false) };
            let text = match fact {
                Fact::Text(text) => Some(text),
                _ => None,
            };
            Ok(check(&test.check, &|literal| fact.compare(literal), text))
        }
        Subject::Payload(path) => {
            let Some(body) = letter.body()? else { return Ok(false) };
            Ok(path.any(body, &mut |value| match path.is_as_shown() {
                true => value_holds(&test.check, &mask::shown(value)),
                false => value_holds(&test.check, value),
            }))
        }
    }
}

impl Fact<'_> {
    fn compare(&self, literal: &Literal) -> Option<Ordering> {
        match (self, literal) {
            (Fact::Text(text), Literal::Text(wanted)) => Some((*text).cmp(wanted.as_str())),
            (Fact::Number(number), Literal::Number(wanted)) => Some(number.cmp(wanted)),
            (Fact::Time(time), Literal::Time(wanted)) => Some(time.cmp(wanted)),
            (Fact::Truth(truth), Literal::Truth(wanted)) => Some(truth.cmp(wanted)),
            _ => None,
        }
    }
}

/// Whether the check holds of a value that compares so with literals and reads so as text.
fn check(check: &Check, compare: &dyn Fn(&Literal) -> Option<Ordering>, text: Option<&str>) -> bool {
    let related = |operator: Operator, literal| compare(literal).is_some_and(|ordering| operator.holds(ordering));
    match check {
        Check::Exists => true,
        Check::Compare(operator, literal) => related(*operator, literal),
        Check::Between(low, high) => related(Operator::GreaterOrEqual, low) && related(Operator::LessOrEqual, high),
        Check::OneOf(literals) => literals.iter().any(|literal| related(Operator::Equal, literal)),
        Check::Matches(pattern) => text.is_some_and(|text| pattern.0.is_match(text)),
    }
}

fn value_holds(wanted: &Check, value: &Value) -> bool {
    if value.is_null() {
        return false;
    }
    let shown;
    let text = match value {
        Value::String(text) => Some(text.as_str()),
        Value::Number(number) => {
            shown = number.to_string();
            Some(shown.as_str())
        }
        _ => None,
    };
    check(wanted, &|literal| compare_value(value, literal), text)
}

/// A number also meets text that is wholly a number: documents write amounts either way.
fn compare_value(value: &Value, literal: &Literal) -> Option<Ordering> {
    match (value, literal) {
        (Value::String(text), Literal::Text(wanted)) => Some(text.as_str().cmp(wanted)),
        (Value::String(text), Literal::Number(wanted)) => literal::number(text).map(|number| number.cmp(wanted)),
        (Value::Number(number), Literal::Number(wanted)) => {
            literal::number(&number.to_string()).map(|number| number.cmp(wanted))
        }
        (Value::String(text), Literal::Time(wanted)) => {
            literal::document_time(text).map(|time| time.cmp(&(i128::from(*wanted) * 1_000_000)))
        }
        (Value::Bool(truth), Literal::Truth(wanted)) => Some(truth.cmp(wanted)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::Selector;
    use serde_json::json;

    struct Body(Value);

    impl Facts for Body {
        fn fact(&self, _: Field) -> Option<Fact<'_>> {
            None
        }

        fn body(&self) -> Result<Option<&Value>, Unanswered> {
            Ok(Some(&self.0))
        }
    }

    #[test]
    fn what_is_masked_is_met_as_it_is_shown() {
        let body = Body(json!({"FNote": "请拨13800138000", "FSerial": 13_800_138_000_u64, "FQty": 3,
            "FData": "{\"FMobile\":\"x1\"}"}));
        for (text, as_it_is, as_shown) in [
            ("payload.FNote ~ \"1380013\"", true, false),
            ("payload.FNote = \"请拨***\"", false, true),
            ("payload.FSerial > 13000000000", true, false),
            ("payload.FData ~ \"x1\"", true, false),
            ("exists(payload.FSerial)", true, true),
            ("payload.FQty = 3", true, true),
            ("not payload.FSerial = 13800138000", false, true),
        ] {
            let selector = Selector::parse(text).expect(text);
            let answer = |selector: &Selector| holds(selector.expression(), &body, 0).expect("a body");
            assert_eq!(answer(&selector), as_it_is, "{text}");
            assert_eq!(answer(&selector.as_shown()), as_shown, "{text}");
        }
    }
}
