//! The names of the topics, in one place.

use crate::name::FlowName;

/// Flow definitions: `flow@version` and `flow/current`. Compacted.
pub const FLOWS: &str = "starbridge.flows";
/// Commands to the extractor; whoever owns a flow's partition here extracts that flow.
pub const COMMANDS: &str = "starbridge.commands";
/// Checkpoints of the extractor, under the command's partition number. Compacted.
pub const EXTRACT_STATE: &str = "starbridge.extract-state";
/// What the extractor has emitted per document, under the command's partition number.
pub const EXTRACT_SEEN: &str = "starbridge.extract-seen";
/// Every record that could not go on.
pub const DEAD_LETTERS: &str = "starbridge.dead-letters";
/// What became of each dead letter, under its id. Compacted.
pub const DEAD_LETTER_EVENTS: &str = "starbridge.dead-letter-events";
/// What the control plane must remember: jobs, answers to idempotent requests, roles. Compacted.
pub const CONTROL: &str = "starbridge.control";
/// Who did what, as a chain. One partition: whoever owns it is the control plane's writer.
pub const AUDIT: &str = "starbridge.audit";

/// Partitions of [`COMMANDS`], [`EXTRACT_STATE`] and [`EXTRACT_SEEN`]. Fixed: a flow's owner is found by hash.
pub const COMMAND_PARTITIONS: i32 = 32;

/// Bills as the source gave them.
pub fn extracted(flow: &FlowName) -> String {
    format!("starbridge.{flow}.extracted")
}

/// Bills as the target wants them; the value is one element of batchSave's `Model`.
pub fn mapped(flow: &FlowName) -> String {
    format!("starbridge.{flow}.mapped")
}

/// What the loader knows of each target key; same partition count as [`mapped`].
pub fn ledger(flow: &FlowName) -> String {
    format!("starbridge.{flow}.ledger")
}

/// The flow whose mapped or extracted topic this is.
pub fn flow_of(topic: &str) -> Option<FlowName> {
    let inner = topic.strip_prefix("starbridge.")?;
    let (flow, kind) = inner.rsplit_once('.')?;
    matches!(kind, "extracted" | "mapped" | "ledger").then(|| FlowName::new(flow).ok())?
}

/// The partition of [`COMMANDS`] whose owner extracts `flow`: the first 8 bytes of the BLAKE3 hash of its name,
/// modulo [`COMMAND_PARTITIONS`].
pub fn command_partition(flow: &FlowName) -> i32 {
    let hash = blake3::hash(flow.as_str().as_bytes());
    let mut head = [0_u8; 8];
    head.copy_from_slice(&hash.as_bytes()[..8]);
    let partitions = u64::from(COMMAND_PARTITIONS.unsigned_abs());
    i32::try_from(u64::from_be_bytes(head) % partitions).expect("a remainder by 32 fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_names_come_back_from_topic_names() {
        let flow = FlowName::new("misc-inbound").expect("valid");
        assert_eq!(flow_of(&mapped(&flow)), Some(flow.clone()));
        assert_eq!(flow_of(&extracted(&flow)), Some(flow.clone()));
        assert_eq!(flow_of(FLOWS), None);
        assert_eq!(flow_of("other.misc-inbound.mapped"), None);
        assert!((0..COMMAND_PARTITIONS).contains(&command_partition(&flow)));
    }
}
