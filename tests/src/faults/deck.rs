//! What is dealt to the runs of a series: each way in which a row of the failure table is hit comes in turn, and not by
//! chance.

use super::dice::Dice;
use super::row::Row;

/// Runs that share the whole deck. Their first has a number that follows one of its multiples.
pub(super) const ROUND: u64 = 10;
/// Cards of a run.
pub(super) const HAND: usize = 7;

/// One way in which a row is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Card {
    pub(super) row: Row,
    /// Which of its ways.
    pub(super) way: usize,
    /// How often the whole deck was dealt before.
    pub(super) round: usize,
}

impl Card {
    /// One of these, another in the next round.
    pub(super) fn one<T: Copy>(self, of: &[T]) -> T {
        of[(self.round + self.way) % of.len()]
    }
}

/// Which round the run of this seed belongs to, and which run of the round it is.
pub(super) fn place(seed: u64) -> (u64, u64) {
    let at = seed.saturating_add(ROUND - 1);
    (at / ROUND, at % ROUND)
}

/// The cards of the run of this seed, of other rows each; where `only` names rows, of these, and as many.
pub(super) fn deal(seed: u64, only: &[Row]) -> Vec<Card> {
    let (round, place) = place(seed);
    let mut dice = Dice::of(round.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xDEC);
    let mut rows: Vec<Row> = Row::ALL.into_iter().filter(|row| row.is_in_the_deck()).collect();
    rows.retain(|row| only.is_empty() || only.contains(row));
    dice.shuffle(&mut rows);
    let [round, place] = [round, place].map(|number| usize::try_from(number).unwrap_or_default());
    let mut deck = Vec::new();
    for row in rows {
        let mut ways: Vec<usize> = (0..row.ways()).collect();
        dice.shuffle(&mut ways);
        deck.extend(ways.into_iter().map(|way| Card { row, way, round }));
    }
    if only.is_empty() {
        // The ways of a row lie side by side, so they come to different runs.
        let runs = usize::try_from(ROUND).unwrap_or_default();
        return deck.into_iter().skip(place).step_by(runs).collect();
    }
    deck.into_iter().cycle().skip(place * HAND).take(HAND).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_way_comes_once_in_ten_runs_and_no_row_twice_to_one() {
        let ways: usize = Row::ALL.into_iter().map(Row::ways).sum();
        assert_eq!(ways, HAND * usize::try_from(ROUND).expect("a few"));
        for first in [1, 11, 41, 991] {
            let mut seen: BTreeMap<(Row, usize), usize> = BTreeMap::new();
            for seed in first..first + ROUND {
                let hand = deal(seed, &[]);
                assert_eq!(hand, deal(seed, &[]));
                assert_eq!(hand.len(), HAND);
                let rows: std::collections::BTreeSet<Row> = hand.iter().map(|card| card.row).collect();
                assert_eq!(rows.len(), HAND, "seed {seed}: {hand:?}");
                for card in hand {
                    *seen.entry((card.row, card.way)).or_default() += 1;
                }
            }
            assert_eq!((seen.len(), seen.values().max()), (ways, Some(&1)), "seeds from {first}");
        }
        assert_ne!(deal(1, &[]), deal(11, &[]));
    }

    #[test]
    fn every_way_comes_three_times_in_any_forty_runs() {
        for first in 0..60 {
            let mut seen: BTreeMap<(Row, usize), usize> = BTreeMap::new();
            for card in (first..first + 40).flat_map(|seed| deal(seed, &[])) {
                *seen.entry((card.row, card.way)).or_default() += 1;
            }
            assert!(seen.values().all(|times| *times >= 3), "seeds from {first}: {seen:?}");
        }
    }

    #[test]
    fn what_is_named_is_dealt_alone_and_in_turn() {
        let hands: Vec<Card> = (1..=10).flat_map(|seed| deal(seed, &[Row::Redis])).collect();
        assert_eq!(hands.len(), 70);
        assert!((0..Row::Redis.ways()).all(|way| hands.iter().filter(|card| card.way == way).count() == 14));
    }
}
