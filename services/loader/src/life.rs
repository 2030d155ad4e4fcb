//! One life: a Kafka session and a core, from joining the group to draining or to the first error that ends a session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use coordination::Permit;
use document::{FlowName, FlowVersion, topic};
use queue::{FlowRegistry, Lag, Next, Outgoing, Session, SessionSettings, TopicPartition};
use runtime::{Shutdown, telemetry};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Span, debug, error, info, info_span, warn};

use crate::Surroundings;
use crate::config::Config;
use crate::connections::Targets;
use crate::core::event::{
    Action, Advance, AdvanceReply, Assigned, CommitId, Errand, Event, Lane, Observation, ProbeReply, SaveReply,
    Transaction, Trouble,
};
use crate::core::{Carried, Core, Facts, FactsFailed, KeyValue, Moment, PartitionId, Rules};
use crate::definitions::Definitions;
use crate::topics::Topics;

/// Records taken from the session at once.
const RECORDS: usize = 500;
/// Time between two looks at how things stand.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two questions after the lag.
const LAG_EVERY: u32 = 5;

/// How a life ended.
#[derive(Debug)]
pub enum Outcome {
    /// As it was asked to: everything in flight is written down.
    Drained,
    /// The session is of no use any more; this is what goes on.
    Ended(Carried),
}

/// What a life is made of.
#[derive(Debug)]
pub(crate) struct Life<'a> {
    pub(crate) config: &'a Config,
    pub(crate) definitions: &'a Definitions,
    pub(crate) targets: &'a Targets,
    pub(crate) topics: &'a mut Topics,
    pub(crate) around: &'a Surroundings,
    pub(crate) flows: FlowRegistry,
}

/// What comes back from a task.
enum Done {
    Event(Event),
    Permitted(String, Lane, Permit),
    Committed(CommitId, Result<queue::Written, queue::Error>),
    Lag(Result<Vec<Lag>, queue::Error>),
}

/// Partitions that are to move once nothing is in flight for them.
struct Leaving {
    names: Vec<TopicPartition>,
    ids: Vec<PartitionId>,
    until: Instant,
}

/// The core with the session it lives by.
struct Running<'a> {
    session: Arc<Session>,
    core: Core,
    tasks: JoinSet<Done>,
    permits: BTreeMap<(String, Lane), VecDeque<Permit>>,
    leaving: Vec<Leaving>,
    definitions: &'a Definitions,
    targets: &'a Targets,
    around: &'a Surroundings,
    release: Duration,
}

fn id_of(name: &TopicPartition) -> Option<PartitionId> {
    topic::flow_of(&name.topic).map(|flow| PartitionId { flow, partition: name.partition })
}

fn input_of(id: &PartitionId) -> TopicPartition {
    TopicPartition::new(topic::mapped(&id.flow), id.partition)
}

fn ids_of(names: &[TopicPartition]) -> Vec<PartitionId> {
    names.iter().filter_map(id_of).collect()
}

fn ledgers_of(input: &str) -> Vec<String> {
    topic::flow_of(input).map(|flow| topic::ledger(&flow)).into_iter().collect()
}

/// What the core may look up: the session's tables and the known definitions.
struct View<'a> {
    session: &'a Session,
    definitions: &'a Definitions,
}

impl View<'_> {
    fn table(&self, partition: &PartitionId) -> Result<queue::Table, FactsFailed> {
        let gone = || FactsFailed { partition: partition.clone(), source: None };
        self.session.table(&topic::ledger(&partition.flow), partition.partition).ok_or_else(gone)
    }
}

fn failed(partition: &PartitionId) -> impl Fn(queue::Error) -> FactsFailed + '_ {
    |error| FactsFailed { partition: partition.clone(), source: Some(Box::new(error)) }
}

impl Facts for View<'_> {
    fn get(&self, partition: &PartitionId, key: &[u8]) -> Result<Option<Vec<u8>>, FactsFailed> {
        self.table(partition)?.get(key).map_err(failed(partition))
    }

    fn intents(&self, partition: &PartitionId) -> Result<Vec<KeyValue>, FactsFailed> {
        self.table(partition)?.scan_prefix(crate::core::ledger::INTENT_PREFIX.as_bytes()).map_err(failed(partition))
    }

    fn rules(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<Rules>> {
        self.definitions.get(flow, version).map(|definition| Arc::clone(&definition.rules))
    }

    fn is_current(&self, flow: &FlowName, version: &FlowVersion) -> bool {
        self.definitions.is_current(flow, version)
    }
}

impl Life<'_> {
    /// Opens a session and loads until it ends. Also tells whether it ever took part.
    pub(crate) async fn live(mut self, carried: Carried, shutdown: &Shutdown) -> (Outcome, bool) {
        let session = match Session::open(self.settings()).await {
            Ok(session) => session,
            Err(error) => {
                error!(code = %error.code(), fault = %error.fault(), "session not opened");
                self.around.readiness.not_ready("kafka", error.to_string());
                return (Outcome::Ended(carried), false);
            }
        };
        killpoint::reached("loader.session.open");
        self.around.readiness.ready("kafka");
        let mut running = Running {
            session: Arc::new(session),
            core: Core::new(self.config.numbers(), rand::random(), carried),
            tasks: JoinSet::new(),
            permits: BTreeMap::new(),
            leaving: Vec::new(),
            definitions: self.definitions,
            targets: self.targets,
            around: self.around,
            // The group waits no longer than this; a little is left for the commit.
            release: self.config.session.release.mul_f64(0.9),
        };
        let drained = self.turn(&mut running, shutdown).await;
        let Running { session, core, mut tasks, .. } = running;
        tasks.shutdown().await;
        killpoint::reached("loader.session.over");
        match Arc::try_unwrap(session) {
            Ok(session) => session.close().await,
            Err(shared) => drop(shared),
        }
        let outcome = if drained { Outcome::Drained } else { Outcome::Ended(core.carry()) };
        (outcome, true)
    }

    fn settings(&self) -> SessionSettings {
        let worker = &self.config.worker;
        let topics = self.topics.wanted().to_vec();
        let (cluster, group, member) = (self.config.kafka.clone(), &worker.group, &worker.member);
        let mut settings = SessionSettings::new(cluster, group, member, topics, ledgers_of, &worker.data_dir);
        let times = &self.config.session;
        settings.timing.release = times.release;
        settings.timing.session = times.timeout;
        settings.timing.transaction = times.transaction;
        settings.timing.slow_commit = times.slow_commit;
        settings.timing.barrier = times.barrier;
        settings
    }

    /// Goes round until drained (`true`) or until the session ends (`false`).
    async fn turn(&mut self, running: &mut Running<'_>, shutdown: &Shutdown) -> bool {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut looks, mut stopped, mut draining) = (0_u32, BTreeSet::new(), None);
        loop {
            self.around.heartbeat.beat();
            if let Some(until) = draining
                && (!running.core.is_busy(&[]) || Instant::now() >= until)
            {
                if running.core.is_busy(&[]) {
                    warn!("the drain's deadline passed with a call in flight, the next owner resolves it");
                }
                return true;
            }
            running.release_idle();
            let wake = running.wake();
            let session = Arc::clone(&running.session);
            let alive = tokio::select! {
                biased;
                () = shutdown.requested(), if draining.is_none() => {
                    info!("draining");
                    draining = Some(Instant::now() + self.config.drain.deadline);
                    running.tell(Event::Drain)
                }
                Some(done) = running.tasks.join_next(), if !running.tasks.is_empty() => running.done(done),
                _ = look.tick() => {
                    looks = looks.wrapping_add(1);
                    self.look(running, looks).await;
                    running.tell(Event::Tick)
                }
                event = session.next(RECORDS, LOOK_EVERY), if draining.is_none() => match event {
                    Ok(event) => running.happened(event),
                    Err(error) if error.recycles() => {
                        warn!(code = %error.code(), fault = %error.fault(), "session ended");
                        false
                    }
                    Err(error) => {
                        let name = error.topic().unwrap_or_default().to_owned();
                        if stopped.insert(name) {
                            error!(code = %error.code(), fault = %error.fault(), "flow stopped");
                        }
                        true
                    }
                },
                () = self.flows.changed() => running.tell(Event::Tick),
                () = tokio::time::sleep_until(wake) => running.tell(Event::Tick),
            };
            if !alive {
                return false;
            }
        }
    }

    /// Looks at how things stand, and takes up new flows.
    async fn look(&mut self, running: &mut Running<'_>, looks: u32) {
        let clock = &self.around.clock;
        killpoint::reached("loader.look");
        self.around.metrics.stand(&running.core, clock.millis());
        if looks.is_multiple_of(LAG_EVERY) {
            let session = Arc::clone(&running.session);
            running.tasks.spawn(async move { Done::Lag(session.lag().await) });
        }
        if self.topics.refresh(&self.definitions.names(), clock.monotonic()).await
            && let Err(error) = running.session.subscribe(self.topics.wanted())
        {
            warn!(code = %error.code(), fault = %error.fault(), "topics not taken up");
        }
    }
}

impl Running<'_> {
    fn moment(&self) -> Moment {
        Moment { mono: self.around.clock.monotonic(), wall: self.around.clock.millis() }
    }

    /// When time alone makes something possible.
    fn wake(&self) -> Instant {
        let now = self.around.clock.monotonic();
        let wait = self.core.wake_at().map_or(LOOK_EVERY, |at| at.saturating_sub(now).min(LOOK_EVERY));
        Instant::now() + wait
    }

    /// Tells the core and does what it asks for. `false` when the session has to end.
    fn tell(&mut self, event: Event) -> bool {
        let moment = self.moment();
        let view = View { session: &self.session, definitions: self.definitions };
        match self.core.handle(event, moment, &view) {
            Ok(actions) => {
                actions.into_iter().for_each(|action| self.act(action));
                true
            }
            Err(error) => {
                let cause = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
                error!(%error, cause, "the ledger cannot be read");
                false
            }
        }
    }

    fn happened(&mut self, event: queue::Event) -> bool {
        match event {
            queue::Event::Assigned(names) => {
                info!(partitions = names.len(), "partitions assigned");
                killpoint::reached("loader.assigned");
                let assigned = names.iter().filter_map(|name| {
                    let origin = self.session.origin(name)?;
                    Some(Assigned { partition: id_of(name)?, ledger_lost: origin.committed && !origin.owned })
                });
                let assigned = assigned.collect();
                self.tell(Event::Assigned(assigned))
            }
            queue::Event::Revoking(names) => {
                info!(partitions = names.len(), "partitions are moving");
                killpoint::reached("loader.revoking");
                let ids = ids_of(&names);
                let until = Instant::now() + self.release;
                self.leaving.push(Leaving { names, ids: ids.clone(), until });
                self.tell(Event::Revoking(ids))
            }
            queue::Event::Revoked(names) => {
                info!(partitions = names.len(), "partitions have moved");
                killpoint::reached("loader.revoked");
                self.leaving.retain(|leaving| !leaving.names.iter().any(|name| names.contains(name)));
                self.tell(Event::Revoked(ids_of(&names)))
            }
            queue::Event::Records(records) => {
                killpoint::reached("loader.records");
                self.tell(Event::Records(records))
            }
            queue::Event::Idle => true,
        }
    }

    /// Lets moving partitions go that nothing is in flight for, or that have waited long enough.
    fn release_idle(&mut self) {
        let (core, session) = (&self.core, &self.session);
        self.leaving.retain(|leaving| {
            let stays = core.is_busy(&leaving.ids) && Instant::now() < leaving.until;
            if !stays {
                session.release(&leaving.names);
            }
            stays
        });
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) -> bool {
        match done {
            Ok(Done::Event(event)) => self.tell(event),
            Ok(Done::Permitted(target, lane, permit)) => {
                killpoint::reached("loader.permitted");
                self.permits.entry((target.clone(), lane)).or_default().push_back(permit);
                self.tell(Event::Permitted { target, lane })
            }
            Ok(Done::Committed(id, Ok(written))) => {
                killpoint::reached("loader.committed");
                debug!(took_ms = u64::try_from(written.took.as_millis()).unwrap_or(u64::MAX), "committed");
                self.tell(Event::Committed(id))
            }
            Ok(Done::Committed(_, Err(error))) => {
                warn!(code = %error.code(), fault = %error.fault(), "transaction failed");
                false
            }
            Ok(Done::Lag(Ok(lags))) => {
                self.around.metrics.lag(&lags);
                true
            }
            Ok(Done::Lag(Err(error))) => {
                debug!(%error, "lag not asked");
                true
            }
            // A task that panicked owes the core an answer that will never come: only a new life helps.
            Err(error) => {
                error!(%error, "a task failed");
                false
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Permit { target, lane } => {
                let Some(door) = self.targets.get(&target).cloned() else { return };
                self.tasks.spawn(async move {
                    let permit = door.permit(document::Tenant::default().as_str(), lane).await;
                    Done::Permitted(target, lane, permit)
                });
            }
            Action::Commit { id, transaction } => {
                let session = Arc::clone(&self.session);
                let transaction = outgoing(transaction);
                killpoint::reached("loader.committing");
                self.tasks.spawn(async move { Done::Committed(id, session.commit(transaction).await) });
            }
            Action::Save { errand, documents, deadline } => {
                let (call, permit) = (errand.call, self.permit(&errand));
                let Some((door, definition)) = self.door(&errand) else {
                    let reply = SaveReply::NotSent(Trouble::Unreachable("its definition is gone".to_owned()));
                    return self.reply(Event::Saved { call, reply });
                };
                let batch = info_span!("load", flow = %errand.flow, documents = documents.len());
                let spans: Vec<Span> = documents.iter().map(|document| follow(&batch, document)).collect();
                self.tasks.spawn(async move {
                    killpoint::reached("loader.save.begun");
                    let reply = door.save(&definition, &documents, deadline, permit, errand.lane).await;
                    killpoint::reached("loader.save.over");
                    drop(spans);
                    Done::Event(Event::Saved { call, reply })
                });
            }
            Action::Probe { errand, documents } => {
                let (call, permit) = (errand.call, self.permit(&errand));
                let Some((door, definition)) = self.door(&errand) else {
                    let reply = ProbeReply::Failed(Trouble::Unreachable("its definition is gone".to_owned()));
                    return self.reply(Event::Probed { call, reply });
                };
                self.tasks.spawn(async move {
                    killpoint::reached("loader.probe.begun");
                    let reply = door.probe(&definition, &documents, permit, errand.lane).await;
                    killpoint::reached("loader.probe.over");
                    Done::Event(Event::Probed { call, reply })
                });
            }
            Action::Advance { errand, step, documents } => {
                let (call, permit) = (errand.call, self.permit(&errand));
                let Some((door, definition)) = self.door(&errand) else {
                    let reply = AdvanceReply::Done(vec![Advance::Unknown; documents.len()]);
                    return self.reply(Event::Advanced { call, reply });
                };
                self.tasks.spawn(async move {
                    killpoint::reached("loader.advance.begun");
                    let reply = door.advance(&definition, step, &documents, permit, errand.lane).await;
                    killpoint::reached("loader.advance.over");
                    Done::Event(Event::Advanced { call, reply })
                });
            }
            Action::Pause(id) => self.session.pause(&[input_of(&id)]),
            Action::Resume(id) => self.session.resume(&[input_of(&id)]),
            Action::Observe(observation) => self.observe(&observation),
        }
    }

    /// The permit that was asked for this call.
    fn permit(&mut self, errand: &Errand) -> Option<Permit> {
        let permits = self.permits.get_mut(&(errand.target.clone(), errand.lane))?;
        // Older ones were meant for work that had gone when they came.
        let last = permits.pop_back();
        permits.clear();
        last
    }

    fn door(&self, errand: &Errand) -> Option<(Arc<crate::target::Target>, Arc<crate::definition::Definition>)> {
        let definition = self.definitions.get(&errand.flow, &errand.version)?;
        Some((Arc::clone(self.targets.get(&errand.target)?), definition))
    }

    fn reply(&mut self, event: Event) {
        self.tasks.spawn(std::future::ready(Done::Event(event)));
    }

    fn observe(&self, observation: &Observation) {
        let tenant = match observation {
            Observation::Ended { flow, .. } => self.definitions.tenant(flow),
            _ => String::new(),
        };
        self.around.metrics.observe(&tenant, observation, self.around.clock.millis());
        match observation {
            Observation::Alert(fault) => error!(code = %fault.code, %fault, "someone must look"),
            Observation::Letter { flow, stage, category, code, document } => {
                warn!(%flow, %stage, %category, %code, document, "dead letter");
            }
            Observation::Breaker { target, state, reason } => warn!(target_name = target, state, reason, "breaker"),
            Observation::Resolved { flow, verdict } => debug!(%flow, verdict, "outcome resolved"),
            Observation::Retry { flow, layer, class } => debug!(%flow, layer, class, "again"),
            Observation::Batch { flow, documents, bytes } => debug!(%flow, documents, bytes, "saving"),
            Observation::Ended { flow, outcome, .. } => tracing::trace!(%flow, ?outcome, "ended"),
        }
    }
}

/// A span of the document's own trace, linked to the batch by being open inside it.
fn follow(batch: &Span, document: &crate::core::event::SaveDocument) -> Span {
    let span = info_span!(parent: batch, "save", version = document.version.0);
    telemetry::follow(&span, &document.trace, rand::random());
    span
}

fn outgoing(transaction: Transaction) -> queue::Transaction {
    let letter = |record| Outgoing::to(topic::DEAD_LETTERS, record);
    let fact = |(id, record): (PartitionId, _)| Outgoing::to_partition(topic::ledger(&id.flow), id.partition, record);
    let next = |(id, offset): (PartitionId, i64)| Next::at(&topic::mapped(&id.flow), id.partition, offset);
    queue::Transaction {
        data: transaction.letters.into_iter().map(letter).collect(),
        facts: transaction.facts.into_iter().map(fact).collect(),
        offsets: transaction.offsets.into_iter().map(next).collect(),
    }
}
