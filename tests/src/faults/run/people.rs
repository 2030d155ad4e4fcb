//! What people do: at the desk, in the target and in the source.

use std::process::Output;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::super::deed::{Deed, Edit, Replay};
use super::super::nemesis::Side;
use super::{ByHand, FORM, LOOK, RECOVERY, Run};
use crate::compare::letters;
use crate::fleet::Starctl;
use crate::mend;

/// Dates that no order has: of what a person changed in a letter, in the source, in the target.
const IN_LETTER: &str = "2011-03-01";
const IN_SOURCE: &str = "2011-03-02";
const IN_TARGET: &str = "2011-03-03";

/// A bill that the target refused.
struct Refused {
    number: String,
    letter: String,
    /// The target's fault that refuses it.
    fault: u64,
}

impl Run<'_> {
    pub(super) async fn deed(&mut self, deed: &Deed) -> anyhow::Result<()> {
        match deed {
            Deed::Replay(Replay::AtOnce { early }) => self.replay_at_once(*early).await,
            Deed::Replay(Replay::Overtaken) => self.replay_overtaken().await,
            Deed::Replay(Replay::Edited) => self.replay_edited().await,
            Deed::Configure { documents } => self.configure(*documents).await,
            Deed::Edit(Edit::InDoubt) => self.edit_in_doubt().await,
            Deed::Edit(Edit::Loaded) => self.edit_loaded().await,
            Deed::Dates(dates) => self.misleading_dates(*dates).await,
            Deed::OddKey(odd) => self.odd_key(*odd).await,
            Deed::Move(how) => self.source_moves(*how).await,
            Deed::PermissionLost => self.permission_lost().await,
            Deed::FailingVersion => self.failing_version().await,
        }
    }

    /// Ten people ask at once for the replay of one letter: its record is published once.
    async fn replay_at_once(&mut self, early: bool) -> anyhow::Result<()> {
        let refused = self.refused().await?;
        if early {
            let job = self.replay(&refused.letter).await?;
            ensure!(job["published"] == 1 && job["failed"] == 1, "a replay too early: {job}");
            let letter = self.letter(&refused.number, "E_TARGET_VALIDATION", "OPEN").await?;
            ensure!(letter["id"] == json!(refused.letter) && letter["attempts"] == 2, "a replay too early: {letter}");
        }
        self.road.target.end_fault(refused.fault).await?;
        let desk = self.desk().await?;
        let selector = format!("target_key = \"{}\" and state = open", refused.number);
        let asked: Vec<_> = (0..10)
            .map(|_| {
                let (desk, selector) = (desk.clone(), selector.clone());
                tokio::task::spawn_blocking(move || {
                    desk.run(&["dlq", "replay", "-l", &selector, "--reason", "mended", "--yes", "-o", "json"])
                })
            })
            .collect();
        let mut published = 0;
        for answer in asked {
            let job = self.over(&item(&answer.await??)?).await?;
            ensure!(job["failed"] == 0, "one of ten replays: {job}");
            published += job["published"].as_i64().unwrap_or_default();
        }
        ensure!(published == 1, "ten replays of one letter at once published it {published} times");
        self.arrive(std::slice::from_ref(&refused.number)).await?;
        let brokers = self.road.kafka.brokers().to_owned();
        let read = move || letters::records(&brokers, "starbridge.misc-inbound.mapped", "sb-replay");
        let records = tokio::task::spawn_blocking(read).await??;
        let records = records.iter().filter(|(key, _)| *key == refused.number).count();
        ensure!(records == 1 + usize::from(early), "{records} records of replays of {}", refused.number);
        Ok(())
    }

    /// The bill of a letter is corrected in the source and applied; its letter, replayed, changes nothing.
    async fn replay_overtaken(&mut self) -> anyhow::Result<()> {
        let refused = self.refused().await?;
        self.road.target.end_fault(refused.fault).await?;
        self.redate(&refused.number).await?;
        self.arrive(std::slice::from_ref(&refused.number)).await?;
        let job = self.replay(&refused.letter).await?;
        ensure!(job["superseded"] == 1 && job["resolved"] == 0, "the replay of what was overtaken: {job}");
        Ok(())
    }

    /// What stands in the letter is corrected, and that is what the target gets.
    async fn replay_edited(&mut self) -> anyhow::Result<()> {
        let refused = self.refused().await?;
        self.road.target.end_fault(refused.fault).await?;
        let set = format!("FDate={IN_LETTER:?}");
        let edit = ["dlq", "edit", &refused.letter, "--set", &set, "--reason", "the warehouse says so", "-o", "json"];
        item(&self.ask(&edit).await?)?;
        let job = self.replay(&refused.letter).await?;
        ensure!(job["resolved"] == 1, "the replay of an edited letter: {job}");
        // Who changed what a letter holds is on record.
        let object = format!("dead_letter/{}", refused.letter);
        let audit = ["audit", "list", "--actor", "operator", "--object", &object, "-o", "json", "--context", "auditor"];
        let edits = self.items(&audit).await?;
        let edits =
            edits.iter().filter(|entry| entry["action"].as_str().is_some_and(|it| it.ends_with("/EditDeadLetter")));
        ensure!(edits.count() == 1, "an edit that is not on record, or twice");
        self.known.dates.push((refused.number.clone(), IN_LETTER.to_owned()));
        self.arrive(&[refused.number]).await
    }

    /// A save goes well and is not answered; before its outcome is looked for, a person edits what it left.
    async fn edit_in_doubt(&mut self) -> anyhow::Result<()> {
        // A save of before whose outcome is open would wait for the questions that get no answer from here on, and every
        // later save behind it.
        let before: Vec<String> = self.bills[..self.given].iter().map(|(number, _)| number.clone()).collect();
        self.end(&before).await?;
        let number = self.own_number("");
        let lost = json!({"kind": "cut_after", "call": "BatchSave", "numbers": [number], "count": 1});
        self.road.fault(lost).await?;
        let blind = json!({"kind": "status", "call": "ExecuteBillQuery", "status": 503, "count": 0});
        let blind = self.misbehave(Side::Target, &blind).await?;
        self.plant(&number, &[]).await?;
        self.arrive(std::slice::from_ref(&number)).await?;
        self.edit(&number, "duplicate").await?;
        self.road.target.end_fault(blind).await?;
        self.letter(&number, "E_CONFLICT", "OPEN").await.map(drop)
    }

    /// A bill that was loaded is edited in the target, and then changes in the source.
    async fn edit_loaded(&mut self) -> anyhow::Result<()> {
        let number = self.own_number("");
        self.plant(&number, &[]).await?;
        self.end(std::slice::from_ref(&number)).await?;
        self.edit(&number, "business_rule").await?;
        self.redate(&number).await?;
        self.letter(&number, "E_CHANGED_AFTER_LOAD", "OPEN").await.map(drop)
    }

    /// Waits until each of these numbers has its end.
    async fn end(&mut self, numbers: &[String]) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let open = self.road.unaccounted(numbers.iter()).await?.0;
            if open.is_empty() {
                return Ok(());
            }
            ensure!(since.elapsed() < RECOVERY, "{} bills have no end, {:?} among them", open.len(), open[0]);
            self.pass(LOOK).await?;
        }
    }

    /// Gives the bill of this number in the target another date; a letter of `category` is what becomes of ours.
    async fn edit(&mut self, number: &str, category: &'static str) -> anyhow::Result<()> {
        let held = self.road.target.dump(FORM, number).await?;
        let [bill] = held.as_slice() else { bail!("{} bills of {number}", held.len()) };
        let edit = json!({"form": FORM, "documents": [{"FID": bill["FID"], "FDate": IN_TARGET}], "keep_entries": true});
        self.road.target.admin("/documents", Some(&edit)).await.context("editing a bill in the target")?;
        self.by_hand.push(ByHand { number: number.to_owned(), date: IN_TARGET, category });
        Ok(())
    }

    /// Corrects the date of a bill in the source, and has it read.
    async fn redate(&mut self, number: &str) -> anyhow::Result<()> {
        mend::redate(&self.road.source, number, IN_SOURCE).await?;
        let bill = self.bills.iter_mut().find(|(known, _)| known == number).context("a bill of this run")?;
        bill.1.date = IN_SOURCE.to_owned();
        self.known.dates.push((number.to_owned(), IN_SOURCE.to_owned()));
        self.feed(false).await
    }

    /// A bill of its own that the target refuses, with its letter.
    async fn refused(&mut self) -> anyhow::Result<Refused> {
        let number = self.own_number("");
        let fault = json!({"kind": "refuse_save", "call": "BatchSave", "numbers": [number], "count": 0});
        let fault = self.misbehave(Side::Target, &fault).await?;
        self.plant(&number, &[]).await?;
        let letter = self.letter(&number, "E_TARGET_VALIDATION", "OPEN").await?;
        let letter = letter["id"].as_str().context("a letter's id")?.to_owned();
        Ok(Refused { number, letter, fault })
    }

    /// Waits until the desk knows a letter of a number with this code and in this state; gives it.
    async fn letter(&mut self, number: &str, code: &str, state: &str) -> anyhow::Result<Value> {
        let (since, selector) = (Instant::now(), format!("target_key = \"{number}\""));
        let wanted = format!("DEAD_LETTER_STATE_{state}");
        loop {
            let listed = self.listed(&selector).await?;
            if let Some(letter) = listed.iter().find(|letter| letter["code"] == code && letter["state"] == wanted) {
                return Ok(letter.clone());
            }
            ensure!(since.elapsed() < RECOVERY, "no letter {code} of {number} is {state}: {listed:?}");
            self.pass(LOOK).await?;
        }
    }

    /// The letters that a selector takes.
    pub(super) async fn listed(&mut self, selector: &str) -> anyhow::Result<Vec<Value>> {
        self.items(&["dlq", "list", "-l", selector, "--limit", "1000", "-o", "json"]).await
    }

    /// The items of an answer in JSON.
    async fn items(&mut self, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
        let answer = self.ask(arguments).await?;
        let answer: Value = serde_json::from_slice(&done(&answer)?.stdout).context("a list in JSON")?;
        answer["items"].as_array().cloned().context("a list in JSON")
    }

    /// Replays one letter; gives the job when it is over.
    async fn replay(&mut self, letter: &str) -> anyhow::Result<Value> {
        let key = format!("{}-{letter}", self.outcome.blows.len());
        let replay = ["dlq", "replay", letter, "--reason", "again", "--yes", "-o", "json", "--idempotency-key", &key];
        let job = item(&self.ask(&replay).await?)?;
        self.over(&job).await
    }

    /// Waits until a job is over; gives it as it is then.
    pub(super) async fn over(&mut self, job: &Value) -> anyhow::Result<Value> {
        let (since, id) = (Instant::now(), job["id"].as_str().context("a job's id")?.to_owned());
        loop {
            let job = item(&self.ask(&["replay", "get", &id, "-o", "json"]).await?)?;
            if !job["ended_at"].is_null() {
                return Ok(job);
            }
            ensure!(since.elapsed() < RECOVERY, "a replay does not end: {job}");
            self.pass(LOOK).await?;
        }
    }

    /// Says something to the desk, again and again while it is not reached; gives the answer.
    pub(super) async fn ask(&mut self, arguments: &[&str]) -> anyhow::Result<Output> {
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let desk = self.desk().await?;
        let since = Instant::now();
        loop {
            let (desk, arguments) = (desk.clone(), arguments.clone());
            let reached = tokio::task::spawn_blocking(move || {
                desk.reach(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
            });
            match reached.await?? {
                Ok(answer) => return Ok(answer),
                Err(said) => ensure!(since.elapsed() < RECOVERY, "the control plane is not reached: {said}"),
            }
            self.pass(LOOK).await?;
        }
    }

    /// The people at the desk; the first time they are let in.
    async fn desk(&mut self) -> anyhow::Result<Starctl> {
        if let Some(desk) = &self.desk {
            return Ok(desk.clone());
        }
        let (files, folder) = (self.road.desk.clone(), self.road.folder().to_owned());
        let opened = tokio::task::spawn_blocking(move || {
            Starctl::open(&files, folder, &["operator", "engineer", "auditor"], RECOVERY)
        });
        // What has ended by itself is started again meanwhile, the control plane among them.
        while !opened.is_finished() {
            self.pass(LOOK).await?;
        }
        let desk = opened.await?.context("letting people in")?;
        self.desk = Some(desk.clone());
        Ok(desk)
    }
}

/// An answer that must be a good one.
fn done(answer: &Output) -> anyhow::Result<&Output> {
    let said = || String::from_utf8_lossy(&answer.stderr).into_owned();
    ensure!(answer.status.success(), "starctl ended with {}: {}", answer.status, said());
    Ok(answer)
}

/// The one item of an answer in JSON.
pub(super) fn item(answer: &Output) -> anyhow::Result<Value> {
    let read: Value = serde_json::from_slice(&done(answer)?.stdout).context("an answer in JSON")?;
    read["items"].get(0).cloned().with_context(|| format!("no item: {read}"))
}
