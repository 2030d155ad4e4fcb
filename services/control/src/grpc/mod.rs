//! The doors: gRPC over TLS 1.3, one file a service, and one [`gate`] that every call passes.

pub mod access;
pub mod audit;
pub mod backfills;
mod canary;
pub mod connections;
pub mod dead_letters;
pub mod doubts;
pub(crate) mod edit_check;
pub mod flows;
pub mod gate;
mod held;
pub(crate) mod place;
pub mod reconciliations;
pub mod records;
pub mod replays;
pub mod selection;
pub mod server;
pub mod show;
pub mod status;
pub mod system;
mod target_look;
pub mod timed;
pub mod under_way;

use std::sync::Arc;

use document::{Code, Fault};
use prost::Message;
use queue::{Admin, FlowRegistry, Peek};
use runtime::Clock;
use secrecy::SecretString;
use starbridge_proto::v1;
use tonic::Status;

use crate::access::Bootstrap;
use crate::audit::{Hash, Outcome};
use crate::config::FlowSettings;
use crate::extracts::Extracts;
use crate::follow::Progress;
use crate::index::Index;
use crate::mask::Masker;
use crate::metrics::ControlMetrics;
use crate::mirror::Mirror;
use crate::systems::Systems;
use crate::writer::desk::Desk;
use crate::writer::request::{Decided, Handle, Jobs, Meta};
use gate::Gate;
use status::status;

/// Bounds on what one request may ask.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Letters a second of a replay that names no rate.
    pub rate: f64,
    /// The highest rate of a replay.
    pub rate_max: f64,
    /// Letters of one replay, or of one change of many.
    pub letters: usize,
    /// Letters of one export.
    pub exported: usize,
    /// Above how many letters a replay needs another person's approval, and within how many milliseconds; `None` where
    /// none does.
    pub approval: Option<(usize, i64)>,
}

/// What every service looks at.
#[derive(Debug)]
pub struct Shared {
    /// What can be asked of letters.
    pub index: Arc<Index>,
    /// What the control plane remembers.
    pub mirror: Mirror,
    /// How far sources have been read.
    pub extracts: Extracts,
    /// The published flows.
    pub flows: FlowRegistry,
    /// Looks at single records.
    pub peek: Peek,
    /// Makes topics.
    pub admin: Admin,
    /// The way to the writer.
    pub writer: Handle,
    /// How far the index is.
    pub progress: Progress,
    /// Time.
    pub clock: Clock,
    /// Who is let in.
    pub gate: Gate,
    /// What payloads hide.
    pub masker: Masker,
    /// The systems that flows read from and write to.
    pub systems: Systems,
    /// Bounds on requests.
    pub bounds: Bounds,
    /// The credential that makes the first administrator, where one is set.
    pub bootstrap: Option<Bootstrap>,
    /// The name of this replica.
    pub member: String,
    /// Who carries what of flows.
    pub carriers: FlowSettings,
    /// Replicas of a topic that is made here.
    pub replication: i32,
    /// Settings that make the installation less safe, in words.
    pub warnings: Vec<String>,
    /// What is counted.
    pub metrics: ControlMetrics,
}

impl Shared {
    /// Has a change decided, written and answered.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the change names no key, and what the decision says.
    pub async fn change<R: Message + Default>(
        &self,
        meta: Meta,
        change: Option<&v1::Change>,
        needs_reason: bool,
        decide: impl FnOnce(&mut Desk<'_>, &Jobs<'_>) -> Result<(Decided, R), Fault> + Send + 'static,
    ) -> Result<R, Status> {
        let meta = with_change(meta, change, needs_reason).map_err(|fault| status(&fault))?;
        self.changed(meta, decide).await
    }

    /// The same, of a change whose words are in `meta` already.
    ///
    /// # Errors
    /// What the decision says.
    pub async fn changed<R: Message + Default>(
        &self,
        meta: Meta,
        decide: impl FnOnce(&mut Desk<'_>, &Jobs<'_>) -> Result<(Decided, R), Fault> + Send + 'static,
    ) -> Result<R, Status> {
        let submitted = self.writer.submit(meta, move |desk, jobs| {
            let (mut decided, response) = decide(desk, jobs)?;
            decided.answer = response.encode_to_vec();
            Ok(decided)
        });
        let answer = submitted.await.map_err(|fault| match fault.code {
            Code::NotActive => self.elsewhere(),
            _ => status(&fault),
        })?;
        R::decode(answer.as_slice())
            .map_err(|error| status(&Fault::new(Code::Index, format!("an earlier answer does not read: {error}"))))
    }
}

impl Shared {
    /// Writes how far a change came whose effect is not in the writer's own transaction: before the effect, and where it
    /// failed. Its end is told by [`Shared::change`].
    ///
    /// # Errors
    /// As [`Shared::change`].
    pub async fn note(
        &self,
        meta: Meta,
        change: Option<&v1::Change>,
        needs_reason: bool,
        result: Outcome,
    ) -> Result<(), Status> {
        let meta = with_change(meta, change, needs_reason).map_err(|fault| status(&fault))?;
        let meta = Meta { result, idempotency_key: None, ..meta };
        let noted = self.writer.submit(meta, |_, _| Ok(Decided::default())).await;
        noted.map(drop).map_err(|fault| match fault.code {
            Code::NotActive => self.elsewhere(),
            _ => status(&fault),
        })
    }
}

/// What a caller said of a change, in the audit entry's words.
///
/// # Errors
/// `E_REQUEST` when the key is missing or too long, or a reason is missing or too long.
pub fn with_change(mut meta: Meta, change: Option<&v1::Change>, needs_reason: bool) -> Result<Meta, Fault> {
    let wrong = |path: &str, detail: &str| Err(Fault::new(Code::RequestInvalid, detail).at_path(path));
    let Some(change) = change else { return wrong("$.change", "is missing: a change says who asks, and why") };
    match change.idempotency_key.chars().count() {
        0 if !change.dry_run => return wrong("$.change.idempotency_key", "is missing"),
        0..=128 => {}
        _ => return wrong("$.change.idempotency_key", "is longer than 128 characters"),
    }
    match change.reason.trim().chars().count() {
        0 if needs_reason && !change.dry_run => return wrong("$.change.reason", "is missing; it is audited"),
        0..=1000 => {}
        _ => return wrong("$.change.reason", "is longer than 1,000 characters"),
    }
    meta.reason = change.reason.trim().to_owned();
    meta.dry_run = change.dry_run;
    meta.idempotency_key = (!change.dry_run).then(|| change.idempotency_key.clone());
    Ok(meta)
}

/// The hash of a request, by which the same one is known again.
pub fn digest(request: &impl Message) -> Hash {
    Hash::of(&request.encode_to_vec())
}

/// A secret out of a request, which is emptied.
pub fn secret(text: &mut String) -> SecretString {
    SecretString::from(std::mem::take(text))
}

/// How many entries a page holds.
///
/// # Errors
/// INVALID_ARGUMENT for a number that no page can hold.
pub fn page_size(asked: i32) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(100),
        Ok(size) if size <= 1000 => Ok(size),
        _ => Err(status(&Fault::new(Code::RequestInvalid, "must be 1 to 1,000, or 0 for 100").at_path("$.page_size"))),
    }
}

/// A page of a list that is short enough to be at hand whole, `key` being what it is sorted by: all of it where no size is
/// asked for. Beside it what continues it.
///
/// # Errors
/// As [`page_size`].
pub fn page_of<T>(
    mut all: Vec<T>,
    key: impl Fn(&T) -> String,
    asked: i32,
    token: &str,
) -> Result<(Vec<T>, String), Status> {
    let size = if asked == 0 { usize::MAX } else { page_size(asked)? };
    all.sort_by_cached_key(|entry| key(entry));
    if !token.is_empty() {
        all.retain(|entry| key(entry).as_str() > token);
    }
    let more = all.len() > size;
    all.truncate(size);
    let next = all.last().filter(|_| more).map(key).unwrap_or_default();
    Ok((all, next))
}

/// Runs what blocks where it may.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_short_list_hold_every_entry_once() {
        let all = || ["c", "a", "d", "b", "e"].map(str::to_owned).to_vec();
        let page = |size, token: &str| page_of(all(), Clone::clone, size, token).expect("a page");
        assert_eq!(page(0, ""), (["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(), String::new()));
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let (entries, next) = page(2, &token);
            seen.push(entries.len());
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, [2, 2, 1]);
        assert_eq!(page(5, "").1, "");
        assert_eq!(page_of(all(), Clone::clone, -1, "").expect_err("no size").code(), tonic::Code::InvalidArgument);
    }
}
