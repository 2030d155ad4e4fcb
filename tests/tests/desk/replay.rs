//! Dead letters are found, the target is mended, and one selection asked for ten times publishes each letter once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::road::{Road, RoadPlan};
use starbridge_proto::v1;
use tonic::Code;

use super::client::{Caller, People, change};
use super::{PATIENCE, until};

pub(super) async fn open(plan: RoadPlan) -> (Road, People) {
    let mut road = Road::open(plan).await.expect("laid");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, letters| applied + letters >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    (road, people)
}

pub(super) fn by_selector(selector: &str) -> Option<v1::Selection> {
    Some(v1::Selection { ids: Vec::new(), selector: selector.to_owned() })
}

async fn listed(caller: &Caller, selector: &str) -> Vec<v1::DeadLetter> {
    let asked = v1::ListDeadLettersRequest { selector: selector.to_owned(), ..v1::ListDeadLettersRequest::default() };
    caller.letters().list_dead_letters(asked).await.expect("a list").into_inner().dead_letters
}

/// Waits until the index knows `count` letters of a selector.
pub(super) async fn until_listed(caller: &Caller, selector: &str, count: usize) -> Vec<v1::DeadLetter> {
    let listed = until(selector, async || {
        let letters = listed(caller, selector).await;
        if letters.len() == count { Ok(letters) } else { Err(format!("{count} letters expected: {letters:#?}")) }
    });
    listed.await
}

pub(super) async fn until_over(caller: &Caller, id: &str) -> v1::Replay {
    let over = until("the replay ends", async || {
        let asked = v1::GetReplayRequest { id: id.to_owned() };
        let answer = caller.replays().get_replay(asked).await.map_err(|status| format!("{status:?}"))?;
        let replay = answer.into_inner().replay.expect("a job");
        if replay.ended_at.is_some() { Ok(replay) } else { Err(format!("{replay:?}")) }
    });
    over.await
}

/// How often each letter's record was published by a replay.
pub(super) async fn published(road: &Road) -> BTreeMap<String, usize> {
    let brokers = road.kafka.brokers().to_owned();
    let read = tokio::task::spawn_blocking(move || {
        e2e::compare::letters::records(&brokers, "starbridge.misc-inbound.mapped", "sb-replay")
    });
    let mut counts = BTreeMap::new();
    for (key, _) in read.await.expect("reading does not panic").expect("the mapped topic") {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_selection_ten_times_at_once_publishes_each_letter_once() {
    let (mut road, people) = open(RoadPlan { controls: 2, ..RoadPlan::default() }).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;

    let parked = road.expectation.parked.clone();
    let letters = until_listed(&operator, "state = open", parked.len()).await;
    let categories: BTreeMap<String, String> =
        letters.iter().map(|letter| (letter.target_key.clone(), letter.category.clone())).collect();
    assert_eq!(categories, parked.iter().map(|(key, category)| (key.clone(), (*category).to_owned())).collect());

    // Nothing was mended: a replay fails again, and each letter keeps its id.
    let one = &letters[0];
    let asked = v1::StartReplayRequest {
        selection: Some(v1::Selection { ids: vec![one.id.clone()], selector: String::new() }),
        options: None,
        change: change("too early"),
    };
    let early = operator.replays().start_replay(asked).await.expect("started").into_inner().replay.expect("a job");
    let early = until_over(&operator, &early.id).await;
    assert_eq!((early.total, early.published, early.failed), (1, 1, 1), "{early:?}");
    let again = until_listed(&operator, "state = open", parked.len()).await;
    let ids = |letters: &[v1::DeadLetter]| letters.iter().map(|letter| letter.id.clone()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&again), ids(&letters));
    assert_eq!(again.iter().filter(|letter| letter.attempts == 2).count(), 1);
    // How it failed before is told, too.
    let asked = v1::GetDeadLetterRequest { id: one.id.clone(), unmask: false };
    let seen = operator.letters().get_dead_letter(asked).await.expect("seen").into_inner();
    let earlier = &seen.earlier_attempts;
    assert_eq!((earlier.len(), earlier[0].attempt, &earlier[0].code), (1, 1, &one.code), "{earlier:?}");
    assert_eq!((earlier[0].failed_at, earlier[0].replay_job.as_str()), (one.last_failed_at, ""), "{earlier:?}");

    // What is set aside is not taken by a selector that wants open letters, until it is opened again.
    let parking = v1::ParkDeadLettersRequest {
        selection: Some(v1::Selection { ids: vec![one.id.clone()], selector: String::new() }),
        change: change("asked the warehouse"),
    };
    let parked_one = operator.letters().park_dead_letters(parking).await.expect("parked").into_inner().outcome;
    assert_eq!(parked_one.map(|outcome| outcome.changed), Some(1));
    until_listed(&operator, "state = open", parked.len() - 1).await;
    let opening = |selector: &str, discarded: bool| v1::ReopenDeadLettersRequest {
        selection: by_selector(selector),
        discarded,
        change: change("answered"),
    };
    operator.letters().reopen_dead_letters(opening("state = parked", false)).await.expect("opened");
    until_listed(&operator, "state = open", parked.len()).await;

    // What is given up takes more to be opened again: somebody who may, and who says so.
    let discarding = v1::DiscardDeadLettersRequest {
        selection: Some(v1::Selection { ids: vec![one.id.clone()], selector: String::new() }),
        change: change("typed by hand"),
    };
    operator.letters().discard_dead_letters(discarding).await.expect("discarded");
    until_listed(&operator, "state = discarded", 1).await;
    let refused = operator.letters().reopen_dead_letters(opening("state = discarded", false)).await.expect("judged");
    assert_eq!(refused.into_inner().outcome.map(|outcome| (outcome.changed, outcome.refused.len())), Some((0, 1)));
    let denied = operator.letters().reopen_dead_letters(opening("state = discarded", true)).await;
    assert_eq!(denied.expect_err("an operator").code(), tonic::Code::PermissionDenied);
    let chief = people.hire(&road, "chen", "system_administrator").await;
    let chief = people.at_writer(&road, &chief).await;
    chief.letters().reopen_dead_letters(opening("state = discarded", true)).await.expect("opened");
    until_listed(&operator, "state = open", parked.len()).await;

    // An edit changes what a replay publishes; the original stays, and who looked at an older one is told so.
    let editing = |revision: u32, reason: &str| v1::EditDeadLetterRequest {
        id: one.id.clone(),
        patch: r#"[{"op":"add","path":"/FNote","value":"checked by hand"}]"#.to_owned(),
        expected_revision: revision,
        change: change(reason),
    };
    let edited = operator.letters().edit_dead_letter(editing(0, "the warehouse's remark")).await.expect("edited");
    assert_eq!(edited.get_ref().differences.len(), 1, "{edited:?}");
    assert!(edited.get_ref().checks[0].starts_with("fields of STK_MISCELLANEOUS in galaxy-b"), "{edited:?}");
    let unknown = v1::EditDeadLetterRequest {
        patch: r#"[{"op":"add","path":"/FNoSuchField","value":1}]"#.to_owned(),
        ..editing(1, "a slip")
    };
    let unknown = operator.letters().edit_dead_letter(unknown).await.expect_err("the form has no such field");
    assert!(unknown.code() == Code::InvalidArgument && unknown.message().contains("$.FNoSuchField"), "{unknown:?}");

    // A foreign document holds the number: the target shows it beside ours.
    let held = letters.iter().find(|letter| letter.category == "duplicate").expect("planted");
    let asked = v1::CheckDoubtRequest { id: held.id.clone(), unmask: false };
    let beside = operator.doubts().check_doubt(asked).await.expect("asked").into_inner();
    assert_eq!((beside.finding(), beside.found.len()), (v1::DoubtFinding::Different, 1), "{beside:?}");
    assert_eq!(beside.found[0].key, held.target_key);
    let stale = operator.letters().edit_dead_letter(editing(0, "again")).await.expect_err("edited since");
    assert_eq!(stale.code(), Code::FailedPrecondition);
    let seen = v1::GetDeadLetterRequest { id: one.id.clone(), unmask: false };
    let seen = operator.letters().get_dead_letter(seen).await.expect("seen").into_inner();
    let text = |payload: Option<v1::Payload>| String::from_utf8(payload.expect("a payload").data).expect("JSON");
    assert!(!text(seen.payload).contains("checked by hand"));
    assert!(text(seen.edited).contains("checked by hand"));
    assert!(text(seen.source).contains(&one.target_key), "the bill as the source gave it");

    road.mend_target().await.expect("mended");
    let selector = "flow = misc-inbound and category in (reference_missing, duplicate) and state = open";
    let plan = v1::StartReplayRequest {
        selection: by_selector(selector),
        options: None,
        change: Some(v1::Change { dry_run: true, ..v1::Change::default() }),
    };
    let planned = operator.replays().start_replay(plan).await.expect("planned").into_inner();
    let target = planned.plan.as_ref().and_then(|plan| plan.target.clone()).expect("the target was asked");
    let all = i64::try_from(parked.len()).expect("few");
    assert_eq!((target.asked, target.found, target.not_asked), (all, 0, 0), "{target:?}");
    assert_eq!((planned.plan.expect("a plan").letters, planned.replay), (parked.len() as i64, None));

    let before = published(&road).await.values().sum::<usize>();
    let started = futures::future::join_all((0..10).map(|_| {
        let operator = operator.clone();
        async move {
            let asked = v1::StartReplayRequest {
                selection: by_selector(selector),
                options: Some(v1::ReplayOptions { rate: 100.0, ..v1::ReplayOptions::default() }),
                change: change("products were created, numbers freed"),
            };
            operator.replays().start_replay(asked).await.expect("started").into_inner().replay.expect("a job").id
        }
    }))
    .await;
    let mut resolved = 0;
    for id in &started {
        let replay = until_over(&operator, id).await;
        assert_eq!(replay.failed, 0, "{replay:?}");
        resolved += replay.resolved;
    }
    assert_eq!(resolved, parked.len() as i64);
    assert_eq!(published(&road).await.values().sum::<usize>() - before, parked.len());
    until_listed(&operator, "state = open", 0).await;
    until_listed(&operator, "state = resolved", parked.len()).await;

    let stats =
        operator.letters().get_dead_letter_stats(v1::GetDeadLetterStatsRequest::default()).await.expect("counts");
    assert_eq!((stats.get_ref().total, stats.get_ref().unreadable), (parked.len() as i64, 0), "{stats:?}");
    let asked = v1::TraceRecordRequest { flow: String::new(), key: one.target_key.clone() };
    let traced = operator.records().trace_record(asked).await.expect("traced").into_inner();
    let kinds: Vec<&str> = traced.steps.iter().map(|step| step.kind.as_str()).collect();
    assert_eq!((traced.end.as_str(), traced.dead_letters.len()), ("applied", 1), "{traced:#?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "extracted").count(), 1, "{traced:#?}");
    // The first road, the replay that came too early, and the one that was applied.
    assert_eq!(kinds.iter().filter(|kind| **kind == "mapped").count(), 3, "{traced:#?}");
    // Saves that were begun, with their batches, are written where the ledger is.
    assert_eq!(traced.flow, "misc-inbound");
    let begun: Vec<_> = traced.steps.iter().filter(|step| step.kind == "intent").collect();
    assert!(!begun.is_empty(), "{traced:#?}");
    assert!(begun.iter().all(|step| !step.batch.is_empty() && step.place.contains(".ledger/")), "{begun:#?}");
    let noted = traced.steps.iter().rfind(|step| step.kind == "ledger").expect("an end");
    assert!(noted.place.contains(".ledger/") && noted.place.contains('@'), "{noted:#?}");

    let auditor = people.hire(&road, "zhao", "auditor").await;
    let auditor = people.at_writer(&road, &auditor).await;
    let proof = auditor.audit().verify_audit(v1::VerifyAuditRequest::default()).await.expect("verified").into_inner();
    assert!(proof.intact && proof.entries >= 14 && proof.signed_head.is_some(), "{proof:?}");
    let entries = auditor.audit().list_audit_entries(v1::ListAuditEntriesRequest::default()).await.expect("entries");
    let starts = entries.get_ref().entries.iter().filter(|entry| entry.action.ends_with("/StartReplay")).count();
    assert_eq!(starts, 11);
    // What one may, the other may not.
    let denied = operator.audit().verify_audit(v1::VerifyAuditRequest::default()).await.expect_err("not an auditor");
    assert_eq!(denied.code(), Code::PermissionDenied);

    for stage in road.stages.iter_mut().rev() {
        stage.process().stop(Duration::from_secs(60)).expect("drained");
    }
    let ended = road.compare_with(BTreeMap::new()).await.expect("compared");
    assert!(ended.report.is_clean(), "{:#?}", ended.report);
    assert_eq!(ended.report.applied, ended.report.source);
}
