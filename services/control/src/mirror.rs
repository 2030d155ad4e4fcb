//! What the control plane remembers in `starbridge.control`, as every replica reads it.
//!
//! | key | value |
//! |---|---|
//! | `job/{id}`, `job-items/{id}/{chunk}` | replays ([`crate::core::job`]) |
//! | `answer/{idempotency key}` | [`Answer`]: what a request was answered, for a day |
//! | `reconciliation/{id}`, `reconciliation-findings/{id}/{page}` | reports ([`crate::reconcile::report`]) |
//! | `backfill/{id}` | backfills ([`crate::backfill::job`]) |
//! | `binding/{hash}` | [`Binding`]: who has which role where |
//! | `revoked/{token id}` | [`Revoked`]: a token that was taken back |
//! | `bootstrap` | when the one-time credential was used |
//! | `writer` | [`Writer`]: the replica that writes |
//! | `chain` | the end of the audit chain, for when its topic has expired |
//! | `signed-head` | the latest signed head of that chain ([`crate::audit::SignedHead`]) |
//!
//! All of it is small, so it is held in memory; letters of jobs are the most of it, about 200 bytes each.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use document::{Fault, Received};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::access::{Binding, Revocations};
use crate::core::job::{Chunk, Job, job_key};

/// Before the keys of bindings.
pub const BINDINGS: &str = "binding/";
/// Before the keys of revocations.
pub const REVOKED: &str = "revoked/";
/// Before the keys of answers.
pub const ANSWERS: &str = "answer/";
/// Key of the writer's address.
pub const WRITER: &str = "writer";
/// Key that is there once the bootstrap credential was used.
pub const BOOTSTRAP: &str = "bootstrap";

/// The replica that writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// Its name.
    pub member: String,
    /// Where its gRPC port is reached: `host:port`.
    pub address: String,
}

/// A token that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// When the token would have ended.
    pub expires: DateTime<Utc>,
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The hash of the request.
    pub digest: String,
    /// The response, encoded and in base64.
    pub response: String,
    /// When, unix milliseconds.
    pub at: i64,
}

/// The key of a binding: its content, hashed, so that the same binding is never there twice.
pub fn binding_key(binding: &Binding) -> String {
    let json = serde_json::to_vec(binding).expect("a binding is a plain structure of text");
    let hash: String = blake3::hash(&json).to_hex().chars().take(32).collect();
    format!("{BINDINGS}{hash}")
}

#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<String, Vec<u8>>,
    revocations: Option<Revocations>,
    next: i64,
}

/// A copy of the topic in memory. Cheap to clone; clones are the same copy.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    kept: Arc<RwLock<Kept>>,
    changes: watch::Sender<u64>,
}

impl Mirror {
    /// Takes in records, in the order of the topic.
    pub fn apply(&self, batch: &[Received]) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        for received in batch {
            let Ok(key) = String::from_utf8(received.record.key.clone()) else { continue };
            kept.next = received.offset + 1;
            match &received.record.value {
                Some(value) => {
                    if let Some(id) = key.strip_prefix(REVOKED)
                        && let Ok(revoked) = serde_json::from_slice::<Revoked>(value)
                        && let Some(revocations) = &mut kept.revocations
                    {
                        revocations.revoke_token(id, revoked.expires);
                    }
                    kept.entries.insert(key, value.clone());
                }
                None => drop(kept.entries.remove(&key)),
            }
        }
        drop(kept);
        if !batch.is_empty() {
            self.changes.send_modify(|change| *change += 1);
        }
    }

    /// The topic was read to its end at `now`: no earlier revocation is unknown.
    pub fn heard_all_to(&self, now: DateTime<Utc>) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.revocations.is_none() {
            let mut revocations = Revocations::new(now);
            for (key, value) in kept.entries.range(REVOKED.to_owned()..) {
                let Some(id) = key.strip_prefix(REVOKED) else { break };
                if let Ok(revoked) = serde_json::from_slice::<Revoked>(value) {
                    revocations.revoke_token(id, revoked.expires);
                }
            }
            kept.revocations = Some(revocations);
        }
        if let Some(revocations) = &mut kept.revocations {
            revocations.heard_all_to(now);
            revocations.forget_ended(now);
        }
    }

    /// What is known of tokens that were taken back; before the topic was read once, that nothing is known.
    pub fn revocations(&self) -> Revocations {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.revocations.clone().unwrap_or_else(|| Revocations::new(DateTime::UNIX_EPOCH))
    }

    /// One value.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        serde_json::from_slice(kept.entries.get(key)?).ok()
    }

    /// Every readable value whose key begins so, in the order of keys.
    pub fn all<T: DeserializeOwned>(&self, prefix: &str) -> Vec<(String, T)> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let of_prefix = kept.entries.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        of_prefix.filter_map(|(key, value)| Some((key.clone(), serde_json::from_slice(value).ok()?))).collect()
    }

    /// Who has which role where.
    pub fn bindings(&self) -> Vec<Binding> {
        self.all(BINDINGS).into_iter().map(|(_, binding)| binding).collect()
    }

    /// A job.
    ///
    /// # Errors
    /// `E_REPLAY_UNKNOWN`.
    pub fn job(&self, id: &str) -> Result<Job, Fault> {
        self.get(&job_key(id)).ok_or_else(|| {
            Fault::new(document::Code::ReplayUnknown, "there is no replay of this id").of_record(id.to_owned())
        })
    }

    /// The letters of a job, in order.
    pub fn chunks(&self, id: &str) -> Vec<Chunk> {
        self.all(&format!("job-items/{id}/")).into_iter().map(|(_, chunk)| chunk).collect()
    }

    /// Hears of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use document::Record;

    fn received(offset: i64, key: &str, value: Option<&str>) -> Received {
        let record = Record {
            key: key.as_bytes().to_vec(),
            value: value.map(|value| value.as_bytes().to_vec()),
            ..Record::default()
        };
        Received { topic: "starbridge.control".to_owned(), partition: 0, offset, timestamp: None, record }
    }

    #[test]
    fn a_revocation_is_known_as_soon_as_it_is_read_and_nothing_is_known_before() {
        let mirror = Mirror::default();
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        assert!(!mirror.revocations().is_fresh(now));
        let revoked = |id: &str| received(1, &format!("revoked/{id}"), Some(r#"{"expires":"1970-01-02T01:00:00Z"}"#));
        mirror.apply(&[revoked("a")]);
        mirror.heard_all_to(now);
        mirror.apply(&[revoked("b")]);
        for id in ["a", "b"] {
            assert!(mirror.revocations().is_revoked(id, "li", now), "{id}");
        }
        assert!(!mirror.revocations().is_revoked("c", "li", now));
        assert!(mirror.revocations().is_fresh(now));
    }

    #[test]
    fn the_last_value_counts_and_a_tombstone_forgets() {
        let mirror = Mirror::default();
        mirror.apply(&[received(1, "writer", Some(r#"{"member":"a","address":"a:1"}"#))]);
        mirror.apply(&[received(2, "writer", Some(r#"{"member":"b","address":"b:1"}"#))]);
        assert_eq!(mirror.get::<Writer>(WRITER).map(|writer| writer.member).as_deref(), Some("b"));
        mirror.apply(&[received(3, "writer", None)]);
        assert_eq!(mirror.get::<Writer>(WRITER), None);
        let fault = mirror.job("x").expect_err("no job");
        assert_eq!((fault.code, fault.place.record.as_deref()), (document::Code::ReplayUnknown, Some("x")));
    }
}
