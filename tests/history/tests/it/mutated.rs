//! The recorded run with one thing of a kind, drawn by seed, dropped, doubled or altered: ten kinds, all rejected.

use history_checker::Invariant::*;
use history_checker::{Field, History, Invariant, Sent, StateWrite, Told};
use rust_decimal::Decimal;

use crate::corrupted::broken;
use crate::recorded;

/// A small generator of its own, so that a seed draws the same everywhere.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).expect("small")).expect("small")
    }
}

type Mutation = fn(&mut History, &mut Chance);

const MUTATIONS: [(&str, &[Invariant], Mutation); 10] = [
    ("a record of the extracted topic dropped", &[I1, I2], |it, chance| {
        it.extracted.remove(chance.below(it.extracted.len()));
    }),
    ("what was seen altered", &[I2], |it, chance| {
        let at = chance.below(it.seen.len());
        it.seen[at].digest.push('0');
    }),
    ("a write of state by another", &[I3], |it, chance| {
        let mut writes: Vec<&mut StateWrite> = it.state.iter_mut().filter(|write| !write.barrier).collect();
        let at = chance.below(writes.len());
        writes[at].producer.1 += 1;
    }),
    ("what became of an input dropped", &[I4], |it, chance| {
        it.outcomes.remove(chance.below(it.outcomes.len()));
    }),
    ("the intents of a save dropped", &[I5], |it, chance| {
        let sent: Vec<&Sent> = it.calls.iter().flat_map(|call| &call.saves).collect();
        let key = &sent[chance.below(sent.len())].key;
        it.intents.retain(|intent| intent.documents.iter().all(|document| document.key != *key));
    }),
    ("a save doubled", &[I5, I6], |it, chance| {
        let saved = |sent: &Sent| sent.told == Told::Saved;
        let saves: Vec<_> = it.calls.iter().filter(|call| call.saves.iter().any(saved)).cloned().collect();
        let mut call = saves[chance.below(saves.len())].clone();
        call.at += 3_600_000;
        call.until += 3_600_000;
        it.calls.push(call);
    }),
    ("a bill doubled", &[I7], |it, chance| it.target.push(it.target[chance.below(it.target.len())].clone())),
    ("the ends of a number dropped", &[I8], |it, chance| {
        let key = it.mapped[chance.below(it.mapped.len())].key.clone();
        it.ends.retain(|end| end.key != key);
    }),
    ("a quantity altered", &[I10], |it, chance| {
        let bill = chance.below(it.target.len());
        let row = chance.below(it.target[bill].rows.len());
        let Some(Field::Number(quantity)) = it.target[bill].rows[row].get_mut("FQty") else {
            unreachable!("a quantity")
        };
        *quantity += Decimal::new(1, 4);
    }),
    ("a bill dropped", &[I10, I12], |it, chance| drop(it.target.remove(chance.below(it.target.len())))),
];

#[test]
fn random_blows_are_noticed_for_what_they_break() {
    let mut wrong = Vec::new();
    for (name, breaks, mutate) in MUTATIONS {
        for seed in 1..=40 {
            let mut history = recorded();
            mutate(&mut history, &mut Chance::new(seed));
            let broken = broken(&history);
            if broken != breaks {
                wrong.push(format!("{name}, seed {seed}: {broken:?}, not {breaks:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
