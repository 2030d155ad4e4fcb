//! `ReplayService`.

use std::pin::Pin;
use std::sync::Arc;

use document::{Code, Fault};
use starbridge_proto::v1;
use starbridge_proto::v1::replay_service_server::ReplayService;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::dead_letters::{reason, refusal};
use super::gate::Caller;
use super::held::{Grant, Held};
use super::selection::Selected;
use super::status::status;
use super::{Shared, digest, page_size, show, target_look};
use crate::access::Scope;
use crate::core::Letter;
use crate::core::approval::{self, Approval};
use crate::core::job::{self, Begin, Counts, Item, Job, Options, Replay, Under};
use crate::core::letters::replayable;
use crate::core::replay::keeps_edit;
use crate::index::Reach;
use crate::writer::desk::Desk;
use crate::writer::request::{Decided, Jobs, Meta};

const SERVICE: &str = "starbridge.control.v1.ReplayService";
/// Letters that a plan names.
const FIRST: usize = 20;
/// Refusals that a plan names.
const REFUSED: usize = 100;
/// How long an answer waits for what it wrote to be read back.
const READ_BACK: std::time::Duration = std::time::Duration::from_secs(5);
/// Failures after which a letter is parked where the request names no cap.
const ATTEMPT_CAP: u32 = 3;
/// The most failures that a request may let pass: a letter that fails again and again goes round no longer than that.
const ATTEMPT_CAP_MAX: u32 = 100;

/// The service.
#[derive(Debug, Clone)]
pub struct Replays(pub Arc<Shared>);

#[tonic::async_trait]
impl ReplayService for Replays {
    async fn start_replay(
        &self,
        request: Request<v1::StartReplayRequest>,
    ) -> Result<Response<v1::StartReplayResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/StartReplay"), &request)?;
        let request = request.into_inner();
        let selected = shared.select(&caller, request.selection.as_ref(), Reach::OneScan).await?;
        let (scopes, object) = (selected.scopes(shared), selected.object());
        let role = shared.permit(&caller, &scopes, false, &object).await?;
        let asked = request.options.clone().unwrap_or_default();
        let options = options(&asked, shared).map_err(|fault| status(&fault))?;
        let bound = usize::try_from(asked.max).ok().filter(|max| *max > 0);
        if let Some(max) = bound.filter(|max| selected.ids.len() > *max) {
            let detail = format!("{} letters, where the request allows {max}", selected.ids.len());
            return Err(status(&Fault::new(Code::SelectionTooLarge, detail).at_path("$.options.max")));
        }
        let scope = match scopes.as_slice() {
            [one] => one.clone(),
            _ => Scope::EVERYWHERE,
        };
        let meta = caller.meta(&object, scope, digest(&request), role);
        let dry_run = request.change.as_ref().is_some_and(|change| change.dry_run);
        let ids = if dry_run { selected.ids.clone() } else { Vec::new() };
        let start = Start { selected, options, by: caller.principal.name.clone(), approval: shared.bounds.approval };
        let mut answer = begin(shared, meta, request.change.as_ref(), start).await?;
        if let Some(plan) = answer.plan.as_mut().filter(|_| dry_run) {
            plan.target = Some(target_look::look(shared, &ids).await);
        }
        Ok(Response::new(answer))
    }

    async fn list_replays(
        &self,
        request: Request<v1::ListReplaysRequest>,
    ) -> Result<Response<v1::ListReplaysResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/ListReplays"), &request)?;
        shared.permit(&caller, &[], false, "replay").await?;
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let visible = shared.visible(&caller);
        let mut jobs: Vec<Job> = shared.mirror.all::<Job>("job/").into_iter().map(|(_, job)| job).collect();
        jobs.retain(|job| !request.active_only || !job.status.is_over());
        jobs.retain(|job| {
            visible.as_ref().is_none_or(|flows| {
                let items = shared.mirror.chunks(&job.id).into_iter().flat_map(|chunk| chunk.items);
                items.into_iter().all(|item| flows.contains(&item.flow))
            })
        });
        // Ids are made of the time: later ones sort behind.
        jobs.sort_by(|a, b| b.id.cmp(&a.id));
        if !request.page_token.is_empty() {
            jobs.retain(|job| job.id < request.page_token);
        }
        let more = jobs.len() > size;
        jobs.truncate(size);
        let next = jobs.last().filter(|_| more).map(|job| job.id.clone()).unwrap_or_default();
        Ok(Response::new(v1::ListReplaysResponse {
            replays: jobs.iter().map(show::job).collect(),
            next_page_token: next,
        }))
    }

    async fn get_replay(
        &self,
        request: Request<v1::GetReplayRequest>,
    ) -> Result<Response<v1::GetReplayResponse>, Status> {
        let (_, job) = self.job("GetReplay", &request, |request| &request.id).await?;
        Ok(Response::new(v1::GetReplayResponse { replay: Some(show::job(&job)) }))
    }

    type WatchReplayStream = Pin<Box<dyn Stream<Item = Result<v1::WatchReplayResponse, Status>> + Send>>;

    async fn watch_replay(
        &self,
        request: Request<v1::WatchReplayRequest>,
    ) -> Result<Response<Self::WatchReplayStream>, Status> {
        let (caller, job) = self.job("WatchReplay", &request, |request| &request.id).await?;
        let grant = Grant::of(&self.0, caller, self.scopes(&job));
        let shared = Arc::clone(&self.0);
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move {
            let mut changes = shared.mirror.changes();
            let mut last = None;
            loop {
                let now = match shared.mirror.job(&job.id) {
                    Ok(now) => now,
                    Err(fault) => return drop(sender.send(Err(status(&fault))).await),
                };
                let over = now.status.is_over();
                if last.as_ref() != Some(&now) {
                    let sent = v1::WatchReplayResponse { replay: Some(show::job(&now)) };
                    if sender.send(Ok(sent)).await.is_err() {
                        return;
                    }
                    last = Some(now);
                }
                if over || changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(Held::new(Arc::clone(&self.0), grant, ReceiverStream::new(receiver)))))
    }

    async fn list_replay_items(
        &self,
        request: Request<v1::ListReplayItemsRequest>,
    ) -> Result<Response<v1::ListReplayItemsResponse>, Status> {
        let (_, job) = self.job("ListReplayItems", &request, |request| &request.id).await?;
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let begin = match request.page_token.as_str() {
            "" => 0,
            token => token
                .parse::<usize>()
                .map_err(|_| status(&Fault::new(Code::PageToken, "is not one of this list").at_path("$.page_token")))?,
        };
        let items: Vec<Item> = self.0.mirror.chunks(&job.id).into_iter().flat_map(|chunk| chunk.items).collect();
        let shown = items.iter().skip(begin).take(size).map(|item| v1::ReplayItem {
            dead_letter_id: item.id.0.clone(),
            outcome: item.fate.as_str().to_owned(),
            why: item.why.clone(),
        });
        let next = begin + size;
        Ok(Response::new(v1::ListReplayItemsResponse {
            items: shown.collect(),
            next_page_token: if next < items.len() { next.to_string() } else { String::new() },
        }))
    }

    async fn approve_replay(
        &self,
        request: Request<v1::ApproveReplayRequest>,
    ) -> Result<Response<v1::ApproveReplayResponse>, Status> {
        let (caller, job) = self.job("ApproveReplay", &request, |request| &request.id).await?;
        let request = request.into_inner();
        let meta = self.meta(&caller, &job, digest(&request));
        let (by, seen, id) = (caller.principal.name.clone(), request.plan_digest, job.id);
        let decide = move |desk: &mut Desk<'_>, jobs: &Jobs<'_>| {
            let mut replay = jobs.running(&id)?;
            replay.approve(&by, &seen, desk.now, |id| Ok(desk.known_letter(id)?.0.edit()))?;
            let mut decided = Decided::default();
            decided.effects.memory = replay.write();
            let shown = v1::ApproveReplayResponse { replay: Some(show::job(&replay.job)) };
            decided.changed_job = Some(replay);
            Ok((decided, shown))
        };
        self.0.change(meta, request.change.as_ref(), true, decide).await.map(Response::new)
    }

    async fn pause_replay(
        &self,
        request: Request<v1::PauseReplayRequest>,
    ) -> Result<Response<v1::PauseReplayResponse>, Status> {
        let (caller, job) = self.job("PauseReplay", &request, |request| &request.id).await?;
        let request = request.into_inner();
        let meta = self.meta(&caller, &job, digest(&request));
        let replay = self.turn(meta, request.change.as_ref(), job.id, Turn::Pause).await?;
        Ok(Response::new(v1::PauseReplayResponse { replay: Some(replay) }))
    }

    async fn resume_replay(
        &self,
        request: Request<v1::ResumeReplayRequest>,
    ) -> Result<Response<v1::ResumeReplayResponse>, Status> {
        let (caller, job) = self.job("ResumeReplay", &request, |request| &request.id).await?;
        let request = request.into_inner();
        let meta = self.meta(&caller, &job, digest(&request));
        let replay = self.turn(meta, request.change.as_ref(), job.id, Turn::Resume).await?;
        Ok(Response::new(v1::ResumeReplayResponse { replay: Some(replay) }))
    }

    async fn cancel_replay(
        &self,
        request: Request<v1::CancelReplayRequest>,
    ) -> Result<Response<v1::CancelReplayResponse>, Status> {
        let (caller, job) = self.job("CancelReplay", &request, |request| &request.id).await?;
        let request = request.into_inner();
        let meta = self.meta(&caller, &job, digest(&request));
        let replay = self.turn(meta, request.change.as_ref(), job.id, Turn::Cancel).await?;
        Ok(Response::new(v1::CancelReplayResponse { replay: Some(replay) }))
    }
}

/// What a person does with a running job.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Pause,
    Resume,
    Cancel,
}

impl Replays {
    /// The job that a request names, seen by who may.
    async fn job<T>(
        &self,
        method: &str,
        request: &Request<T>,
        id: impl Fn(&T) -> &String,
    ) -> Result<(Caller, Job), Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/{method}"), request)?;
        let job = shared.mirror.job(id(request.get_ref())).map_err(|fault| status(&fault))?;
        shared.permit(&caller, &self.scopes(&job), false, &format!("replay/{}", job.id)).await?;
        Ok((caller, job))
    }

    /// Where the letters of a job lie.
    fn scopes(&self, job: &Job) -> Vec<Scope> {
        let chunks = self.0.mirror.chunks(&job.id);
        let mut flows: Vec<_> = chunks.into_iter().flat_map(|chunk| chunk.items).map(|item| item.flow).collect();
        flows.sort();
        flows.dedup();
        flows.iter().map(|flow| self.0.scope_of(flow)).collect()
    }

    fn meta(&self, caller: &Caller, job: &Job, digest: crate::audit::Hash) -> Meta {
        caller.meta(&format!("replay/{}", job.id), Scope::EVERYWHERE, digest, None)
    }

    async fn turn(
        &self,
        meta: Meta,
        change: Option<&v1::Change>,
        id: String,
        turn: Turn,
    ) -> Result<v1::Replay, Status> {
        let note = reason(change);
        let decide = move |desk: &mut Desk<'_>, jobs: &Jobs<'_>| {
            let mut replay = jobs.running(&id)?;
            let refused = |detail: &str| Err(Fault::new(Code::ReplayState, detail).of_record(id.clone()));
            match (turn, replay.job.status) {
                (Turn::Pause, job::Status::Running) => {
                    replay.job.status = job::Status::Paused;
                    replay.job.note = note;
                }
                (Turn::Resume, job::Status::Paused) => {
                    replay.job.status = job::Status::Running;
                    replay.job.note = String::new();
                }
                (Turn::Cancel, _) => replay.end(job::Status::Cancelled, note, desk.now),
                (Turn::Pause | Turn::Resume, other) => return refused(&format!("the replay is {}", other.as_str())),
            }
            let mut decided = Decided::default();
            decided.effects.memory = replay.write();
            let shown = show::job(&replay.job);
            decided.changed_job = Some(replay);
            Ok((decided, shown))
        };
        self.0.change(meta, change, false, decide).await
    }
}

/// A replay that is to begin.
pub(super) struct Start {
    pub(super) selected: Selected,
    pub(super) options: Options,
    pub(super) by: String,
    /// Above how many letters another person has to agree, and within how long; `None` where nobody has.
    pub(super) approval: Option<(usize, i64)>,
}

/// Plans a replay and, unless it is a dry run, begins it.
pub(super) async fn begin(
    shared: &Shared,
    meta: Meta,
    change: Option<&v1::Change>,
    start: Start,
) -> Result<v1::StartReplayResponse, Status> {
    let dry_run = change.is_some_and(|change| change.dry_run);
    let why = reason(change);
    let id = uuid::Uuid::now_v7().simple().to_string();
    let decide = move |desk: &mut Desk<'_>, _: &Jobs<'_>| {
        let Start { selected, options, by, approval } = start;
        let (mut plan, items) = plan(desk, &selected, &options)?;
        let digest = approval::digest(&options, &items);
        let approval = approval.filter(|(above, _)| items.len() > *above).map(|(_, within)| Approval {
            digest: digest.clone(),
            until: desk.now.saturating_add(within),
            by: None,
            at: None,
        });
        (plan.digest, plan.needs_approval) = (digest, approval.is_some());
        let mut response = v1::StartReplayResponse { plan: Some(plan), replay: None };
        let mut decided = Decided::default();
        if !dry_run {
            let job = Job {
                id,
                by,
                created_at: desk.now,
                reason: why,
                selector: selected.selector,
                options,
                status: if approval.is_some() { job::Status::AwaitsApproval } else { job::Status::Running },
                counts: Counts::default(),
                ended_at: None,
                note: String::new(),
                timed: false,
                approval,
            };
            let mut replay = Replay::new(job, items);
            replay.conclude(desk.now);
            decided.effects.memory = replay.write();
            response.replay = Some(show::job(&replay.job));
            decided.job = Some(replay);
        }
        Ok((decided, response))
    };
    let answer: v1::StartReplayResponse = shared.change(meta, change, true, decide).await?;
    if let Some(replay) = &answer.replay {
        shown(shared, &replay.id).await;
    }
    Ok(answer)
}

/// Waits until this replica shows the job: whoever was told its id asks for it next.
async fn shown(shared: &Shared, id: &str) {
    let mut changes = shared.mirror.changes();
    let seen = async { while shared.mirror.job(id).is_err() && changes.changed().await.is_ok() {} };
    // It was written; that it is not read back yet is no reason to answer otherwise.
    drop(tokio::time::timeout(READ_BACK, seen).await);
}

/// What a replay would do, and the letters it would publish.
fn plan(desk: &Desk<'_>, selected: &Selected, options: &Options) -> Result<(v1::ReplayPlan, Vec<Item>), Fault> {
    let mut plan = v1::ReplayPlan { scan: selected.scan, ..v1::ReplayPlan::default() };
    let mut items = Vec::new();
    for id in &selected.ids {
        let judged = desk.known_letter(id).and_then(|(letter, _)| {
            replayable(&letter, options.verdict.is_some())?;
            keeps_edit(&letter, options.from)?;
            published(desk, &letter, options)?;
            Ok(letter)
        });
        let letter = match judged {
            Ok(letter) => letter,
            Err(fault) => {
                plan.refused_total += 1;
                if plan.refused.len() < REFUSED {
                    plan.refused.push(refusal(&id.0, &fault));
                }
                continue;
            }
        };
        if let Some(end) = desk.end_of(&letter)? {
            plan.already_in_target += i64::from(end.in_target.is_some());
            plan.overtaken += i64::from(end.version > letter.version);
        }
        plan.letters += 1;
        if plan.first_ids.len() < FIRST {
            plan.first_ids.push(id.0.clone());
        }
        items.push(Item::waiting(&letter));
    }
    plan.seconds = items.len() as f64 / options.rate;
    Ok((plan, items))
}

/// Whether the flow of a letter is there, and the version that it is to be handled by.
fn published(desk: &Desk<'_>, letter: &Letter, options: &Options) -> Result<(), Fault> {
    // What is published of a flow that was deleted, nobody reads.
    desk.current(&letter.flow).map_err(|fault| fault.hint("publish the flow again, or discard the letter"))?;
    let Under::Version(version) = &options.under else { return Ok(()) };
    match desk.flow(&letter.flow, &version.as_str().into()) {
        Some(_) => Ok(()),
        None => {
            let detail = format!("version {version} of {} is not published, or cannot be used", letter.flow);
            Err(Fault::new(Code::FlowUnknown, detail).of_record(letter.id.0.clone()))
        }
    }
}

/// The options of a request, with what it leaves open filled in.
fn options(asked: &v1::ReplayOptions, shared: &Shared) -> Result<Options, Fault> {
    let wrong = |path: &str, detail: String| Err(Fault::new(Code::RequestInvalid, detail).at_path(path));
    let highest = shared.bounds.rate_max;
    let rate = if asked.rate == 0.0 { shared.bounds.rate } else { asked.rate };
    if !(rate > 0.0 && rate <= highest) {
        return wrong("$.options.rate", format!("must be above 0 and at most {highest}"));
    }
    if !(0.0..=1.0).contains(&asked.stop_on_failure_ratio) {
        return wrong("$.options.stop_on_failure_ratio", "must be 0 to 1".to_owned());
    }
    let under = match asked.flow_version.as_str() {
        "" | "current" => Under::Current,
        "original" => Under::Original,
        version => Under::Version(version.to_owned()),
    };
    let from = match asked.from_stage.as_str() {
        "" | "failed" => Begin::Failed,
        "transform" => Begin::Transform,
        other => return wrong("$.options.from_stage", format!("{other:?} is neither failed nor transform")),
    };
    if asked.attempt_cap > ATTEMPT_CAP_MAX {
        return wrong("$.options.attempt_cap", format!("must be at most {ATTEMPT_CAP_MAX}"));
    }
    let attempt_cap = if asked.attempt_cap == 0 { ATTEMPT_CAP } else { asked.attempt_cap };
    Ok(Options { rate, under, from, attempt_cap, stop_on_failure_ratio: asked.stop_on_failure_ratio, verdict: None })
}
