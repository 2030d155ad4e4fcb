//! The part of a body that a selector asks for: everything else is checked to be JSON and left out.
//!
//! A scan reads bodies by the ten thousand, and most of what building their values takes is for members that nobody
//! asks for.

use std::fmt;

use serde::de::{Deserialize as _, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::expression::Expression;
use super::path::{Path, Step};

/// The paths of an expression.
#[derive(Debug, Clone)]
pub(crate) struct Paths<'a>(Vec<&'a [Step]>);

impl<'a> Paths<'a> {
    /// All that the expression names.
    pub(crate) fn of(expression: &'a Expression) -> Self {
        Self(expression.paths().into_iter().map(Path::steps).collect())
    }

    /// The value of a body with what the paths lead to: each reaches the same in it as in the whole. None when the body
    /// is no JSON.
    pub(crate) fn part(&self, body: &[u8]) -> Option<Value> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let part = Part(&self.0).deserialize(&mut json).ok()?;
        json.end().is_ok().then_some(part)
    }
}

/// Reads one value of which these steps are still to go; none where it is not asked for.
#[derive(Clone, Copy)]
struct Part<'s, 'p>(&'s [&'p [Step]]);

impl<'p> Part<'_, 'p> {
    /// The steps that go on from the member of that name.
    fn member(self, name: &str) -> Vec<&'p [Step]> {
        let onward = |steps: &&'p [Step]| match steps.split_first() {
            Some((Step::Name(wanted), rest)) if wanted == name => Some(rest),
            _ => None,
        };
        self.0.iter().filter_map(onward).collect()
    }

    /// The steps that go on from the element at that place. A name goes through a list.
    fn element(self, place: usize) -> Vec<&'p [Step]> {
        let onward = |steps: &&'p [Step]| match steps.split_first() {
            Some((Step::Any, rest)) => Some(rest),
            Some((Step::Index(wanted), rest)) if *wanted == place => Some(rest),
            Some((Step::Name(_), _)) => Some(*steps),
            _ => None,
        };
        self.0.iter().filter_map(onward).collect()
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0.iter().any(|steps| steps.is_empty()) {
            return Value::deserialize(deserializer);
        }
        deserializer.deserialize_any(self)
    }
}

/// Where steps are still to go, texts, numbers and truths lead nowhere.
impl<'de> Visitor<'de> for Part<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Part(&self.element(items.len())))? {
            if !self.0.is_empty() {
                items.push(item);
            }
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(wanted) = object.next_key_seed(Name(self))? {
            let value = object.next_value_seed(Part(&wanted.onward))?;
            if let Some(name) = wanted.name {
                members.insert(name, value);
            }
        }
        Ok(Value::Object(members))
    }
}

/// Reads the name of a member of which these steps are still to go.
struct Name<'s, 'p>(Part<'s, 'p>);

struct Wanted<'p> {
    /// None when nobody asks for the member.
    name: Option<String>,
    onward: Vec<&'p [Step]>,
}

impl<'de, 'p> DeserializeSeed<'de> for Name<'_, 'p> {
    type Value = Wanted<'p>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Wanted<'p>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Name<'_, 'p> {
    type Value = Wanted<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Wanted<'p>, E> {
        let onward = self.0.member(name);
        Ok(Wanted { name: (!onward.is_empty()).then(|| name.to_owned()), onward })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::selector::Path;

    fn reached(path: &Path, body: Option<&Value>) -> Option<Vec<Value>> {
        let mut reached = Vec::new();
        path.any(body?, &mut |value| {
            reached.push(value.clone());
            false
        });
        Some(reached)
    }

    /// Each path reaches in the part what it reaches in the whole.
    fn assert_same(body: &[u8], paths: &[Path]) {
        let part = Paths(paths.iter().map(Path::steps).collect()).part(body);
        let whole: Option<Value> = serde_json::from_slice(body).ok();
        for path in paths {
            assert_eq!(reached(path, part.as_ref()), reached(path, whole.as_ref()), "{path}");
        }
        assert_eq!(part.is_some(), whole.is_some());
    }

    fn name(name: &str) -> Step {
        Step::Name(name.to_owned())
    }

    #[test]
    fn what_nobody_asks_for_is_left_out() {
        let paths = [[name("FEntity"), Step::Index(1), name("FQty")].to_vec(), [name("FDate")].to_vec()].map(Path::new);
        let body =
            br#"{"FBillNo": "A", "FEntity": [{"FQty": 1}, {"FQty": 2.50, "FNote": {"x": []}}], "FDate": {"d": 1}}"#;
        let part = Paths(paths.iter().map(Path::steps).collect()).part(body);
        assert_eq!(
            part,
            Some(
                json!({"FEntity": [{}, {"FQty": "2.50".parse::<serde_json::Number>().expect("a number")}], "FDate": {"d": 1}})
            )
        );
    }

    #[test]
    fn what_is_no_json_where_nobody_looks_is_none_all_the_same() {
        let path = [Path::new(vec![name("a")])];
        for body in [
            br#"{"a": 1, "b": "\ud800"}"#.as_slice(),
            b"{\"a\": 1, \"b\": \"\xff\"}",
            br#"{"a": 1, "b": 01}"#,
            br#"{"a": 1} x"#,
            br#"{"a": 1, "b": [}"#,
            b"",
            &[b"{\"a\": 1, \"b\": ".as_slice(), &[b'['; 300], &[b']'; 300], b"}"].concat(),
        ] {
            assert!(serde_json::from_slice::<Value>(body).is_err());
            assert_same(body, &path);
        }
        assert_same(br#"{"a": 1, "a": {"b": 2}, "b": 1e400}"#, &path);
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => prop::sample::select(vec!["a", "b", "单"]).prop_map(name),
            1 => (0_usize..3).prop_map(Step::Index),
            1 => Just(Step::Any),
        ];
        prop::collection::vec(step, 1..5)
    }

    fn bodies() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(json!(null)), Just(json!("x")), Just(json!(1)), Just(json!(true)), Just(json!(0.1))];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "单"]), inner), 0..4)
                    .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn every_path_reaches_the_same_as_in_the_whole(
            body in bodies(),
            paths in prop::collection::vec(steps().prop_map(Path::new), 1..4),
            cut in prop::option::weighted(0.1, 0_usize..40),
        ) {
            let mut text = body.to_string().into_bytes();
            text.truncate(cut.unwrap_or(text.len()));
            assert_same(&text, &paths);
        }
    }
}
