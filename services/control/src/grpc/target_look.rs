//! What a dry run of a replay asks the targets: which documents are there already, whoever put them there.

use std::collections::BTreeMap;
use std::time::Duration;

use document::{DeadLetterId, Fault, FlowName, Stage};
use starbridge_proto::v1;

use super::place::{Place, calls};
use super::{Shared, blocking, show};
use crate::systems::look::Calls;

/// Calls of one look, and how long it may take: it must not keep a plan waiting.
const CALLS: usize = 20;
const WITHIN: Duration = Duration::from_secs(10);
/// Letters that an answer names.
const FIRST: usize = 20;

/// Letters whose documents are asked for together.
#[derive(Default)]
struct Group {
    place: Option<Place>,
    keys: Vec<String>,
    letters: BTreeMap<String, Vec<DeadLetterId>>,
}

/// Asks the targets of `ids`. What could not be asked is told in the answer: a target that does not answer is no reason
/// not to plan.
pub(super) async fn look(shared: &Shared, ids: &[DeadLetterId]) -> v1::TargetLook {
    let mut look = v1::TargetLook::default();
    let mut why: BTreeMap<String, i64> = BTreeMap::new();
    let mut groups: BTreeMap<(FlowName, String), Group> = BTreeMap::new();
    blocking(|| {
        for id in ids {
            if let Err(reason) = sort(shared, id, &mut groups) {
                *why.entry(reason).or_default() += 1;
            }
        }
    });
    let mut made = Calls::at_most(CALLS, WITHIN);
    for group in groups.into_values() {
        let Some(place) = &group.place else { continue };
        let existing = place.system.existing(&place.form, &place.field, &group.keys, &mut made).await;
        let of = |key: &String| group.letters.get(key).map(Vec::as_slice).unwrap_or_default();
        match existing {
            Ok(existing) => {
                for (at, key) in group.keys.iter().enumerate() {
                    let letters = of(key);
                    let found = existing.found.contains(key);
                    if found || at < existing.asked {
                        look.asked += show::count(letters.len());
                    } else {
                        *why.entry(format!("{CALLS} calls, or {} s, were used up", WITHIN.as_secs())).or_default() +=
                            show::count(letters.len());
                    }
                    if found {
                        look.found += show::count(letters.len());
                        let room = FIRST.saturating_sub(look.first_found.len());
                        look.first_found.extend(letters.iter().take(room).map(|id| id.0.clone()));
                    }
                }
            }
            Err(fault) => {
                *why.entry(fault.to_string()).or_default() +=
                    group.keys.iter().map(|key| show::count(of(key).len())).sum::<i64>();
            }
        }
    }
    look.not_asked = why.values().sum();
    look.why = why.into_iter().map(|(reason, letters)| format!("{letters}: {reason}")).collect();
    look.calls = calls(&made);
    look
}

/// Puts a letter to those of its target, or says why it is not asked for.
fn sort(shared: &Shared, id: &DeadLetterId, groups: &mut BTreeMap<(FlowName, String), Group>) -> Result<(), String> {
    let told = |fault: Fault| fault.to_string();
    let letter = shared.index.get(id).map_err(told)?.ok_or("it has expired")?;
    let (Stage::Load | Stage::Submit | Stage::Audit, Some(key)) = (letter.row.stage, &letter.row.target_key) else {
        return Err("it was not mapped yet and has no key in the target".to_owned());
    };
    let version = letter.row.flow_version.to_string();
    let group = groups.entry((letter.row.flow.clone(), version)).or_default();
    if group.place.is_none() {
        let without_letter = |mut fault: Fault| {
            fault.place.record = None;
            fault.to_string()
        };
        let flow = shared.flow_of(&letter).map_err(without_letter)?;
        group.place = Some(shared.place_of(&flow).map_err(without_letter)?);
    }
    let letters = group.letters.entry(key.to_string()).or_default();
    if letters.is_empty() {
        group.keys.push(key.to_string());
    }
    letters.push(letter.row.id.clone());
    Ok(())
}
