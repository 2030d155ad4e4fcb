//! One road under a steady trickle of bills, and the blows that fall on it.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::kind::Kind;
use super::summary::{Blow, Judged};
use crate::compare::rules::{Bill, Expectation};
use crate::fleet::{Commands, Stage};
use crate::history::{self, Known};
use crate::mend::{model, portion};
use crate::road::{Road, RoadPlan};

const FORM: &str = "STK_MISCELLANEOUS";
/// Orders of the real file that the source holds from the beginning; all further bills are copies under new numbers.
const ORDERS: usize = 200;
/// Time between two portions of new bills, each followed by a command to scan: what is measured is not the schedule.
const PORTION: Duration = Duration::from_secs(1);
/// Bills of a portion.
const BILLS: usize = 2;
/// Older bills that are there when Kafka is lost.
const OLDER: usize = 40;
/// An ended process is started again after this, as whoever runs a deployment would.
const RESTART: Duration = Duration::from_secs(1);
/// Documents that have not ended this long after the last blow never will.
const DRAIN: Duration = Duration::from_secs(900);
/// The flow's `start_from`, unix seconds.
const START: i64 = 1_388_505_600;
/// Calls that both Galaxies permit in any sliding minute.
const CALLS: u32 = 600;
/// How long an unknown save may still be at work, milliseconds: the loader's `save.exec_max` as shipped.
const SETTLE: u64 = 110_000;
/// New bills that are looked for: the first of them may wait behind an open save.
const LOOKED_FOR: usize = 30;

/// A road under way.
pub struct Drill<'a> {
    road: Road,
    number: u64,
    orders: Vec<(String, Bill)>,
    /// Every bill the source was given, in order.
    bills: Vec<(String, Bill)>,
    /// Numbers of bills that were not yet seen in the target, in order.
    waiting: VecDeque<String>,
    portion_at: Instant,
    ended_at: BTreeMap<String, Instant>,
    /// Whether Kafka was lost: loaders are started as the guide says then.
    kafka_lost: bool,
    /// The stage that is not started again yet.
    away: Option<String>,
    known: Known,
    commands: Commands,
    tell: &'a mut dyn FnMut(String),
}

impl std::fmt::Debug for Drill<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drill").field("road", &self.road).field("bills", &self.bills.len()).finish_non_exhaustive()
    }
}

impl<'a> Drill<'a> {
    /// Lays road `number` for a kind of drill below `folder`, with waits and deadlines as they are shipped, and lets the first
    /// orders through.
    ///
    /// # Errors
    /// Something does not start, or the first orders do not arrive.
    pub async fn begin(
        kind: Kind,
        number: u64,
        folder: &Path,
        tell: &'a mut dyn FnMut(String),
    ) -> anyhow::Result<Self> {
        let plan = RoadPlan {
            orders: ORDERS,
            cron: None,
            calls_per_minute: CALLS,
            planted: false,
            controls: if kind == Kind::Writer { 2 } else { 1 },
            // A duplicate must be able to show.
            target: vec![("--unique-numbers", "off".to_owned())],
            within: Some(folder.to_owned()),
            ..RoadPlan::default()
        };
        let mut road = Road::open(plan).await?;
        let orders: Vec<(String, Bill)> =
            road.expectation.source.iter().map(|(number, bill)| (number.clone(), bill.clone())).collect();
        road.until("the first orders end", DRAIN, |applied, _| applied >= orders.len()).await?;
        let commands = Commands::to(road.kafka.brokers())?;
        Ok(Self {
            road,
            number,
            bills: orders.clone(),
            orders,
            waiting: VecDeque::new(),
            portion_at: Instant::now(),
            ended_at: BTreeMap::new(),
            kafka_lost: false,
            away: None,
            known: Known { settle: SETTLE, ..Known::default() },
            commands,
            tell,
        })
    }

    /// One blow, from a quiet trickle to a quiet trickle; `turn` varies it. The kind it is told as is what it was found to
    /// have been: whether a loader's kill fell within a save shows afterwards.
    ///
    /// # Errors
    /// The harness cannot see or do what it must, or the road does not work again in twice the time it may take.
    pub async fn blow(&mut self, kind: Kind, turn: usize) -> anyhow::Result<Blow> {
        self.pass(Duration::from_millis(3_000 + 370 * (turn as u64 % 10))).await?;
        let since = history::now();
        let (begin, old) = self.strike(kind, turn).await.with_context(|| format!("while {kind}"))?;
        let (mut first_new_s, mut all_before_s) = (None, None);
        let patience = Duration::from_secs_f64(kind.limit() * 2.0);
        while first_new_s.is_none() || all_before_s.is_none() {
            self.pass(Duration::from_millis(200)).await?;
            if first_new_s.is_none() && self.has_new(old).await? && self.control_works(kind).await? {
                first_new_s = Some(seconds(begin));
            }
            if all_before_s.is_none() && self.has_old(old).await? {
                all_before_s = Some(seconds(begin));
            }
            if begin.elapsed() > patience {
                bail!(
                    "{kind}: first new bill after {first_new_s:?} s, all from before after {all_before_s:?} s, and no more"
                );
            }
        }
        self.away = None;
        self.known.blackouts.push((since, history::now()));
        let resolved = if kind.service() == Some("loader") { self.resolved(old).await? } else { 0 };
        let kind = match kind {
            Kind::Loader | Kind::OpenIntent if resolved > 0 => Kind::OpenIntent,
            Kind::OpenIntent => Kind::Loader,
            kind => kind,
        };
        let (first_new_s, all_before_s) = (first_new_s.unwrap_or_default(), all_before_s.unwrap_or_default());
        (self.tell)(format!(
            "road {} {kind}: first new bill after {first_new_s} s, all from before after {all_before_s} s",
            self.number
        ));
        Ok(Blow { road: self.number, kind, first_new_s, all_before_s, resolved })
    }

    /// Takes away what is to be taken and lets it come back. Gives when that began, and how many bills there were.
    async fn strike(&mut self, kind: Kind, turn: usize) -> anyhow::Result<(Instant, usize)> {
        match kind {
            Kind::Extractor | Kind::Transformer | Kind::Loader | Kind::OpenIntent | Kind::Control => {
                let service = kind.service().context("a service")?;
                if kind == Kind::OpenIntent {
                    self.hold_save(turn).await?;
                }
                let struck = (Instant::now(), self.bills.len());
                self.stage(service)?.kill()?;
                Ok(struck)
            }
            Kind::Writer => {
                let writer = self.writer().await?.context("no replica of the control plane writes")?;
                self.away = Some(writer.clone());
                let struck = (Instant::now(), self.bills.len());
                let stages = &mut self.road.stages;
                stages.iter_mut().find(|stage| stage.name() == writer).context("the writer")?.kill()?;
                Ok(struck)
            }
            Kind::Broker => {
                let struck = (Instant::now(), self.bills.len());
                if turn.is_multiple_of(2) {
                    self.road.kafka.kill()?
                } else {
                    self.road.kafka.stop()?
                }
                self.pass(RESTART).await?;
                self.road.kafka.begin()?;
                Ok(struck)
            }
            Kind::AllGone => {
                let struck = (Instant::now(), self.bills.len());
                self.known.redis.push(history::now());
                self.lose_stages()?;
                self.road.redis.kill()?;
                self.give().await?;
                tokio::time::sleep(RESTART).await;
                self.road.redis.restart()?;
                self.begin_all()?;
                Ok(struck)
            }
            Kind::KafkaGone => self.lose_kafka(turn).await,
        }
    }

    /// Gives the source bills of two days ago and has them loaded: what the window of an operator leaves for later.
    async fn load_older(&mut self) -> anyhow::Result<()> {
        let orders: Vec<(&String, &Bill)> = self.orders.iter().map(|(number, bill)| (number, bill)).collect();
        let new = portion(&orders, self.bills.len(), OLDER);
        // The clock of the source shows Chinese time.
        let then = chrono::Utc::now() + chrono::Duration::hours(8) - chrono::Duration::days(2);
        let then = then.format("%Y-%m-%dT%H:%M:%S").to_string();
        let mut documents: Vec<Value> = new.iter().map(|(number, bill)| model(number, bill)).collect();
        for document in &mut documents {
            for date in ["FCreateDate", "FModifyDate", "FApproveDate"] {
                document[date] = then.clone().into();
            }
        }
        self.plant(new, documents).await?;
        self.ask_for_all()?;
        let (begin, old) = (Instant::now(), self.bills.len());
        while !self.has_old(old).await? {
            self.pass(Duration::from_millis(200)).await?;
            anyhow::ensure!(begin.elapsed() < DRAIN, "the older bills do not arrive");
        }
        Ok(())
    }

    /// The operator's guide, step by step: services are stopped, their folders emptied, the flow's window set in every other
    /// drill, and loaders look everything up first. A save is under way meanwhile that the target finishes at the latest
    /// moment it may.
    async fn lose_kafka(&mut self, turn: usize) -> anyhow::Result<(Instant, usize)> {
        self.load_older().await?;
        let late = json!({"kind": "late", "how": "hang", "ms": SETTLE - 5_000, "call": "BatchSave", "count": 1});
        self.meet(&late).await?;
        let struck = (Instant::now(), self.bills.len());
        self.road.kafka.lose()?;
        // Nobody is there at once.
        self.pass(Duration::from_secs(10)).await?;
        for stage in &mut self.road.stages {
            // One that does not end in time was killed.
            if let Err(error) = stage.process().stop(Duration::from_secs(30)) {
                (self.tell)(format!("        {}", error.to_string().lines().next().unwrap_or_default()));
            }
        }
        self.lose_stages()?;
        if turn % 2 == 1 {
            let hour = chrono::Utc::now() - chrono::Duration::hours(1);
            self.road.set_flow("start_from", &format!("{:?}", hour.to_rfc3339()))?;
        }
        self.road.kafka.begin()?;
        self.kafka_lost = true;
        self.begin_all()?;
        (self.tell)(format!("        the services come back after {} s", seconds(struck.0)));
        Ok(struck)
    }

    /// Kills what runs of the services and removes what they kept on their disks.
    fn lose_stages(&mut self) -> anyhow::Result<()> {
        for stage in &mut self.road.stages {
            stage.kill()?;
            stage.forget()?;
        }
        Ok(())
    }

    /// Has the next save's answer stay away, and waits until that save is under way. Of three, the first was done, the second
    /// never will be, the third is done late.
    async fn hold_save(&mut self, turn: usize) -> anyhow::Result<()> {
        let fault = match turn % 3 {
            0 => json!({"kind": "latency", "at": "after", "ms": 60_000, "call": "BatchSave", "count": 1}),
            // Longer than this road lives.
            1 => json!({"kind": "latency", "at": "before", "ms": 86_400_000, "call": "BatchSave", "count": 1}),
            _ => json!({"kind": "late", "how": "hang", "ms": 60_000, "call": "BatchSave", "count": 1}),
        };
        self.meet(&fault).await?;
        self.pass(Duration::from_millis(300 * (turn as u64 % 10))).await
    }

    /// Adds a fault to the target and waits until a call meets it.
    async fn meet(&mut self, fault: &Value) -> anyhow::Result<()> {
        let added = self.road.target.admin("/faults", Some(fault)).await?;
        let id = added["ids"][0].as_u64().context("the fault's id")?;
        let asked = Instant::now();
        while !self.met(id).await? {
            self.pass(Duration::from_millis(200)).await?;
            anyhow::ensure!(asked.elapsed() < Duration::from_secs(60), "no call came by");
        }
        Ok(())
    }

    async fn met(&self, fault: u64) -> anyhow::Result<bool> {
        let faults = self.road.target.admin("/faults", None).await?;
        let fault = faults.as_array().and_then(|list| list.iter().find(|known| known["id"].as_u64() == Some(fault)));
        Ok(fault.is_none_or(|fault| fault["met"].as_u64().unwrap_or(0) > 0))
    }

    /// Whether a bill stands in the target that came after the first `old`.
    async fn has_new(&self, old: usize) -> anyhow::Result<bool> {
        for (number, _) in self.bills[old..].iter().take(LOOKED_FOR) {
            if self.road.target.holds(FORM, number).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the first `old` bills stand in the target.
    async fn has_old(&mut self, old: usize) -> anyhow::Result<bool> {
        while let Some(number) = self.waiting.front() {
            // What came later stands behind them.
            if self.bills[old..].iter().any(|(new, _)| new == number) {
                return Ok(true);
            }
            if !self.road.target.holds(FORM, number).await? {
                return Ok(false);
            }
            self.waiting.pop_front();
        }
        Ok(true)
    }

    /// The control plane carries no bill: it works again once it is ready, too, or its other replica writes.
    async fn control_works(&mut self, kind: Kind) -> anyhow::Result<bool> {
        match kind {
            Kind::Control => Ok(self.stage("control")?.is_ready().await),
            Kind::Writer => Ok(self.writer().await?.is_some()),
            _ => Ok(true),
        }
    }

    /// The replica of the control plane that says it writes, once it is ready.
    async fn writer(&mut self) -> anyhow::Result<Option<String>> {
        for stage in self.road.of("control") {
            // One that was killed does not answer.
            let metrics = stage.metrics().await.unwrap_or_default();
            if metrics.sum("starbridge_writer_active", &[]) > 0.0 && stage.is_ready().await {
                return Ok(Some(stage.name()));
            }
        }
        Ok(None)
    }

    /// Saves whose outcome this life of the loader found out, once the first `old` bills have an end on record.
    async fn resolved(&mut self, old: usize) -> anyhow::Result<u64> {
        let numbers: Vec<String> = self.bills[..old].iter().map(|(number, _)| number.clone()).collect();
        let begin = Instant::now();
        while !self.road.unaccounted(numbers.iter()).await?.0.is_empty() {
            self.pass(Duration::from_millis(500)).await?;
            anyhow::ensure!(begin.elapsed() < DRAIN, "bills from before stand in the target and have no end on record");
        }
        let metrics = self.stage("loader")?.metrics().await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let resolved = metrics.sum("starbridge_in_doubt_resolved_total", &[]) as u64;
        Ok(resolved)
    }

    /// Lets time pass: bills arrive, and whoever has ended by itself is started again.
    async fn pass(&mut self, time: Duration) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            self.revive()?;
            if self.portion_at.elapsed() >= PORTION {
                self.give().await?;
            }
            let left = time.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(Duration::from_millis(100))).await;
        }
    }

    async fn give(&mut self) -> anyhow::Result<()> {
        self.portion_at = Instant::now();
        let orders: Vec<(&String, &Bill)> = self.orders.iter().map(|(number, bill)| (number, bill)).collect();
        // The first of all came with the file.
        let new = portion(&orders, self.bills.len(), BILLS);
        let documents = new.iter().map(|(number, bill)| model(number, bill)).collect();
        self.plant(new, documents).await?;
        self.ask_for_scan()
    }

    async fn plant(&mut self, new: Vec<(String, Bill)>, documents: Vec<Value>) -> anyhow::Result<()> {
        let order = json!({"form": FORM, "documents": documents});
        self.road.source.admin("/documents", Some(&order)).await.context("giving bills to the source")?;
        self.waiting.extend(new.iter().map(|(number, _)| number.clone()));
        self.bills.extend(new);
        Ok(())
    }

    fn ask_for_scan(&self) -> anyhow::Result<()> {
        // A command that does not reach the broker is followed by another one.
        self.commands.send(&json!({"flow": "misc-inbound", "command": "run"}))
    }

    /// Has everything that was approved up to now read again, as `starctl flow run --from --to` does.
    fn ask_for_all(&self) -> anyhow::Result<()> {
        let to = history::now() / 1_000;
        self.commands.send(&json!({"flow": "misc-inbound", "command": "window", "from": START, "to": to}))
    }

    /// Starts again what has ended, as a supervisor would.
    fn revive(&mut self) -> anyhow::Result<()> {
        for stage in &mut self.road.stages {
            let name = stage.name();
            if stage.process().ended()?.is_none() {
                self.ended_at.remove(&name);
                continue;
            }
            let seen = *self.ended_at.entry(name.clone()).or_insert_with(Instant::now);
            if seen.elapsed() >= RESTART && self.away.as_ref() != Some(&name) {
                begin_stage(stage, self.kafka_lost)?;
                self.ended_at.remove(&name);
            }
        }
        Ok(())
    }

    fn begin_all(&mut self) -> anyhow::Result<()> {
        self.ended_at.clear();
        self.road.stages.iter_mut().try_for_each(|stage| begin_stage(stage, self.kafka_lost))
    }

    fn stage(&mut self, service: &str) -> anyhow::Result<&mut Stage> {
        self.road.of(service).into_iter().next().with_context(|| format!("there is no {service}"))
    }

    /// Drains the road, compares both sides, and lets the history checker judge it, unless Kafka was lost and with it what
    /// that reads. `failed` is why the last blow was none.
    pub async fn end(mut self, commit: &str, failed: Option<String>) -> Judged {
        let violations = failed.into_iter().collect();
        let mut judged = Judged { road: self.number, commit: commit.to_owned(), violations, ..Judged::default() };
        if let Err(error) = self.judge(&mut judged).await {
            judged.violations.push(format!("{error:#}"));
        }
        if !judged.violations.is_empty() {
            self.road.keep();
            judged.kept = Some(self.road.folder().display().to_string());
        }
        judged
    }

    async fn judge(&mut self, judged: &mut Judged) -> anyhow::Result<()> {
        let begin = Instant::now();
        if self.kafka_lost {
            // The last step of the guide: what was not read since then is found in the target and put on record again.
            self.ask_for_all()?;
        }
        let numbers: Vec<String> = self.bills.iter().map(|(number, _)| number.clone()).collect();
        loop {
            // Nothing new arrives, but who ends is still started again, and a command that met a run under way brought none.
            self.portion_at = Instant::now();
            self.pass(PORTION / 2).await?;
            self.ask_for_scan()?;
            let (open, intents) = self.road.unaccounted(numbers.iter()).await?;
            if open.is_empty() && intents == 0 && self.has_old(self.bills.len()).await? {
                break;
            }
            if begin.elapsed() > DRAIN {
                bail!("{} bills have no end ({:?} …) and {intents} saves are open", open.len(), open.first());
            }
        }
        for stage in self.road.stages.iter_mut().rev() {
            stage.process().stop(Duration::from_secs(60))?;
        }
        self.road.expectation =
            Expectation { source: self.bills.iter().cloned().collect(), ..Expectation::default() }.without_failures();
        let report = self.road.compare().await?.report;
        (judged.bills, judged.applied) = (report.source, report.applied);
        (judged.missing, judged.duplicate) = (report.missing.len(), report.duplicate.len());
        (judged.torn, judged.different) = (report.torn.len(), report.different.len());
        judged.violations.extend(report.deviations());
        if !self.kafka_lost {
            judged.violations.extend(history::check(&self.road, self.known.clone()).await?.breaches());
            judged.history = true;
        }
        Ok(())
    }
}

fn begin_stage(stage: &mut Stage, kafka_lost: bool) -> anyhow::Result<()> {
    let loader = stage.name().starts_with("loader-");
    let variables = [("LOADER__LEDGER__VERIFY_FIRST", "true")];
    stage.begin_with(if kafka_lost && loader { &variables } else { &[] })
}

/// Seconds since `begin`, to a tenth.
fn seconds(begin: Instant) -> f64 {
    (begin.elapsed().as_secs_f64() * 10.0).round() / 10.0
}
