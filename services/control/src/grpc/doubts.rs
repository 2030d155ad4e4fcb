//! `DoubtService`.

use std::sync::Arc;
use std::time::Duration;

use document::{Category, Code, Fault, Stage};
use starbridge_proto::v1;
use starbridge_proto::v1::doubt_service_server::DoubtService;
use tonic::{Request, Response, Status};

use super::place::{Place, calls};
use super::replays::{Start, begin};
use super::selection::Selected;
use super::status::status;
use super::{Shared, blocking, digest, page_size, show};
use crate::core::job::{Begin, Options, Under};
use crate::index::{Letter, List, Order};
use crate::selector::Selector;
use crate::systems::beside::Beside;
use crate::systems::look::{Calls, Head};
use crate::writer::request::Decided;

const SERVICE: &str = "starbridge.control.v1.DoubtService";
/// Calls of one check: what the form holds, which documents have the key, what the only one holds.
const CALLS: usize = 3;
/// How long a check may take.
const WITHIN: Duration = Duration::from_secs(120);

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
        let own = shared.selector(&caller, &request.selector).await?;
        let doubts = Selector::parse("category = in_doubt and state in (open, parked, replaying)");
        let selector = doubts.map_err(|fault| status(&fault))?.and(&own);
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

    async fn get_doubt(&self, request: Request<v1::GetDoubtRequest>) -> Result<Response<v1::GetDoubtResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/GetDoubt"), &request)?;
        let letter = shared.letter(&request.get_ref().id)?;
        let (scope, object) = (shared.scope_of(&letter.row.flow), format!("dead_letter/{}", letter.row.id));
        shared.permit(&caller, &[scope], false, &object).await?;
        in_doubt(&letter).map_err(|fault| status(&fault))?;
        let version_in_target = blocking(|| shared.version_in_target(&letter)).map_err(|fault| status(&fault))?;
        // A flow version that is gone, or a connection that is not ours, leaves the place unknown; the rest stands.
        let place = shared.flow_of(&letter).and_then(|flow| shared.place_of(&flow)).ok();
        Ok(Response::new(v1::GetDoubtResponse {
            place: place.map(|place| shown(&place, &letter)),
            since: Some(show::time(letter.row.first_failed)),
            version_in_target,
            dead_letter: Some(show::letter(&shared.flows, &letter)),
        }))
    }

    async fn check_doubt(
        &self,
        request: Request<v1::CheckDoubtRequest>,
    ) -> Result<Response<v1::CheckDoubtResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/CheckDoubt"), &request)?;
        let request = request.into_inner();
        let letter = shared.letter(&request.id)?;
        let (scope, object) = (shared.scope_of(&letter.row.flow), format!("dead_letter/{}", letter.row.id));
        let role = shared.permit(&caller, std::slice::from_ref(&scope), request.unmask, &object).await?;
        let refused = |fault: Fault| status(&fault);
        let Some(key) = letter.row.target_key.clone().filter(|_| letter.row.stage != Stage::Transform) else {
            let fault = Fault::new(Code::LetterState, "the document was not mapped, so it has no key in the target");
            return Err(status(&fault.of_record(letter.row.id.0.clone())));
        };
        let place = shared.flow_of(&letter).and_then(|flow| shared.place_of(&flow)).map_err(refused)?;
        let mut meta = caller.meta(&object, scope, digest(&request), role);
        meta.reason =
            if request.unmask { "target asked, shown unmasked" } else { "target asked, shown masked" }.to_owned();
        shared.writer.submit(meta, |_, _| Ok(Decided::default())).await.map_err(refused)?;
        let ours = serde_json::from_slice(letter.published()).unwrap_or_default();
        let mut made = Calls::at_most(CALLS, WITHIN);
        let sought = (place.field.as_str(), key.as_str());
        let beside = place.system.beside(&place.form, sought, &ours, &mut made, shared.clock.millis()).await;
        let beside = beside.map_err(refused)?;
        let masker = (!request.unmask).then_some(&shared.masker);
        let sides = beside.sides.as_ref();
        let theirs = sides.map(|sides| show::payload(sides.theirs.to_string().as_bytes(), masker));
        Ok(Response::new(v1::CheckDoubtResponse {
            place: Some(shown(&place, &letter)),
            dead_letter: Some(show::letter(&shared.flows, &letter)),
            finding: finding(&beside).into(),
            found: beside.heads.iter().map(document).collect(),
            ours: Some(show::payload(letter.published(), masker)),
            theirs,
            differences: sides.map(|sides| sides.differ.clone()).unwrap_or_default(),
            compared: sides.map_or(0, |sides| show::count(sides.compared)),
            calls: calls(&made),
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
        in_doubt(&letter).map_err(|fault| status(&fault))?;
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

impl Shared {
    /// The version of a letter's document that is in the target by our doing; the newest of several target keys.
    fn version_in_target(&self, letter: &Letter) -> Result<Option<u64>, Fault> {
        let ends = match &letter.row.target_key {
            Some(key) => self.index.ends_of_target(key, Some(&letter.row.flow))?,
            None => self.index.ends_of_document(&letter.row.document, Some(&letter.row.flow))?,
        };
        Ok(ends.into_iter().filter_map(|end| Some(end.entry.target?.version.0)).max())
    }
}

fn in_doubt(letter: &Letter) -> Result<(), Fault> {
    match letter.row.category {
        Category::InDoubt => Ok(()),
        _ => Err(Fault::new(Code::LetterState, "the document is not in doubt").of_record(letter.row.id.0.clone())),
    }
}

fn shown(place: &Place, letter: &Letter) -> v1::DoubtPlace {
    v1::DoubtPlace {
        connection: place.connection.clone(),
        form: place.form.clone(),
        field: place.field.clone(),
        key: letter.row.target_key.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

fn document(head: &Head) -> v1::FoundDocument {
    let Head { id, key, status, created } = head.clone();
    v1::FoundDocument { id, key, status, created }
}

fn finding(beside: &Beside) -> v1::DoubtFinding {
    match (beside.heads.len(), &beside.sides) {
        (0, _) => v1::DoubtFinding::Absent,
        (1, Some(sides)) if sides.differ.is_empty() => v1::DoubtFinding::Same,
        (1, _) => v1::DoubtFinding::Different,
        _ => v1::DoubtFinding::Several,
    }
}
