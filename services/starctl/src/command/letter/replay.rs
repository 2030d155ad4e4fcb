//! `starctl dlq replay`: plans a replay, asks, starts it, and follows it where that is wanted.

use starbridge_proto::v1;

use super::decide;
use crate::cli::Form;
use crate::cli::change::ChangeArgs;
use crate::cli::letter::{ReplayArgs, SelectionArgs};
use crate::client;
use crate::command::{Session, view, watch};
use crate::exit;
use crate::message;
use crate::output::failure::Failure;

pub(super) async fn run(
    session: &Session,
    selection: &SelectionArgs,
    how: &ReplayArgs,
    args: &ChangeArgs,
    wait: bool,
) -> Result<u8, Failure> {
    let output = &session.output;
    let selection = super::selection(selection);
    let request = |change: v1::Change| v1::StartReplayRequest {
        selection: Some(selection.clone()),
        options: Some(options(how)),
        change: Some(change),
    };
    if session.must_ask(args)? {
        let plan = session.client.change(request(client::look(args))).await?.plan.unwrap_or_default();
        if plan.letters == 0 {
            output.remark(output.pick("nothing was published", "未发布任何内容"))?;
            return show_plan(session, &plan);
        }
        session.confirm(&in_words(session, &plan), &decide::flows(session, &selection).await?)?;
    }
    let change = client::change(args);
    if !args.dry_run {
        output.remark(&format!("{} {}", output.pick("idempotency key", "幂等键"), change.idempotency_key))?;
    }
    let answer = session.client.change(request(change)).await?;
    let plan = answer.plan.unwrap_or_default();
    let Some(job) = answer.replay else {
        output.dry_run(args.dry_run)?;
        return show_plan(session, &plan);
    };
    empty(session, &plan)?;
    output.remark(&in_words(session, &plan))?;
    if plan.needs_approval {
        let plan = &job.plan_digest;
        output.notice(&output.pick(
            format!("another person has to approve it: starctl replay approve {} --plan-digest {plan}", job.id),
            format!("需由他人批准：starctl replay approve {} --plan-digest {plan}", job.id),
        ))?;
    }
    watch::tell(session, &job)?;
    if wait {
        return watch::follow::<v1::Replay>(session, &job.id).await;
    }
    output.one(&view::REPLAY, &message::value("Replay", &job))?;
    Ok(exit::DONE)
}

/// Says so where a plan has nothing in it, not even letters that are left alone.
fn empty(session: &Session, plan: &v1::ReplayPlan) -> Result<(), Failure> {
    if plan.letters == 0 && plan.refused_total == 0 { decide::nothing_selected(session) } else { Ok(()) }
}

fn options(how: &ReplayArgs) -> v1::ReplayOptions {
    v1::ReplayOptions {
        rate: how.rate.unwrap_or_default(),
        max: how.max.unwrap_or_default(),
        flow_version: how.flow_version.clone(),
        from_stage: how.from_stage.clone(),
        attempt_cap: how.attempt_cap,
        stop_on_failure_ratio: how.stop_on_failure_ratio.unwrap_or_default(),
    }
}

fn show_plan(session: &Session, plan: &v1::ReplayPlan) -> Result<u8, Failure> {
    let output = &session.output;
    let value = message::value("ReplayPlan", plan);
    match output.form() {
        Form::Name => plan.first_ids.iter().try_for_each(|id| output.line(&format!("dead_letter/{id}")))?,
        _ => output.one(&view::PLAN, &value)?,
    }
    if matches!(output.form(), Form::Table | Form::Wide) {
        decide::refusals(session, &value["refused"])?;
    }
    empty(session, plan)?;
    Ok(exit::DONE)
}

fn in_words(session: &Session, plan: &v1::ReplayPlan) -> String {
    let v1::ReplayPlan { letters, seconds, already_in_target, overtaken, refused_total, .. } = plan;
    session.output.pick(
        format!(
            "This replays {letters} letters in about {seconds:.0} s; {already_in_target} are in the target already, \
             {overtaken} are overtaken by newer versions, {refused_total} are left alone."
        ),
        format!(
            "将重放 {letters} 条死信，约需 {seconds:.0} 秒；{already_in_target} 条目标已存在，{overtaken} 条已有更新版本，{refused_total} 条不处理。"
        ),
    )
}
