//! What this process owns while a session lasts: its partitions, their flows, and the runs of these.
//!
//! Everything here is forgotten when the session is: what must last is in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use document::{Fault, FlowName, Received, topic};
use queue::{Outgoing, TopicPartition};
use runtime::{Backoff, Shutdown};
use tokio::task::{AbortHandle, JoinSet};

use crate::commands::{self, Commands};
use crate::core::checkpoint::Checkpoint;
use crate::core::schedule::{Board, Due, Ended, Kind};
use crate::log::Portion;
use crate::unit::Unit;
use crate::work::{Job, Means, Outcome};

/// Every flow that was found and can be run, by name.
pub type Units = BTreeMap<FlowName, Arc<Unit>>;

/// Ownership of partitions of the commands, for one session.
pub struct Owner {
    means: Means,
    backoff: Backoff,
    run_at_start: bool,
    partitions: BTreeSet<i32>,
    /// Partitions that are to be released when their runs have ended.
    leaving: Vec<TopicPartition>,
    board: Board,
    commands: Commands,
    runs: JoinSet<End>,
    begun: u64,
    running: BTreeMap<FlowName, Running>,
    failures: BTreeMap<FlowName, u32>,
    /// Flows that were scanned once at start, over all sessions of this process.
    greeted: BTreeSet<FlowName>,
}

/// The end of a run.
#[derive(Debug)]
pub struct End {
    id: u64,
    flow: FlowName,
    kind: Kind,
    outcome: Outcome,
}

struct Running {
    id: u64,
    partition: i32,
    drain: Shutdown,
    void: Shutdown,
    task: AbortHandle,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl Owner {
    /// Owns nothing yet. `greeted`: flows this process has scanned at start already.
    pub fn new(means: Means, run_at_start: bool, greeted: BTreeSet<FlowName>) -> Self {
        let backoff = Backoff::new(Duration::from_secs(1), means.scan.longest_wait).unwrap_or(Backoff::HOUSE);
        Self {
            means,
            backoff,
            run_at_start,
            partitions: BTreeSet::new(),
            leaving: Vec::new(),
            board: Board::default(),
            commands: Commands::default(),
            runs: JoinSet::new(),
            begun: 0,
            running: BTreeMap::new(),
            failures: BTreeMap::new(),
            greeted,
        }
    }

    /// Ends every run at once and gives back what outlives the session.
    pub async fn forget(mut self) -> BTreeSet<FlowName> {
        self.runs.shutdown().await;
        self.greeted
    }

    /// Partitions are ours, and what is known of them can be read.
    pub fn assigned(&mut self, partitions: &[TopicPartition], units: &Units) {
        killpoint::reached("owner.assigned");
        for partition in partitions {
            self.partitions.insert(partition.partition);
        }
        for unit in units.values() {
            if partitions.iter().any(|p| p.partition == topic::command_partition(&unit.flow.name)) {
                self.adopt(unit);
            }
        }
        tracing::info!(partitions = self.partitions.len(), flows = self.board.flows().count(), "partitions taken over");
    }

    /// A flow was added or changed. A run of its earlier version ends after the page in hand; the next one goes on from
    /// there.
    pub fn changed(&mut self, unit: &Arc<Unit>) {
        if self.partitions.contains(&topic::command_partition(&unit.flow.name)) {
            if let Some(running) = self.running.get(&unit.flow.name) {
                running.drain.request();
            }
            self.adopt(unit);
        }
    }

    /// These flows rest, and no others: no run of them begins, and one that goes on ends after the page in hand. What they
    /// have in the topics already goes on through the stages behind.
    pub fn rest(&mut self, resting: BTreeSet<FlowName>, units: &Units) {
        for flow in self.board.rest(resting) {
            let rests = self.board.is_resting(&flow);
            if let Some(running) = self.running.get(&flow).filter(|_| rests) {
                running.drain.request();
            }
            let ours = self.board.flows().any(|known| *known == flow) && !self.board.is_stopped(&flow);
            if let Some(unit) = units.get(&flow).filter(|_| ours) {
                tracing::info!(%flow, rests, "flow is let rest or run again");
                self.show_running(unit);
            }
        }
    }

    /// A flow is no longer to be run.
    pub fn removed(&mut self, unit: &Unit) {
        if let Some(running) = self.running.get(&unit.flow.name) {
            running.drain.request();
        }
        self.board.remove(&unit.flow.name);
        // Nobody will run what was asked of it; commands of other flows must not wait behind that.
        self.commands.given_up(&unit.flow.name);
        self.means.instruments.disowned(unit.flow.tenant.as_str(), unit.flow.name.as_str());
    }

    fn adopt(&mut self, unit: &Arc<Unit>) {
        let flow = &unit.flow;
        let partition = topic::command_partition(&flow.name);
        killpoint::reached("owner.adopting");
        let bytes = match self.means.log.checkpoint(partition, flow.name.as_str()) {
            Ok(bytes) => bytes,
            // The partition is on its way elsewhere; the event that says so is on its way here.
            Err(fault) => {
                tracing::warn!(flow = %flow.name, code = %fault.code, "state is out of reach");
                return;
            }
        };
        let read = bytes.map(|bytes| Checkpoint::from_bytes(&flow.name, &bytes)).transpose();
        let checkpoint = match read {
            Ok(Some(checkpoint)) => checkpoint,
            Ok(None) => Checkpoint::new(flow.start_from.timestamp(), &unit.plan.config),
            Err(fault) => {
                tracing::error!(flow = %flow.name, code = %fault.code, place = %fault.place, detail = fault.detail, "flow is stopped");
                self.means.instruments.enabled(flow, Some("state"));
                self.board.remove(&flow.name);
                return;
            }
        };
        let wished = self.run_at_start && self.greeted.insert(flow.name.clone());
        let now = self.means.clock.seconds();
        self.board.put(flow.name.clone(), unit.timing.clone(), &checkpoint, now, wished);
        self.show_running(unit);
        self.show(unit, &checkpoint);
    }

    /// Shows whether a flow that nothing stopped runs or rests.
    fn show_running(&self, unit: &Unit) {
        let rests = self.board.is_resting(&unit.flow.name);
        self.means.instruments.enabled(&unit.flow, rests.then_some("request"));
    }

    fn show(&self, unit: &Unit, checkpoint: &Checkpoint) {
        let now = chrono::DateTime::from_timestamp(self.means.clock.seconds(), 0);
        let first = now.and_then(|now| unit.timing.scan.next_after(now));
        let second = first.and_then(|first| unit.timing.scan.next_after(first));
        let interval = first.zip(second).map(|(first, second)| (second - first).num_seconds());
        self.means.instruments.owned(&unit.flow, checkpoint.watermark, checkpoint.completed, interval);
    }

    /// Partitions are to go: their runs end after the page in hand.
    pub fn revoking(&mut self, partitions: &[TopicPartition], units: &Units) {
        for running in self.running.values() {
            if partitions.iter().any(|p| p.partition == running.partition) {
                running.drain.request();
            }
        }
        killpoint::reached("owner.revoking");
        self.let_go(partitions, units);
        self.leaving.extend(partitions.iter().cloned());
    }

    /// Partitions are gone: whatever their runs still do cannot be written.
    pub fn revoked(&mut self, partitions: &[TopicPartition], units: &Units) {
        self.let_go(partitions, units);
        killpoint::reached("owner.revoked");
        self.leaving.retain(|leaving| !partitions.contains(leaving));
        self.running.retain(|_, running| {
            let gone = partitions.iter().any(|p| p.partition == running.partition);
            if gone {
                running.void.request();
                running.task.abort();
            }
            !gone
        });
        for partition in partitions {
            self.commands.forget(partition.partition);
        }
    }

    fn let_go(&mut self, partitions: &[TopicPartition], units: &Units) {
        for partition in partitions {
            self.partitions.remove(&partition.partition);
        }
        let gone = |flow: &FlowName| partitions.iter().any(|p| p.partition == topic::command_partition(flow));
        let flows: Vec<FlowName> = self.board.flows().filter(|flow| gone(flow)).cloned().collect();
        for flow in flows {
            self.board.remove(&flow);
            if let Some(unit) = units.get(&flow) {
                self.means.instruments.disowned(unit.flow.tenant.as_str(), flow.as_str());
            }
        }
    }

    /// Leaving partitions without a run, to be released.
    pub fn released(&mut self) -> Vec<TopicPartition> {
        let busy = |p: &TopicPartition| self.running.values().any(|running| running.partition == p.partition);
        let (staying, going): (Vec<_>, Vec<_>) = std::mem::take(&mut self.leaving).into_iter().partition(busy);
        self.leaving = staying;
        going
    }

    /// Commands came. What cannot be followed is kept as a letter.
    ///
    /// # Errors
    /// The log does not answer any more, or is another's.
    pub async fn commanded(&mut self, records: &[Received]) -> Result<(), Fault> {
        killpoint::reached("owner.commanded");
        for received in records {
            let wish = commands::read(received).and_then(|(flow, kind)| {
                match self.board.is_stopped(&flow) || !self.board.wish(&flow, kind) {
                    true => Err(commands::unknown(received, &flow)),
                    false => Ok((flow, kind)),
                }
            });
            let wish = match wish {
                Ok((flow, kind)) => {
                    tracing::info!(%flow, kind = kind.as_str(), "run asked for");
                    Some((flow, kind))
                }
                Err(fault) => {
                    tracing::warn!(code = %fault.code, place = %fault.place, detail = fault.detail, "command not followed");
                    let letter = commands::letter(received, &fault, self.means.clock.millis());
                    let data = vec![Outgoing::to(topic::DEAD_LETTERS, letter.into_record())];
                    self.means.log.commit(Portion { data, ..Portion::default() }).await?;
                    None
                }
            };
            self.commands.taken(received, wish);
        }
        killpoint::reached("owner.commands.taken");
        self.save_commands().await
    }

    async fn save_commands(&mut self) -> Result<(), Fault> {
        let offsets = self.commands.ready();
        if offsets.is_empty() {
            return Ok(());
        }
        killpoint::reached("owner.commands.saving");
        self.means.log.commit(Portion { offsets, ..Portion::default() }).await
    }

    /// Starts what is due.
    pub fn tick(&mut self, units: &Units) {
        let (now, stopwatch) = (self.means.clock.seconds(), self.means.clock.monotonic());
        for Due { flow, kind, fired } in self.board.tick(now, stopwatch) {
            let Some(unit) = units.get(&flow) else {
                self.board.remove(&flow);
                continue;
            };
            if self.running.contains_key(&flow) {
                // A run of an earlier version is still finishing its page.
                self.board.ended(&flow, Ended::Retry(stopwatch + Duration::from_millis(100)));
                continue;
            }
            let partition = topic::command_partition(&flow);
            let (drain, void) = (Shutdown::new(), Shutdown::new());
            let job = Job { unit: Arc::clone(unit), partition, kind, fired, drain: drain.clone(), void: void.clone() };
            let means = self.means.clone();
            tracing::info!(%flow, kind = kind.as_str(), fired, "run begins");
            let name = flow.clone();
            self.begun += 1;
            let id = self.begun;
            let task = self.runs.spawn(async move { End { id, flow: name, kind, outcome: job.run(means).await } });
            killpoint::reached("owner.run.begun");
            self.running.insert(flow, Running { id, partition, drain, void, task });
        }
    }

    /// Waits for the end of a run; for ever while there is none.
    pub async fn next_end(&mut self) -> End {
        match self.runs.join_next().await {
            Some(Ok(end)) => end,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) | None => std::future::pending().await,
        }
    }

    /// A run ended.
    ///
    /// # Errors
    /// The log does not answer any more, or is another's.
    pub async fn ended(&mut self, end: End, units: &Units) -> Result<(), Fault> {
        let End { id, flow, kind, outcome } = end;
        let flow = &flow;
        // One that was given up with its partition may have come to its end all the same.
        if self.running.get(flow).is_none_or(|running| running.id != id) {
            return Ok(());
        }
        killpoint::reached("owner.run.ended");
        self.running.remove(flow);
        let unit = units.get(flow);
        let failures = self.failures.entry(flow.clone()).or_default();
        match outcome {
            Outcome::Complete(checkpoint, report) => {
                *failures = 0;
                self.board.ended(flow, Ended::Complete);
                self.commands.done(flow, kind);
                if let Some(unit) = unit {
                    self.show(unit, &checkpoint);
                    if let Some(report) = report {
                        self.means.instruments.shrunk(&unit.flow, if report.shrunk { report.missing } else { 0 });
                    }
                }
                if let Some(alert) = report.and_then(|report| report.alert(flow.as_str())) {
                    tracing::error!(%flow, code = %alert.code, detail = alert.detail, "source shrank");
                }
                tracing::info!(%flow, kind = kind.as_str(), watermark = checkpoint.watermark, ?report, "run complete");
                self.save_commands().await
            }
            Outcome::Drained => {
                self.board.ended(flow, Ended::Retry(Duration::ZERO));
                Ok(())
            }
            Outcome::Paced(wait) => {
                *failures = 0;
                self.board.ended(flow, Ended::Paced(self.means.clock.monotonic() + wait));
                Ok(())
            }
            Outcome::Failed(fault, wait) => {
                *failures += 1;
                let random = u64::from_be_bytes((self.means.random)()[..8].try_into().expect("eight of them"));
                let wait = wait.unwrap_or_else(|| self.backoff.wait(*failures, None, random));
                let again = self.means.clock.monotonic() + wait;
                tracing::error!(%flow, kind = kind.as_str(), code = %fault.code, place = %fault.place, detail = fault.detail,
                    again_in = wait.as_secs(), "run failed, it goes on from its saved position");
                self.board.ended(flow, Ended::Retry(again));
                Ok(())
            }
            Outcome::Stopped(fault, reason) => {
                tracing::error!(%flow, code = %fault.code, place = %fault.place, detail = fault.detail, "flow is stopped");
                self.board.ended(flow, Ended::Stopped);
                if let Some(unit) = unit {
                    self.means.instruments.enabled(&unit.flow, Some(reason));
                }
                // Nobody waits for a run of a stopped flow.
                self.commands.given_up(flow);
                self.save_commands().await
            }
            Outcome::Gone(fault) => {
                tracing::warn!(%flow, code = %fault.code, detail = fault.detail, "run is given up");
                self.board.ended(flow, Ended::Retry(self.means.clock.monotonic() + Duration::from_secs(1)));
                Ok(())
            }
        }
    }

    /// Asks every run to end after the page in hand.
    pub fn drain(&mut self) {
        for running in self.running.values() {
            running.drain.request();
        }
    }

    /// Whether no run goes on.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }
}

#[cfg(test)]
mod tests;
