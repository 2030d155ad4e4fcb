//! A static member that comes back: the broker hands it its former assignment without a rebalance, whatever it
//! subscribes to now.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::groups::GroupInfo;

use super::{Hook, Shared};
use crate::admin::{counts, patiently};
use crate::offset::TopicPartition;

/// How long the group is asked; together with asking for positions below what the watchdog allows.
const ASK: Duration = Duration::from_secs(6);
/// What a group is called in which every assignment is known.
const STABLE: &str = "Stable";

/// Whether the subscription names topics that exist and that nobody in the group was assigned: `given`, the first
/// assignment, is one of before they were subscribed to. Blocks.
pub(crate) fn former(
    consumer: &BaseConsumer<Hook>,
    shared: &Shared,
    given: &[TopicPartition],
) -> Result<bool, KafkaError> {
    let mut unread: BTreeSet<String> = shared.lock().subscribed.iter().cloned().collect();
    for partition in given {
        unread.remove(&partition.topic);
    }
    // Others in the group are asked for only then: a member alone that comes back unchanged has everything.
    if unread.is_empty() {
        return Ok(false);
    }
    let groups = patiently(consumer, ASK, |once| consumer.fetch_group_list(Some(&shared.group), once))?;
    let group = groups.groups().iter().find(|group| group.name() == shared.group);
    // A group that is on the move again goes by the subscriptions of now without being told.
    if group.is_some_and(|group| group.state() != STABLE) {
        return Ok(false);
    }
    let read = group.map(read_by).unwrap_or_default();
    unread.retain(|topic| !read.contains(topic));
    if unread.is_empty() {
        return Ok(false);
    }
    let present = patiently(consumer, ASK, |once| consumer.fetch_metadata(None, once).map(|all| counts(&all)))?;
    Ok(unread.iter().any(|topic| present.contains_key(topic)))
}

fn read_by(group: &GroupInfo) -> BTreeSet<String> {
    let assignments = group.members().iter().filter_map(|member| member.assignment());
    assignments.filter_map(topics_of).flatten().collect()
}

/// The topics of an assignment in the form of the consumer protocol: version, then for each topic its name and its
/// partitions. `None` when it is not in that form; of a member that was assigned nothing it may be empty.
fn topics_of(mut assignment: &[u8]) -> Option<Vec<String>> {
    let rest = &mut assignment;
    let _version = i16::from_be_bytes(take(rest)?);
    let count = i32::from_be_bytes(take(rest)?);
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(i16::from_be_bytes(take(rest)?)).ok()?;
        let (name, behind) = rest.split_at_checked(length)?;
        *rest = behind;
        topics.push(String::from_utf8(name.to_vec()).ok()?);
        for _ in 0..i32::from_be_bytes(take(rest)?) {
            take::<4>(rest)?;
        }
    }
    Some(topics)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(topics: &[(&str, &[i32])]) -> Vec<u8> {
        let mut bytes = [&1_i16.to_be_bytes()[..], &i32::try_from(topics.len()).expect("few").to_be_bytes()].concat();
        for (name, partitions) in topics {
            bytes.extend(i16::try_from(name.len()).expect("short").to_be_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend(i32::try_from(partitions.len()).expect("few").to_be_bytes());
            partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
        }
        // No user data.
        bytes.extend((-1_i32).to_be_bytes());
        bytes
    }

    #[test]
    fn the_topics_of_an_assignment_are_read() {
        let bytes = assignment(&[("starbridge.a.mapped", &[0, 3]), ("b", &[1])]);
        assert_eq!(topics_of(&bytes), Some(vec!["starbridge.a.mapped".to_owned(), "b".to_owned()]));
        assert_eq!(topics_of(&assignment(&[])), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_assignment_names_no_topics() {
        assert_eq!(topics_of(&[]), None);
        let bytes = assignment(&[("a", &[0, 3])]);
        let (cut, _) = bytes.split_at(bytes.len() - 5);
        assert_eq!(topics_of(cut), None);
    }
}
