//! The loop: flows as they are published, and from their folders, partitions from the group, runs as they fall due.
//!
//! Crash-only: whatever goes wrong with Kafka, the session is dropped, everything in memory forgotten, and a new one
//! opened; that is also how the process starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use document::{Fault, FlowName, FlowVersion, topic};
use flow::{Flow, FlowBundle};
use queue::{Admin, Event, FlowRegistry, Session, SessionSettings, topics};
use runtime::health::Readiness;
use runtime::watchdog::Heartbeat;
use runtime::{Backoff, Clock, Shutdown};
use tokio::sync::Semaphore;

use crate::behind::{Congestion, Groups};
use crate::config::Config;
use crate::core::emit::Share;
use crate::error::Error;
use crate::folder;
use crate::follow::{self, Choice};
use crate::log::KafkaLog;
use crate::metrics::Instruments;
use crate::owner::{Owner, Units};
use crate::source::Source;
use crate::unit::Unit;
use crate::work::Means;

/// The conditions of `/ready`.
pub const CONDITIONS: [&str; 2] = ["kafka", "flows"];

/// How long to wait for an event before looking at the schedule.
const ROUND: Duration = Duration::from_millis(250);

/// What the loop is given.
pub struct Surroundings {
    /// The sources.
    pub source: Arc<dyn Source>,
    /// Time.
    pub clock: Clock,
    /// What `/ready` says.
    pub readiness: Readiness,
    /// What is counted.
    pub instruments: Instruments,
    /// Watched while the loop goes round.
    pub heartbeat: Heartbeat,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}

/// The service.
#[derive(Debug)]
pub struct Extractor {
    config: Config,
    around: Surroundings,
    units: Units,
    /// Versions that were taken up or refused, so that each is spoken of once.
    known: BTreeMap<FlowName, (FlowVersion, Option<Share>)>,
    /// What the last look at the folders found.
    found: folder::Known,
    /// The versions that the folders held at the last look.
    in_folder: BTreeMap<FlowName, FlowVersion>,
    spoken: Vec<Fault>,
    looked_at: Option<Duration>,
    greeted: BTreeSet<FlowName>,
}

fn state_topics(input: &str) -> Vec<String> {
    match input {
        topic::COMMANDS => vec![topic::EXTRACT_STATE.to_owned(), topic::EXTRACT_SEEN.to_owned()],
        _ => Vec::new(),
    }
}

fn random() -> [u8; 24] {
    rand::random()
}

impl Extractor {
    /// Ready to run.
    pub fn new(config: Config, around: Surroundings) -> Self {
        Self {
            config,
            around,
            units: Units::new(),
            known: BTreeMap::new(),
            found: folder::Known::new(),
            in_folder: BTreeMap::new(),
            spoken: Vec::new(),
            looked_at: None,
            greeted: BTreeSet::new(),
        }
    }

    /// Runs until the wish to stop: runs then finish their page and commit, and the group is left.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the settings of Kafka cannot work. Brokers that are away are waited for.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Error> {
        let admin = Admin::connect(&self.config.kafka)?;
        killpoint::reached("extractor.preparing");
        let Some(registry) = self.prepare(&admin, &shutdown).await else { return Ok(()) };
        killpoint::reached("extractor.prepared");
        let mut failures = 0;
        while !shutdown.is_requested() {
            let opened = self.around.clock.monotonic();
            let Err(error) = self.session(&admin, &registry, &shutdown).await else { break };
            self.around.readiness.not_ready("kafka", error.code.to_string());
            tracing::warn!(code = %error.code, place = %error.place, detail = error.detail, "session is given up");
            let lasted = self.around.clock.monotonic().saturating_sub(opened);
            failures = if lasted > Duration::from_secs(120) { 1 } else { failures + 1 };
            self.pause(failures, &shutdown).await;
        }
        tracing::info!("drained");
        Ok(())
    }

    /// Waits before another attempt.
    async fn pause(&self, failures: u32, shutdown: &Shutdown) {
        self.around.heartbeat.beat();
        tokio::select! {
            () = shutdown.requested() => {}
            () = tokio::time::sleep(Backoff::HOUSE.wait(failures, None, rand::random())) => {}
        }
        self.around.heartbeat.beat();
    }

    /// Makes the topics of the house and follows the published flows; `None` when the wish to stop came first.
    async fn prepare(&mut self, admin: &Admin, shutdown: &Shutdown) -> Option<FlowRegistry> {
        let mut failures = 0;
        while !shutdown.is_requested() {
            self.around.heartbeat.beat();
            let prepared = async {
                admin.ensure(&topics::house(), self.config.flows.replication).await?;
                FlowRegistry::follow(&self.config.kafka, &self.config.worker.member).await
            };
            match prepared.await {
                Ok(registry) => return Some(registry),
                Err(error) => {
                    let fault = error.fault();
                    tracing::warn!(code = %fault.code, place = %fault.place, detail = fault.detail, "kafka is not ready");
                    self.around.readiness.not_ready("kafka", fault.code.to_string());
                    failures += 1;
                    self.pause(failures, shutdown).await;
                }
            }
        }
        None
    }

    /// One session, from joining to leaving.
    async fn session(&mut self, admin: &Admin, registry: &FlowRegistry, shutdown: &Shutdown) -> Result<(), Fault> {
        let worker = &self.config.worker;
        let settings = SessionSettings::new(
            self.config.kafka.clone(),
            worker.group.clone(),
            worker.member.clone(),
            vec![topic::COMMANDS.to_owned()],
            state_topics,
            worker.data_dir.clone(),
        );
        killpoint::reached("extractor.session.opening");
        let session = Arc::new(Session::open(settings).await.map_err(|error| error.fault())?);
        killpoint::reached("extractor.session.open");
        let means = Means {
            source: Arc::clone(&self.around.source),
            log: Arc::new(KafkaLog::new(Arc::clone(&session))),
            downstream: Arc::new(Groups { admin: admin.clone(), settings: self.config.behind.clone() }),
            congestion: Arc::new(Congestion::new(self.config.behind.clone())),
            clock: self.around.clock.clone(),
            turns: Arc::new(Semaphore::new(self.config.scan.concurrent)),
            instruments: self.around.instruments.clone(),
            scan: self.config.scan.clone(),
            behind: self.config.behind.clone(),
            random,
        };
        let mut owner = Owner::new(means, self.config.flows.run_at_start, std::mem::take(&mut self.greeted));
        let outcome = self.rounds(&session, &mut owner, admin, registry, shutdown).await;
        if outcome.is_ok() {
            self.drain(&session, &mut owner).await;
        }
        killpoint::reached("extractor.session.over");
        self.greeted = owner.forget().await;
        // The committer lets go of the session when the last run has; then it can be closed in order.
        let mut session = session;
        for _ in 0..200 {
            match Arc::try_unwrap(session) {
                Ok(whole) => {
                    whole.close().await;
                    return outcome;
                }
                Err(shared) => session = shared,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        outcome
    }

    /// Rounds until the wish to stop.
    async fn rounds(
        &mut self,
        session: &Session,
        owner: &mut Owner,
        admin: &Admin,
        registry: &FlowRegistry,
        shutdown: &Shutdown,
    ) -> Result<(), Fault> {
        let mut news = registry.clone();
        while !shutdown.is_requested() {
            self.around.heartbeat.beat();
            self.look_at_folders(owner, admin, registry).await;
            let resting = self.units.keys().filter(|flow| registry.paused(flow).is_some());
            owner.rest(resting.cloned().collect(), &self.units);
            owner.tick(&self.units);
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                // What is published is taken up at once.
                () = news.changed() => self.looked_at = None,
                end = owner.next_end() => owner.ended(end, &self.units).await?,
                event = session.next(100, ROUND) => match event {
                    Ok(event) => self.handle(event, session, owner).await?,
                    Err(error) if error.recycles() => return Err(error.fault()),
                    Err(error) => {
                        // Commands of one partition are lost; the flows of it go on by their schedules.
                        let fault = error.fault();
                        tracing::error!(code = %fault.code, place = %fault.place, detail = fault.detail, "commands are lost");
                        tokio::time::sleep(ROUND).await;
                    }
                },
            }
            let released = owner.released();
            if !released.is_empty() {
                session.release(&released);
            }
        }
        Ok(())
    }

    async fn handle(&self, event: Event, session: &Session, owner: &mut Owner) -> Result<(), Fault> {
        match event {
            Event::Assigned(partitions) => {
                for partition in &partitions {
                    if session.origin(partition).is_some_and(|origin| origin.committed && !origin.owned) {
                        tracing::error!(%partition, "state was lost: its flows are read again from their start_from");
                    }
                }
                owner.assigned(&partitions, &self.units);
                self.around.readiness.ready("kafka");
            }
            Event::Revoking(partitions) => owner.revoking(&partitions, &self.units),
            Event::Revoked(partitions) => owner.revoked(&partitions, &self.units),
            Event::Records(records) => owner.commanded(&records).await?,
            // A replica that nothing is left for is as ready as one can be.
            Event::Idle => self.around.readiness.ready("kafka"),
        }
        Ok(())
    }

    /// Lets runs finish their page and commit, within the deadline.
    async fn drain(&self, session: &Session, owner: &mut Owner) {
        owner.drain();
        let deadline = tokio::time::Instant::now() + self.config.drain.deadline;
        while !owner.is_idle() {
            self.around.heartbeat.beat();
            tokio::select! {
                end = owner.next_end() => {
                    if let Err(fault) = owner.ended(end, &self.units).await {
                        tracing::warn!(code = %fault.code, detail = fault.detail, "last positions were not saved");
                        return;
                    }
                }
                event = session.next(1, ROUND) => {
                    if let Err(error) = event
                        && error.recycles()
                    {
                        return;
                    }
                }
                () = tokio::time::sleep_until(deadline) => {
                    tracing::warn!("runs did not end in time, the next owner goes on from their saved positions");
                    return;
                }
            }
        }
    }

    /// Takes up what is new in the folders and among the published flows, as often as the settings say.
    async fn look_at_folders(&mut self, owner: &mut Owner, admin: &Admin, registry: &FlowRegistry) {
        let now = self.around.clock.monotonic();
        if self.looked_at.is_some_and(|at| now.saturating_sub(at) < self.config.flows.poll) {
            return;
        }
        killpoint::reached("extractor.folders.looking");
        self.looked_at = Some(now);
        let folders = self.config.flows.folders.clone();
        let before = std::mem::take(&mut self.found);
        let reading = tokio::task::spawn_blocking(move || folder::read(&folders, &before));
        let findings = reading.await.expect("reading folders does not panic");
        self.found = findings.flows.values().map(|found| (found.place.clone(), Arc::clone(&found.flow))).collect();
        let mut faults = findings.faults;
        let mut whole = true;
        let mut flows = findings.flows;
        let names: BTreeSet<FlowName> = flows.keys().cloned().chain(registry.names()).collect();
        for name in &names {
            let found = flows.remove(name);
            let version = found.as_ref().map(|found| found.flow.version.clone());
            let before = version.clone().and_then(|version| self.in_folder.insert(name.clone(), version));
            // A folder that is changed while it is watched is somebody's word, also where it goes back.
            let changed = before.is_some() && before != version;
            let known = version.as_ref().is_some_and(|version| registry.bundle(name, version).is_some());
            let (current, deleted) = (registry.pointer(name), registry.deleted(name).is_some());
            let choice = follow::choice(version.as_ref(), known && !changed, current.as_ref(), deleted);
            if before.is_none() && version.is_some() && version != current && choice != Choice::Publish {
                tracing::warn!(flow = %name, folder = ?version, ?current, deleted, "the folder is left aside, what is published counts");
            }
            let taken = match choice {
                Choice::Leave => continue,
                Choice::Publish => {
                    let Some(found) = found else { continue };
                    match (self.publish(name, found, admin, registry).await, &current) {
                        (Err(refused), Some(current)) => {
                            // It stays a word of now; what is published goes on meanwhile.
                            if let Some(before) = before {
                                self.in_folder.insert(name.clone(), before);
                            }
                            faults.extend(refused);
                            self.follow(name, current, admin, registry).await
                        }
                        (published, _) => published,
                    }
                }
                Choice::Follow(version) => self.follow(name, &version, admin, registry).await,
            };
            match taken {
                Ok(None) => {}
                Ok(Some(unit)) => self.taken_up(unit, owner),
                Err(refused) => {
                    // What Kafka refused for now is tried again at the next look; nothing is spoken of twice.
                    whole = false;
                    self.around.instruments.loaded(name.as_str(), false);
                    faults.extend(refused);
                }
            }
        }
        // A flow that does not compile any more keeps running as it was last good; one that was taken away stops.
        let gone = self.units.keys().filter(|name| registry.deleted(name).is_some() || !names.contains(*name));
        for name in gone.cloned().collect::<Vec<_>>() {
            if let Some(unit) = self.units.remove(&name) {
                tracing::info!(flow = %name, "flow was taken away");
                owner.removed(&unit);
                self.around.instruments.gone(name.as_str(), unit.flow.version.as_str());
                self.known.remove(&name);
            }
        }
        if faults != self.spoken {
            for fault in faults.iter().filter(|fault| !self.spoken.contains(fault)) {
                tracing::error!(code = %fault.code, place = %fault.place, detail = fault.detail, hint = fault.hint, "flow refused");
            }
            self.spoken = faults;
        }
        if whole || !self.units.is_empty() {
            self.around.readiness.ready("flows");
        } else {
            self.around.readiness.not_ready("flows", "no flow could be taken up");
        }
    }

    /// Notes and tells that a version was taken up.
    fn taken_up(&mut self, unit: Arc<Unit>, owner: &mut Owner) {
        let (name, version) = (unit.flow.name.clone(), unit.flow.version.clone());
        let before = self.units.insert(name.clone(), Arc::clone(&unit));
        let before = before.as_ref().map(|unit| unit.flow.version.as_str());
        self.around.instruments.version(name.as_str(), before, version.as_str());
        self.around.instruments.loaded(name.as_str(), true);
        let canary = unit.plan.rules.canary.clone();
        tracing::info!(flow = %name, version = %version, ?canary, "flow taken up");
        killpoint::reached("extractor.flow.taken_up");
        owner.changed(&unit);
        self.known.insert(name, (version, canary));
    }

    /// Publishes what a folder holds; `None` where that was done before.
    async fn publish(
        &self,
        name: &FlowName,
        found: folder::Found,
        admin: &Admin,
        registry: &FlowRegistry,
    ) -> Result<Option<Arc<Unit>>, Vec<Fault>> {
        let share = share(registry, &found.flow, &found.bundle);
        if self.known.get(name) == Some(&(found.flow.version.clone(), share.clone())) {
            return Ok(None);
        }
        if let Some(current) = registry.pointer(name).and_then(|version| registry.get(name, &version)) {
            follow::keys_stay(&current, &found.flow).map_err(|fault| vec![fault])?;
        }
        let bundle = found.bundle;
        let unit = self.unit(found.flow, share, admin).await?;
        killpoint::reached("extractor.flow.publishing");
        registry.publish(name, &bundle).await.map_err(|error| vec![error.fault()])?;
        killpoint::reached("extractor.flow.published");
        Ok(Some(unit))
    }

    /// Takes up what is published; `None` where that was done before.
    async fn follow(
        &self,
        name: &FlowName,
        version: &FlowVersion,
        admin: &Admin,
        registry: &FlowRegistry,
    ) -> Result<Option<Arc<Unit>>, Vec<Fault>> {
        let (Some(flow), Some(bundle)) = (registry.get(name, version), registry.bundle(name, version)) else {
            return Err(registry.faults(name, version));
        };
        let share = share(registry, &flow, &bundle);
        if self.known.get(name) == Some(&(version.clone(), share.clone())) {
            return Ok(None);
        }
        self.unit(flow, share, admin).await.map(Some)
    }

    /// Makes a flow ready and its topics.
    async fn unit(&self, flow: Arc<flow::Flow>, share: Option<Share>, admin: &Admin) -> Result<Arc<Unit>, Vec<Fault>> {
        let unit = Unit::new(flow, &self.config)?.trying(share);
        let partitions = i32::try_from(unit.flow.settings.partitions).unwrap_or(i32::MAX);
        let specs = topics::of_flow(&unit.flow.name, partitions);
        admin.ensure(&specs, self.config.flows.replication).await.map_err(|error| vec![error.fault()])?;
        Ok(Arc::new(unit))
    }
}

/// The documents of a flow that another version is tried with; none while that version cannot be used, or would have
/// other things read than the one that is current by now.
fn share(registry: &FlowRegistry, current: &Flow, bundle: &FlowBundle) -> Option<Share> {
    let canary = registry.canary(&current.name)?;
    let (tried, texts) =
        (registry.get(&current.name, &canary.version)?, registry.bundle(&current.name, &canary.version)?);
    let differently = flow::change::reads_differently((current, bundle), (&tried, &texts));
    if !differently.is_empty() {
        tracing::warn!(flow = %current.name, version = %canary.version, ?differently, "canary left aside, it reads differently");
        return None;
    }
    Some(Share { version: canary.version, percent: canary.percent })
}
