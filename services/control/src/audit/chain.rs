//! Adding to the chain, and checking it.

use std::collections::BTreeMap;

use chrono::SubsecRound as _;
use document::{Code, Fault};

use super::entry::{Deed, Entry, Hash, Head};

/// The entry of `deed` that follows the chain ending at `head`. The chain ends at [`Entry::head`] once the entry is
/// durable, and not before: an entry that was not written leaves the head where it was.
pub fn append(head: &Head, deed: Deed) -> Entry {
    let mut entry = Entry {
        v: Entry::VERSION,
        seq: head.seq + 1,
        time: deed.time.trunc_subsecs(3),
        actor: deed.actor,
        role: deed.role,
        action: deed.action,
        object: deed.object,
        scope: deed.scope,
        params_digest: deed.params_digest,
        reason: deed.reason,
        result: deed.result,
        request_id: deed.request_id,
        prev_hash: head.hash,
        hash: Hash::ZERO,
        more: String::new(),
    };
    entry.hash = entry.content_hash();
    entry
}

/// The first place where a chain is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("audit entry {seq} {flaw}")]
pub struct Tampering {
    /// The place in the chain, counted from 1; of a signed head, the place it names.
    pub seq: u64,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// What can be wrong in a place of the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The bytes are not an entry, or not in its one form.
    #[error("is not in the form of an entry")]
    Unreadable,
    /// Another entry stands there: some were taken out, put in, repeated or exchanged.
    #[error("is not there: entry {found} stands in its place")]
    OutOfPlace {
        /// The number that the entry carries.
        found: u64,
    },
    /// It does not carry the hash of the entry before it.
    #[error("does not follow from the entry before it")]
    Unlinked,
    /// Its content does not have its hash.
    #[error("was changed after it was written")]
    Changed,
    /// The chain is whole, but it is not the one whose head was signed.
    #[error("is not the entry whose hash was signed: the chain was rewritten")]
    Rewritten,
    /// The chain ends before it, though a head at or after it was signed.
    #[error("is missing: the end of the chain was cut off")]
    CutOff,
    /// A signed head does not have the signature of a known key.
    #[error("is named by a head whose signature is wrong")]
    HeadForged,
}

impl From<Tampering> for Fault {
    fn from(tampering: Tampering) -> Self {
        Fault::new(Code::AuditTampered, tampering.flaw.to_string()).of_record(format!("audit entry {}", tampering.seq))
    }
}

/// Checks entries one after the other, so that a topic of any length can be read through it.
#[derive(Debug, Clone)]
pub struct Verifier {
    head: Head,
    signed: BTreeMap<u64, Hash>,
}

impl Verifier {
    /// Begins after `start`, which is [`Head::GENESIS`] or the end of a chain that was checked before. The chain must go
    /// through every head of `signed`, which [`super::HeadKey::check`] gave; those before `start` are not looked at.
    ///
    /// # Errors
    /// [`Tampering`] when `start` itself is not what was signed, or two signed heads disagree.
    pub fn new(start: Head, signed: &[Head]) -> Result<Self, Tampering> {
        let mut kept = BTreeMap::new();
        for head in signed.iter().filter(|head| head.seq >= start.seq) {
            let other = kept.insert(head.seq, head.hash).is_some_and(|earlier| earlier != head.hash);
            if other || (head.seq == start.seq && head.hash != start.hash) {
                return Err(Tampering { seq: head.seq, flaw: Flaw::Rewritten });
            }
        }
        Ok(Self { head: start, signed: kept })
    }

    /// Checks the next entry, as its bytes are in the topic, and gives it.
    ///
    /// # Errors
    /// [`Tampering`] in its place. What follows a broken place cannot be judged.
    pub fn check(&mut self, bytes: &[u8]) -> Result<Entry, Tampering> {
        let seq = self.head.seq + 1;
        let broken = |flaw| Err(Tampering { seq, flaw });
        let Some(entry) = Entry::decode(bytes) else { return broken(Flaw::Unreadable) };
        if entry.seq != seq {
            return broken(Flaw::OutOfPlace { found: entry.seq });
        }
        if entry.hash != entry.content_hash() {
            return broken(Flaw::Changed);
        }
        if entry.prev_hash != self.head.hash {
            return broken(Flaw::Unlinked);
        }
        if self.signed.get(&seq).is_some_and(|signed| *signed != entry.hash) {
            return broken(Flaw::Rewritten);
        }
        self.head = entry.head();
        Ok(entry)
    }

    /// The end of the chain, once no entry is left.
    ///
    /// # Errors
    /// [`Tampering`] when a signed head lies beyond it.
    pub fn finish(self) -> Result<Head, Tampering> {
        match self.signed.last_key_value() {
            Some((signed, _)) if *signed > self.head.seq => {
                Err(Tampering { seq: self.head.seq + 1, flaw: Flaw::CutOff })
            }
            Some(_) | None => Ok(self.head),
        }
    }
}

/// Checks all `entries` that follow `start`, and gives the end of the chain. See [`Verifier`].
///
/// # Errors
/// The first [`Tampering`].
pub fn verify<B: AsRef<[u8]>>(
    entries: impl IntoIterator<Item = B>,
    start: Head,
    signed: &[Head],
) -> Result<Head, Tampering> {
    let mut verifier = Verifier::new(start, signed)?;
    for entry in entries {
        verifier.check(entry.as_ref())?;
    }
    verifier.finish()
}
