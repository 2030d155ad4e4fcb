//! What changes from one version of a flow to the next.

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
        let bundle = FlowBundle {
            flow: file.to_owned(),
            source: source.to_string(),
            target: target.to_string(),
            collections: Default::default(),
        };
        compile(&bundle).expect("a flow").flow
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
}
