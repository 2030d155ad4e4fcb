//! Streams last no longer than what their caller was let in by.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use document::FlowName;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_stream::Stream;
use tonic::Status;

use super::Shared;
use super::gate::Caller;
use super::status::status;
use crate::access::Scope;
use crate::access::permission::decide_anywhere;
use crate::access::policy::Need;
use crate::access::{decide, token};

/// Time between two looks at a caller: far below the half minute within which a revocation has to work.
const LOOK: Duration = Duration::from_secs(5);

/// What a caller was let in by.
#[derive(Debug)]
pub(super) struct Grant {
    caller: Caller,
    /// Where the permission was needed; none for somewhere.
    scopes: Vec<Scope>,
    /// The flows that could be seen where no place was named.
    seen: Option<Vec<FlowName>>,
}

impl Grant {
    /// What `caller`, who was permitted in `scopes`, holds now.
    pub(super) fn of(shared: &Shared, caller: Caller, scopes: Vec<Scope>) -> Self {
        let seen = if scopes.is_empty() { shared.visible(&caller) } else { None };
        Self { caller, scopes, seen }
    }

    /// Whether all of it still holds.
    ///
    /// # Errors
    /// UNAUTHENTICATED and PERMISSION_DENIED, as for a new call.
    fn holds(&self, shared: &Shared) -> Result<(), Status> {
        let proven = token::still_good(&self.caller.principal, shared.now(), &shared.mirror.revocations());
        proven.map_err(|denial| status(&denial.into()))?;
        let Need::Permission { verb, object, .. } = self.caller.rule.need else { return Ok(()) };
        let caller = Caller { bindings: shared.mirror.bindings(), ..self.caller.clone() };
        let denied = |decision: crate::access::Decision| decision.allowed().map_err(|fault| status(&fault));
        if self.scopes.is_empty() {
            denied(decide_anywhere(&caller.principal, &caller.bindings, verb, object))?;
            let now = shared.visible(&caller);
            let seen = self.seen.as_ref();
            let lost = match (seen, &now) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(seen), Some(now)) => seen.iter().any(|flow| !now.contains(flow)),
            };
            if lost {
                return Err(Status::permission_denied("what the caller may see has become less; ask again"));
            }
        }
        self.scopes
            .iter()
            .try_for_each(|scope| denied(decide(&caller.principal, &caller.bindings, verb, object, scope)).map(drop))
    }
}

/// A stream that ends with the refusal when its caller would not be let in any more.
pub(super) struct Held<S> {
    stream: S,
    shared: Arc<Shared>,
    grant: Grant,
    looks: Interval,
    over: bool,
}

impl<S> Held<S> {
    /// Holds `stream` for whoever has `grant`.
    pub(super) fn new(shared: Arc<Shared>, grant: Grant, stream: S) -> Self {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { stream, shared, grant, looks, over: false }
    }
}

impl<T, S: Stream<Item = Result<T, Status>> + Unpin> Stream for Held<S> {
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let held = self.get_mut();
        if held.over {
            return Poll::Ready(None);
        }
        while held.looks.poll_tick(context).is_ready() {
            if let Err(refusal) = held.grant.holds(&held.shared) {
                held.over = true;
                return Poll::Ready(Some(Err(refusal)));
            }
        }
        Pin::new(&mut held.stream).poll_next(context)
    }
}
