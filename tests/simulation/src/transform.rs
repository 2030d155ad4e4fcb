//! The transformer's shell: reads, maps, writes, and only then saves its positions.

use std::collections::BTreeMap;
use std::sync::Arc;

use document::{Code, DocumentKey, Fault, FlowName, FlowVersion, TraceParent};
use queue::{Next, Outgoing};
use serde_json::{Map, Value, json};
use transformer::core::{BreakerSettings, Core, Definition, Flows, Traces};

use crate::group::Stamp;
use crate::log::Topic;
use crate::message::Message;
use crate::rule::Rule;
use crate::setting::FLOW_VERSION;
use crate::world::{Role, World};

/// What a transformer process holds in memory.
#[derive(Debug, Default)]
pub(crate) struct Transformer {
    core: Option<Core>,
    positions: BTreeMap<i32, i64>,
    working: bool,
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

struct Published;

impl Flows for Published {
    fn get(&self, _: &FlowName, _: &FlowVersion) -> Option<Arc<dyn Definition>> {
        Some(Arc::new(Mapping))
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
        *self.transformer(node) = Transformer { core: Some(Core::new(breaker, 1 << 20)), ..Transformer::default() };
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
                self.transformer(node).positions.remove(&partition);
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
        let mut batch = Vec::new();
        for (partition, from) in self.transformer(node).positions.clone() {
            batch.extend(self.log.read((Topic::Extracted, partition), from, most));
        }
        if batch.is_empty() {
            return;
        }
        let now = self.wall_of(node);
        let Some(mut core) = self.transformer(node).core.take() else { return };
        let plan = core.map(batch, &Published, &mut Untold, now);
        self.note(|| format!("node {node} maps {} records", plan.handled.len()));
        let transformer = self.transformer(node);
        transformer.core = Some(core);
        for next in &plan.commits {
            transformer.positions.insert(next.partition, next.offset);
        }
        if plan.handled.is_empty() {
            return;
        }
        transformer.working = true;
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
                self.save_position(Role::Transformer, partition, offset);
            }
            self.tell(wait, node, Message::Poll);
        } else {
            self.end_session(node, "positions were refused");
        }
    }
}
