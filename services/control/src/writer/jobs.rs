//! The running jobs, round by round: what became of what they published, what they publish now, and which begin by
//! themselves because a timed fault is due again.

use std::collections::BTreeSet;

use chrono::DateTime;
use document::{Code, DeadLetterId, Fault, FlowName, Record, Stage, TraceParent, topic};
use flow::file::Delivery;
use queue::Next;

use super::desk::Desk;
use super::library::is_of_letter;
use crate::access::Scope;
use crate::audit::{self, Deed, Hash};
use crate::core::job::{Begin, Counts, Fate, Item, Job, Options, Replay, Status, Under};
use crate::core::letters::{By, Wish, replayable};
use crate::core::observe::{Outcome, outcome};
use crate::core::replay::{Manner, keeps_edit, record};
use crate::core::{Effects, Letter};
use crate::index;
use crate::letter::{OWN_NAME, State};

/// Published letters of a job whose outcome is looked for in one round.
const LOOKED_AT: usize = 500;
/// Letters that a job publishes in one round.
const PUBLISHED: usize = 200;
/// Letters that one job of timed letters takes.
const TIMED: usize = 1_000;
/// Letters that are looked at for it: some may be in other jobs, or hold no record.
const LOOKED_THROUGH: usize = 10 * TIMED;
/// What the audit topic calls the start of a job, whoever starts it.
const START: &str = "starbridge.control.v1.ReplayService/StartReplay";
/// The same of a job's end by hand, or of a plan's by time.
const CANCEL: &str = "starbridge.control.v1.ReplayService/CancelReplay";

/// How jobs go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// A letter without an outcome is published again, under the same id, after this long; milliseconds.
    pub emit_again: i64,
    /// Letters a second of the jobs that begin by themselves; `None` when none does.
    pub timed: Option<f64>,
}

impl Desk<'_> {
    /// One round of a job: what became of what it published, and what it publishes now. `None` when nothing changed.
    ///
    /// # Errors
    /// Index or store cannot be read; nothing of the round may be kept then.
    pub fn round(&mut self, replay: &mut Replay, rules: &Rules) -> Result<Option<Effects>, Fault> {
        let mut effects = Effects::default();
        if replay.job.is_expired(self.now) {
            let why = "nobody approved it in time";
            replay.end(Status::Cancelled, why.to_owned(), self.now);
            effects.deeds.push(self.deed(CANCEL, &replay.job, why, Scope::EVERYWHERE, &replay.items));
            effects.memory.extend(replay.write());
            return Ok(Some(effects));
        }
        let mut changed = false;
        let published: Vec<(usize, Item)> =
            replay.published().take(LOOKED_AT).map(|(number, item)| (number, item.clone())).collect();
        for (number, item) in published {
            changed |= self.look(replay, rules, number, &item, &mut effects)?;
        }
        let due = if self.rests(replay) { Vec::new() } else { replay.due(self.now, PUBLISHED) };
        for number in due {
            changed = true;
            let id = replay.items[number].id.clone();
            match self.publish(replay, number, &id, &mut effects) {
                Ok(()) => {}
                Err(fault) if is_of_letter(&fault) => replay.note(number, Fate::Skipped, fault.detail),
                Err(fault) => return Err(fault),
            }
        }
        let status = replay.job.status;
        replay.conclude(self.now);
        if !changed && replay.job.status == status {
            return Ok(None);
        }
        effects.memory.extend(replay.write());
        Ok(Some(effects))
    }

    /// What begins by itself goes no further than a paused flow. What a person began is that person's word.
    fn rests(&self, replay: &Replay) -> bool {
        replay.job.timed && replay.items.first().is_some_and(|item| self.library.is_paused(&item.flow))
    }

    /// Looks for the outcome of a published letter; `true` when something changed.
    fn look(
        &mut self,
        replay: &mut Replay,
        rules: &Rules,
        number: usize,
        item: &Item,
        effects: &mut Effects,
    ) -> Result<bool, Fault> {
        let letter = match self.known_letter(&item.id) {
            Ok((letter, _)) => letter,
            // It has expired, or what happened to it last was written by a newer build.
            Err(fault) if is_of_letter(&fault) => {
                replay.note(number, Fate::Skipped, fault.detail);
                return Ok(true);
            }
            Err(fault) => return Err(fault),
        };
        let job = replay.job.id.clone();
        let published_at = item.published_at.unwrap_or_default();
        let end = self.end_of(&letter)?;
        let (wish, fate, why) = match outcome(&letter, &job, end.as_ref()) {
            Outcome::Unknown if self.now - published_at < rules.emit_again => return Ok(false),
            Outcome::Unknown => match self.original(&letter, replay).and_then(|it| self.record(&letter, it, replay)) {
                Ok(record) => {
                    effects.records.push(record);
                    replay.note_published(number, self.now);
                    return Ok(true);
                }
                Err(fault) if is_of_letter(&fault) => {
                    (Wish::Reappear, Fate::Failed, format!("without an outcome: {}", fault.detail))
                }
                Err(fault) => return Err(fault),
            },
            Outcome::Applied => (Wish::Resolve, Fate::Resolved, String::new()),
            Outcome::Superseded(why) => (Wish::Supersede, Fate::Superseded, why),
            Outcome::FailedAgain => (Wish::Reappear, Fate::Failed, format!("failed again: {}", letter.code)),
            Outcome::FailedLater(other) => (Wish::Supersede, Fate::Failed, format!("went on and failed as {other}")),
        };
        let by = |reason: &str| By {
            name: OWN_NAME.to_owned(),
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
            at: self.now,
        };
        // Somebody may have moved the letter meanwhile; what became of the replay is noted all the same.
        if letter.state() == State::Replaying {
            let told = by(&why);
            self.move_letter(&letter, &wish, &told, effects)?;
            // Nobody is there to look at what goes on by itself: it ends when the flow's tries are used up.
            let (letter, _) = self.known_letter(&item.id)?;
            let failures = letter.failures();
            if replay.job.timed && wish == Wish::Reappear && failures > replay.job.options.attempt_cap {
                let tried_out = By { reason: Some(tried_out(failures)), ..told };
                self.move_letter(&letter, &Wish::Park, &tried_out, effects)?;
            }
        }
        replay.note(number, fate, why);
        Ok(true)
    }

    fn publish(
        &mut self,
        replay: &mut Replay,
        number: usize,
        id: &DeadLetterId,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let (letter, _) = self.known_letter(id)?;
        replayable(&letter, replay.job.options.verdict.is_some())?;
        let by = |reason: String| By { name: replay.job.by.clone(), reason: Some(reason), at: self.now };
        let cap = replay.job.options.attempt_cap;
        if letter.failures() > cap {
            let why = tried_out(letter.failures());
            self.move_letter(&letter, &Wish::Park, &by(why.clone()), effects)?;
            replay.note(number, Fate::Skipped, why);
            return Ok(());
        }
        if replay.job.approval.is_some() && letter.edit() != replay.items[number].edit {
            let detail = "the letter was edited after its replay was approved";
            return Err(Fault::new(Code::PlanChanged, detail).of_record(id.0.clone()));
        }
        let original = self.original(&letter, replay)?;
        let record = self.record(&letter, original, replay)?;
        let wish = Wish::Publish(replay.job.id.clone());
        self.move_letter(&letter, &wish, &by(replay.job.reason.clone()), effects)?;
        effects.records.push(record);
        replay.note_published(number, self.now);
        Ok(())
    }

    /// Jobs for the letters whose timed fault is due again: one for each flow that has some, is not paused, and has none
    /// already. What a job of `running` still holds is left to it.
    ///
    /// # Errors
    /// Index or store cannot be read.
    pub fn timed<'r>(
        &self,
        running: impl Iterator<Item = &'r Replay> + Clone,
        rate: f64,
        effects: &mut Effects,
    ) -> Result<Vec<Replay>, Fault> {
        let mut begun = Vec::new();
        for flow in self.library.flows() {
            let name = &flow.name;
            let of_flow = |replay: &&Replay| replay.items.first().is_some_and(|item| item.flow == *name);
            let mut timed = running.clone().filter(|replay| replay.job.timed && !replay.job.status.is_over());
            let has_one = timed.any(|replay| of_flow(&replay));
            // Where a replay may load a document twice, a person decides.
            let unsafe_alone = flow.settings.delivery == Delivery::AtLeastOnce;
            if has_one || unsafe_alone || self.library.is_paused(name) {
                continue;
            }
            let due = self.library.due(name, self.now, LOOKED_THROUGH)?;
            if due.is_empty() {
                continue;
            }
            let held: BTreeSet<&DeadLetterId> = running.clone().flat_map(Replay::held).map(|item| &item.id).collect();
            let mut items = Vec::new();
            for id in due.iter().filter(|id| !held.contains(id)) {
                let Some((letter, _)) = self.letter(id)? else { continue };
                if is_due(&letter, self.now) {
                    items.push(Item::waiting(&letter));
                }
                if items.len() == TIMED {
                    break;
                }
            }
            if items.is_empty() {
                continue;
            }
            let scope = Scope::of_flow(flow.tenant.as_str(), name.as_str());
            let job = self.timed_job(name, rate, flow.settings.retry.attempt_cap);
            effects.deeds.push(self.deed(START, &job, &job.reason, scope, &items));
            let mut replay = Replay::new(job, items);
            effects.memory.extend(replay.write());
            begun.push(replay);
        }
        Ok(begun)
    }

    fn timed_job(&self, flow: &FlowName, rate: f64, tries: u32) -> Job {
        let millis = u64::try_from(self.now).unwrap_or_default();
        let (random, _) = self.library.chance().split_first_chunk().map_or(([0; 10], &[][..]), |(a, b)| (*a, b));
        Job {
            id: uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().simple().to_string(),
            by: OWN_NAME.to_owned(),
            created_at: self.now,
            reason: "the fault may have passed".to_owned(),
            selector: format!("flow = {flow} and state = open and retry_at <= \"{}\"", instant(self.now).to_rfc3339()),
            options: Options {
                rate,
                under: Under::Current,
                from: Begin::Failed,
                // A document has the flow's tries in all: with the last one failed it is parked.
                attempt_cap: tries.saturating_sub(1),
                stop_on_failure_ratio: 0.0,
                verdict: None,
            },
            status: Status::Running,
            counts: Counts::default(),
            ended_at: None,
            note: String::new(),
            timed: true,
            approval: None,
        }
    }

    /// What the control plane does to a job of its own accord.
    fn deed(&self, action: &str, job: &Job, reason: &str, scope: Scope, items: &[Item]) -> Deed {
        let ids: Vec<&str> = items.iter().map(|item| item.id.0.as_str()).collect();
        Deed {
            time: instant(self.now),
            actor: OWN_NAME.to_owned(),
            role: None,
            action: action.to_owned(),
            object: format!("replay/{}", job.id),
            scope,
            params_digest: Hash::of(ids.join("\n").as_bytes()),
            reason: reason.to_owned(),
            result: audit::Outcome::Done,
            request_id: job.id.clone(),
        }
    }

    /// The record that a stage gets again, from where the job begins the road.
    fn original(&self, letter: &Letter, replay: &Replay) -> Result<(Stage, Record), Fault> {
        let (_, found) = self.known_letter(&letter.id)?;
        let impossible = |detail: &str| Fault::new(Code::ReplayImpossible, detail).of_record(letter.id.0.clone());
        if replay.job.options.from == Begin::Failed || letter.stage == Stage::Transform {
            let record = found.letter.original().ok_or_else(|| impossible("the letter holds no record to publish"))?;
            return Ok((letter.stage, record));
        }
        let at =
            source_of(&found).ok_or_else(|| impossible("the letter does not say which bill it was mapped from"))?;
        let found = self.library.record(at)?;
        let found =
            found.ok_or_else(|| impossible("the bill it was mapped from has expired; fetch it from its source"))?;
        Ok((Stage::Transform, found))
    }

    fn record(
        &self,
        letter: &Letter,
        (stage, original): (Stage, Record),
        replay: &Replay,
    ) -> Result<(String, Record), Fault> {
        let options = &replay.job.options;
        let flow_version = match &options.under {
            Under::Version(version) => Some(version.as_str().into()),
            // What was mapped already stays what its mapping made of it.
            Under::Current if stage == Stage::Transform => Some(self.current(&letter.flow)?),
            Under::Current | Under::Original => None,
        };
        keeps_edit(letter, options.from)?;
        let edit = letter.event.as_ref().and_then(|event| event.edit.as_ref());
        let chance = self.library.chance();
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        trace_id.copy_from_slice(&chance[..16]);
        span_id.copy_from_slice(&chance[16..]);
        let manner = Manner {
            job: &replay.job.id,
            flow_version,
            edit,
            verdict: options.verdict.as_deref(),
            trace: TraceParent { trace_id, span_id, flags: 1 },
        };
        let mut at_stage = letter.clone();
        at_stage.stage = stage;
        record(&at_stage, original, &manner)
    }

    /// The version of a flow that is in force.
    ///
    /// # Errors
    /// `E_FLOW_UNKNOWN` where none is, or none that can be used.
    pub fn current(&self, flow: &FlowName) -> Result<document::FlowVersion, Fault> {
        let current = self.library.flows();
        let found = current.iter().find(|known| known.name == *flow).map(|known| known.version.clone());
        found.ok_or_else(|| {
            Fault::new(Code::FlowUnknown, "the flow has no current version that can be used")
                .of_record(flow.to_string())
        })
    }
}

/// Whether a letter is replayed without anybody asking: its fault was due to pass by now, and no person works on it.
fn is_due(letter: &Letter, now: i64) -> bool {
    let untouched = letter.event.as_ref().is_none_or(|event| event.by == OWN_NAME && event.claimed_by.is_none());
    untouched && letter.retry_at.is_some_and(|at| at <= now) && replayable(letter, false).is_ok()
}

fn tried_out(failures: u32) -> String {
    format!("failed {failures} times and is not tried again")
}

fn instant(millis: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

/// Where the bill lies that a letter's record was mapped from.
pub fn source_of(letter: &index::Letter) -> Option<Next> {
    let (partition, offset) = letter.letter.headers.get("sb-source")?.split_once('@')?;
    let topic = topic::extracted(&letter.letter.flow);
    Some(Next::at(&topic, partition.parse().ok()?, offset.parse().ok()?))
}
