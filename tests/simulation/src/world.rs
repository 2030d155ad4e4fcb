//! The scheduler: one queue of what happens, one virtual clock, and the nodes it happens to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dice::Dice;
use crate::extract::Extractor;
use crate::group::Group;
use crate::judge::Judge;
use crate::load::Loader;
use crate::log::{Log, Place, Topic};
use crate::message::{Happening, Message};
use crate::rule::Rule;
use crate::session::Session;
use crate::setting::Setting;
use crate::source::Source;
use crate::target::Target;
use crate::trace::Trace;
use crate::transform::Transformer;
use crate::variety::Variety;

/// 2024-03-14 16:00:00 in Shanghai: virtual time zero, unix seconds.
pub(crate) const EPOCH: i64 = 1_710_403_200;
/// How far a node's wall clock may be from the true time, milliseconds.
pub(crate) const SKEW: i64 = 240_000;
/// Time a member may be silent.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// Time a transaction may be open.
pub(crate) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Extractor,
    Transformer,
    Loader,
}

/// What runs in a node.
#[derive(Debug)]
pub(crate) enum Shell {
    Extractor(Box<Extractor>),
    Transformer(Box<Transformer>),
    Loader(Box<Loader>),
}

/// One process.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) up: bool,
    /// Counts its lives: what was meant for an earlier one is lost.
    pub(crate) life: u64,
    pub(crate) paused_until: Option<Duration>,
    /// Its wall clock against the true time, milliseconds.
    pub(crate) skew: i64,
    pub(crate) session: Option<Session>,
    pub(crate) shell: Shell,
}

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) dice: Dice,
    /// Throws for what older histories know nothing of.
    pub(crate) second: Dice,
    pub(crate) setting: Setting,
    pub(crate) off: Option<Rule>,
    pub(crate) trace: Trace,
    pub(crate) log: Log,
    pub(crate) groups: BTreeMap<Role, Group>,
    pub(crate) source: Source,
    pub(crate) target: Target,
    pub(crate) nodes: Vec<Node>,
    pub(crate) judge: Judge,
    queue: BTreeMap<(Duration, u64), Box<Happening>>,
    sequence: u64,
    pub(crate) ids: u64,
    /// Permits come late until then.
    pub(crate) redis_stalls_until: Duration,
    /// Somebody lets the flow rest until then.
    pub(crate) rests_until: Duration,
    /// Whether faults still happen.
    pub(crate) chaos: bool,
    /// When they stopped.
    pub(crate) calm_since: Option<Duration>,
    /// Whether the source is left alone.
    pub(crate) quiet: bool,
    pub(crate) violation: Option<String>,
    pub(crate) steps: u64,
    /// Sessions up to this one knew a ledger that is no more.
    pub(crate) made_anew: u64,
    /// How often a record of an extracted partition has killed its reader.
    pub(crate) deaths: BTreeMap<(i32, i64), u32>,
    /// How often what was done.
    pub(crate) tally: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn new(seed: u64, off: Option<Rule>, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let mut second = Dice::new(!seed);
        let variety = Variety::draw(&mut second, off, seed.is_multiple_of(2));
        let setting = Setting::draw(&mut dice, off, variety);
        let mut nodes = Vec::new();
        let mut add = |role: Role, index: usize, dice: &mut Dice, shell: Shell| {
            let skew = if setting.skewed { dice.between(-SKEW, SKEW) } else { 0 };
            let name = format!("{}-{index}", format!("{role:?}").to_lowercase());
            nodes.push(Node { role, name, up: false, life: 0, paused_until: None, skew, session: None, shell });
        };
        for index in 0..setting.extractors {
            add(Role::Extractor, index, &mut dice, Shell::Extractor(Box::default()));
        }
        for index in 0..setting.transformers {
            add(Role::Transformer, index, &mut dice, Shell::Transformer(Box::default()));
        }
        for index in 0..setting.loaders {
            add(Role::Loader, index, &mut dice, Shell::Loader(Box::default()));
        }
        let groups =
            [(Role::Extractor, 1), (Role::Transformer, setting.partitions), (Role::Loader, setting.partitions)];
        let mut world = Self {
            now: Duration::from_secs(1_000),
            judge: Judge::new(setting.start()),
            target: Target {
                unique: setting.unique,
                trouble: setting.target_trouble,
                renames: setting.variety.renames,
                closed_until: Duration::from_secs(1_000) + setting.variety.closed_first,
                ..Target::default()
            },
            dice,
            second,
            off,
            trace: Trace::new(traced),
            log: Log::default(),
            groups: groups.into_iter().map(|(role, partitions)| (role, Group::new(partitions))).collect(),
            source: Source::new(setting.variety.form),
            nodes,
            queue: BTreeMap::new(),
            sequence: 0,
            ids: 0,
            redis_stalls_until: Duration::ZERO,
            rests_until: Duration::ZERO,
            chaos: true,
            calm_since: None,
            quiet: false,
            violation: None,
            steps: 0,
            made_anew: 0,
            deaths: BTreeMap::new(),
            tally: BTreeMap::new(),
            setting,
        };
        world.populate();
        for node in 0..world.nodes.len() {
            world.start(node);
        }
        let first = world.dice.millis(1_000, 20_000);
        world.after(first, Happening::Nemesis);
        world.after(Duration::from_secs(5), Happening::Expire);
        world
    }

    /// Whether a rule is in force.
    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    /// The true time, unix seconds.
    pub(crate) fn seconds(&self) -> i64 {
        EPOCH + i64::try_from(self.now.as_secs()).expect("small")
    }

    /// The true time, unix milliseconds.
    pub(crate) fn wall(&self) -> i64 {
        EPOCH * 1_000 + i64::try_from(self.now.as_millis()).expect("small")
    }

    /// The time as a node has it, unix milliseconds.
    pub(crate) fn wall_of(&self, node: usize) -> i64 {
        self.wall() + self.nodes[node].skew
    }

    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(crate) fn note(&mut self, words: impl FnOnce() -> String) {
        self.trace.note(self.now, words);
    }

    /// Something happened that must never happen. The first of them counts.
    pub(crate) fn violate(&mut self, what: String) {
        self.trace.note(self.now, || format!("VIOLATION {what}"));
        self.violation.get_or_insert(what);
    }

    pub(crate) fn after(&mut self, wait: Duration, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + wait, self.sequence), Box::new(happening));
    }

    /// Tells a node something, unless it has died or, for a message to a session, built another one by then.
    pub(crate) fn tell(&mut self, wait: Duration, node: usize, message: Message) {
        let life = self.nodes[node].life;
        let session = self.nodes[node].session.as_ref().map_or(0, |session| session.id);
        self.after(wait, Happening::Node { node, life, session, message });
    }

    /// Whether that very session is at work, now.
    pub(crate) fn is_session(&self, node: usize, id: u64) -> bool {
        let node = &self.nodes[node];
        node.up && node.session.as_ref().is_some_and(|session| session.id == id)
    }

    pub(crate) fn is_paused(&self, node: usize) -> bool {
        self.nodes[node].paused_until.is_some_and(|until| until > self.now)
    }

    /// What a stopped process was to hear at `until` it hears now.
    pub(crate) fn wake(&mut self, node: usize, until: Duration) {
        let is_for_it = |happening: &Happening| matches!(happening, Happening::Node { node: of, .. } if *of == node);
        let waiting: Vec<_> = self
            .queue
            .iter()
            .filter(|((at, _), waits)| *at == until && is_for_it(waits))
            .map(|(key, _)| *key)
            .collect();
        for key in waiting {
            if let Some(happening) = self.queue.remove(&key) {
                self.after(Duration::ZERO, *happening);
            }
        }
    }

    /// Lets things happen until `until`, or until something that must never happen does.
    pub(crate) fn run(&mut self, until: Duration) {
        while self.violation.is_none() {
            let Some((at, _)) = self.queue.first_key_value().map(|(key, _)| *key).filter(|(at, _)| *at <= until) else {
                break;
            };
            self.now = self.now.max(at);
            let Some((_, happening)) = self.queue.pop_first() else { break };
            self.steps += 1;
            self.happen(*happening);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Node { node, life, session, message } => {
                let found = &self.nodes[node];
                if !found.up || found.life != life {
                    return;
                }
                if let Some(until) = found.paused_until.filter(|until| *until > self.now) {
                    let wait = until - self.now;
                    return self.after(wait, Happening::Node { node, life, session, message });
                }
                let current = found.session.as_ref().map_or(0, |session| session.id);
                if session == current {
                    self.receive(node, message);
                }
            }
            Happening::Broker(request) => self.broker(request),
            Happening::Wire(save) => self.on_the_wire(*save),
            Happening::Execute(save) => self.execute(*save),
            Happening::Query { node, session, call, documents } => self.query(node, session, call, &documents),
            Happening::Step { node, session, call, step, documents } => {
                self.step_target(node, session, call, step, &documents);
            }
            Happening::Page { node, session, fetch, ask } => self.answer_page(node, session, fetch, &ask),
            Happening::Start(node) => self.start(node),
            Happening::Silent { node, session } => self.silent(node, session),
            Happening::Release { node, session, partition } => {
                if self.is_session(node, session) {
                    self.release(node, partition);
                }
            }
            Happening::Nemesis => self.nemesis(),
            Happening::Expire => {
                for decided in self.log.expire(self.now, TRANSACTION_TIMEOUT) {
                    self.decided(&decided);
                }
                self.after(Duration::from_secs(5), Happening::Expire);
            }
        }
    }

    fn receive(&mut self, node: usize, message: Message) {
        match message {
            Message::Open => self.open_session(node),
            Message::Assign(partition) => self.assigned(node, partition),
            Message::Barrier(partition) => self.look_for_barrier(node, partition),
            Message::Reply { token, reply } => self.replied(node, token, reply),
            Message::Proceed => self.next_step(node),
            Message::Unknown => {
                if let Some(session) = &mut self.nodes[node].session {
                    session.generation = -1;
                }
            }
            Message::Lost => self.end_session(node, "lost its place"),
            Message::Rejoined => self.follow_generation(node),
            Message::Regained(partition) => self.regain(node, partition),
            Message::Revoking(partition) => {
                let Some(session) = &mut self.nodes[node].session else { return };
                if session.owned.contains(&partition) {
                    session.leaving.insert(partition);
                    self.shell_hears(node, Message::Revoking(partition));
                }
            }
            Message::Revoked(partition) => {
                if let Some(session) = &mut self.nodes[node].session {
                    session.gone.remove(&partition);
                    session.tables.remove(&partition);
                }
                self.shell_hears(node, Message::Revoked(partition));
            }
            other => self.shell_hears(node, other),
        }
    }

    pub(crate) fn shell_hears(&mut self, node: usize, message: Message) {
        match self.nodes[node].role {
            Role::Extractor => self.extractor_hears(node, message),
            Role::Transformer => self.transformer_hears(node, message),
            Role::Loader => self.loader_hears(node, message),
        }
    }

    /// A session begins, and with it what is kept in memory.
    pub(crate) fn begin_shell(&mut self, node: usize) {
        match self.nodes[node].role {
            Role::Extractor => self.forget_extractor(node),
            Role::Transformer => self.begin_transformer(node),
            Role::Loader => self.begin_loader(node),
        }
    }

    /// A session ends, and with it what was kept in memory; all of it where the process died.
    pub(crate) fn forget(&mut self, node: usize, lives: bool) {
        match self.nodes[node].role {
            Role::Extractor => self.forget_extractor(node),
            Role::Transformer => self.forget_transformer(node),
            Role::Loader => self.forget_loader(node, lives),
        }
    }

    /// Wakes whoever reads a partition that something became readable in.
    pub(crate) fn wake_readers(&mut self, place: Place) {
        let role = match place.0 {
            Topic::Extracted => Role::Transformer,
            Topic::Mapped => Role::Loader,
            Topic::Letters | Topic::State | Topic::Seen | Topic::Ledger => return,
        };
        let Some(owner) = self.groups.get(&role).and_then(|group| group.owners.get(&place.1)).copied() else { return };
        if self.nodes[owner].up && self.nodes[owner].session.is_some() {
            let wait = self.dice.millis(5, 120);
            self.tell(wait, owner, Message::Poll);
        }
    }

    pub(crate) fn loader(&mut self, node: usize) -> &mut Loader {
        match &mut self.nodes[node].shell {
            Shell::Loader(loader) => loader,
            Shell::Extractor(_) | Shell::Transformer(_) => unreachable!("the node is a loader"),
        }
    }

    pub(crate) fn extractor(&mut self, node: usize) -> &mut Extractor {
        match &mut self.nodes[node].shell {
            Shell::Extractor(extractor) => extractor,
            Shell::Loader(_) | Shell::Transformer(_) => unreachable!("the node is an extractor"),
        }
    }

    pub(crate) fn transformer(&mut self, node: usize) -> &mut Transformer {
        match &mut self.nodes[node].shell {
            Shell::Transformer(transformer) => transformer,
            Shell::Loader(_) | Shell::Extractor(_) => unreachable!("the node is a transformer"),
        }
    }

    /// The partition that a key lies in.
    pub(crate) fn partition_of(&self, key: &[u8]) -> i32 {
        let sum = key.iter().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
        i32::try_from(sum % u32::try_from(self.setting.partitions).expect("positive")).expect("few")
    }
}
