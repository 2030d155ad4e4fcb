//! `BackfillService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use document::{BackfillId, BackfillMark, Code, Fault, FlowName};
use prost_types::Timestamp;
use starbridge_proto::v1;
use starbridge_proto::v1::backfill_service_server::BackfillService;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::gate::Caller;
use super::held::{Grant, Held};
use super::status::status;
use super::{Shared, digest, page_size, show};
use crate::backfill::job::{BACKFILLS, begun, chunks, unknown};
use crate::backfill::{Backfill, Status as How};
use crate::core::Effects;
use crate::writer::desk::Desk;
use crate::writer::request::{Decided, Jobs};

const SERVICE: &str = "starbridge.control.v1.BackfillService";
/// The length of windows where none is named, and the shortest, seconds.
const CHUNK: i64 = 86_400;
const SHORTEST: i64 = 60;
/// Windows of one backfill.
const CHUNKS: i64 = 10_000;
/// How often a backfill that is watched is looked at besides its changes: what it waits for may change without them.
const LOOK: Duration = Duration::from_secs(5);

/// The service.
#[derive(Debug, Clone)]
pub struct Backfills(pub Arc<Shared>);

#[tonic::async_trait]
impl BackfillService for Backfills {
    async fn start_backfill(
        &self,
        request: Request<v1::StartBackfillRequest>,
    ) -> Result<Response<v1::StartBackfillResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/StartBackfill"), &request)?;
        let request = request.into_inner();
        let flow = name(&request.flow, "$.flow")?;
        let scope = shared.scope_of(&flow);
        let role = shared.permit(&caller, std::slice::from_ref(&scope), false, &format!("backfill/{flow}")).await?;
        let backfill = self.asked_for(flow, &request, &caller).map_err(|fault| status(&fault))?;
        let meta = caller.meta(&format!("backfill/{}", backfill.name()), scope, digest(&request), role);
        let dry_run = request.change.as_ref().is_some_and(|change| change.dry_run);
        let decide = move |desk: &mut Desk<'_>, _: &Jobs<'_>| {
            let backfill = Backfill { at: desk.now, ..backfill };
            let memory = begun(&backfill, desk.memories(&format!("{BACKFILLS}{}:", backfill.flow))?);
            let response = v1::StartBackfillResponse {
                chunks: backfill.chunks(),
                backfill: (!dry_run).then(|| shown(&backfill, &BackfillMark::default(), String::new())),
            };
            let effects = Effects { memory, ..Effects::default() };
            Ok((Decided { effects, ..Decided::default() }, response))
        };
        shared.change(meta, request.change.as_ref(), false, decide).await.map(Response::new)
    }

    async fn list_backfills(
        &self,
        request: Request<v1::ListBackfillsRequest>,
    ) -> Result<Response<v1::ListBackfillsResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/ListBackfills"), &request)?;
        shared.permit(&caller, &[], false, "backfill").await?;
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let visible = shared.visible(&caller);
        let backfills = shared.mirror.all::<Backfill>(BACKFILLS).into_iter().map(|(_, backfill)| backfill);
        let mut backfills: Vec<Backfill> = backfills
            .filter(|backfill| request.flow.is_empty() || backfill.flow.as_str() == request.flow)
            .filter(|backfill| visible.as_ref().is_none_or(|flows| flows.contains(&backfill.flow)))
            .collect();
        // Newest first; what was asked for at one instant, by name.
        let place = |backfill: &Backfill| format!("{:020}/{}", backfill.at, backfill.name());
        backfills.sort_by_key(|backfill| std::cmp::Reverse(place(backfill)));
        if !request.page_token.is_empty() {
            backfills.retain(|backfill| place(backfill) < request.page_token);
        }
        let more = backfills.len() > size;
        backfills.truncate(size);
        let next_page_token = backfills.last().filter(|_| more).map(place).unwrap_or_default();
        let backfills = backfills.iter().map(|backfill| self.now(backfill)).collect();
        Ok(Response::new(v1::ListBackfillsResponse { backfills, next_page_token }))
    }

    async fn get_backfill(
        &self,
        request: Request<v1::GetBackfillRequest>,
    ) -> Result<Response<v1::GetBackfillResponse>, Status> {
        let (backfill, _) = self.admitted("GetBackfill", &request, |request| &request.id).await?;
        Ok(Response::new(v1::GetBackfillResponse { backfill: Some(self.now(&backfill)) }))
    }

    type WatchBackfillStream = Pin<Box<dyn Stream<Item = Result<v1::WatchBackfillResponse, Status>> + Send>>;

    async fn watch_backfill(
        &self,
        request: Request<v1::WatchBackfillRequest>,
    ) -> Result<Response<Self::WatchBackfillStream>, Status> {
        let (backfill, (caller, _)) = self.admitted("WatchBackfill", &request, |request| &request.id).await?;
        let grant = Grant::of(&self.0, caller, vec![self.0.scope_of(&backfill.flow)]);
        let service = self.clone();
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move {
            let shared = &service.0;
            let (mut decided, mut read) = (shared.mirror.changes(), shared.extracts.changes());
            let mut last = None;
            loop {
                let Some(now) = shared.mirror.get::<Backfill>(&backfill.key()) else {
                    return drop(sender.send(Err(status(&unknown(&backfill.name())))).await);
                };
                let (over, now) = (now.status.is_over(), service.now(&now));
                if last.as_ref() != Some(&now) {
                    last = Some(now.clone());
                    if sender.send(Ok(v1::WatchBackfillResponse { backfill: Some(now) })).await.is_err() {
                        return;
                    }
                }
                if over {
                    return;
                }
                tokio::select! {
                    () = sender.closed() => return,
                    changed = decided.changed() => if changed.is_err() { return },
                    changed = read.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        });
        Ok(Response::new(Box::pin(Held::new(Arc::clone(&self.0), grant, ReceiverStream::new(receiver)))))
    }

    async fn pause_backfill(
        &self,
        request: Request<v1::PauseBackfillRequest>,
    ) -> Result<Response<v1::PauseBackfillResponse>, Status> {
        let (backfill, caller) = self.admitted("PauseBackfill", &request, |request| &request.id).await?;
        let request = request.into_inner();
        let answer = |backfill| v1::PauseBackfillResponse { backfill };
        let change = (digest(&request), request.change.as_ref());
        self.turn(&backfill, &caller, change, How::Paused, answer).await.map(Response::new)
    }

    async fn resume_backfill(
        &self,
        request: Request<v1::ResumeBackfillRequest>,
    ) -> Result<Response<v1::ResumeBackfillResponse>, Status> {
        let (backfill, caller) = self.admitted("ResumeBackfill", &request, |request| &request.id).await?;
        let request = request.into_inner();
        let answer = |backfill| v1::ResumeBackfillResponse { backfill };
        let change = (digest(&request), request.change.as_ref());
        self.turn(&backfill, &caller, change, How::Running, answer).await.map(Response::new)
    }

    async fn cancel_backfill(
        &self,
        request: Request<v1::CancelBackfillRequest>,
    ) -> Result<Response<v1::CancelBackfillResponse>, Status> {
        let (backfill, caller) = self.admitted("CancelBackfill", &request, |request| &request.id).await?;
        let request = request.into_inner();
        let answer = |backfill| v1::CancelBackfillResponse { backfill };
        let change = (digest(&request), request.change.as_ref());
        self.turn(&backfill, &caller, change, How::Cancelled, answer).await.map(Response::new)
    }
}

impl Backfills {
    /// The backfill that a request names, and a caller who may do this to it.
    async fn admitted<T>(
        &self,
        call: &str,
        request: &Request<T>,
        id: impl Fn(&T) -> &String,
    ) -> Result<(Backfill, (Caller, Option<crate::access::Role>)), Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/{call}"), request)?;
        let id = id(request.get_ref());
        let flow = name(id.split_once(':').map_or(id.as_str(), |(flow, _)| flow), "$.id")?;
        let role = shared.permit(&caller, &[shared.scope_of(&flow)], false, &format!("backfill/{id}")).await?;
        let found = shared.mirror.get(&format!("{BACKFILLS}{id}")).ok_or_else(|| status(&unknown(id)))?;
        Ok((found, (caller, role)))
    }

    /// Has a backfill rest, go on or end.
    async fn turn<R: prost::Message + Default>(
        &self,
        backfill: &Backfill,
        (caller, role): &(Caller, Option<crate::access::Role>),
        (digest, change): (crate::audit::Hash, Option<&v1::Change>),
        wish: How,
        answer: impl FnOnce(Option<v1::Backfill>) -> R + Send + 'static,
    ) -> Result<R, Status> {
        let shared = &self.0;
        let object = format!("backfill/{}", backfill.name());
        let meta = caller.meta(&object, shared.scope_of(&backfill.flow), digest, *role);
        let mark = shared.extracts.mark(&backfill.flow, backfill.id);
        let (key, name) = (backfill.key(), backfill.name());
        let decide = move |desk: &mut Desk<'_>, _: &Jobs<'_>| {
            let committed = desk.memory(&key)?.and_then(|bytes| serde_json::from_slice::<Backfill>(&bytes).ok());
            let mut backfill = committed.ok_or_else(|| unknown(&name))?;
            backfill.turn(wish, mark, desk.now)?;
            let response = answer(Some(shown(&backfill, &mark, String::new())));
            let memory = vec![(backfill.key(), Some(backfill.to_bytes()))];
            let effects = Effects { memory, ..Effects::default() };
            Ok((Decided { effects, ..Decided::default() }, response))
        };
        shared.change(meta, change, false, decide).await
    }

    /// A backfill as it stands now.
    fn now(&self, backfill: &Backfill) -> v1::Backfill {
        let shared = &self.0;
        if backfill.status.is_over() {
            return shown(backfill, &backfill.mark, String::new());
        }
        let mark = shared.extracts.mark(&backfill.flow, backfill.id);
        let waits_for = match shared.flows.paused(&backfill.flow) {
            _ if backfill.status == How::Paused => "a person resumes it",
            Some(_) => "the flow is resumed",
            None => "",
        };
        shown(backfill, &mark, waits_for.to_owned())
    }

    /// What a request asks for, with what it leaves open filled in.
    fn asked_for(
        &self,
        flow: FlowName,
        request: &v1::StartBackfillRequest,
        caller: &Caller,
    ) -> Result<Backfill, Fault> {
        let wrong = |path: &str, detail: String| Err(Fault::new(Code::RequestInvalid, detail).at_path(path));
        let shared = &self.0;
        let Some(published) = shared.flows.current().into_iter().find(|known| known.name == flow) else {
            let detail = format!("{flow} is not published, or cannot be used");
            return Err(Fault::new(Code::FlowUnknown, detail).of_record(flow.as_str()));
        };
        if published.settings.source.watermark.is_none() {
            return wrong(
                "$.flow",
                "has no watermark date (source.watermark), so no part of its past can be named".into(),
            );
        }
        let now = shared.clock.seconds();
        let Some(from) = request.from.map(|from| from.seconds) else { return wrong("$.from", "is missing".into()) };
        let to = request.to.map_or(now, |to| to.seconds).min(now);
        if from >= to {
            return wrong("$.from", "must be earlier than to, and in the past".to_owned());
        }
        let chunk = if request.chunk_seconds == 0 { CHUNK } else { request.chunk_seconds };
        let count = if chunk < SHORTEST { CHUNKS + 1 } else { chunks(from, to, chunk) };
        if count > CHUNKS {
            let least = SHORTEST.max((to.saturating_sub(from)) / CHUNKS + 1);
            return wrong("$.chunk_seconds", format!("is {chunk}, but must be {least} at least for this span"));
        }
        let Ok(rate) = u32::try_from(request.rate_per_minute) else {
            return wrong("$.rate_per_minute", format!("is {}, but must not be negative", request.rate_per_minute));
        };
        Ok(Backfill {
            id: BackfillId::new(uuid::Uuid::now_v7().as_u128()),
            flow,
            status: How::Running,
            from,
            to,
            chunk,
            rate: (rate > 0).then_some(rate),
            again: request.again,
            by: caller.principal.name.clone(),
            at: 0,
            reason: request.change.as_ref().map(|change| change.reason.trim().to_owned()).unwrap_or_default(),
            asked: None,
            mark: BackfillMark::default(),
            ended_at: None,
            fault: None,
        })
    }
}

fn name(text: &str, path: &str) -> Result<FlowName, Status> {
    FlowName::new(text.to_owned())
        .map_err(|error| status(&Fault::new(Code::RequestInvalid, error.to_string()).at_path(path)))
}

fn shown(backfill: &Backfill, mark: &BackfillMark, waits_for: String) -> v1::Backfill {
    let seconds = |seconds: i64| Some(Timestamp { seconds, nanos: 0 });
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    v1::Backfill {
        id: backfill.name(),
        flow: backfill.flow.to_string(),
        status: match backfill.status {
            How::Running => v1::BackfillStatus::Running,
            How::Paused => v1::BackfillStatus::Paused,
            How::Done => v1::BackfillStatus::Done,
            How::Cancelled => v1::BackfillStatus::Cancelled,
            How::Failed => v1::BackfillStatus::Failed,
        }
        .into(),
        from: seconds(backfill.from),
        to: seconds(backfill.to),
        chunk_seconds: backfill.chunk,
        rate_per_minute: backfill.rate.and_then(|rate| i32::try_from(rate).ok()).unwrap_or_default(),
        again: backfill.again,
        chunks: backfill.chunks(),
        chunks_read: backfill.chunks_read(mark),
        read_to: seconds(backfill.read_to(mark)),
        emitted: number(mark.emitted),
        unchanged: number(mark.unchanged),
        letters: number(mark.letters),
        created_by: backfill.by.clone(),
        created_at: Some(show::time(backfill.at)),
        reason: backfill.reason.clone(),
        ended_at: backfill.ended_at.map(show::time),
        fault: backfill.fault.as_ref().map(ToString::to_string).unwrap_or_default(),
        waits_for,
    }
}
