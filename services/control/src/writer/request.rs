//! What is asked of the writer, and how it answers.

use std::time::Duration;

use document::Fault;
use queue::Next;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use super::desk::Desk;
use crate::access::{Role, Scope};
use crate::audit::{Hash, Outcome};
use crate::core::Effects;
use crate::core::job::Replay;
use crate::follow::Progress;
use document::Code;

/// Who asks for what, as the audit topic will tell it.
#[derive(Debug, Clone)]
pub struct Meta {
    /// The caller.
    pub actor: String,
    /// The role that allows it; absent where none does, or none is needed.
    pub role: Option<Role>,
    /// The call.
    pub action: String,
    /// What it is about.
    pub object: String,
    /// Where.
    pub scope: Scope,
    /// Why, in the caller's words.
    pub reason: String,
    /// Names this call.
    pub request_id: String,
    /// The hash of the request.
    pub digest: Hash,
    /// By which the same request is known again; absent where repeating does no harm.
    pub idempotency_key: Option<String>,
    /// Whether it is done, or how far it came, or that it was refused.
    pub result: Outcome,
    /// Whether only to say what would happen.
    pub dry_run: bool,
}

/// What a request comes to.
#[derive(Debug, Default)]
pub struct Decided {
    /// What is to be written.
    pub effects: Effects,
    /// The encoded response.
    pub answer: Vec<u8>,
    /// A job that begins with it.
    pub job: Option<Replay>,
    /// A job that goes on as it is now.
    pub changed_job: Option<Replay>,
}

/// How a request is decided: everything it may look at is on the desk.
pub type Decide = Box<dyn FnOnce(&mut Desk<'_>, &Jobs<'_>) -> Result<Decided, Fault> + Send>;

/// The jobs that are not over.
#[derive(Debug)]
pub struct Jobs<'a>(pub(super) &'a std::collections::BTreeMap<String, Replay>);

impl Jobs<'_> {
    /// A job that is not over.
    ///
    /// # Errors
    /// `E_REPLAY_STATE`.
    pub fn running(&self, id: &str) -> Result<Replay, Fault> {
        let running = self.0.get(id).filter(|replay| !replay.job.status.is_over());
        running.cloned().ok_or_else(|| {
            Fault::new(Code::ReplayState, "the replay is over, or there is none of this id").of_record(id.to_owned())
        })
    }
}

/// What lists show of a change is at most so far behind its answer.
const READ_BACK: Duration = Duration::from_secs(5);

/// What the writer says of a request.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// The encoded response.
    pub(super) response: Vec<u8>,
    /// What was written beside the audit entry.
    pub(super) written: Vec<Next>,
}

/// A request on its way to the writer.
pub(super) struct Request {
    pub(super) meta: Meta,
    pub(super) decide: Decide,
    pub(super) reply: oneshot::Sender<Result<Answered, Fault>>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// The way to the writer of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) active: watch::Receiver<bool>,
    pub(super) progress: Progress,
}

impl Handle {
    /// Whether this replica writes.
    pub fn is_active(&self) -> bool {
        *self.active.borrow()
    }

    /// Hears whenever this replica begins or ceases to write.
    pub fn activity(&self) -> watch::Receiver<bool> {
        self.active.clone()
    }

    /// Has a request decided and written, its audit entry with it, and gives the encoded response. A request that was
    /// answered before, by its idempotency key, gets the same response. What was changed stands in index and mirror of
    /// this replica by then, unless they are seconds behind.
    ///
    /// # Errors
    /// `E_NOT_ACTIVE` when another replica writes, `E_IDEMPOTENCY_REUSED`, `E_AUDIT_UNAVAILABLE` when nothing could be
    /// written, and what the decision says.
    pub async fn submit(
        &self,
        meta: Meta,
        decide: impl FnOnce(&mut Desk<'_>, &Jobs<'_>) -> Result<Decided, Fault> + Send + 'static,
    ) -> Result<Vec<u8>, Fault> {
        if !self.is_active() {
            return Err(not_active());
        }
        let (reply, answer) = oneshot::channel();
        let request = Request { meta, decide: Box::new(decide), reply };
        if self.requests.send(request).await.is_err() {
            return Err(not_active());
        }
        let answered = answer.await.unwrap_or_else(|_| Err(unavailable("the writer ended before it answered")))?;
        if !self.progress.has_read(&answered.written, READ_BACK).await {
            warn!("what was changed is not in the index yet");
        }
        Ok(answered.response)
    }
}

/// The fault of a replica that does not write.
pub(super) fn not_active() -> Fault {
    Fault::new(Code::NotActive, "this replica does not write")
}

/// The fault of a writer that cannot write.
pub(super) fn unavailable(detail: impl Into<String>) -> Fault {
    Fault::new(Code::AuditUnavailable, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_that_is_over_is_not_turned() {
        let none = std::collections::BTreeMap::new();
        let fault = Jobs(&none).running("j").expect_err("over");
        assert_eq!((fault.code, fault.place.record.as_deref()), (Code::ReplayState, Some("j")));
    }
}
