//! `beatFlat` and `splitArray`: one record per element.

use serde_json::{Map, Value};

/// What is known of a record's identity while it is taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) content: Map<String, Value>,
    /// `-1-2` and so on; empty for a record that was not taken apart.
    pub(crate) suffix: String,
}

/// One record per element of the array `name`; each member of the element becomes `name_member`.
///
/// A record without elements stays, without the array.
pub(crate) fn beat_flat(pieces: Vec<Piece>, name: &str) -> Vec<Piece> {
    let mut flat = Vec::with_capacity(pieces.len());
    for mut piece in pieces {
        let elements = match take(&mut piece.content, name) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(one) => vec![one],
        };
        if elements.is_empty() {
            flat.push(piece);
            continue;
        }
        for (index, element) in elements.into_iter().enumerate() {
            let mut content = piece.content.clone();
            match element {
                Value::Object(members) => {
                    content.extend(members.into_iter().map(|(member, value)| (format!("{name}_{member}"), value)));
                }
                scalar => {
                    content.insert(name.to_owned(), scalar);
                }
            }
            flat.push(Piece { content, suffix: format!("{}-{}", piece.suffix, index + 1) });
        }
    }
    flat
}

/// One record per element of the array at `path`: the parent with the array replaced by the element. A record without
/// elements gives none.
pub(crate) fn split_array(pieces: Vec<Piece>, path: &str) -> Vec<Piece> {
    let mut split = Vec::with_capacity(pieces.len());
    for mut piece in pieces {
        let elements = match slot(&mut piece.content, path).map(Value::take) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(one) => vec![one],
        };
        for element in elements {
            let mut content = piece.content.clone();
            if let Some(place) = slot(&mut content, path) {
                *place = element;
            }
            split.push(Piece { content, suffix: piece.suffix.clone() });
        }
    }
    split
}

fn slot<'a>(content: &'a mut Map<String, Value>, path: &str) -> Option<&'a mut Value> {
    if content.contains_key(path) {
        return content.get_mut(path);
    }
    let mut names = path.split('.');
    let first = content.get_mut(names.next()?)?;
    names.try_fold(first, |value, name| value.get_mut(name))
}

fn take(content: &mut Map<String, Value>, path: &str) -> Option<Value> {
    if let Some(value) = content.shift_remove(path) {
        return Some(value);
    }
    let (above, last) = path.rsplit_once('.')?;
    slot(content, above)?.as_object_mut()?.shift_remove(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pieces(record: Value) -> Vec<Piece> {
        let Value::Object(content) = record else { panic!("a record is an object") };
        vec![Piece { content, suffix: String::new() }]
    }

    fn shown(pieces: &[Piece]) -> Vec<(String, Value)> {
        pieces.iter().map(|piece| (piece.suffix.clone(), Value::Object(piece.content.clone()))).collect()
    }

    #[test]
    fn members_of_each_element_join_the_record_under_the_arrays_name() {
        let record = json!({"no": "O1", "details_list": [{"goods": "F1", "num": 12}, {"goods": "F2", "num": 50}]});
        assert_eq!(
            shown(&beat_flat(pieces(record), "details_list")),
            [
                ("-1".to_owned(), json!({"no": "O1", "details_list_goods": "F1", "details_list_num": 12})),
                ("-2".to_owned(), json!({"no": "O1", "details_list_goods": "F2", "details_list_num": 50})),
            ]
        );
    }

    #[test]
    fn nested_arrays_are_flattened_one_after_the_other_and_suffixes_add_up() {
        let record = json!({"details": [{"g": "F1", "detail_batch": [{"qty": 1}, {"qty": 2}]}, {"g": "F2", "detail_batch": []}]});
        let flat = beat_flat(beat_flat(pieces(record), "details"), "details_detail_batch");
        assert_eq!(
            shown(&flat),
            [
                ("-1-1".to_owned(), json!({"details_g": "F1", "details_detail_batch_qty": 1})),
                ("-1-2".to_owned(), json!({"details_g": "F1", "details_detail_batch_qty": 2})),
                ("-2".to_owned(), json!({"details_g": "F2"})),
            ]
        );
    }

    #[test]
    fn a_record_without_elements_stays_without_the_array() {
        for record in [json!({"a": 1, "d": []}), json!({"a": 1, "d": null}), json!({"a": 1})] {
            assert_eq!(shown(&beat_flat(pieces(record), "d")), [(String::new(), json!({"a": 1}))]);
        }
    }

    #[test]
    fn splitting_replaces_the_array_by_its_element() {
        let record = json!({"no": "O1", "items": [{"id": 1}, {"id": 2}]});
        assert_eq!(
            shown(&split_array(pieces(record), "items")),
            [
                (String::new(), json!({"no": "O1", "items": {"id": 1}})),
                (String::new(), json!({"no": "O1", "items": {"id": 2}})),
            ]
        );
        assert_eq!(
            shown(&split_array(pieces(json!({"data": {"items": [7]}})), "data.items")),
            [(String::new(), json!({"data": {"items": 7}}))]
        );
        assert!(split_array(pieces(json!({"items": []})), "items").is_empty());
    }
}
