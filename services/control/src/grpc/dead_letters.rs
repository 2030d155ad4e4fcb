//! `DeadLetterService`.

mod edit;
mod export;
mod import;
mod refetch;
mod tail;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use document::{Code, Fault, Stage};
use starbridge_proto::v1;
use starbridge_proto::v1::dead_letter_service_server::DeadLetterService;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::gate::Caller;
use super::held::{Grant, Held};
use super::selection::Selected;
use super::status::status;
use super::{Shared, blocking, digest, edit_check, page_size, show};
use crate::access::Scope;
use crate::core::Effects;
use crate::core::letters::{By, Wish, next_revision, replayable};
use crate::index::{List, Order, Reach};
use crate::letter::State;
use crate::selector::Selector;
use crate::writer::desk::Desk;
use crate::writer::jobs::source_of;
use crate::writer::request::Decided;
use tail::Positions;

const SERVICE: &str = "starbridge.control.v1.DeadLetterService";
/// Letters that an answer names.
const FIRST: usize = 20;
/// Refusals that an answer names.
const REFUSED: usize = 100;
/// Letters that a tail may be behind before it waits.
const TAIL: usize = 256;
/// Pieces of an export that wait to be sent.
const EXPORT: usize = 8;

/// The service.
#[derive(Debug, Clone)]
pub struct DeadLetters(pub Arc<Shared>);

#[tonic::async_trait]
impl DeadLetterService for DeadLetters {
    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/ListDeadLetters"), &request)?;
        shared.permit(&caller, &[], false, "dead_letter").await?;
        let request = request.into_inner();
        let selector = shared.selector(&caller, &request.selector).await?;
        let (order, descending) = order(&request.order_by).map_err(|fault| status(&fault))?;
        let list = List {
            selector: &selector,
            order,
            descending,
            page_token: Some(request.page_token.as_str()).filter(|token| !token.is_empty()),
            limit: page_size(request.page_size)?,
            now: shared.clock.millis(),
        };
        let (page, total) = blocking(|| {
            let page = shared.index.list(&list)?;
            let total = request.count.then(|| shared.index.count(&selector, list.now)).transpose()?;
            Ok((page, total))
        })
        .map_err(|fault: Fault| status(&fault))?;
        Ok(Response::new(v1::ListDeadLettersResponse {
            dead_letters: page.items.iter().map(|row| show::row(&shared.flows, row)).collect(),
            next_page_token: page.next.unwrap_or_default(),
            total: total.map(|count| i64::try_from(count.letters).unwrap_or(i64::MAX)),
            scan: show::scan(page.scan),
        }))
    }

    async fn get_dead_letter(
        &self,
        request: Request<v1::GetDeadLetterRequest>,
    ) -> Result<Response<v1::GetDeadLetterResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/GetDeadLetter"), &request)?;
        let request = request.into_inner();
        let letter = shared.letter(&request.id)?;
        let (scope, object) = (shared.scope_of(&letter.row.flow), format!("dead_letter/{}", letter.row.id));
        let role = shared.permit(&caller, std::slice::from_ref(&scope), request.unmask, &object).await?;
        let mut meta = caller.meta(&object, scope, digest(&request), role);
        meta.reason = if request.unmask { "payload shown unmasked" } else { "payload shown masked" }.to_owned();
        shared.writer.submit(meta, |_, _| Ok(Decided::default())).await.map_err(|fault| status(&fault))?;
        let masker = (!request.unmask).then_some(&shared.masker);
        let source = match source_of(&letter) {
            // What cannot be read now is left out; the letter itself is what was asked for.
            Some(at) => shared.peek.record(at).await.ok().flatten().and_then(|found| found.record.value),
            None => None,
        };
        let earlier = blocking(|| shared.index.earlier(&letter.row.id)).map_err(|fault: Fault| status(&fault))?;
        let advice = letter.row.code.english();
        let edited = letter.event.as_ref().and_then(|event| event.edit.as_ref());
        let mut shown = show::letter(&shared.flows, &letter);
        if request.unmask {
            shown.message.clone_from(&letter.letter.message);
        }
        Ok(Response::new(v1::GetDeadLetterResponse {
            dead_letter: Some(shown),
            payload: Some(show::payload(&letter.letter.body, masker)),
            edited: edited.map(|edit| show::payload(&edit.body, masker)),
            source: source.map(|bytes| show::payload(&bytes, masker)),
            headers: letter.letter.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            cause: advice.cause.to_owned(),
            way_out: advice.way_out.to_owned(),
            earlier_attempts: earlier.into_iter().map(|failure| show::earlier(failure, request.unmask)).collect(),
        }))
    }

    async fn get_dead_letter_stats(
        &self,
        request: Request<v1::GetDeadLetterStatsRequest>,
    ) -> Result<Response<v1::GetDeadLetterStatsResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/GetDeadLetterStats"), &request)?;
        shared.permit(&caller, &[], false, "dead_letter").await?;
        let selector = shared.selector(&caller, &request.into_inner().selector).await?;
        let now = shared.clock.millis();
        let open = Selector::parse("state = open").expect("a selector of our own");
        let (stats, oldest, unreadable) = blocking(|| {
            let list =
                List { selector: &open, order: Order::FirstFailed, descending: false, page_token: None, limit: 1, now };
            Ok((shared.index.stats(&selector, now)?, shared.index.list(&list)?, shared.index.count_unreadable()?))
        })
        .map_err(|fault: Fault| status(&fault))?;
        let mut counts = Vec::new();
        let mut add = |by: &str, values: Vec<(String, u64)>| {
            let mut values = values;
            values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            counts.extend(values.into_iter().map(|(value, count)| v1::DeadLetterCount {
                by: by.to_owned(),
                value,
                count: i64::try_from(count).unwrap_or(i64::MAX),
            }));
        };
        add("flow", stats.by_flow.iter().map(|(flow, n)| (flow.to_string(), *n)).collect());
        let word = |state: &Option<State>| state.map_or("unreadable", State::as_str).to_owned();
        add("state", stats.by_state.iter().map(|(state, n)| (word(state), *n)).collect());
        add("stage", stats.by_stage.iter().map(|(stage, n)| ((*stage).to_owned(), *n)).collect());
        add("category", stats.by_category.iter().map(|(category, n)| (category.to_string(), *n)).collect());
        add("code", stats.by_code.iter().map(|(code, n)| (code.to_string(), *n)).collect());
        add("age", stats.by_age.iter().map(|(age, n)| (age.as_str().to_owned(), *n)).collect());
        Ok(Response::new(v1::GetDeadLetterStatsResponse {
            total: i64::try_from(stats.letters).unwrap_or(i64::MAX),
            counts,
            oldest_open: oldest.items.first().map(|letter| show::time(letter.first_failed)),
            scan: show::scan(stats.scan),
            unreadable: i64::try_from(unreadable).unwrap_or(i64::MAX),
        }))
    }

    type TailDeadLettersStream = Pin<Box<dyn Stream<Item = Result<v1::TailDeadLettersResponse, Status>> + Send>>;

    async fn tail_dead_letters(
        &self,
        request: Request<v1::TailDeadLettersRequest>,
    ) -> Result<Response<Self::TailDeadLettersStream>, Status> {
        let shared = Arc::clone(&self.0);
        let caller = shared.caller(&format!("{SERVICE}/TailDeadLetters"), &request)?;
        shared.permit(&caller, &[], false, "dead_letter").await?;
        let request = request.into_inner();
        let selector = shared.selector(&caller, &request.selector).await?;
        let from = Positions::begin(&shared, &request.position).map_err(|fault| status(&fault))?;
        let (sender, receiver) = tokio::sync::mpsc::channel(TAIL);
        tokio::spawn(tail::follow(Arc::clone(&shared), selector, from, sender));
        let grant = Grant::of(&shared, caller, Vec::new());
        Ok(Response::new(Box::pin(Held::new(shared, grant, ReceiverStream::new(receiver)))))
    }

    type ExportDeadLettersStream = Pin<Box<dyn Stream<Item = Result<v1::ExportDeadLettersResponse, Status>> + Send>>;

    async fn export_dead_letters(
        &self,
        request: Request<v1::ExportDeadLettersRequest>,
    ) -> Result<Response<Self::ExportDeadLettersStream>, Status> {
        let shared = Arc::clone(&self.0);
        let caller = shared.caller(&format!("{SERVICE}/ExportDeadLetters"), &request)?;
        let request = request.into_inner();
        let selected = shared.select(&caller, request.selection.as_ref(), Reach::End).await?;
        let (scopes, object) = (selected.scopes(&shared), selected.object());
        let role = shared.permit(&caller, &scopes, request.unmask, &object).await?;
        selected.whole().map_err(|fault| status(&fault))?;
        let mut meta = caller.meta(&object, one_or_all(&scopes), digest(&request), role);
        meta.reason = export::reason(&request).map_err(|fault| status(&fault))?;
        shared.writer.submit(meta, |_, _| Ok(Decided::default())).await.map_err(|fault| status(&fault))?;
        let masker = (!request.unmask).then(|| shared.masker.clone());
        let (sender, receiver) = tokio::sync::mpsc::channel(EXPORT);
        let grant = Grant::of(&shared, caller, scopes);
        let sending = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || export::send(&sending, &selected.ids, masker.as_ref(), &sender));
        Ok(Response::new(Box::pin(Held::new(shared, grant, ReceiverStream::new(receiver)))))
    }

    async fn explain_selector(
        &self,
        request: Request<v1::ExplainSelectorRequest>,
    ) -> Result<Response<v1::ExplainSelectorResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/ExplainSelector"), &request)?;
        self.0.permit(&caller, &[], false, "dead_letter").await?;
        let request = request.into_inner();
        let explained = Selector::parse(&request.selector).map_err(|fault| status(&fault))?.explain();
        let words = if request.language == "zh" { explained.chinese } else { explained.english };
        Ok(Response::new(v1::ExplainSelectorResponse { words, reads_payloads: !explained.over_bodies.is_empty() }))
    }

    async fn edit_dead_letter(
        &self,
        request: Request<v1::EditDeadLetterRequest>,
    ) -> Result<Response<v1::EditDeadLetterResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/EditDeadLetter"), &request)?;
        let request = request.into_inner();
        let letter = shared.letter(&request.id)?;
        let (scope, object) = (shared.scope_of(&letter.row.flow), format!("dead_letter/{}", letter.row.id));
        let role = shared.permit(&caller, std::slice::from_ref(&scope), false, &object).await?;
        let meta = caller.meta(&object, scope, digest(&request), role);
        let (id, patch, expected) = (letter.row.id.clone(), request.patch, request.expected_revision);
        let present = letter.published();
        let (checked, _) = edit::patched(present, &patch, letter.row.stage == Stage::Transform, &shared.masker)
            .map_err(|fault| status(&fault.of_record(id.0.clone())))?;
        let checks = edit_check::check(shared, &letter, present, &checked, &mut edit_check::calls(1)).await;
        let checks = checks.map_err(|fault| status(&fault))?;
        let (name, why) = (caller.principal.name.clone(), reason(request.change.as_ref()));
        let (masker, flows) = (shared.masker.clone(), shared.flows.clone());
        let response = shared.change(meta, request.change.as_ref(), true, move |desk, _| {
            let by = By { name, reason: Some(why).filter(|why| !why.is_empty()), at: desk.now };
            let (known, found) = desk.known_letter(&id)?;
            let revision = next_revision(&known, expected)?;
            replayable(&known, true)?;
            let before = edit::published(&known, &found);
            let (after, differences) = edit::patched(&before, &patch, known.stage == Stage::Transform, &masker)
                .map_err(|fault| fault.of_record(id.0.clone()))?;
            if after != checked {
                let detail = "the letter was edited while the edit was checked";
                return Err(Fault::new(Code::EditRevision, detail).of_record(id.0.clone()));
            }
            let event = edit::edited(&known, revision, after.clone(), &by);
            let mut effects = Effects::default();
            desk.note(id, event.clone(), &mut effects);
            let shown = show::letter(&flows, &crate::index::Letter { event: Some(event), ..found });
            let response = v1::EditDeadLetterResponse {
                dead_letter: Some(shown),
                edited: Some(show::payload(&after, Some(&masker))),
                differences,
                checks,
            };
            Ok((Decided { effects, ..Decided::default() }, response))
        });
        response.await.map(Response::new)
    }

    async fn import_dead_letters(
        &self,
        request: Request<v1::ImportDeadLettersRequest>,
    ) -> Result<Response<v1::ImportDeadLettersResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/ImportDeadLetters"), &request)?;
        let request = request.into_inner();
        let ids = import::ids(&request).map_err(|fault| status(&fault))?;
        let selection = v1::Selection { ids, selector: String::new() };
        let selected = shared.select(&caller, Some(&selection), Reach::OneScan).await?;
        let (scopes, object) = (selected.scopes(shared), selected.object());
        let role = shared.permit(&caller, &scopes, false, &object).await?;
        let meta = caller.meta(&object, one_or_all(&scopes), digest(&request), role);
        let (name, why) = (caller.principal.name.clone(), reason(request.change.as_ref()));
        let masker = shared.masker.clone();
        let change = request.change.clone();
        let checked = if request.as_edit { import::check(shared, &request.letters).await } else { BTreeMap::new() };
        let response = shared.change(meta, change.as_ref(), true, move |desk, _| {
            let by = By { name, reason: Some(why).filter(|why| !why.is_empty()), at: desk.now };
            let (mut effects, mut response) = (Effects::default(), v1::ImportDeadLettersResponse::default());
            let mut outcome = v1::Outcome::default();
            for letter in &request.letters {
                let id = document::DeadLetterId(letter.id.clone());
                let judged = desk.known_letter(&id).and_then(|(known, found)| {
                    let published = edit::published(&known, &found);
                    let event = import::judge(letter, &known, &published, request.as_edit, &masker, &by)?;
                    if event.is_some() {
                        import::stood(checked.get(&id.0), &published).map_err(|fault| fault.of_record(id.0.clone()))?;
                    }
                    Ok(event)
                });
                match judged {
                    Ok(None) => response.unchanged += 1,
                    Ok(Some(event)) => {
                        desk.note(id.clone(), event, &mut effects);
                        noted(&mut outcome, id.0, Ok(()));
                    }
                    Err(fault) => noted(&mut outcome, id.0, Err(fault)),
                }
            }
            response.outcome = Some(outcome);
            Ok((Decided { effects, ..Decided::default() }, response))
        });
        response.await.map(Response::new)
    }

    async fn claim_dead_letters(
        &self,
        request: Request<v1::ClaimDeadLettersRequest>,
    ) -> Result<Response<v1::ClaimDeadLettersResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/ClaimDeadLetters"), &request)?;
        let request = request.into_inner();
        let many = Many::of(&self.0, &caller, request.selection.as_ref(), false, digest(&request)).await?;
        let outcome = many.moved(&self.0, request.change.as_ref(), false, Wish::Claim).await?;
        Ok(Response::new(v1::ClaimDeadLettersResponse { outcome: Some(outcome) }))
    }

    async fn unclaim_dead_letters(
        &self,
        request: Request<v1::UnclaimDeadLettersRequest>,
    ) -> Result<Response<v1::UnclaimDeadLettersResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/UnclaimDeadLetters"), &request)?;
        let request = request.into_inner();
        let many = Many::of(&self.0, &caller, request.selection.as_ref(), false, digest(&request)).await?;
        let outcome = many.moved(&self.0, request.change.as_ref(), false, Wish::Unclaim).await?;
        Ok(Response::new(v1::UnclaimDeadLettersResponse { outcome: Some(outcome) }))
    }

    async fn discard_dead_letters(
        &self,
        request: Request<v1::DiscardDeadLettersRequest>,
    ) -> Result<Response<v1::DiscardDeadLettersResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/DiscardDeadLetters"), &request)?;
        let request = request.into_inner();
        let many = Many::of(&self.0, &caller, request.selection.as_ref(), false, digest(&request)).await?;
        let outcome = many.moved(&self.0, request.change.as_ref(), true, Wish::Discard).await?;
        Ok(Response::new(v1::DiscardDeadLettersResponse { outcome: Some(outcome) }))
    }

    async fn park_dead_letters(
        &self,
        request: Request<v1::ParkDeadLettersRequest>,
    ) -> Result<Response<v1::ParkDeadLettersResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/ParkDeadLetters"), &request)?;
        let request = request.into_inner();
        let many = Many::of(&self.0, &caller, request.selection.as_ref(), false, digest(&request)).await?;
        let outcome = many.moved(&self.0, request.change.as_ref(), false, Wish::Park).await?;
        Ok(Response::new(v1::ParkDeadLettersResponse { outcome: Some(outcome) }))
    }

    async fn refetch_dead_letters(
        &self,
        request: Request<v1::RefetchDeadLettersRequest>,
    ) -> Result<Response<v1::RefetchDeadLettersResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/RefetchDeadLetters"), &request)?;
        let request = request.into_inner();
        let many = Many::of(shared, &caller, request.selection.as_ref(), false, digest(&request)).await?;
        refetch::refetch(shared, many, request.change.as_ref()).await.map(Response::new)
    }

    async fn reopen_dead_letters(
        &self,
        request: Request<v1::ReopenDeadLettersRequest>,
    ) -> Result<Response<v1::ReopenDeadLettersResponse>, Status> {
        let caller = self.0.caller(&format!("{SERVICE}/ReopenDeadLetters"), &request)?;
        let request = request.into_inner();
        let many = Many::of(&self.0, &caller, request.selection.as_ref(), request.discarded, digest(&request)).await?;
        let wish = Wish::Reopen { discarded: request.discarded };
        let outcome = many.moved(&self.0, request.change.as_ref(), false, wish).await?;
        Ok(Response::new(v1::ReopenDeadLettersResponse { outcome: Some(outcome) }))
    }
}

/// A change of many letters by one caller.
struct Many {
    selected: Selected,
    meta: crate::writer::request::Meta,
    who: String,
}

impl Many {
    async fn of(
        shared: &Shared,
        caller: &Caller,
        selection: Option<&v1::Selection>,
        flagged: bool,
        digest: crate::audit::Hash,
    ) -> Result<Self, Status> {
        let selected = shared.select(caller, selection, Reach::OneScan).await?;
        let (scopes, object) = (selected.scopes(shared), selected.object());
        let role = shared.permit(caller, &scopes, flagged, &object).await?;
        let meta = caller.meta(&object, one_or_all(&scopes), digest, role);
        Ok(Self { selected, meta, who: caller.principal.name.clone() })
    }

    async fn moved(
        self,
        shared: &Shared,
        change: Option<&v1::Change>,
        needs_reason: bool,
        wish: Wish,
    ) -> Result<v1::Outcome, Status> {
        let (ids, who, why) = (self.selected.ids, self.who, reason(change));
        let decide = move |desk: &mut Desk<'_>, _: &crate::writer::request::Jobs<'_>| {
            let by = By { name: who, reason: Some(why).filter(|why| !why.is_empty()), at: desk.now };
            let mut effects = Effects::default();
            let mut outcome = v1::Outcome::default();
            for id in ids {
                let moved =
                    desk.known_letter(&id).and_then(|(letter, _)| desk.move_letter(&letter, &wish, &by, &mut effects));
                noted(&mut outcome, id.0, moved);
            }
            Ok((Decided { effects, ..Decided::default() }, outcome))
        };
        shared.change(self.meta, change, needs_reason, decide).await
    }
}

/// Where a call is about, as the audit entry has it.
fn one_or_all(scopes: &[Scope]) -> Scope {
    match scopes {
        [one] => one.clone(),
        _ => Scope::EVERYWHERE,
    }
}

/// Adds what became of a letter.
fn noted(outcome: &mut v1::Outcome, id: String, done: Result<(), Fault>) {
    match done {
        Ok(()) => {
            outcome.changed += 1;
            if outcome.first_ids.len() < FIRST {
                outcome.first_ids.push(id);
            }
        }
        Err(fault) if outcome.refused.len() < REFUSED => outcome.refused.push(refusal(&id, &fault)),
        Err(_) => {}
    }
}

/// A letter left as it is.
pub(super) fn refusal(id: &str, fault: &Fault) -> v1::Refusal {
    v1::Refusal { id: id.to_owned(), code: fault.code.to_string(), why: fault.detail.clone() }
}

/// The caller's words.
pub(super) fn reason(change: Option<&v1::Change>) -> String {
    change.map(|change| change.reason.trim().to_owned()).unwrap_or_default()
}

fn order(text: &str) -> Result<(Order, bool), Fault> {
    Ok(match text {
        "" | "-last_failed" => (Order::LastFailed, true),
        "last_failed" => (Order::LastFailed, false),
        "first_failed" => (Order::FirstFailed, false),
        "-first_failed" => (Order::FirstFailed, true),
        "document" => (Order::Document, false),
        _ => {
            return Err(Fault::new(Code::RequestInvalid, format!("{text:?} is no order"))
                .at_path("$.order_by")
                .hint("-last_failed, last_failed, first_failed, -first_failed or document"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_order_is_named() {
        let fault = order("name").expect_err("no such order");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::RequestInvalid, Some("$.order_by")));
        assert_eq!(order("").expect("default"), (Order::LastFailed, true));
    }
}
