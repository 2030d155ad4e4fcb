//! The places at which services can be made to die, as their sources name them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;

use super::nemesis::SERVICES;
use crate::servers::workspace;

/// How a place is written in the sources.
const MARK: &str = "killpoint::reached(";

/// Places by service.
#[derive(Debug, Clone)]
pub struct Points(Vec<(&'static str, Vec<String>)>);

/// Whether a place of a shared room is one that `service` comes by: the transformer keeps no state and calls nobody, the
/// others are no plain consumers, the control plane alone follows topics.
fn comes_by(service: &str, point: &str) -> bool {
    let step = point.split('.').next().unwrap_or_default();
    match (step, service) {
        // Where state is kept, the first position is saved with the first record of its owner.
        ("member", _) if point == "member.assign.first_position" => service == "transformer",
        ("member" | "registry", _) => true,
        ("consumer", _) => service == "transformer",
        ("producer", _) => true,
        ("follower", _) => service == "control",
        ("call" | "request", _) => matches!(service, "extractor" | "loader"),
        ("save", _) => service == "loader",
        _ => service != "transformer",
    }
}

impl Points {
    /// Reads them from the sources.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn find() -> anyhow::Result<Self> {
        let services = workspace().join("services");
        let of = |folder: &str| -> anyhow::Result<BTreeSet<String>> {
            let mut found = BTreeSet::new();
            read(&services.join(folder).join("src"), &mut found)?;
            Ok(found)
        };
        let mut shared = of("shared/queue")?;
        shared.extend(of("shared/kingdee")?);
        let mut points = Vec::new();
        for service in SERVICES {
            let mut own = of(service)?;
            own.extend(shared.iter().filter(|point| comes_by(service, point)).cloned());
            points.push((service, own.into_iter().collect()));
        }
        Ok(Self(points))
    }

    /// Those of a service, in the order of their names.
    pub fn of(&self, service: &str) -> &[String] {
        self.0.iter().find(|(name, _)| *name == service).map_or(&[], |(_, points)| points.as_slice())
    }
}

fn read(folder: &Path, found: &mut BTreeSet<String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let names =
                text.split(MARK).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_comes_by_forty_places_and_more() {
        let points = Points::find().expect("the sources");
        for service in SERVICES {
            let known = points.of(service);
            assert!(known.len() >= 40, "{service}: {}", known.len());
            assert!(known.iter().all(|point| point.contains('.')), "{known:?}");
        }
        assert!(points.of("loader").iter().any(|point| point == "loader.deadline.looked_at"));
        assert!(points.of("transformer").iter().all(|point| !point.starts_with("transaction.")));
        assert!(points.of("simulator").is_empty());
    }
}
