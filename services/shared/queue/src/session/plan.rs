//! Which input partitions fence a transaction.

use std::collections::BTreeMap;

use super::Transaction;
use crate::error::Error;
use crate::offset::{Next, TopicPartition};

/// The input partition whose state lies in `state`, among `owned`.
pub(crate) fn input_of(
    state: &TopicPartition,
    state_topics: fn(&str) -> Vec<String>,
    owned: &[TopicPartition],
) -> Option<TopicPartition> {
    owned
        .iter()
        .find(|input| input.partition == state.partition && state_topics(&input.topic).contains(&state.topic))
        .cloned()
}

/// The positions of the input partitions that a transaction is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Positions {
    /// As they are saved.
    pub(crate) saved: Vec<Next>,
    /// As they will be.
    pub(crate) next: Vec<Next>,
}

/// The positions a transaction carries: those it names and, unmoved, those of the inputs of its facts.
///
/// A fact whose topic is nobody's state topic fences nothing; a fact whose input is not owned moved with it.
pub(crate) fn fence(
    transaction: &Transaction,
    state_topics: fn(&str) -> Vec<String>,
    owned: &[TopicPartition],
    saved: impl Fn(&TopicPartition) -> Option<i64>,
) -> Result<Positions, Error> {
    let inputs: BTreeMap<TopicPartition, &TopicPartition> = owned
        .iter()
        .flat_map(|input| {
            state_topics(&input.topic)
                .into_iter()
                .map(move |topic| (TopicPartition::new(topic, input.partition), input))
        })
        .collect();
    let mut wanted: BTreeMap<TopicPartition, (i64, i64)> = BTreeMap::new();
    let mut moved = Vec::new();
    for next in &transaction.offsets {
        let name = next.topic_partition();
        match saved(&name) {
            // A saved position never goes back.
            Some(saved) => {
                let (_, offset) = wanted.entry(name).or_insert((saved, saved));
                *offset = next.offset.max(*offset);
            }
            None => moved.push(name),
        }
    }
    for fact in &transaction.facts {
        let Some(partition) = fact.partition else { return Err(Error::Unfenced) };
        let state = TopicPartition::new(fact.topic.clone(), partition);
        match inputs.get(&state) {
            Some(input) => {
                let at = saved(input).unwrap_or_default();
                wanted.entry((*input).clone()).or_insert((at, at));
            }
            None => moved.push(state),
        }
    }
    if !moved.is_empty() {
        moved.sort();
        moved.dedup();
        return Err(Error::NotOwned { partitions: moved });
    }
    if wanted.is_empty() {
        return Err(Error::Unfenced);
    }
    let (saved, next) = wanted
        .into_iter()
        .map(|(name, (saved, next))| {
            let at = |offset| Next::at(&name.topic, name.partition, offset);
            (at(saved), at(next))
        })
        .unzip();
    Ok(Positions { saved, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::Outgoing;
    use document::{Code, Record};

    fn states(topic: &str) -> Vec<String> {
        match topic {
            "in" => vec!["state".to_owned(), "seen".to_owned()],
            _ => Vec::new(),
        }
    }

    fn owned() -> Vec<TopicPartition> {
        vec![TopicPartition::new("in", 0), TopicPartition::new("in", 1), TopicPartition::new("other", 1)]
    }

    fn saved(name: &TopicPartition) -> Option<i64> {
        owned().contains(name).then_some(10 + i64::from(name.partition))
    }

    fn fact(topic: &str, partition: i32) -> Outgoing {
        Outgoing::to_partition(topic, partition, Record { key: b"k".to_vec(), ..Record::default() })
    }

    fn plan(facts: Vec<Outgoing>, offsets: Vec<Next>) -> Result<Positions, Error> {
        fence(&Transaction { data: Vec::new(), facts, offsets }, states, &owned(), saved)
    }

    #[test]
    fn inputs_of_facts_are_added_unmoved() {
        let planned = plan(vec![fact("state", 1), fact("seen", 1)], vec![Next::at("in", 0, 15)]).expect("fenced");
        assert_eq!(planned.saved, [Next::at("in", 0, 10), Next::at("in", 1, 11)]);
        assert_eq!(planned.next, [Next::at("in", 0, 15), Next::at("in", 1, 11)]);
    }

    #[test]
    fn a_named_position_wins_and_never_goes_back() {
        let planned = plan(vec![fact("state", 0)], vec![Next::at("in", 0, 15), Next::at("in", 1, 3)]).expect("fenced");
        assert_eq!(planned.next, [Next::at("in", 0, 15), Next::at("in", 1, 11)]);
    }

    #[test]
    fn what_has_moved_stops_the_whole_transaction() {
        let error = plan(vec![fact("state", 2)], vec![Next::at("in", 5, 1)]).expect_err("moved");
        assert_eq!(error.code(), Code::NotOwned);
        assert_eq!(error.place().record.as_deref(), Some("in/5, state/2"));
        assert!(!error.recycles());
    }

    #[test]
    fn nothing_is_sent_that_no_input_fences() {
        let error = plan(Vec::new(), Vec::new()).expect_err("unfenced");
        assert_eq!((error.code(), error.place()), (Code::Unfenced, document::Place::default()));
        let hashed = Outgoing::to("state", Record::default());
        assert_eq!(plan(vec![hashed], Vec::new()).expect_err("no partition").code(), Code::Unfenced);
    }

    #[test]
    fn state_is_found_under_its_inputs_number() {
        assert_eq!(input_of(&TopicPartition::new("seen", 1), states, &owned()), Some(TopicPartition::new("in", 1)));
        assert_eq!(input_of(&TopicPartition::new("seen", 2), states, &owned()), None);
    }
}
