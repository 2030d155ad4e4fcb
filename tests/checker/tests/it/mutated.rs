//! Good histories of many bills with one random blow: each is rejected.

use history_checker::{End, Field, History, check};

use crate::good::{Chance, history};

/// Drops, doubles or alters one thing that must not be.
fn mutate(history: &mut History, chance: &mut Chance) -> &'static str {
    let bill = chance.below(history.target.len());
    match chance.below(8) {
        0 => {
            history.extracted.remove(chance.below(history.extracted.len()));
            "a record of the extracted topic dropped"
        }
        1 => {
            // A newer end stands for that of a version it overtook.
            let ends = 0..history.ends.len();
            let ends: Vec<usize> = ends.filter(|at| history.ends[*at].end != End::Superseded).collect();
            history.ends.remove(ends[chance.below(ends.len())]);
            "an end dropped"
        }
        2 => {
            history.intents.remove(chance.below(history.intents.len()));
            "an intent dropped"
        }
        3 => {
            let lost = history.outcomes[chance.below(history.outcomes.len())].clone();
            history.outcomes.retain(|it| (it.way, it.offset) != (lost.way, lost.offset));
            "what became of an input dropped"
        }
        4 => {
            history.target.push(history.target[bill].clone());
            "a bill doubled"
        }
        5 => {
            history.target.remove(bill);
            "a bill dropped"
        }
        6 => {
            let row = chance.below(history.target[bill].rows.len());
            history.target[bill].rows[row].insert("FMaterialId".into(), Field::Text("物料".into()));
            "a row altered"
        }
        _ => {
            let saves: Vec<_> = history.calls.iter().filter(|call| !call.saves.is_empty()).cloned().collect();
            history.calls.push(saves[chance.below(saves.len())].clone());
            "a save doubled"
        }
    }
}

#[test]
fn random_blows_are_noticed() {
    for seed in 1..=500 {
        let mut chance = Chance::new(seed);
        let mut history = history(seed, 4);
        let blow = mutate(&mut history, &mut chance);
        assert_ne!(check(&history), [], "seed {seed}: {blow}");
    }
}
