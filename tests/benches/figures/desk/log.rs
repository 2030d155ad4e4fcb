//! The topics that the index is made of.

use document::topic;
use queue::{Admin, Cluster, Outgoing, Producer, topics};

use super::letters::Letters;

/// Letters that are sent at once.
const BATCH: usize = 10_000;

/// Makes the topics and writes so many letters, each with its event where it has one.
///
/// # Errors
/// What keeps the brokers from taking them.
pub(super) async fn write(cluster: &Cluster, letters: u64) -> anyhow::Result<()> {
    Admin::connect(cluster)?.ensure(&topics::house(), 1).await?;
    let producer = Producer::connect(cluster, "bench")?;
    let mut letters = Letters::new().take(usize::try_from(letters)?).peekable();
    while letters.peek().is_some() {
        let mut records = Vec::new();
        for made in letters.by_ref().take(BATCH) {
            records.push(Outgoing::to(topic::DEAD_LETTERS, made.letter));
            records.extend(made.event.map(|event| Outgoing::to(topic::DEAD_LETTER_EVENTS, event)));
        }
        producer.send_all(records).await?;
    }
    Ok(())
}
