//! The client's side of groups: processes that live and die, sessions, barriers, partitions that come and go.

use std::time::Duration;

use document::Record;
use loader::core::ledger::SINCE_KEY;

use crate::log::Topic;
use crate::message::{Happening, Message};
use crate::rule::Rule;
use crate::session::{Purpose, Session};
use crate::world::{Role, SESSION_TIMEOUT, World};

fn states(role: Role) -> &'static [Topic] {
    match role {
        Role::Extractor => &[Topic::State, Topic::Seen],
        Role::Transformer => &[],
        Role::Loader => &[Topic::Ledger],
    }
}

impl World {
    /// The process starts.
    pub(crate) fn start(&mut self, node: usize) {
        let found = &mut self.nodes[node];
        if found.up {
            return;
        }
        found.up = true;
        found.life += 1;
        found.paused_until = None;
        self.note(|| format!("node {node} starts"));
        let wait = self.dice.millis(100, 2_000);
        self.tell(wait, node, Message::Open);
    }

    /// The process dies. What is on its way stays on its way.
    pub(crate) fn crash(&mut self, node: usize, back_after: Duration) {
        if !self.nodes[node].up {
            return;
        }
        self.note(|| format!("node {node} dies"));
        if let Some(session) = self.nodes[node].session.as_ref().map(|session| session.id) {
            self.after(SESSION_TIMEOUT, Happening::Silent { node, session });
        }
        let found = &mut self.nodes[node];
        found.up = false;
        found.paused_until = None;
        found.session = None;
        self.forget(node, false);
        self.after(back_after, Happening::Start(node));
    }

    /// The process is stopped for a while and goes on as if nothing had been.
    pub(crate) fn pause(&mut self, node: usize, length: Duration) {
        if !self.nodes[node].up || self.is_paused(node) {
            return;
        }
        self.note(|| format!("node {node} is stopped for {length:?}"));
        self.nodes[node].paused_until = Some(self.now + length);
        let Some(session) = self.nodes[node].session.as_ref().map(|session| session.id) else { return };
        if length > SESSION_TIMEOUT {
            self.after(SESSION_TIMEOUT, Happening::Silent { node, session });
            let heard = length + self.dice.millis(1, 150);
            self.after(heard, self.to_session(node, session, Message::Unknown));
            let hook = heard + self.dice.millis(1, 400);
            self.after(hook, self.to_session(node, session, Message::Lost));
        } else {
            let heard = length + self.dice.millis(1, 300);
            self.after(heard, self.to_session(node, session, Message::Rejoined));
        }
    }

    pub(crate) fn to_session(&self, node: usize, session: u64, message: Message) -> Happening {
        Happening::Node { node, life: self.nodes[node].life, session, message }
    }

    /// The coordinator gives a member up.
    pub(crate) fn silent(&mut self, node: usize, session: u64) {
        let silent = !self.nodes[node].up || self.is_paused(node);
        let role = self.nodes[node].role;
        let Some(group) = self.groups.get_mut(&role) else { return };
        if !silent || group.members.get(&node) != Some(&session) {
            return;
        }
        let given = group.remove(node);
        self.note(|| format!("node {node} is thrown out of its group"));
        self.hand_out(role, given);
    }

    pub(crate) fn open_session(&mut self, node: usize) {
        let role = self.nodes[node].role;
        let id = self.fresh_id();
        let name = self.nodes[node].name.clone();
        let (epoch, decided) = self.log.init(&name);
        if let Some(decided) = decided {
            self.decided(&decided);
        }
        self.nodes[node].session = Some(Session::new(id, epoch));
        self.note(|| format!("node {node} opens session {id}"));
        self.begin_shell(node);
        let is_static = self.keeps(Rule::InstanceId);
        let Some(group) = self.groups.get_mut(&role) else { return };
        let given = group.join(node, id, is_static);
        self.hand_out(role, given);
    }

    /// After a rebalance: whoever is awake hears of it, and whoever got something is told.
    fn hand_out(&mut self, role: Role, given: Vec<(usize, i32)>) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].role == role && self.nodes[node].up && !self.is_paused(node) {
                self.follow_generation(node);
            }
        }
        for (node, partition) in given {
            let Some(session) = self.nodes[node].session.as_mut() else { continue };
            session.owned.insert(partition);
            let wait = self.dice.millis(5, 200);
            self.tell(wait, node, Message::Assign(partition));
        }
    }

    pub(crate) fn follow_generation(&mut self, node: usize) {
        let Some(group) = self.groups.get(&self.nodes[node].role) else { return };
        let generation = group.generation;
        if let Some(session) = &mut self.nodes[node].session
            && group.members.get(&node) == Some(&session.id)
        {
            session.generation = generation;
        }
    }

    /// A partition is ours: the barrier comes first.
    pub(crate) fn assigned(&mut self, node: usize, partition: i32) {
        let role = self.nodes[node].role;
        let position = self.position(role, partition);
        let Some(session) = &mut self.nodes[node].session else { return };
        if session.gone.contains(&partition) {
            // It came back before the loop heard that it had gone.
            let wait = self.dice.millis(20, 100);
            return self.tell(wait, node, Message::Assign(partition));
        }
        if !session.owned.contains(&partition) || session.tables.contains_key(&partition) {
            return;
        }
        let id = session.id;
        session.saved.insert(partition, position);
        if role == Role::Transformer || !self.keeps(Rule::Barrier) {
            return self.open_partition(node, partition);
        }
        // What the last owner saved must be decided before it is taken for the position.
        if self.log.is_unstable(role, partition) {
            let wait = self.dice.millis(100, 400);
            return self.tell(wait, node, Message::Assign(partition));
        }
        let record = |topic: &Topic| {
            let record =
                Record { key: b"owner".to_vec(), value: Some(id.to_string().into_bytes()), ..Record::default() };
            ((*topic, partition), record)
        };
        let facts = states(role).iter().map(record).collect();
        self.transact(node, Purpose::Barrier(partition), Vec::new(), facts, vec![(partition, position)]);
    }

    pub(crate) fn position(&self, role: Role, partition: i32) -> i64 {
        self.groups.get(&role).and_then(|group| group.positions.get(&partition)).copied().unwrap_or(0)
    }

    pub(crate) fn look_for_barrier(&mut self, node: usize, partition: i32) {
        let Some(session) = &self.nodes[node].session else { return };
        if !session.owned.contains(&partition) {
            return;
        }
        let mine = session.id.to_string().into_bytes();
        let passed =
            states(self.nodes[node].role).iter().all(|topic| self.log.says((*topic, partition), b"owner", &mine));
        if passed {
            self.open_partition(node, partition);
        } else {
            let wait = self.dice.millis(50, 300);
            self.tell(wait, node, Message::Barrier(partition));
        }
    }

    /// Whether positions were saved by owners of whom the ledger knows nothing, nor that it knows nothing.
    pub(crate) fn is_ledger_lost(&mut self, partition: i32) -> bool {
        self.log.is_orphaned((Topic::Ledger, partition), SINCE_KEY.as_bytes())
    }

    fn open_partition(&mut self, node: usize, partition: i32) {
        let topics = states(self.nodes[node].role);
        let tables = topics.iter().map(|topic| (*topic, self.log.table((*topic, partition)))).collect();
        if let Some(session) = &mut self.nodes[node].session {
            session.tables.insert(partition, tables);
        }
        self.note(|| format!("node {node} trusts partition {partition}"));
        self.tell(Duration::ZERO, node, Message::Opened(partition));
    }

    /// A partition that was asked to go goes: to another member, or around and back where that one is gone.
    pub(crate) fn release(&mut self, node: usize, partition: i32) {
        let role = self.nodes[node].role;
        if self.is_paused(node) {
            return;
        }
        let Some(session) = &mut self.nodes[node].session else { return };
        if !session.leaving.remove(&partition) {
            return;
        }
        session.owned.remove(&partition);
        session.gone.insert(partition);
        let id = session.id;
        let Some(group) = self.groups.get_mut(&role) else { return };
        // One that was thrown out meanwhile has nothing to give away.
        if group.members.get(&node) != Some(&id) || group.owners.get(&partition) != Some(&node) {
            return;
        }
        let to = group.finish_move(node, partition);
        self.note(|| format!("partition {partition} goes from node {node} to {to}"));
        // The hook has run; the loop hears of it a little later.
        let wait = self.dice.millis(0, 300);
        self.tell(wait, node, Message::Revoked(partition));
        let given = wait + Duration::from_millis(1);
        if to == node {
            self.tell(given, node, Message::Regained(partition));
        } else {
            self.hand_out(role, vec![(to, partition)]);
        }
    }

    /// A partition came back to where it was.
    pub(crate) fn regain(&mut self, node: usize, partition: i32) {
        let role = self.nodes[node].role;
        if self.groups.get(&role).and_then(|group| group.owners.get(&partition)) == Some(&node) {
            self.hand_out(role, vec![(node, partition)]);
        }
    }

    /// The session is of no use any more: nothing of it is kept, and another one is built.
    pub(crate) fn end_session(&mut self, node: usize, why: &'static str) {
        if self.nodes[node].session.take().is_none() {
            return;
        }
        self.note(|| format!("node {node} ends its session: {why}"));
        self.forget(node, true);
        let wait = self.dice.millis(400, 1_500);
        self.tell(wait, node, Message::Open);
    }
}
