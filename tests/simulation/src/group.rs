//! Consumer groups as their coordinator sees them: members, generation, owners, saved positions.

use std::collections::{BTreeMap, BTreeSet};

/// A partition that is to move while its owner lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) partition: i32,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) partitions: i32,
    pub(crate) generation: i64,
    /// The session of each member.
    pub(crate) members: BTreeMap<usize, u64>,
    pub(crate) owners: BTreeMap<i32, usize>,
    pub(crate) positions: BTreeMap<i32, i64>,
    pub(crate) moving: Option<Move>,
}

/// How a member names itself when it saves positions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) node: usize,
    pub(crate) session: u64,
    /// −1 for one that lost its place and has not yet joined again.
    pub(crate) generation: i64,
    /// Whether `group.instance.id` is set.
    pub(crate) is_static: bool,
}

impl Group {
    pub(crate) fn new(partitions: i32) -> Self {
        Self { partitions, ..Self::default() }
    }

    /// Whether positions of a member are taken.
    pub(crate) fn accepts(&self, stamp: Stamp) -> bool {
        if stamp.generation < 0 && !stamp.is_static {
            // A member without a name and a generation is taken for a simple client, and nothing is checked.
            return true;
        }
        self.members.get(&stamp.node) == Some(&stamp.session) && self.generation == stamp.generation
    }

    /// A member joins. Partitions that nobody owns are its own and the others' from now on; a member of the same name
    /// keeps its place. Gives who got what.
    pub(crate) fn join(&mut self, node: usize, session: u64, is_static: bool) -> Vec<(usize, i32)> {
        let known = self.members.insert(node, session).is_some();
        if known && is_static {
            if self.moving.is_some_and(|moving| moving.from == node) {
                self.moving = None;
            }
            return self.owned(node).into_iter().map(|partition| (node, partition)).collect();
        }
        self.generation += 1;
        let mut given: Vec<(usize, i32)> = self.owned(node).into_iter().map(|partition| (node, partition)).collect();
        given.extend(self.share_out());
        given
    }

    pub(crate) fn owned(&self, node: usize) -> BTreeSet<i32> {
        self.owners.iter().filter(|(_, owner)| **owner == node).map(|(partition, _)| *partition).collect()
    }

    fn share_out(&mut self) -> Vec<(usize, i32)> {
        let mut given = Vec::new();
        for partition in 0..self.partitions {
            if self.owners.contains_key(&partition) {
                continue;
            }
            let poorest = self.members.keys().copied().min_by_key(|member| (self.owned(*member).len(), *member));
            if let Some(member) = poorest {
                self.owners.insert(partition, member);
                given.push((member, partition));
            }
        }
        given
    }

    /// A member is thrown out. Gives who got what.
    pub(crate) fn remove(&mut self, node: usize) -> Vec<(usize, i32)> {
        self.members.remove(&node);
        self.owners.retain(|_, owner| *owner != node);
        if self.moving.is_some_and(|moving| moving.from == node || moving.to == node) {
            self.moving = None;
        }
        self.generation += 1;
        self.share_out()
    }

    /// Begins to move a partition from one member to another.
    pub(crate) fn begin_move(&mut self, partition: i32, to: usize) -> Option<Move> {
        let from = *self.owners.get(&partition)?;
        if self.moving.is_some() || from == to || !self.members.contains_key(&to) {
            return None;
        }
        let moving = Move { partition, from, to };
        self.moving = Some(moving);
        Some(moving)
    }

    /// The owner let it go. Gives who has it now.
    pub(crate) fn finish_move(&mut self, from: usize, partition: i32) -> usize {
        let moving = self.moving.take_if(|moving| moving.partition == partition && moving.from == from);
        let to = moving.map(|moving| moving.to).filter(|to| self.members.contains_key(to)).unwrap_or(from);
        self.generation += 1;
        self.owners.insert(partition, to);
        to
    }
}
