//! The transformer's shell: reads, maps, writes, and only then saves its positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use document::{Code, DocumentKey, Extracted, Fault, FlowName, FlowVersion, Received, TraceParent};
use queue::{Next, Outgoing, TopicPartition};
use serde_json::{Map, Value, json};
use transformer::core::{BreakerSettings, Core, Definition, Flows, Reason, Traces};

use crate::group::Stamp;
use crate::held::{Account, sizes};
use crate::judge::quantities;
use crate::log::Topic;
use crate::message::Message;
use crate::rule::Rule;
use crate::setting::Setting;
use crate::variety::{Oddity, REPAIRED_VERSION, Wrong};
use crate::world::{Role, Shell, World};

/// So often a record may kill the process before it is set aside.
const DEATHS: u32 = 3;

/// What a transformer process holds in memory.
#[derive(Debug, Default)]
pub(crate) struct Transformer {
    core: Option<Core>,
    positions: BTreeMap<i32, i64>,
    working: bool,
    account: Account,
}

fn named(partition: i32) -> TopicPartition {
    TopicPartition::new(Topic::Extracted.name(), partition)
}

/// The mapping: one bill of all rows; a quantity below zero fits no target.
struct Mapping {
    /// Whether it is the one that was published first, and wrong, and how.
    wrong: Option<Wrong>,
    /// Whether it refuses what is below zero.
    strict: bool,
}

impl Mapping {
    fn bill(number: Value, quantities: &[&Value]) -> Map<String, Value> {
        let lines: Vec<Value> = quantities.iter().map(|quantity| json!({"FQty": quantity})).collect();
        let mut bill = Map::new();
        bill.insert("FBillNo".to_owned(), number);
        bill.insert("FEntity".to_owned(), lines.into());
        bill
    }
}

impl Definition for Mapping {
    fn key_field(&self) -> &str {
        "FBillNo"
    }

    fn mark(&self, bill: &mut Map<String, Value>, document: &DocumentKey) {
        bill.insert("FMark".to_owned(), json!(document.as_str()));
    }

    fn render(&self, rows: &[Value], _: i64, _: i64) -> Vec<Result<Map<String, Value>, Fault>> {
        let quantities: Vec<&Value> = rows.iter().filter_map(|row| row.get("qty")).collect();
        let numbers: Vec<i64> = quantities.iter().filter_map(|quantity| quantity.as_i64()).collect();
        let number = rows.first().and_then(|row| row.get("no")).cloned().unwrap_or(Value::Null);
        let refused = |words: &str| Err(Fault::new(Code::Required, words).at_path("$.FEntity.FQty"));
        match Oddity::of(&numbers) {
            Some(Oddity::Skipped) => return Vec::new(),
            Some(Oddity::Breaks) => panic!("the mapping breaks down, as it was told to"),
            Some(Oddity::Doubled) => return vec![Ok(Self::bill(number, &quantities)); 2],
            Some(Oddity::Impossible) => return vec![refused("it is not possible"), refused("nor is this")],
            Some(Oddity::Nameless) => return vec![Ok(Self::bill(Value::Null, &quantities))],
            Some(Oddity::Blank) => return vec![Ok(Self::bill(json!(" "), &quantities))],
            Some(Oddity::Misnamed) => return vec![Ok(Self::bill(json!([1]), &quantities))],
            Some(Oddity::Filtered | Oddity::Unshaped | Oddity::Kills) | None => {}
        }
        let sum = numbers.iter().sum::<i64>();
        let field = match self.wrong {
            Some(Wrong::Mostly) if sum.rem_euclid(4) > 0 => Some("FQty"),
            Some(Wrong::Half) if sum.rem_euclid(2) > 0 => Some("FQty"),
            Some(Wrong::TwoWays) => {
                [None, Some("FQty"), Some("FUnit")][usize::try_from(sum.rem_euclid(3)).expect("0, 1, 2")]
            }
            _ => None,
        };
        if let Some(field) = field {
            // Where in the list it fails is another place each time.
            let path = format!("$.FEntity[{}].{field}", numbers.len());
            return vec![Err(Fault::new(Code::Required, "the mapping is wrong").at_path(path))];
        }
        if self.strict && numbers.iter().any(|quantity| *quantity < 0) {
            return vec![refused("a quantity is below zero")];
        }
        vec![Ok(Self::bill(number, &quantities))]
    }
}

/// What is published as far as one process knows.
struct Published<'a> {
    setting: &'a Setting,
    now: Duration,
}

impl Flows for Published<'_> {
    fn get(&self, _: &FlowName, version: &FlowVersion) -> Option<Arc<dyn Definition>> {
        let repaired = version.as_str() == REPAIRED_VERSION;
        let wrong = (!repaired && self.setting.variety.repaired_at.is_some()).then_some(self.setting.variety.wrong);
        let mapping = Mapping { wrong, strict: !repaired };
        self.setting.is_known(version, self.now).then(|| Arc::new(mapping) as Arc<dyn Definition>)
    }

    fn current(&self, _: &FlowName) -> Option<FlowVersion> {
        Some(self.setting.variety.current(self.now))
    }
}

struct Untold;

impl Traces for Untold {
    type Span = ();

    fn begin(&mut self, _: &FlowName, parent: &TraceParent) -> (TraceParent, ()) {
        (*parent, ())
    }
}

impl World {
    pub(crate) fn begin_transformer(&mut self, node: usize) {
        let mut core = Core::new(self.breaker_settings(), self.setting.hold_bytes);
        for (place, deaths) in &self.deaths {
            if *deaths >= DEATHS {
                core.quarantine(&Topic::Extracted.name(), place.0, place.1);
            }
        }
        *self.transformer(node) = Transformer { core: Some(core), ..Transformer::default() };
    }

    fn breaker_settings(&self) -> BreakerSettings {
        let records = if self.setting.variety.repaired_at.is_some() { 6 } else { 20 };
        BreakerSettings { records, percent: 50 }
    }

    /// What transformers have in hand although everything has ended, if anything.
    pub(crate) fn left_with_transformers(&self) -> Option<String> {
        (0..self.nodes.len()).find_map(|node| {
            let Shell::Transformer(transformer) = &self.nodes[node].shell else { return None };
            let holds = transformer.core.as_ref()?.holds();
            let reasons: Vec<&str> = holds.reasons().keys().map(Reason::as_str).collect();
            let nothing = reasons.is_empty() && holds.bytes() == 0;
            (!nothing).then(|| format!("node {node} still holds {} bytes back: {reasons:?}", holds.bytes()))
        })
    }

    pub(crate) fn forget_transformer(&mut self, node: usize) {
        *self.transformer(node) = Transformer::default();
    }

    pub(crate) fn transformer_hears(&mut self, node: usize, message: Message) {
        match message {
            Message::Opened(partition) => {
                let position = self.position(Role::Transformer, partition);
                self.transformer(node).positions.insert(partition, position);
                self.map_some(node);
            }
            Message::Revoking(partition) => self.release(node, partition),
            Message::Revoked(partition) => {
                let transformer = self.transformer(node);
                transformer.positions.remove(&partition);
                let left: Vec<i32> = transformer.positions.keys().copied().collect();
                transformer.account.keep_only(&left);
                let left: Vec<TopicPartition> = left.into_iter().map(named).collect();
                if let Some(core) = &mut transformer.core {
                    core.keep_only(&left);
                }
            }
            Message::Poll => self.map_some(node),
            Message::Write { outputs, commits } => self.write(node, outputs, commits),
            _ => {}
        }
    }

    fn map_some(&mut self, node: usize) {
        if self.transformer(node).working {
            return;
        }
        let most = 1 + self.dice.index(8);
        let now = self.wall_of(node);
        let Some(mut core) = self.transformer(node).core.take() else { return };
        let published = Published { setting: &self.setting, now: self.now };
        let released = core.release(&published);
        if released.rejoin {
            if self.transformer(node).account.had_room() {
                self.violate(format!("I17: node {node} let go what waited although there was room for it"));
            }
            return self.end_session(node, "what waited was not kept");
        }
        for resumed in &released.resume {
            self.transformer(node).account.release(resumed.partition);
        }
        // What waited comes before anything else of its partition.
        let mut batch = released.records;
        for (partition, from) in self.transformer(node).positions.clone() {
            let waits = core.holds().contains(&named(partition));
            if !waits && !released.resume.contains(&named(partition)) {
                batch.extend(self.log.read((Topic::Extracted, partition), from, most));
            }
        }
        if let Some(place) = self.killer_in(&batch) {
            *self.deaths.entry(place).or_default() += 1;
            let back = self.dice.millis(500, 3_000);
            return self.crash(node, back);
        }
        let given = sizes(&batch);
        let published = Published { setting: &self.setting, now: self.now };
        let plan = core.map(batch, &published, &mut Untold, now);
        let (most, settings) = (self.setting.hold_bytes, self.breaker_settings());
        let current = self.setting.variety.current(self.now);
        let account = &mut self.transformer(node).account;
        let (held, wrong) = account.hold(given, &plan.handled, core.holds(), most);
        let wrong = account.count(&plan.handled, held, core.holds(), &current, settings).or(wrong);
        if let Some(words) = wrong {
            self.violate(format!("node {node}: {words}"));
        }
        for handled in &plan.handled {
            *self.tally.entry(handled.outcome.as_str()).or_default() += 1;
            if handled.outcome.is_terminal() == handled.output.iter().any(|out| out.topic == Topic::Mapped.name()) {
                self.violate(format!("{:?} was written as something else", handled.outcome));
            }
        }
        if core.holds().bytes() > self.setting.hold_bytes {
            self.violate(format!("node {node} holds {} bytes back", core.holds().bytes()));
        }
        for reason in core.holds().reasons().into_keys() {
            *self.tally.entry(reason.as_str()).or_default() += 1;
            if *reason.flow() != crate::flow() {
                self.violate(format!("a flow that is not there waits: {reason:?}"));
            }
        }
        for fault in &plan.alerts {
            self.note(|| format!("node {node} tells {fault}"));
        }
        if !core.holds().partitions().is_empty() {
            self.tell(Duration::from_secs(1), node, Message::Poll);
        }
        let transformer = self.transformer(node);
        transformer.core = Some(core);
        for next in &plan.commits {
            transformer.positions.insert(next.partition, next.offset);
        }
        if plan.handled.is_empty() {
            return;
        }
        transformer.working = true;
        self.note(|| format!("node {node} maps {} records", plan.handled.len()));
        let outputs = plan.handled.into_iter().flat_map(|handled| handled.output).collect();
        let wait = self.dice.millis(5, 60);
        self.tell(wait, node, Message::Write { outputs, commits: plan.commits });
    }

    /// The record of a batch that the process dies of, unless it is known and set aside.
    fn killer_in(&self, batch: &[Received]) -> Option<(i32, i64)> {
        let kills = |received: &&Received| {
            let rows = Extracted::from_record(&received.record).ok().and_then(|extracted| extracted.rows().ok());
            let quantities = rows.map(|rows| quantities(&rows, "qty")).unwrap_or_default();
            Oddity::of(&quantities) == Some(Oddity::Kills)
        };
        let places = batch.iter().filter(kills).map(|received| (received.partition, received.offset));
        places.into_iter().find(|place| self.deaths.get(place).is_none_or(|deaths| *deaths < DEATHS))
    }

    /// Writes some of the outputs; all written, the positions are saved. A death in between leaves copies.
    fn write(&mut self, node: usize, mut outputs: Vec<Outgoing>, commits: Vec<Next>) {
        let some = if outputs.len() > 1 { 1 + self.dice.index(outputs.len()) } else { outputs.len() };
        let at = self.wall();
        for outgoing in outputs.drain(..some) {
            let place = match outgoing.topic == Topic::Letters.name() {
                true => (Topic::Letters, 0),
                false => (Topic::Mapped, self.partition_of(&outgoing.record.key)),
            };
            let written = self.log.write_plain(place, outgoing.record, at);
            self.written(written);
        }
        let wait = self.dice.millis(5, 60);
        if !outputs.is_empty() {
            return self.tell(wait, node, Message::Write { outputs, commits });
        }
        self.transformer(node).working = false;
        let Some(session) = &self.nodes[node].session else { return };
        let is_static = self.keeps(Rule::InstanceId);
        let stamp = Stamp { node, session: session.id, generation: session.generation, is_static };
        let fenced = self.keeps(Rule::Fence);
        let taken = self.groups.get(&Role::Transformer).is_some_and(|group| !fenced || group.accepts(stamp));
        let offsets: Vec<(i32, i64)> = commits.iter().map(|next| (next.partition, next.offset)).collect();
        let still_ours = offsets.iter().all(|(partition, _)| session.owned.contains(partition));
        if taken && still_ours {
            for (partition, offset) in offsets {
                let Some(session) = &mut self.nodes[node].session else { return };
                // A partition that went and came back is read again from before what is saved meanwhile.
                let saved = session.saved.entry(partition).or_default();
                *saved = offset.max(*saved);
                let offset = *saved;
                self.save_position(Role::Transformer, partition, offset);
            }
            self.tell(wait, node, Message::Poll);
        } else {
            self.end_session(node, "positions were refused");
        }
    }
}
