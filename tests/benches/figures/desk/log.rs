//! The topics that the index is made of.

use document::topic;
use queue::{Admin, Cluster, Outgoing, Producer, topics};

use super::letters::Letters;
use crate::say;

/// Letters that are sent at once.
const BATCH: usize = 10_000;

/// Letters and their events on the brokers, as many as were written so far.
#[derive(Debug)]
pub(super) struct Log {
    producer: Producer,
    letters: Letters,
    written: u64,
}

impl Log {
    /// Makes the topics.
    ///
    /// # Errors
    /// What keeps the brokers from answering.
    pub(super) async fn begin(cluster: Cluster) -> anyhow::Result<Self> {
        Admin::connect(&cluster)?.ensure(&topics::house(), 1).await?;
        Ok(Self { producer: Producer::connect(&cluster, "bench")?, letters: Letters::new(), written: 0 })
    }

    /// Writes until there are `letters`.
    ///
    /// # Errors
    /// What keeps the brokers from taking them.
    pub(super) async fn write(&mut self, letters: u64) -> anyhow::Result<()> {
        while self.written < letters {
            let batch = usize::try_from(letters - self.written)?.min(BATCH);
            let mut records = Vec::new();
            for made in self.letters.by_ref().take(batch) {
                records.push(Outgoing::to(topic::DEAD_LETTERS, made.letter));
                records.extend(made.event.map(|event| Outgoing::to(topic::DEAD_LETTER_EVENTS, event)));
            }
            self.producer.send_all(records).await?;
            self.written += u64::try_from(batch)?;
        }
        say(&format!("desk: {} letters in the log", self.written));
        Ok(())
    }
}
