//! The transformer's shell: reads, maps, writes, and only then saves its positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use document::{Code, DocumentKey, Fault, FlowName, FlowVersion, TraceParent};
use queue::{Next, Outgoing, TopicPartition};
use serde_json::{Map, Value, json};
use transformer::core::{BreakerSettings, Core, Definition, Flows, Reason, Traces};

use crate::group::Stamp;
use crate::log::Topic;
use crate::message::Message;
use crate::rule::Rule;
use crate::setting::{FLOW_VERSION, Setting};
use crate::world::{Role, Shell, World};

/// What a transformer process holds in memory.
#[derive(Debug, Default)]
pub(crate) struct Transformer {
    core: Option<Core>,
    positions: BTreeMap<i32, i64>,
    working: bool,
}

fn named(partition: i32) -> TopicPartition {
    TopicPartition::new(Topic::Extracted.name(), partition)
}

/// The mapping: one bill of all rows; a quantity below zero fits no target.
struct Mapping;

impl Definition for Mapping {
    fn key_field(&self) -> &str {
        "FBillNo"
    }

    fn mark(&self, _: &mut Map<String, Value>, _: &DocumentKey) {}

    fn render(&self, rows: &[Value], _: i64, _: i64) -> Vec<Result<Map<String, Value>, Fault>> {
        let quantities: Vec<&Value> = rows.iter().filter_map(|row| row.get("qty")).collect();
        if quantities.iter().any(|quantity| quantity.as_i64().is_some_and(|quantity| quantity < 0)) {
            return vec![Err(Fault::new(Code::Required, "a quantity is below zero").at_path("$.FEntity.FQty"))];
        }
        let lines: Vec<Value> = quantities.iter().map(|quantity| json!({"FQty": quantity})).collect();
        let number = rows.first().and_then(|row| row.get("no")).cloned().unwrap_or(Value::Null);
        let mut bill = Map::new();
        bill.insert("FBillNo".to_owned(), number);
        bill.insert("FEntity".to_owned(), lines.into());
        vec![Ok(bill)]
    }
}

/// What is published as far as one process knows.
struct Published<'a> {
    setting: &'a Setting,
    now: Duration,
}

impl Flows for Published<'_> {
    fn get(&self, _: &FlowName, version: &FlowVersion) -> Option<Arc<dyn Definition>> {
        self.setting.is_known(version, self.now).then(|| Arc::new(Mapping) as Arc<dyn Definition>)
    }

    fn current(&self, _: &FlowName) -> Option<FlowVersion> {
        Some(FLOW_VERSION.into())
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
        let breaker = BreakerSettings { records: 20, percent: 50 };
        let core = Some(Core::new(breaker, self.setting.hold_bytes));
        *self.transformer(node) = Transformer { core, ..Transformer::default() };
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
                let left: Vec<TopicPartition> =
                    transformer.positions.keys().map(|partition| named(*partition)).collect();
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
            return self.end_session(node, "what waited was not kept");
        }
        // What waited comes before anything else of its partition.
        let mut batch = released.records;
        for (partition, from) in self.transformer(node).positions.clone() {
            let waits = core.holds().contains(&named(partition));
            if !waits && !released.resume.contains(&named(partition)) {
                batch.extend(self.log.read((Topic::Extracted, partition), from, most));
            }
        }
        let published = Published { setting: &self.setting, now: self.now };
        let plan = core.map(batch, &published, &mut Untold, now);
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
