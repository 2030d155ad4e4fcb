//! Good histories of many bills with one random blow: each is rejected for what the blow breaks, and for nothing else.

use history_checker::Invariant::*;
use history_checker::{End, Field, History, Invariant, Told};

use crate::corrupted::broken;
use crate::good::{Chance, history};

/// Drops, doubles or alters one thing that must not be: what it was, and what that breaks.
fn mutate(history: &mut History, chance: &mut Chance) -> (&'static str, Vec<Invariant>) {
    let bill = chance.below(history.target.len());
    match chance.below(8) {
        0 => {
            let lost = history.extracted.remove(chance.below(history.extracted.len()));
            // A newer record of the same bill stands for it at the source.
            let newer = history.extracted.iter().any(|it| it.document == lost.document && it.stamp >= lost.stamp);
            ("a record of the extracted topic dropped", if newer { vec![I2] } else { vec![I1, I2] })
        }
        1 => {
            // A newer end stands for that of a version it overtook.
            let ends = 0..history.ends.len();
            let ends: Vec<usize> = ends.filter(|at| history.ends[*at].end != End::Superseded).collect();
            history.ends.remove(ends[chance.below(ends.len())]);
            ("an end dropped", vec![I8])
        }
        2 => {
            history.intents.remove(chance.below(history.intents.len()));
            ("an intent dropped", vec![I5])
        }
        3 => {
            let lost = history.outcomes[chance.below(history.outcomes.len())].clone();
            history.outcomes.retain(|it| (it.way, it.offset) != (lost.way, lost.offset));
            ("what became of an input dropped", vec![I4])
        }
        4 => {
            history.target.push(history.target[bill].clone());
            ("a bill doubled", vec![I7])
        }
        5 => {
            history.target.remove(bill);
            ("a bill dropped", vec![I10, I12])
        }
        6 => {
            let row = chance.below(history.target[bill].rows.len());
            history.target[bill].rows[row].insert("FMaterialId".into(), Field::Text("物料".into()));
            ("a row altered", vec![I10])
        }
        _ => {
            let saves: Vec<_> = history.calls.iter().filter(|call| !call.saves.is_empty()).cloned().collect();
            let save = saves[chance.below(saves.len())].clone();
            // What was refused created nothing, so no proof is missing.
            let refused = save.saves.iter().all(|sent| sent.told == Told::Rejected);
            history.calls.push(save);
            ("a save doubled", if refused { vec![I5, I11] } else { vec![I5, I6, I11] })
        }
    }
}

#[test]
fn random_blows_are_noticed_for_what_they_break() {
    for seed in 1..=500 {
        let mut chance = Chance::new(seed);
        let mut history = history(seed, 4);
        let (blow, breaks) = mutate(&mut history, &mut chance);
        assert_eq!(broken(&history), breaks, "seed {seed}: {blow}");
    }
}
