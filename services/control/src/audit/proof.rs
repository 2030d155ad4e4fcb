//! The whole trail, judged: its chain from the first entry that is left, and the heads that were signed of it.

use chrono::{DateTime, Utc};

use super::chain::{Tampering, Verifier};
use super::entry::{Entry, Hash, Head};
use super::head::SignedHead;
use crate::access::KeyRing;

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Entries that are as they were written.
    pub entries: u64,
    /// The hash of the last of them.
    pub head: Hash,
    /// The first place that is not; absent when the trail is whole.
    pub broken: Option<Tampering>,
}

/// Judges `records`, the values of the topic in order, by their chain and by `signed`: heads of the installation itself,
/// and those that somebody kept. `expired`: the topic's first records are gone by their age, so that the chain is judged
/// from the first entry that is left, and heads before it say nothing any more.
pub fn prove<B: AsRef<[u8]>>(
    records: &[B],
    expired: bool,
    signed: &[SignedHead],
    keys: &KeyRing,
    now: DateTime<Utc>,
) -> Proof {
    let first = records.first().filter(|_| expired);
    let first = first.and_then(|bytes| Entry::decode(bytes.as_ref())).filter(|entry| entry.seq > 1);
    let start = first.map_or(Head::GENESIS, |entry| Head { seq: entry.seq - 1, hash: entry.prev_hash });
    let mut proof = Proof { entries: 0, head: start.hash, broken: None };
    let judged = signed.iter().map(|signed| signed.check(keys, now)).collect::<Result<Vec<Head>, _>>();
    let whole = judged.and_then(|heads| {
        let mut verifier = Verifier::new(start, &heads)?;
        for bytes in records {
            proof.head = verifier.check(bytes.as_ref())?.hash;
            proof.entries += 1;
        }
        verifier.finish()
    });
    proof.broken = whole.err();
    proof
}
