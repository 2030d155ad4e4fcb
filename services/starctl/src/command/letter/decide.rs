//! Discard, park, reopen: one decision about a selection of letters.

use serde_json::{Map, Value};
use starbridge_proto::v1;

use crate::cli::Form;
use crate::cli::change::ChangeArgs;
use crate::cli::letter::SelectionArgs;
use crate::client::{self, AskChange};
use crate::command::{Session, view};
use crate::exit;
use crate::message;
use crate::output::failure::Failure;

/// Ids in one question about the flows that letters belong to.
const IDS_A_QUESTION: usize = 100;

/// Decides, after asking where that is needed. `does` is the decision as a verb of the third person.
pub(super) async fn run<R: AskChange>(
    session: &Session,
    does: &str,
    selection: &SelectionArgs,
    args: &ChangeArgs,
    ask: impl Fn(Option<v1::Selection>, Option<v1::Change>) -> R,
    outcome: impl Fn(R::Answer) -> Option<v1::Outcome>,
) -> Result<u8, Failure> {
    let selection = super::selection(selection);
    if session.must_ask(args)? {
        let planned = session.client.change(ask(Some(selection.clone()), Some(client::look(args)))).await?;
        let planned = outcome(planned).unwrap_or_default();
        if planned.changed == 0 {
            return nothing(session, &planned);
        }
        let (number, left) = (planned.changed, planned.refused.len());
        let what = session.output.pick(
            format!("This {does} {number} letters and leaves {left} alone."),
            format!("将{does} {number} 条死信，{left} 条不处理。"),
        );
        session.confirm(&what, &flows(session, &selection).await?)?;
    }
    let answer = session.client.change(ask(Some(selection), Some(client::change(args)))).await?;
    let outcome = outcome(answer).unwrap_or_default();
    if outcome.changed == 0 && outcome.refused.is_empty() {
        nothing_selected(session)?;
    }
    show(session, &outcome, args.dry_run)
}

/// Nobody is asked where nothing would change. What that means to scripts is the same as if the change had been made.
pub(super) fn nothing(session: &Session, planned: &v1::Outcome) -> Result<u8, Failure> {
    session.output.remark(session.output.pick("nothing was changed", "未做任何变更"))?;
    if planned.refused.is_empty() {
        nothing_selected(session)?;
    }
    show(session, planned, false)
}

pub(super) fn nothing_selected(session: &Session) -> Result<(), Failure> {
    session.output.notice(session.output.pick("no letter was selected", "没有选中任何死信"))
}

/// What became of a selection; 6 where some letters were left alone, unless it was a dry run.
pub(super) fn show(session: &Session, outcome: &v1::Outcome, dry_run: bool) -> Result<u8, Failure> {
    let output = &session.output;
    output.dry_run(dry_run)?;
    let value = message::value("Outcome", outcome);
    match output.form() {
        Form::Name => outcome.first_ids.iter().try_for_each(|id| output.line(&format!("dead_letter/{id}")))?,
        _ => output.one(&view::OUTCOME, &value)?,
    }
    if matches!(output.form(), Form::Table | Form::Wide) {
        refusals(session, &value["refused"])?;
    }
    Ok(if outcome.refused.is_empty() || dry_run { exit::DONE } else { exit::SOME_FAILED })
}

/// Shows letters that were left alone, below what was said before.
pub(super) fn refusals(session: &Session, refused: &Value) -> Result<(), Failure> {
    let refused = refused.as_array().map(Vec::as_slice).unwrap_or_default();
    if refused.is_empty() {
        return Ok(());
    }
    session.output.line("")?;
    session.output.list(&view::REFUSAL, refused, &Map::new())
}

/// The flows that a selection's letters belong to, by name. Only production asks for them.
pub(in crate::command) async fn flows(session: &Session, selection: &v1::Selection) -> Result<Vec<String>, Failure> {
    if !session.settings.context.production {
        return Ok(Vec::new());
    }
    let quoted = |ids: &[String]| ids.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(", ");
    let selectors = match selection.selector.is_empty() {
        true => selection.ids.chunks(IDS_A_QUESTION).map(|ids| format!("id in ({})", quoted(ids))).collect(),
        false => vec![selection.selector.clone()],
    };
    let mut flows = std::collections::BTreeSet::new();
    for selector in selectors {
        let answer = session.client.ask(v1::GetDeadLetterStatsRequest { selector }).await?;
        flows.extend(answer.counts.into_iter().filter(|count| count.by == "flow").map(|count| count.value));
    }
    Ok(flows.into_iter().collect())
}
