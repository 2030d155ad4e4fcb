//! One run: bills arrive while one blow after the other falls; then everything is healed, drained and compared.

mod disks;
mod given;
mod people;
mod processes;
mod secrets;
mod source;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::nemesis::{Blow, RedisBlow, Side, brokers, logs_in, schedule};
use super::points::Points;
use super::proxy::{Gate, Links, System};
use super::row::Row;
use super::summary::{Outcome, Recovery};
use crate::compare::letters;
use crate::compare::rules::{Bill, Expectation};
use crate::fleet::{Commands, Galaxy, Stage, Starctl};
use crate::history::{self, Known};
use crate::mend::portion;
use crate::road::{Road, RoadPlan};

const FORM: &str = "STK_MISCELLANEOUS";
/// Orders of the real file that the source holds from the beginning; further bills are copies under new numbers.
const ORDERS: usize = 500;
/// Bills that arrive in a second, about as many as the target takes.
const RATE: f64 = 12.0;
/// Bills that are given at once after a blow, so that there is something to do.
const FRESH: usize = 10;
/// Time between two portions of new bills, each followed by a command to scan.
const PORTION: Duration = Duration::from_secs(8);
/// Time between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(500);
/// What does not work again this long after a blow never will.
const RECOVERY: Duration = Duration::from_secs(300);
/// Nothing ended for so long: the road stands.
const STALL: Duration = Duration::from_secs(300);
/// An ended process is started again after this, as whoever runs a deployment would.
const RESTART: Duration = Duration::from_secs(2);

/// Calls that both Galaxies permit in any sliding minute.
const CALLS: u32 = 1_200;

/// Settling times that fit a simulated target, whose saves take less than a second and are late by four at most.
const SHORT: &str = r#"
[save]
send_deadline = "5s"
net = "5s"
exec_max = "15s"

[retry]
waits = ["500ms", "1s", "2s", "2s", "2s"]
throttled = "2s"

[breaker]
wait = "1s"
wait_max = "5s"
login_waits = ["10s", "20s"]
"#;

/// Further lines of both connections, whose calls are signed each.
const SIGNS: &str = "save_timeout = \"10s\"\nquery_timeout = \"15s\"\n";
/// The same of connections that open sessions by a login.
const LOGS_IN: &str = "save_timeout = \"10s\"\nquery_timeout = \"15s\"\nlogin = \"app_secret\"\n";

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Draws the blows.
    pub seed: u64,
    /// Bills that arrive.
    pub bills: usize,
    /// Whether settling times are as shipped.
    pub shipped: bool,
    /// Whether its files are kept in any case.
    pub keep: bool,
}

/// A run under way.
struct Run<'a> {
    road: Road,
    bills: Vec<(String, Bill)>,
    /// Bills that the source had from the beginning.
    first: usize,
    given: usize,
    begin: Instant,
    portion_at: Instant,
    blows: usize,
    down: BTreeSet<String>,
    ended_at: BTreeMap<String, Instant>,
    poisoned: Vec<String>,
    by_hand: Vec<ByHand>,
    desk: Option<Starctl>,
    faults: Vec<(Side, u64, Row)>,
    known: Known,
    outcome: Outcome,
    commands: Commands,
    tell: &'a mut dyn FnMut(String),
}

/// A bill that a person edited in the target: it stays as it is, and a letter is what became of ours.
#[derive(Debug)]
struct ByHand {
    number: String,
    /// Its date since.
    date: &'static str,
    /// The letter's category.
    category: &'static str,
}

/// Runs `plan`, with blows of `only` these rows if there are any and its files below `folder`, which keeps them when something does not hold. `tell` gets what happens.
///
/// # Errors
/// Something does not start, or the harness cannot see or do what it must.
pub async fn run(
    plan: Plan,
    points: Option<&Points>,
    only: &[Row],
    folder: &Path,
    tell: &mut dyn FnMut(String),
) -> anyhow::Result<Outcome> {
    let begin = Instant::now();
    let blows = schedule(plan.seed, points, plan.shipped, only);
    let mut road = lay(plan, logs_in(&blows), folder).await?;
    let orders: Vec<(&String, &Bill)> = road.expectation.source.iter().collect();
    let bills = portion(&orders, 0, plan.bills.max(orders.len()));
    // The first of them are those of the file, under their own numbers.
    let named = |(at, (number, bill)): (usize, (String, Bill))| match orders.get(at) {
        Some((own, _)) => ((*own).clone(), bill),
        None => (number, bill),
    };
    let bills: Vec<(String, Bill)> = bills.into_iter().enumerate().map(named).collect();
    let given = orders.len();
    let commands = Commands::to(road.kafka.brokers())?;
    road.start_stages().await?;
    let now = Instant::now();
    let mut run = Run {
        road,
        bills,
        first: given,
        given,
        begin: now,
        portion_at: now,
        blows: blows.len(),
        down: BTreeSet::new(),
        ended_at: BTreeMap::new(),
        poisoned: Vec::new(),
        by_hand: Vec::new(),
        desk: None,
        faults: Vec::new(),
        known: Known { settle: if plan.shipped { 110_000 } else { 15_000 }, ..Known::default() },
        outcome: Outcome::of(plan, points.is_some(), only),
        commands,
        tell,
    };
    if let Err(error) = run.all(&blows).await {
        run.outcome.violations.push(format!("{error:#}"));
    }
    run.outcome.seconds = begin.elapsed().as_secs_f64().round();
    if plan.keep || !run.outcome.violations.is_empty() {
        run.road.keep();
        run.outcome.kept = Some(run.road.folder().display().to_string());
    }
    Ok(run.outcome)
}

async fn lay(plan: Plan, logs_in: bool, folder: &Path) -> anyhow::Result<Road> {
    let road = RoadPlan {
        orders: ORDERS.min(plan.bills),
        documents: Some(5),
        cron: None,
        calls_per_minute: CALLS,
        planted: false,
        most: 3,
        controls: 1,
        linked: true,
        brokers: brokers(plan.seed),
        // A duplicate must be able to show.
        target: vec![("--unique-numbers", "off".to_owned())],
        connection: if logs_in { LOGS_IN } else { SIGNS },
        extractor: "[scan]\nmax_page_rows = 500\n",
        loader: if plan.shipped { "" } else { SHORT },
        within: Some(folder.to_owned()),
        ..RoadPlan::default()
    };
    let road = Road::lay(road).await?;
    // A bill that changes in the source is carried again, and one that stands in the target by then is left to a person.
    road.rewrite_flow("source.json", "\"idCheck\": true", "\"idCheck\": false")?;
    road.rewrite_flow("flow.toml", "on_change = \"skip\"", "on_change = \"park\"")?;
    // Slow enough that blows meet work in flight.
    road.fault(json!({"kind": "latency", "call": "BatchSave", "ms": 250, "count": 0})).await?;
    Ok(road)
}

impl Run<'_> {
    async fn all(&mut self, blows: &[Blow]) -> anyhow::Result<()> {
        for blow in blows {
            let (seconds, applied) = (self.begin.elapsed().as_secs(), self.applied().await?);
            (self.tell)(format!("{seconds:>5} s: {} given, {applied} applied; {blow}", self.given));
            self.outcome.blows.push(blow.to_string());
            *self.outcome.rows.entry(blow.row().name().to_owned()).or_default() += 1;
            let since = history::now();
            self.strike(blow).await.with_context(|| format!("while: {blow}"))?;
            self.known.blackouts.push((since, history::now()));
            self.pass(Duration::from_secs(4)).await?;
        }
        self.heal().await?;
        self.drain().await?;
        self.judge().await
    }

    async fn strike(&mut self, blow: &Blow) -> anyhow::Result<()> {
        // What is timed is not to wait for another fault that still lies in its way.
        if matches!(blow.row(), Row::Kill | Row::AllGone | Row::DiskFull | Row::DataExpired | Row::LoginRefused)
            || matches!(blow, Blow::Broker { .. } | Blow::Deed(_))
        {
            self.end_faults().await?;
        }
        match blow {
            Blow::Kill { service, away } => self.kill(service, *away).await,
            Blow::Die { service, point, passage } => self.die(service, point, *passage).await,
            Blow::StandStill { service, point, time } => self.stand_still(service, point, *time).await,
            Blow::Zone { service, zone } => self.move_to_zone(service, zone).await,
            Blow::SecretChanged { side } => self.change_secret(*side).await,
            Blow::Jump { service, by } => self.jump(service, by).await,
            Blow::Freeze { service, time, peer } => self.freeze(service, *time, *peer).await,
            Blow::Misbehave { side, fault, time, .. } => {
                let id = self.misbehave(*side, fault).await?;
                match time {
                    Some(time) => {
                        self.pass(*time).await?;
                        self.end_fault(*side, id, blow.row()).await
                    }
                    None => {
                        self.faults.push((*side, id, blow.row()));
                        self.pass(Duration::from_secs(6)).await
                    }
                }
            }
            Blow::Poison => self.poison().await,
            Blow::Link { system, gate, time, .. } => {
                if *system == System::Redis {
                    self.known.redis.push(history::now());
                }
                self.links()?.set(*system, *gate);
                self.pass(*time).await?;
                self.links()?.set(*system, Gate::Cut);
                self.pass(Duration::from_millis(500)).await?;
                self.links()?.set(*system, Gate::Open);
                Ok(())
            }
            Blow::Redis(blow) => self.redis(*blow).await,
            Blow::Broker { first, stopped, away } => self.brokers_leave(*first, *stopped, *away).await,
            Blow::DiskFull { disk, time } => self.disk_full(*disk, *time).await,
            Blow::Three { service } => {
                for ordinal in [1, 2] {
                    self.road.join(service, ordinal)?;
                }
                self.pass(Duration::from_secs(20)).await?;
                self.leave(service, 2);
                self.leave(service, 1);
                Ok(())
            }
            Blow::Storm { service, time } => {
                let begin = Instant::now();
                while begin.elapsed() < *time {
                    self.road.join(service, 1)?;
                    self.pass(Duration::from_secs(5)).await?;
                    self.leave(service, 1);
                    self.pass(Duration::from_secs(5)).await?;
                }
                Ok(())
            }
            Blow::AllGone => {
                let since = Instant::now();
                for stage in &mut self.road.stages {
                    stage.kill()?;
                }
                self.known.redis.push(history::now());
                self.road.redis.kill()?;
                self.feed(false).await?;
                self.road.redis.restart()?;
                for stage in &mut self.road.stages {
                    stage.begin()?;
                }
                self.recovered("all", since, 0, Some("loader")).await
            }
            Blow::OffsetsExpire { service } => self.offsets_expire(service).await,
            Blow::Deed(deed) => self.deed(deed).await,
        }
    }

    /// Has a Galaxy misbehave from now on; gives the fault's id.
    async fn misbehave(&self, side: Side, fault: &Value) -> anyhow::Result<u64> {
        let added = self.galaxy(side).admin("/faults", Some(fault)).await?;
        added["ids"][0].as_u64().context("the fault's id")
    }

    /// A bill that is still to come is refused by the target from now on, whatever is healed.
    async fn poison(&mut self) -> anyhow::Result<()> {
        let Some((number, _)) = self.bills.get(self.given) else {
            self.outcome.missed(Row::Poison);
            return Ok(());
        };
        let number = number.clone();
        let fault = json!({"kind": "refuse_save", "call": "BatchSave", "numbers": [number], "count": 0});
        self.road.fault(fault).await?;
        self.poisoned.push(number);
        self.feed(true).await
    }

    async fn redis(&mut self, blow: RedisBlow) -> anyhow::Result<()> {
        self.known.redis.push(history::now());
        const OTHER_TYPE: &str = "EVAL \"for _, key in ipairs(redis.call('keys', '*')) do redis.call('del', key) \
                                  redis.call('rpush', key, 'x') end return 1\" 0";
        match blow {
            RedisBlow::Stop(time) => {
                self.road.redis.kill()?;
                self.pass(time).await?;
                self.road.redis.restart()
            }
            RedisBlow::Flush => self.road.redis.command("FLUSHALL").map(drop),
            RedisBlow::WrongType => self.road.redis.command(OTHER_TYPE).map(drop),
        }
    }

    /// Ends everything that still misbehaves: links, faults that wait for calls, stages that are away.
    async fn heal(&mut self) -> anyhow::Result<()> {
        self.links()?.open();
        self.end_faults().await?;
        self.give(self.bills.len()).await
    }

    /// Ends faults of the Galaxies that wait for calls to meet.
    async fn end_faults(&mut self) -> anyhow::Result<()> {
        for (side, id, row) in std::mem::take(&mut self.faults) {
            self.end_fault(side, id, row).await?;
        }
        Ok(())
    }

    /// Ends a fault of a Galaxy. One that no call met hit nothing.
    async fn end_fault(&mut self, side: Side, id: u64, row: Row) -> anyhow::Result<()> {
        let faults = self.galaxy(side).admin("/faults", None).await?;
        let fault = faults.as_array().and_then(|list| list.iter().find(|fault| fault["id"].as_u64() == Some(id)));
        if fault.and_then(|fault| fault["met"].as_u64()).unwrap_or(0) == 0 {
            (self.tell)(format!("        no call met: {}", row.name()));
            self.outcome.missed(row);
        }
        self.galaxy(side).end_fault(id).await
    }

    /// Waits until every bill has ended in the ledger or a letter and no save is open.
    async fn drain(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut last = (usize::MAX, usize::MAX, Instant::now());
        loop {
            self.pass(Duration::from_secs(2)).await?;
            let (open, intents) = self.road.unaccounted(self.bills.iter().map(|(number, _)| number)).await?;
            if open.is_empty() && intents == 0 {
                self.outcome.drain_seconds = begin.elapsed().as_secs_f64().round();
                return Ok(());
            }
            if (open.len(), intents) != (last.0, last.1) {
                last = (open.len(), intents, Instant::now());
            } else if last.2.elapsed() > STALL {
                let some: Vec<&String> = open.iter().take(5).collect();
                let what = format!("{} bills have no end ({some:?} …) and {intents} saves are open", open.len());
                self.outcome.violations.push(format!("stalled: {what}"));
                (self.tell)(format!("stalled: {what}"));
                return Ok(());
            }
        }
    }

    async fn judge(&mut self) -> anyhow::Result<()> {
        while let Some(mut stage) = self.road.stages.pop() {
            let name = stage.name();
            if let Err(error) = stage.process().stop(Duration::from_secs(60)) {
                self.outcome.slow_stops += 1;
                (self.tell)(format!("{name}: {error:#}"));
            }
        }
        let mut expectation = Expectation { source: self.bills.iter().cloned().collect(), ..Expectation::default() };
        expectation = expectation.without_failures();
        for number in &self.poisoned {
            expectation.target.remove(number);
            expectation.parked.insert(number.clone(), "validation");
        }
        for (number, date) in &self.known.dates {
            if let Some(bill) = expectation.target.get_mut(number) {
                bill.date.clone_from(date);
            }
        }
        for ByHand { number, date, category } in &self.by_hand {
            let ours = expectation.target.remove(number).with_context(|| format!("{number} is no bill of this run"))?;
            self.road.stands(number, Bill { date: (*date).to_owned(), ..ours });
            expectation.parked.insert(number.clone(), category);
            expectation.held_numbers.insert(number.clone());
        }
        self.road.expectation = expectation;
        self.in_sync().await?;
        let brokers = self.road.kafka.brokers().to_owned();
        let read = move || letters::open(&brokers, "starbridge.dead-letters", "starbridge.dead-letter-events");
        let ended = self.road.compare_with(tokio::task::spawn_blocking(read).await??).await?;
        self.outcome.take(&ended);
        self.outcome.take_verdict(history::check(&self.road, self.known.clone()).await?);
        if self.outcome.fullest_minute.iter().any(|calls| *calls > u64::from(CALLS)) {
            let calls = self.outcome.fullest_minute;
            self.outcome.violations.push(format!("{calls:?} calls in one minute, {CALLS} are permitted"));
        }
        for (of, seconds) in self.outcome.recovery.iter().filter_map(Recovery::never) {
            self.outcome.violations.push(format!("{of} does not work again within {seconds} s"));
        }
        Ok(())
    }

    /// Lets time pass: bills arrive, and whoever has ended is started again.
    async fn pass(&mut self, time: Duration) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            self.revive()?;
            if self.portion_at.elapsed() >= PORTION {
                self.feed(false).await?;
            }
            let left = time.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(Duration::from_millis(250))).await;
        }
    }

    /// Starts again what has ended by itself.
    fn revive(&mut self) -> anyhow::Result<()> {
        for stage in &mut self.road.stages {
            let name = stage.name();
            if self.down.contains(&name) {
                continue;
            }
            let Some(status) = stage.process().ended()? else {
                self.ended_at.remove(&name);
                continue;
            };
            let seen = *self.ended_at.entry(name.clone()).or_insert_with(Instant::now);
            if seen.elapsed() >= RESTART {
                self.outcome.restarts += 1;
                (self.tell)(format!("{name} ended with {status}: {}", reason(&stage.process().last_words())));
                stage.begin()?;
                self.ended_at.remove(&name);
            }
        }
        Ok(())
    }

    /// Waits until `service` has done something new since it was started, or the target has more than `base` bills.
    async fn recovered(&mut self, of: &str, since: Instant, base: u64, service: Option<&str>) -> anyhow::Result<()> {
        let mut works = false;
        while !works && since.elapsed() < RECOVERY {
            self.pass(Duration::from_millis(250)).await?;
            works = match service {
                Some(service) => self.works(service).await,
                None => self.applied().await? > base,
            };
            if !works && self.is_spent().await? {
                (self.tell)(format!("        nothing is left to see {of} work by: give the run more bills"));
                return Ok(());
            }
        }
        let seconds = (since.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        (self.tell)(format!("        {of} works again after {seconds} s: {works}"));
        self.outcome.recovery.push(Recovery { of: of.to_owned(), seconds, works });
        Ok(())
    }

    /// Whether the first replica of `service` has brought a document further since it was started; of the control plane,
    /// whether it writes.
    async fn works(&mut self, service: &str) -> bool {
        let Ok(stage) = self.stage(&format!("{service}-0")) else { return false };
        let labels: &[&str] = match service {
            "extractor" => &["stage=\"extract\"", "outcome=\"emitted\""],
            "transformer" => &["stage=\"transform\"", "outcome=\"mapped\""],
            "loader" => &["outcome=\"applied\""],
            _ => return stage.metrics().await.is_ok_and(|metrics| metrics.sum("starbridge_writer_active", &[]) > 0.0),
        };
        stage.metrics().await.is_ok_and(|metrics| metrics.sum("starbridge_records_total", labels) > 0.0)
    }

    /// Whether every bill of the run has been given and has ended.
    async fn is_spent(&self) -> anyhow::Result<bool> {
        let ended = self.applied().await? + self.poisoned.len() as u64;
        Ok(self.given == self.bills.len() && ended >= self.bills.len() as u64)
    }

    /// Bills that the target holds.
    async fn applied(&self) -> anyhow::Result<u64> {
        let stats = self.road.target.admin("/stats", None).await?;
        Ok(stats["documents"][FORM].as_u64().unwrap_or(0))
    }

    fn leave(&mut self, service: &str, ordinal: u32) {
        if let Err(error) = self.road.leave(service, ordinal) {
            self.outcome.slow_stops += 1;
            (self.tell)(format!("{service}-{ordinal}: {error:#}"));
        }
    }

    fn galaxy(&self, side: Side) -> &Galaxy {
        match side {
            Side::Source => &self.road.source,
            Side::Target => &self.road.target,
        }
    }

    fn links(&self) -> anyhow::Result<&Links> {
        self.road.links.as_ref().context("the road has no links")
    }

    fn stage(&mut self, name: &str) -> anyhow::Result<&mut Stage> {
        self.road.stages.iter_mut().find(|stage| stage.name() == name).with_context(|| format!("there is no {name}"))
    }
}

/// The last line of a process, cut to what a terminal shows.
fn reason(words: &str) -> String {
    words.lines().last().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(reason("first\nlast"), "last");
        assert_eq!(reason(&"名".repeat(300)).chars().count(), 200);
    }
}
