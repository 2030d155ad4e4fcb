//! `DoubtService`.

use std::sync::Arc;

use document::{Category, Code, Fault};
use starbridge_proto::v1;
use starbridge_proto::v1::doubt_service_server::DoubtService;
use tonic::{Request, Response, Status};

use super::replays::{Start, begin};
use super::selection::Selected;
use super::status::status;
use super::{Shared, blocking, digest, page_size, show};
use crate::core::job::{Begin, Options, Under};
use crate::index::{List, Order};
use crate::selector::Selector;

const SERVICE: &str = "starbridge.control.v1.DoubtService";

/// The service.
#[derive(Debug, Clone)]
pub struct Doubts(pub Arc<Shared>);

#[tonic::async_trait]
impl DoubtService for Doubts {
    async fn list_doubts(
        &self,
        request: Request<v1::ListDoubtsRequest>,
    ) -> Result<Response<v1::ListDoubtsResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/ListDoubts"), &request)?;
        shared.permit(&caller, &[], false, "doubt").await?;
        let request = request.into_inner();
        let own = shared.selector(&caller, &request.selector)?;
        let mut text = "category = in_doubt and state in (open, parked, replaying)".to_owned();
        if !own.text().is_empty() {
            text = format!("{text} and ({})", own.text());
        }
        let selector = Selector::parse(&text).map_err(|fault| status(&fault))?;
        let list = List {
            selector: &selector,
            order: Order::FirstFailed,
            descending: false,
            page_token: Some(request.page_token.as_str()).filter(|token| !token.is_empty()),
            limit: page_size(request.page_size)?,
            now: shared.clock.millis(),
        };
        let page = blocking(|| shared.index.list(&list)).map_err(|fault| status(&fault))?;
        Ok(Response::new(v1::ListDoubtsResponse {
            dead_letters: page.items.iter().map(|row| show::row(&shared.flows, row)).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn resolve_doubt(
        &self,
        request: Request<v1::ResolveDoubtRequest>,
    ) -> Result<Response<v1::ResolveDoubtResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/ResolveDoubt"), &request)?;
        let request = request.into_inner();
        let letter = shared.letter(&request.id)?;
        let (scope, object) = (shared.scope_of(&letter.row.flow), format!("dead_letter/{}", letter.row.id));
        let role = shared.permit(&caller, std::slice::from_ref(&scope), false, &object).await?;
        let wrong = |path: &str, detail: &str| status(&Fault::new(Code::RequestInvalid, detail).at_path(path));
        let verdict = match (request.verdict(), request.target_id.trim()) {
            (v1::Verdict::Absent, "") => "absent".to_owned(),
            (v1::Verdict::Absent, _) => return Err(wrong("$.target_id", "an absent document has no id")),
            (v1::Verdict::Applied, "") => return Err(wrong("$.target_id", "is missing: under which id was it found")),
            (v1::Verdict::Applied, id) => format!("applied as {id}"),
            (v1::Verdict::Unspecified, _) => return Err(wrong("$.verdict", "is missing")),
        };
        if letter.row.category != Category::InDoubt {
            let fault =
                Fault::new(Code::LetterState, "the document is not in doubt").of_record(letter.row.id.0.clone());
            return Err(status(&fault));
        }
        let meta = caller.meta(&object, scope, digest(&request), role);
        let options = Options {
            rate: shared.bounds.rate_max,
            under: Under::Original,
            from: Begin::Failed,
            attempt_cap: u32::MAX,
            stop_on_failure_ratio: 0.0,
            verdict: Some(verdict),
        };
        let selected = Selected {
            ids: vec![letter.row.id.clone()],
            flows: vec![letter.row.flow.clone()],
            selector: String::new(),
            scan: None,
        };
        let start = Start { selected, options, by: caller.principal.name.clone(), approval: None };
        let started = begin(shared, meta, request.change.as_ref(), start).await?;
        Ok(Response::new(v1::ResolveDoubtResponse {
            dead_letter: Some(show::letter(&shared.flows, &letter)),
            replay_job: started.replay.map(|job| job.id).unwrap_or_default(),
        }))
    }
}
