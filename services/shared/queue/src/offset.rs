//! Partitions and the offsets to go on from. Only this module adds the one.

use std::fmt;

use document::Received;

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// Its partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// Where a record was read.
    pub fn of(received: &Received) -> Self {
        Self::new(received.topic.clone(), received.partition)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The next offset to read of a partition: what a group saves. Never the offset of the record just handled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Next {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The offset to read next.
    pub offset: i64,
}

impl Next {
    /// What to save once `received` and everything before it in its partition has ended.
    pub fn after(received: &Received) -> Self {
        Self::beyond(&received.topic, received.partition, received.offset)
    }

    /// What to save once the record at `offset`, and everything before it, has ended.
    pub fn beyond(topic: &str, partition: i32, offset: i64) -> Self {
        Self { topic: topic.to_owned(), partition, offset: offset + 1 }
    }

    /// What to save so that the record at `offset` is the next one read.
    pub fn at(topic: &str, partition: i32, offset: i64) -> Self {
        Self { topic: topic.to_owned(), partition, offset }
    }

    /// The partition this is about.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), self.partition)
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Record;

    #[test]
    fn the_next_offset_is_one_beyond_the_record() {
        let received =
            Received { topic: "t".into(), partition: 3, offset: 41, timestamp: None, record: Record::default() };
        assert_eq!(Next::after(&received), Next::at("t", 3, 42));
        assert_eq!(Next::beyond("t", 3, 41), Next::after(&received));
        assert_eq!(Next::after(&received).topic_partition(), TopicPartition::of(&received));
        assert_eq!(Next::after(&received).to_string(), "t/3@42");
    }
}
