//! What changes from one version of a flow to the next.

use serde_json::Value;

use crate::FlowBundle;
use crate::flow::Flow;

/// What moves the keys by which documents are found in the target, from `before` to `after`; empty where every document
/// keeps its key. Each entry is a place in the texts of the flow: `target.key`, `target.marker`, `target.connection`,
/// `target.form`, `source.number` (where a marker holds it), or `request FBillNo`, the value of the key itself.
///
/// What is on its way under one key is looked for under that key. A version that moves keys must not meet it.
pub fn moved_keys(before: &Flow, after: &Flow) -> Vec<String> {
    let (old, new) = (&before.settings.target, &after.settings.target);
    let marker = new.marker.as_ref().filter(|_| old.marker == new.marker);
    let form = |flow: &Flow| flow.settings.target.form.clone().or_else(|| flow.target.own_form().map(str::to_owned));
    let key = new.key.as_str();
    let checks = [
        ("target.connection".to_owned(), old.connection != new.connection),
        ("target.form".to_owned(), form(before) != form(after)),
        ("target.marker".to_owned(), old.marker != new.marker),
        ("target.key".to_owned(), new.marker.is_none() && old.key != new.key),
        ("source.number".to_owned(), marker.is_some() && numbers(before) != numbers(after)),
        (format!("request {key}"), new.marker.is_none() && before.target.value_of(key) != after.target.value_of(key)),
    ];
    checks.into_iter().filter(|(_, moved)| *moved).map(|(place, _)| place).collect()
}

/// What makes another version read other things than the one before: the source document or the parts of the flow file that
/// the extractor goes by. Empty where two versions differ only in what is made of a bill.
///
/// A bill is read once. Two versions can share what was read only where both would have read the same.
pub fn reads_differently(before: (&Flow, &FlowBundle), after: (&Flow, &FlowBundle)) -> Vec<&'static str> {
    let ((old, old_texts), (new, new_texts)) = (before, after);
    let document = |bundle: &FlowBundle| serde_json::from_str::<Value>(&bundle.source).ok();
    let checks = [
        ("the source document", document(old_texts) != document(new_texts)),
        ("source", old.settings.source != new.settings.source),
        ("tenant", old.tenant != new.tenant),
        ("start_from", old.start_from != new.start_from),
        ("schedule", old.settings.schedule != new.settings.schedule || old.settings.zone != new.settings.zone),
        ("partitions", old.settings.partitions != new.settings.partitions),
    ];
    checks.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
}

fn numbers(flow: &Flow) -> (&str, &str) {
    (flow.source.number_field(), flow.source.id_field())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FlowBundle, compile};

    const FLOW: &str = r#"flow = "f"
start_from = "2024-01-01T00:00:00+08:00"
[source]
connection = "a"
[target]
connection = "b"
"#;

    fn flow(file: &str, number: &str, value: &str) -> Flow {
        compile(&bundle(file, number, value)).expect("a flow").flow
    }

    fn bundle(file: &str, number: &str, value: &str) -> FlowBundle {
        let source = serde_json::json!({
            "api": "executeBillQuery", "id": "FID", "number": number,
            "request": [{"field": "FID", "value": "FID"}, {"field": number, "value": number}],
            "otherRequest": [{"field": "FormId", "value": "X"}]
        });
        let target = serde_json::json!({
            "api": "batchSave",
            "request": [
                {"field": "FBillNo", "type": "string", "value": value},
                {"field": "FOld", "type": "string", "value": "{FID}"},
            ],
            "otherRequest": [{"field": "FormId", "value": "X"}]
        });
        FlowBundle {
            flow: file.to_owned(),
            source: source.to_string(),
            target: target.to_string(),
            collections: Default::default(),
        }
    }

    #[test]
    fn what_moves_a_key_is_named_and_nothing_else() {
        let before = flow(FLOW, "FNo", "{FNo}");
        assert!(moved_keys(&before, &before).is_empty());
        let titled = flow(&FLOW.replace("flow = \"f\"", "flow = \"f\"\ntitle = \"t\""), "FNo", "{FNo}");
        assert!(moved_keys(&before, &titled).is_empty());
        for (after, place) in [
            (flow(&FLOW.replace("\"b\"", "\"c\""), "FNo", "{FNo}"), "target.connection"),
            (flow(&format!("{FLOW}form = \"Y\"\n"), "FNo", "{FNo}"), "target.form"),
            (flow(&format!("{FLOW}key = \"FOld\"\n"), "FNo", "{FNo}"), "target.key"),
            (flow(&format!("{FLOW}marker = \"FNote\"\n"), "FNo", "{FNo}"), "target.marker"),
            (flow(FLOW, "FNo", "X-{FNo}"), "request FBillNo"),
        ] {
            assert_eq!(moved_keys(&before, &after), [place]);
        }
        let marked = format!("{FLOW}marker = \"FNote\"\n");
        let (before, after) = (flow(&marked, "FNo", "{FID}"), flow(&marked, "FName", "{FID}"));
        assert_eq!(moved_keys(&before, &after), ["source.number"]);
    }

    #[test]
    fn what_is_read_differently_is_named_and_what_is_made_of_it_is_not() {
        let whole = |file: &str, number: &str, value: &str| (flow(file, number, value), bundle(file, number, value));
        let before = whole(FLOW, "FNo", "{FNo}");
        let differ = |after: &(Flow, FlowBundle)| reads_differently((&before.0, &before.1), (&after.0, &after.1));
        let made = format!("{FLOW}[batch]\ndocuments = 7\n");
        for after in [whole(FLOW, "FNo", "X-{FNo}"), whole(&made, "FNo", "{FNo}")] {
            assert!(differ(&after).is_empty());
        }
        let spaced = FlowBundle { source: before.1.source.replace(':', " : "), ..before.1.clone() };
        assert!(differ(&(flow(FLOW, "FNo", "{FNo}"), spaced)).is_empty(), "spaces are nothing");
        for (after, what) in [
            (whole(FLOW, "FName", "{FName}"), "the source document"),
            (whole(&FLOW.replace("\"a\"", "\"c\""), "FNo", "{FNo}"), "source"),
            (whole(&format!("tenant = \"t\"\n{FLOW}"), "FNo", "{FNo}"), "tenant"),
            (whole(&FLOW.replace("2024", "2023"), "FNo", "{FNo}"), "start_from"),
            (whole(&format!("zone = \"UTC\"\n{FLOW}"), "FNo", "{FNo}"), "schedule"),
            (whole(&format!("partitions = 7\n{FLOW}"), "FNo", "{FNo}"), "partitions"),
        ] {
            assert_eq!(differ(&after), [what]);
        }
    }
}
