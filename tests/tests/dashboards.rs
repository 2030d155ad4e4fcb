//! Dashboards and alerts name metrics that the code declares, with labels that these have.

use std::collections::{BTreeMap, BTreeSet};

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

/// What `by (…)` and `on (…)` name, and the labels that the scraper adds to every metric.
fn grouped(expression: &str) -> Vec<String> {
    let after = ["by (", "on ("].into_iter().flat_map(|word| expression.split(word).skip(1));
    let named = after.filter_map(|rest| rest.split(')').next()).flat_map(|labels| labels.split(','));
    named.map(|label| label.trim().to_owned()).filter(|label| !["le", "instance"].contains(&label.as_str())).collect()
}

/// Refuses an expression that names what nobody declares; `place` says whose it is.
fn check(place: &str, expression: &str, declared: &BTreeMap<String, Vec<&'static str>>) {
    let metrics = used(expression);
    assert!(!metrics.is_empty(), "{place}: {expression}");
    let mut all = Vec::new();
    for (name, labels) in metrics {
        let known = declared.get(&name).unwrap_or_else(|| panic!("{place}: nobody declares {name}"));
        for label in labels {
            assert!(known.contains(&label.as_str()), "{place}: {name} has no label {label}");
        }
        all.extend(known);
    }
    for label in grouped(expression) {
        assert!(all.contains(&label.as_str()), "{place}: no metric of it has the label {label}");
    }
}

/// The alerts of the chart's template: name, expression, the whole text.
fn alerts() -> Vec<(String, String, String)> {
    let path = workspace().join("helm/starbridge/templates/alerts.yaml");
    let text = std::fs::read_to_string(path).expect("the chart's alerts");
    let alerts = text.split("- alert: ").skip(1).map(|alert| {
        let name = alert.lines().next().expect("a name").trim().to_owned();
        let expression = alert.split_once("expr:").expect("an expression").1;
        let expression = expression.split(" for: ").next().and_then(|text| text.split("labels: {").next());
        (name, expression.expect("some text").to_owned(), alert.to_owned())
    });
    alerts.collect()
}

#[test]
fn every_alert_uses_declared_metrics_and_a_limit_and_names_a_command() {
    let declared = declared();
    let alerts = alerts();
    for (name, expression, whole) in &alerts {
        check(name, expression, &declared);
        for part in ["severity: ", "summary: '", "command: 'starctl "] {
            assert!(whole.contains(part), "{name}: no {part}");
        }
    }
    let names: BTreeSet<&String> = alerts.iter().map(|(name, ..)| name).collect();
    assert_eq!((names.len(), alerts.len()), (12, 12), "{names:?}");
    // Every limit among the values is one that an alert has.
    let values = std::fs::read_to_string(workspace().join("helm/starbridge/values.yaml")).expect("the values");
    let limits = values.split_once("\nalerts:\n").expect("alerts").1.lines();
    for limit in limits.filter_map(|line| line.strip_prefix("  ")?.split_once(':')).map(|(name, _)| name) {
        if !["enabled", "labels"].contains(&limit) && !limit.starts_with('#') {
            let used = format!("$limit.{limit} ");
            assert!(alerts.iter().any(|(_, expression, _)| expression.contains(&used)), "no alert uses {limit}");
        }
    }
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
                check(title, expression, &declared);
            }
        }
    }
    assert!(panels >= 26, "{panels} panels");
}

#[test]
fn a_name_that_nobody_declares_is_seen() {
    let metrics =
        used(r#"sum by (x) (rate(starbridge_records_total{flow=~"$flow",stage="load"}[5m])) + starbridge_gone"#);
    assert_eq!(metrics[0], ("starbridge_records_total".to_owned(), vec!["flow".to_owned(), "stage".to_owned()]));
    assert_eq!(metrics[1], ("starbridge_gone".to_owned(), vec![]));
    assert!(!declared().contains_key("starbridge_gone"));
}
