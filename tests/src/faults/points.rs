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
        // Others hand over what they write as a part of a transaction, and ask nothing more of it.
        ("producer", _) => point != "producer.asked" || service == "transformer",
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

    /// Where a service dies in the run of this seed, and when it comes by for which time. Seeds in a row walk through all of
    /// its places, with long steps; once they have, they begin again, and let it pass the place once or four times before.
    pub fn at(&self, service: &str, seed: u64) -> Option<(String, u64)> {
        let places = self.of(service);
        let count = places.len() as u64;
        // A step that has no divisor with their number leads to each of them.
        let step = (count * 2 / 5..count).find(|step| divisor(*step, count) == 1).unwrap_or(1);
        let walked = seed.saturating_sub(1);
        let lap = walked.checked_div(count)?;
        let at = usize::try_from(walked % count * step % count).ok()?;
        let passage = [1, 2, 5][usize::try_from(lap % 3).ok()?];
        Some((places.get(at)?.clone(), passage))
    }

    /// Those of a service, in the order of their names.
    pub fn of(&self, service: &str) -> &[String] {
        self.0.iter().find(|(name, _)| *name == service).map_or(&[], |(_, points)| points.as_slice())
    }
}

/// The greatest common divisor.
fn divisor(one: u64, other: u64) -> u64 {
    if one == 0 { other } else { divisor(other % one, one) }
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

    #[test]
    fn seeds_in_a_row_walk_through_all_places_of_a_service() {
        let points = Points::find().expect("the sources");
        for service in SERVICES {
            let places = points.of(service);
            for first in [1, 17] {
                let mut walked: BTreeSet<String> = BTreeSet::new();
                walked
                    .extend((first..first + places.len() as u64).filter_map(|seed| Some(points.at(service, seed)?.0)));
                assert!(walked.iter().eq(places), "{service} from {first}: {walked:?}");
            }
            let lap = places.len() as u64;
            let passages =
                [1, 1 + lap, 1 + 2 * lap, 1 + 3 * lap].map(|seed| points.at(service, seed).expect("a place"));
            assert!(passages.iter().all(|(point, _)| *point == passages[0].0));
            assert_eq!(passages.map(|(_, passage)| passage), [1, 2, 5, 1]);
        }
        assert_eq!(points.at("simulator", 1), None);
    }

    #[test]
    fn a_place_is_one_of_those_who_come_by() {
        let points = Points::find().expect("the sources");
        let passes = |service: &str, named: &str| points.of(service).iter().any(|point| point == named);
        let asked = SERVICES.map(|service| passes(service, "producer.asked"));
        assert_eq!(asked, SERVICES.map(|service| service == "transformer"));
        assert!(SERVICES.iter().all(|service| passes(service, "producer.handed_over")));
    }
}
