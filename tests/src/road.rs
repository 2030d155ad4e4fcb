//! A whole road for one scenario: a broker, a Redis, two Galaxies and the stages, with the first orders of the real file.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::compare::letters::{self, Letter};
use crate::compare::orders;
use crate::compare::report::{self, Report};
use crate::compare::rules::{self, Bill, Expectation};
use crate::compare::webapi::{self, Bills};
use crate::faults::proxy::{Links, Proxy};
use crate::fleet::{self, DeskFiles, Galaxy, GalaxyPlan, Stage, StagePlan};
use crate::servers::{Behind, Kafka, Redis, free_ports};
use files::{change_flow, copy_flow, first_orders, shipped};

/// What a scenario wants; everything else is as shipped.
#[derive(Debug, Clone)]
pub struct RoadPlan {
    /// How many orders of the real file; all when more than there are.
    pub orders: usize,
    /// How often each of them comes, under numbers of its own.
    pub copies: usize,
    /// Folder of the flow below `deploy/flows`.
    pub flow: &'static str,
    /// Documents per call; the flow file's own when `None`.
    pub documents: Option<usize>,
    /// When scans and lookbacks begin by themselves; as the flow file says when `None`. As it is, none begins but the one at
    /// the start, whatever the time of day: what a scenario counts must not depend on the minute it runs in.
    pub cron: Option<&'static str>,
    /// Calls that both Galaxies permit in any sliding minute.
    pub calls_per_minute: u32,
    /// Whether the Galaxies refuse what is beyond it.
    pub enforce_limit: bool,
    /// Replicas of each stage.
    pub replicas: u32,
    /// Replicas of each stage there may be once others have joined.
    pub most: u32,
    /// Whether products and numbers are planted as in the demo.
    pub planted: bool,
    /// Further options of the source.
    pub source: Vec<(&'static str, String)>,
    /// Further options of the target.
    pub target: Vec<(&'static str, String)>,
    /// Whether services reach every system through a link.
    pub linked: bool,
    /// Nodes of Kafka, each with a copy of everything. More than one only with links.
    pub brokers: usize,
    /// Further lines of both connections.
    pub connection: &'static str,
    /// Further tables of the extractor's settings.
    pub extractor: &'static str,
    /// Further tables of the transformer's settings.
    pub transformer: &'static str,
    /// Further tables of the loader's settings.
    pub loader: &'static str,
    /// Replicas of the control plane.
    pub controls: u32,
    /// Further tables of the control plane's settings. As it is, nothing is replayed unless the scenario asks.
    pub control: &'static str,
    /// Where the stages send their traces, `http://host:port`; nowhere when `None`.
    pub collector: Option<String>,
    /// Where the road's folder is made; where temporary files are when `None`.
    pub within: Option<PathBuf>,
}

/// Midnight of a leap day: a cron has to fire at some time.
const SELDOM: &str = "0 0 29 2 *";

impl Default for RoadPlan {
    fn default() -> Self {
        Self {
            orders: 200,
            copies: 1,
            flow: "misc-inbound",
            documents: None,
            cron: Some(SELDOM),
            calls_per_minute: 6_000,
            enforce_limit: false,
            replicas: 1,
            most: 1,
            planted: true,
            source: Vec::new(),
            target: Vec::new(),
            linked: false,
            brokers: 1,
            connection: "",
            extractor: "",
            transformer: "",
            loader: "",
            controls: 0,
            control: "[replay]\ntimed = false\n",
            collector: None,
            within: None,
        }
    }
}

/// A road in place. Dropped, everything of it is gone.
#[derive(Debug)]
pub struct Road {
    /// Extractors, transformers, loaders, in this order.
    pub stages: Vec<Stage>,
    /// The source.
    pub source: Galaxy,
    /// The target.
    pub target: Galaxy,
    /// Redis.
    pub redis: Redis,
    /// Kafka.
    pub kafka: Kafka,
    /// What must come of it.
    pub expectation: Expectation,
    /// The files of the control plane.
    pub desk: DeskFiles,
    /// The links to the systems, when the plan wants them.
    pub links: Option<Links>,
    foreign: Bills,
    plan: RoadPlan,
    scratch: TempDir,
}

/// What a scenario ended with.
#[derive(Debug)]
pub struct Ended {
    /// The comparison.
    pub report: Report,
    /// The dead letters.
    pub letters: BTreeMap<String, Letter>,
    /// Counts of the target: calls by method.
    pub target: Value,
    /// Counts of the source.
    pub source: Value,
}

impl Road {
    /// Brings up servers and Galaxies; no stage runs yet.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn lay(plan: RoadPlan) -> anyhow::Result<Self> {
        let scratch = match &plan.within {
            Some(folder) => tempfile::Builder::new().prefix("road-").tempdir_in(folder),
            None => tempfile::Builder::new().prefix("starbridge-road-").tempdir(),
        };
        let scratch = scratch.context("making a scratch folder")?;
        let folder = scratch.path().to_owned();
        let mut broker_links = Vec::new();
        let mut behind = Vec::new();
        for inner in free_ports(if plan.linked { plan.brokers } else { 0 })? {
            let link = Proxy::to(inner).await?;
            behind.push(Behind { inner, advertised: link.port() });
            broker_links.push(link);
        }
        let kafka = tokio::task::spawn_blocking(move || match behind.as_slice() {
            [] => Kafka::start(&folder),
            links => Kafka::start_behind(&folder, links),
        });
        let redis = Redis::start(scratch.path())?;
        let file = first_orders(plan.orders, plan.copies, scratch.path())?;
        let (orders, lines) = orders::read(&file)?;
        let mut expectation = rules::expect(&orders, lines);
        let mut source = GalaxyPlan::new("galaxy-a").option("--orders", file.clone());
        let mut target = GalaxyPlan::new("galaxy-b").option("--base-data-from", file.clone());
        if plan.planted {
            for (option, name, list) in [
                ("--unknown-products", "unknown.txt", &expectation.unknown_products),
                ("--held-numbers", "held.txt", &expectation.held_numbers),
            ] {
                let path = scratch.path().join(name);
                std::fs::write(&path, list.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>())?;
                target = target.option(option, path);
            }
        } else {
            expectation = expectation.without_failures();
        }
        for (name, value) in &plan.source {
            source = source.option(name, value.clone());
        }
        for (name, value) in &plan.target {
            target = target.option(name, value.clone());
        }
        if plan.enforce_limit {
            let limit = plan.calls_per_minute.to_string();
            source = source.option("--calls-per-minute", limit.clone());
            target = target.option("--calls-per-minute", limit);
        }
        let documents = plan.documents.map(|documents| ("documents", documents.to_string()));
        let cron = plan.cron.map(|cron| ("cron", format!("{cron:?}")));
        let changes: Vec<(&str, String)> = documents.into_iter().chain(cron).collect();
        copy_flow(&shipped(plan.flow), &scratch.path().join("flows").join(plan.flow), &changes)?;
        let mut source = Galaxy::start(source, scratch.path())?;
        let mut target = Galaxy::start(target, scratch.path())?;
        let mut links = None;
        if plan.linked {
            let to = async |galaxy: &mut Galaxy| -> anyhow::Result<Proxy> {
                let link = Proxy::to(galaxy.port()).await?;
                galaxy.behind(link.port());
                Ok(link)
            };
            let (source, target) = (to(&mut source).await?, to(&mut target).await?);
            links = Some(Links { source, target, redis: Proxy::to(redis.port()).await?, kafka: broker_links });
        }
        let kafka = kafka.await.context("starting Kafka")??;
        let foreign = bills(&target).await?;
        let desk = DeskFiles::make(scratch.path())?;
        Ok(Self { stages: Vec::new(), source, target, redis, kafka, expectation, desk, links, foreign, plan, scratch })
    }

    /// Lays a road and starts every stage.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn open(plan: RoadPlan) -> anyhow::Result<Self> {
        let mut road = Self::lay(plan).await?;
        road.start_stages().await?;
        Ok(road)
    }

    /// Starts every stage and waits until all are ready.
    ///
    /// # Errors
    /// A stage refuses its settings or does not get ready within a minute.
    pub async fn start_stages(&mut self) -> anyhow::Result<()> {
        for service in ["extractor", "transformer", "loader"] {
            for ordinal in 0..self.plan.replicas {
                let plan = self.stage(service, ordinal);
                self.stages.push(Stage::start(plan, self.scratch.path())?);
            }
        }
        for ordinal in 0..self.plan.controls {
            self.stages.push(Stage::start(self.stage("control", ordinal), self.scratch.path())?);
        }
        for stage in &mut self.stages {
            stage.ready(Duration::from_secs(60)).await?;
        }
        Ok(())
    }

    /// The flow's folder, to be changed before the stages start.
    pub fn flow_folder(&self) -> PathBuf {
        self.scratch.path().join("flows").join(self.plan.flow)
    }

    /// Gives a line of the flow file another value.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn set_flow(&self, name: &str, value: &str) -> anyhow::Result<()> {
        change_flow(&self.flow_folder(), &[(name, value.to_owned())])
    }

    /// Writes another text in place of one that a file of the flow holds, before the stages start.
    ///
    /// # Errors
    /// The file does not hold it, or cannot be read or written.
    pub fn rewrite_flow(&self, file: &str, from: &str, to: &str) -> anyhow::Result<()> {
        let path = self.flow_folder().join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
        ensure!(text.contains(from), "{from:?} is not in {file}");
        std::fs::write(&path, text.replace(from, to)).with_context(|| format!("writing {file}"))
    }

    /// Copies the flow's folder to `folder`, with lines of the flow file changed.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn copy_flow(&self, folder: &Path, changes: &[(&str, String)]) -> anyhow::Result<()> {
        copy_flow(&self.flow_folder(), folder, changes)
    }

    /// Has the comparison expect a bill in the target that is nobody's but whoever made it what it is.
    pub fn stands(&mut self, number: &str, bill: Bill) {
        self.foreign.insert(number.to_owned(), vec![bill]);
    }

    fn stage(&self, service: &'static str, ordinal: u32) -> StagePlan {
        let linked = |port: u16| format!("127.0.0.1:{port}");
        let (brokers, redis) = match &self.links {
            Some(links) => {
                let brokers: Vec<String> = links.kafka.iter().map(|link| linked(link.port())).collect();
                (brokers.join(","), format!("redis://{}/", linked(links.redis.port())))
            }
            None => (self.kafka.brokers().to_owned(), self.redis.url().to_owned()),
        };
        let kafka = format!("[kafka]\nbrokers = {brokers:?}\n\n");
        let redis = format!("[redis]\nurl = {redis:?}\n\n");
        let connections = fleet::connections(&[&self.source, &self.target], self.plan.calls_per_minute);
        // Each table begins with its address.
        let connections = connections.replace("\nurl = ", &format!("\n{}url = ", self.plan.connection));
        let flows = self.scratch.path().join("flows").display().to_string();
        let settings = match service {
            "extractor" => {
                let rate = if self.most() > 1 { self.rate(ordinal) } else { String::new() };
                format!(
                    "{kafka}{redis}{rate}[flows]\nfolders = [{flows:?}]\nrun_at_start = true\nreplication = {}\n\n\
                     {}\n{connections}",
                    self.plan.brokers, self.plan.extractor
                )
            }
            "control" => {
                // The desk shares the limits with the loaders, whose numbers come first.
                let rate = self.rate(self.most() + ordinal);
                let desk = self.desk.settings(self.scratch.path(), ordinal, self.plan.brokers);
                format!("{kafka}{redis}{rate}{desk}\n{}\n{connections}", self.plan.control)
            }
            "transformer" => format!("{kafka}{}", self.plan.transformer),
            _ => {
                let rate = self.rate(ordinal);
                format!("{kafka}{redis}{rate}{}\n{connections}", self.plan.loader)
            }
        };
        let collector = self.plan.collector.iter();
        let telemetry = collector.map(|endpoint| format!("\n[telemetry]\notlp_endpoint = {endpoint:?}\n"));
        let settings = telemetry.fold(settings, |settings, table| settings + &table);
        StagePlan { service, ordinal, settings, worker: String::new() }
    }

    /// Who shares the limit of a system, and which of them this is.
    fn rate(&self, number: u32) -> String {
        let most = self.most() + self.plan.controls;
        format!("[rate]\nmax_replicas = {most}\nreplica = {number}\n\n")
    }

    fn most(&self) -> u32 {
        self.plan.most.max(self.plan.replicas)
    }

    /// Starts a further replica of a service; does not wait for it.
    ///
    /// # Errors
    /// It does not start.
    pub fn join(&mut self, service: &'static str, ordinal: u32) -> anyhow::Result<()> {
        let stage = Stage::start(self.stage(service, ordinal), self.scratch.path())?;
        self.stages.push(stage);
        Ok(())
    }

    /// Takes a replica away: it drains.
    ///
    /// # Errors
    /// It does not end within a minute; it is killed.
    pub fn leave(&mut self, service: &str, ordinal: u32) -> anyhow::Result<()> {
        let name = format!("{service}-{ordinal}");
        let Some(at) = self.stages.iter().position(|stage| stage.name() == name) else { return Ok(()) };
        self.stages.remove(at).process().stop(Duration::from_secs(60)).map(drop)
    }

    /// Leaves the road's folder where it is when the road is gone.
    pub fn keep(&mut self) {
        self.scratch.disable_cleanup(true);
    }

    /// Adds flows beside the road's own that find nothing to carry, one partition each, called `idle-N`.
    ///
    /// # Errors
    /// A folder cannot be written.
    pub fn add_idle_flows(&self, numbers: Range<usize>) -> anyhow::Result<()> {
        for number in numbers {
            let name = format!("idle-{number}");
            let changes = [
                ("flow", format!("{name:?}")),
                ("start_from", "\"2099-01-01T00:00:00+08:00\"".to_owned()),
                ("partitions", "1".to_owned()),
                ("cron", format!("{SELDOM:?}")),
            ];
            copy_flow(&shipped(self.plan.flow), &self.scratch.path().join("flows").join(&name), &changes)?;
        }
        Ok(())
    }

    /// The stages of one service.
    pub fn of(&mut self, service: &str) -> Vec<&mut Stage> {
        let prefix = format!("{service}-");
        self.stages.iter_mut().filter(|stage| stage.name().starts_with(&prefix)).collect()
    }

    /// Where a replica of the control plane is reached, once it has bound its port.
    ///
    /// # Errors
    /// It has not.
    pub fn desk_address(&self, ordinal: u32) -> anyhow::Result<String> {
        std::fs::read_to_string(DeskFiles::address_file(self.scratch.path(), ordinal)).context("no address yet")
    }

    /// The folder that everything of this road lies in.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Calls that both Galaxies permit in any sliding minute.
    pub fn limit(&self) -> u32 {
        self.plan.calls_per_minute
    }

    /// Makes the target take what it refused: creates the products it does not know and removes the foreign documents
    /// that hold our numbers.
    ///
    /// # Errors
    /// The target does not do it.
    pub async fn mend_target(&mut self) -> anyhow::Result<()> {
        crate::mend::target(&self.target, &self.expectation).await?;
        self.foreign.clear();
        self.expectation = self.expectation.clone().without_failures();
        Ok(())
    }

    /// Adds a fault to the target.
    ///
    /// # Errors
    /// The target does not know such a fault.
    pub async fn fault(&self, fault: Value) -> anyhow::Result<()> {
        self.target.admin("/faults", Some(&fault)).await.map(drop)
    }

    /// Bills in the target that are ours, and distinct dead letters, now.
    ///
    /// # Errors
    /// Target or broker does not answer.
    pub async fn ended_now(&self) -> anyhow::Result<(usize, usize)> {
        let stats = self.target.admin("/stats", None).await?;
        let held = stats["documents"]["STK_MISCELLANEOUS"].as_u64().unwrap_or(0);
        let held = usize::try_from(held).context("a count")?;
        let foreign: usize = self.foreign.values().map(Vec::len).sum();
        Ok((held.saturating_sub(foreign), self.letters().await?.len()))
    }

    /// The dead letters now.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn letters(&self) -> anyhow::Result<BTreeMap<String, Letter>> {
        let brokers = self.kafka.brokers().to_owned();
        let read = tokio::task::spawn_blocking(move || letters::read(&brokers, "starbridge.dead-letters"));
        // The topic is made by the first extractor; before that there are none.
        Ok(read.await?.unwrap_or_default())
    }

    /// Waits until `condition` of (bills applied, letters) holds.
    ///
    /// # Errors
    /// It does not within `patience`, or a stage that should run has ended.
    pub async fn until(
        &mut self,
        what: &str,
        patience: Duration,
        condition: impl Fn(usize, usize) -> bool,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let (applied, letters) = self.ended_now().await?;
            if condition(applied, letters) {
                return Ok(());
            }
            if begin.elapsed() > patience {
                let words: Vec<String> = self
                    .stages
                    .iter_mut()
                    .map(|stage| format!("--- {}\n{}", stage.name(), stage.process().last_words()))
                    .collect();
                bail!("{what}: {applied} applied and {letters} letters after {patience:?}\n{}", words.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Those of `numbers` that neither ledger nor letters know an end of, and how many saves have an open outcome.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn unaccounted<'a>(
        &self,
        numbers: impl Iterator<Item = &'a String>,
    ) -> anyhow::Result<(Vec<String>, usize)> {
        let ledger = self.ledger().await?;
        let parked: BTreeSet<String> = self.letters().await?.into_values().map(|letter| letter.record).collect();
        let ended = |number: &String| {
            parked.contains(number) || ledger.get(&format!("doc/{number}")).is_some_and(Option::is_some)
        };
        let open = numbers.filter(|number| !ended(number)).cloned().collect();
        Ok((open, intents(&ledger)))
    }

    /// How many saves have an open outcome.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn open_saves(&self) -> anyhow::Result<usize> {
        Ok(intents(&self.ledger().await?))
    }

    async fn ledger(&self) -> anyhow::Result<BTreeMap<String, Option<String>>> {
        let (brokers, ledger) = (self.kafka.brokers().to_owned(), format!("starbridge.{}.ledger", self.plan.flow));
        let read = move || letters::latest(&brokers, &ledger);
        tokio::task::spawn_blocking(read).await?.context("reading the ledger")
    }

    /// Waits until the stages know an end of every order, which may be later than the target holds it.
    ///
    /// # Errors
    /// They do not within `patience`.
    pub async fn settle(&self, patience: Duration) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let (open, intents) = self.unaccounted(self.expectation.source.keys()).await?;
            if open.is_empty() && intents == 0 {
                return Ok(());
            }
            ensure!(begin.elapsed() < patience, "{} orders and {intents} saves are open", open.len());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until every order has ended, drains the stages and compares.
    ///
    /// # Errors
    /// Not all have ended within `patience`, or a stage does not drain.
    pub async fn finish(&mut self, patience: Duration) -> anyhow::Result<Ended> {
        let orders = self.expectation.source.len();
        self.until("every order ends", patience, |applied, letters| applied + letters >= orders).await?;
        for stage in self.stages.iter_mut().rev() {
            stage.process().stop(Duration::from_secs(60))?;
        }
        self.compare().await
    }

    /// Compares both sides as they are.
    ///
    /// # Errors
    /// A side does not answer.
    pub async fn compare(&self) -> anyhow::Result<Ended> {
        self.compare_with(self.letters().await?).await
    }

    /// Compares both sides as they are, with these letters as the parked ones.
    ///
    /// # Errors
    /// A side does not answer.
    pub async fn compare_with(&self, letters: BTreeMap<String, Letter>) -> anyhow::Result<Ended> {
        let (source, target) = (self.source.admin("/stats", None).await?, self.target.admin("/stats", None).await?);
        let report = report::compare(
            &self.expectation,
            &bills(&self.source).await?,
            &bills(&self.target).await?,
            &self.foreign,
            &letters,
        );
        Ok(Ended { report, letters, target, source })
    }
}

impl Ended {
    /// Calls of `method` that the target got.
    pub fn target_calls(&self, method: &str) -> u64 {
        self.target["by_method"][method]["calls"].as_u64().unwrap_or(0)
    }

    /// Calls of `method` that the source got.
    pub fn source_calls(&self, method: &str) -> u64 {
        self.source["by_method"][method]["calls"].as_u64().unwrap_or(0)
    }
}

/// Intents of a ledger that no outcome has ended.
fn intents(ledger: &BTreeMap<String, Option<String>>) -> usize {
    ledger.iter().filter(|(key, value)| key.starts_with("intent/") && value.is_some()).count()
}

async fn bills(galaxy: &Galaxy) -> anyhow::Result<Bills> {
    let access = std::fs::read_to_string(galaxy.access_file()?).context("reading access")?;
    webapi::Galaxy::login(&serde_json::from_str(&access)?).await?.bills().await
}
