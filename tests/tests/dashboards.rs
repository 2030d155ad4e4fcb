//! Dashboards name metrics that the code declares, with labels that these have.

use std::collections::BTreeMap;

use e2e::servers::workspace;
use runtime::metrics::{DEFINITIONS, Kind};
use serde_json::Value;

/// Every metric by the name that Prometheus sees, with its labels.
fn declared() -> BTreeMap<String, Vec<&'static str>> {
    let mut names = BTreeMap::new();
    for definition in DEFINITIONS {
        let name = definition.exported();
        let labels = definition.labels.to_vec();
        if matches!(definition.kind, Kind::Histogram(_)) {
            for suffix in ["_bucket", "_sum", "_count"] {
                let mut labels = labels.clone();
                labels.push("le");
                names.insert(format!("{name}{suffix}"), labels);
            }
        } else {
            names.insert(name, labels);
        }
    }
    names
}

/// The metrics of an expression, each with the labels that its braces name.
fn used(expression: &str) -> Vec<(String, Vec<String>)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // What stands between two names belongs to the first one.
    expression
        .split("starbridge_")
        .skip(1)
        .map(|rest| {
            let name: String = rest.chars().take_while(|c| word(*c)).collect();
            let after = rest.strip_prefix(&name).unwrap_or_default();
            let braces = after.strip_prefix('{').and_then(|inner| inner.split('}').next()).unwrap_or_default();
            let labels = braces
                .split(',')
                .filter_map(|pair| pair.split(['=', '!']).next())
                .map(|label| label.trim().to_owned())
                .filter(|label| !label.is_empty())
                .collect();
            (format!("starbridge_{name}"), labels)
        })
        .collect()
}

#[test]
fn every_panel_uses_declared_metrics_and_says_what_it_shows() {
    let declared = declared();
    let folder = workspace().join("helm/starbridge/dashboards");
    let mut panels = 0;
    for entry in std::fs::read_dir(folder).expect("the chart's dashboards") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        assert!(dashboard["uid"].is_string(), "{}: no fixed uid", path.display());
        for panel in dashboard["panels"].as_array().expect("panels") {
            panels += 1;
            let title = panel["title"].as_str().expect("a title");
            assert!(panel["description"].as_str().is_some_and(|text| text.chars().count() > 20), "{title}");
            for target in panel["targets"].as_array().expect("targets") {
                let expression = target["expr"].as_str().expect("an expression");
                let metrics = used(expression);
                assert!(!metrics.is_empty(), "{title}: {expression}");
                for (name, labels) in metrics {
                    let known = declared.get(&name).unwrap_or_else(|| panic!("{title}: nobody declares {name}"));
                    for label in labels {
                        assert!(known.contains(&label.as_str()), "{title}: {name} has no label {label}");
                    }
                }
            }
        }
    }
    assert!(panels >= 12, "{panels} panels");
}

#[test]
fn a_name_that_nobody_declares_is_seen() {
    let metrics =
        used(r#"sum by (x) (rate(starbridge_records_total{flow=~"$flow",stage="load"}[5m])) + starbridge_gone"#);
    assert_eq!(metrics[0], ("starbridge_records_total".to_owned(), vec!["flow".to_owned(), "stage".to_owned()]));
    assert_eq!(metrics[1], ("starbridge_gone".to_owned(), vec![]));
    assert!(!declared().contains_key("starbridge_gone"));
}
