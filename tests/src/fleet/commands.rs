//! Commands to the owner of the flow, published as the desk would.

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord};
use serde_json::Value;

/// Where the owner of the flow reads its commands.
const PARTITION: i32 = 8;

/// Publishes to `starbridge.commands`.
pub struct Commands(BaseProducer);

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Commands").finish_non_exhaustive()
    }
}

impl Commands {
    /// To these brokers: `host:port`, comma separated.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn to(brokers: &str) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("message.timeout.ms", "5000")
            .set("log_level", "0")
            .create()
            .context("making a producer")?;
        Ok(Self(producer))
    }

    /// Sends one command, a JSON object, and waits for nothing: one that does not reach the broker is lost.
    ///
    /// # Errors
    /// The queue of the client is full.
    pub fn send(&self, command: &Value) -> anyhow::Result<()> {
        let text = command.to_string();
        let record = BaseRecord::to("starbridge.commands").key("misc-inbound").payload(text.as_bytes());
        self.0.send(record.partition(PARTITION)).map_err(|(error, _)| error).context("a command")?;
        self.0.poll(Duration::ZERO);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_go_where_the_flows_owner_reads() {
        let flow = document::FlowName::new("misc-inbound").expect("valid");
        assert_eq!(document::topic::command_partition(&flow), PARTITION);
    }
}
