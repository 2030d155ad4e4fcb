//! Group commit: whatever is ready goes out in one transaction, and what depends on it goes on once it is readable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use document::{Category, Code, FlowName, FlowVersion, Record, Stage, TargetKey};

#[cfg(feature = "ablation")]
use super::ablation::Rule;
use super::event::{Action, CommitId, Ended, Errand, Lane, Observation, PartitionId, SaveDocument, Transaction};
use super::ledger::{self, Entry, Intent, Since};
use super::partition::{ItemRef, Partition, State};
use super::{Call, Core, Facts, FactsFailed, Kind, Rules};

/// A letter on its way, and what to tell of it once it is readable.
#[derive(Debug, Clone)]
pub(super) struct LetterNote {
    pub(super) stage: Stage,
    pub(super) category: Category,
    pub(super) code: Code,
    pub(super) document: String,
    pub(super) record: Record,
}

/// A record that ends with the transaction.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) at: ItemRef,
    pub(super) outcome: Ended,
    pub(super) letter: Option<LetterNote>,
}

/// A save that may be sent once its intent is readable.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) batch: String,
    pub(super) target: String,
    pub(super) flow: FlowName,
    pub(super) version: FlowVersion,
    pub(super) rules: Arc<Rules>,
    pub(super) lane: Lane,
    pub(super) items: Vec<ItemRef>,
    pub(super) group: Option<u64>,
    /// When the time was noted: before the intent was committed.
    pub(super) noted: Duration,
}

/// What the next transaction will carry.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) ends: Vec<Ending>,
    pub(super) entries: BTreeMap<(PartitionId, TargetKey), Entry>,
    /// Intents that documents left: closed when nobody is in them any more, shortened otherwise.
    pub(super) left: BTreeSet<(PartitionId, String)>,
    pub(super) since: Vec<(PartitionId, Since)>,
    pub(super) intents: Vec<(PartitionId, String, Intent)>,
    pub(super) plans: Vec<Plan>,
    /// Keys whose holder is gone and that others wait for.
    pub(super) freed: Vec<(PartitionId, TargetKey)>,
}

impl Pending {
    /// Whether there is something that a transaction must carry soon.
    pub(super) fn has_work(&self) -> bool {
        !self.ends.is_empty() || !self.entries.is_empty() || !self.intents.is_empty() || !self.since.is_empty()
    }

    /// Forgets what concerns a partition that is gone.
    pub(super) fn forget(&mut self, id: &PartitionId) {
        self.ends.retain(|ending| ending.at.partition != *id);
        self.entries.retain(|(partition, _), _| partition != id);
        self.left.retain(|(partition, _)| partition != id);
        self.since.retain(|(partition, _)| partition != id);
        self.intents.retain(|(partition, _, _)| partition != id);
        self.freed.retain(|(partition, _)| partition != id);
    }
}

/// The transaction on its way.
#[derive(Debug)]
pub(super) struct Committing {
    id: CommitId,
    ends: Vec<Ending>,
    pub(super) plans: Vec<Plan>,
    offsets: Vec<(PartitionId, i64)>,
}

impl Partition {
    /// Whether offsets could be committed that were not.
    pub(super) fn position_moved(&self) -> bool {
        self.position().is_some_and(|position| self.committed != Some(position))
    }
}

impl Core {
    /// Hands out the next transaction when none is on its way and something is ready.
    pub(super) fn flush(&mut self) {
        if self.committing.is_some() {
            return;
        }
        let leaving = self.draining || self.partitions.values().any(|partition| partition.revoking);
        let due = leaving || self.now.mono >= self.last_commit + self.numbers.offsets_every;
        let moved = || self.partitions.values().any(Partition::position_moved);
        if !self.pending.has_work() && !(due && (moved() || self.closes_intents())) {
            return;
        }
        let transaction = self.transaction();
        let id = self.id();
        let ends = std::mem::take(&mut self.pending.ends);
        let plans = std::mem::take(&mut self.pending.plans);
        self.committing = Some(Committing { id, ends, plans, offsets: transaction.offsets.clone() });
        self.last_commit = self.now.mono;
        self.actions.push(Action::Commit { id, transaction });
    }

    /// Whether an intent waits to be closed whose partition has an offset to go with it.
    pub(super) fn closes_intents(&self) -> bool {
        let positioned = |id: &PartitionId| self.partitions.get(id).is_some_and(|p| p.position().is_some());
        self.pending.left.iter().any(|(id, _)| positioned(id))
    }

    fn transaction(&mut self) -> Transaction {
        let letters = self.pending.ends.iter().filter_map(|ending| ending.letter.as_ref());
        let letters = letters.map(|letter| letter.record.clone()).collect();
        let mut facts = Vec::new();
        for ((id, key), entry) in std::mem::take(&mut self.pending.entries) {
            facts.push((id, ledger::record(ledger::entry_key(&key), &entry)));
        }
        // Intents are closed with the offsets of what was read since. That a ledger is not known is written at once, beside
        // the offset that is saved: who is next takes our own record for one of an owner who knew it.
        let positioned = |id: &PartitionId| self.partitions.get(id).is_some_and(|p| p.position().is_some());
        let (now, later): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut self.pending.left).into_iter().partition(|(id, _)| positioned(id));
        for (id, since) in std::mem::take(&mut self.pending.since) {
            facts.push((id, ledger::record(ledger::SINCE_KEY.to_owned(), &since)));
        }
        for (id, batch) in now {
            let key = ledger::intent_key(&batch);
            let open = self.partitions.get(&id).and_then(|partition| partition.intents.get(&batch));
            let record =
                open.map_or_else(|| ledger::tombstone(key.clone()), |intent| ledger::record(key.clone(), intent));
            facts.push((id, record));
        }
        #[cfg(feature = "ablation")]
        if self.numbers.off == Some(Rule::Intent) {
            self.pending.intents.clear();
        }
        for (id, batch, intent) in std::mem::take(&mut self.pending.intents) {
            facts.push((id, ledger::record(ledger::intent_key(&batch), &intent)));
        }
        let concerned: BTreeSet<&PartitionId> =
            facts.iter().map(|(id, _)| id).chain(self.pending.ends.iter().map(|ending| &ending.at.partition)).collect();
        let offsets = self
            .partitions
            .iter()
            .filter(|(id, partition)| concerned.contains(id) || partition.position_moved())
            .filter_map(|(id, partition)| Some((id.clone(), partition.position()?)))
            .collect();
        self.pending.left = later;
        Transaction { letters, facts, offsets }
    }

    /// The transaction is readable: what it ended is gone, what it announced may be sent.
    pub(super) fn committed(&mut self, id: CommitId, facts: &dyn Facts) -> Result<(), FactsFailed> {
        let Some(committing) = self.committing.take_if(|committing| committing.id == id) else { return Ok(()) };
        for (id, offset) in committing.offsets {
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.committed = Some(offset);
            }
        }
        for ending in committing.ends {
            if let Some(LetterNote { stage, category, code, document, .. }) = ending.letter {
                let flow = ending.at.partition.flow.clone();
                self.observe(Observation::Letter { flow, stage, category, code, document });
            }
            self.tell_end(&ending.at, ending.outcome);
            self.remove(&ending.at);
        }
        for plan in committing.plans {
            self.send(plan);
        }
        self.settle_quiet_ends(facts)
    }

    /// Gives freed keys to those who wait for them, until nobody does.
    pub(super) fn settle_quiet_ends(&mut self, facts: &dyn Facts) -> Result<(), FactsFailed> {
        while let Some((id, key)) = self.pending.freed.pop() {
            let Some(partition) = self.partitions.get(&id) else { continue };
            let Some(offset) = partition.keys.get(&key).and_then(|holders| holders.front()) else { continue };
            let Some(item) = partition.items.get(offset).filter(|item| item.state == State::Queued) else { continue };
            let at = ItemRef { arrival: item.arrival, partition: id.clone(), offset: *offset };
            self.admit(&at, facts)?;
        }
        Ok(())
    }

    /// Sends a save whose intent is readable, unless its deadline has passed meanwhile.
    fn send(&mut self, plan: Plan) {
        let deadline = plan.noted + self.numbers.send_deadline;
        #[cfg(feature = "ablation")]
        let deadline = if self.numbers.off == Some(Rule::Deadline) { std::time::Duration::MAX } else { deadline };
        let mine = |item: &super::Item| item.state == State::Intending && item.intent.as_ref() == Some(&plan.batch);
        let (items, leaving): (Vec<ItemRef>, Vec<ItemRef>) = plan
            .items
            .iter()
            .filter(|at| self.item(at).is_some_and(mine))
            .cloned()
            .partition(|at| self.partitions.get(&at.partition).is_some_and(|partition| !partition.revoking));
        for at in &leaving {
            self.close_intent(at);
        }
        self.give_back(&leaving);
        if items.is_empty() || self.now.mono > deadline || self.draining {
            // A new attempt gets a new intent; this one is closed with the next transaction.
            for at in &items {
                self.close_intent(at);
            }
            self.fates.insert(plan.batch, super::Fate::NeverSent);
            self.give_back(&items);
            self.set_idle(&plan.target, &plan.flow, plan.group);
            self.release_place(&plan.target);
            return;
        }
        let call = self.id();
        let mut documents = Vec::with_capacity(items.len());
        for at in &items {
            let Some(item) = self.item(at) else { continue };
            let (key, value, update) = (item.key().clone(), Arc::clone(&item.value), item.update.clone());
            let (version, trace) = (item.version(), item.mapped.trace);
            documents.push(SaveDocument { key, value, update, version, trace });
            self.set_state(at, State::Calling(Box::new(State::Ready)));
        }
        let bytes = documents.iter().map(|document| document.value.len()).sum();
        self.observe(Observation::Batch { flow: plan.flow.clone(), documents: documents.len(), bytes });
        let errand = Errand {
            call,
            target: plan.target.clone(),
            flow: plan.flow.clone(),
            version: plan.version,
            rules: Arc::clone(&plan.rules),
            lane: plan.lane,
        };
        self.calls.insert(
            call,
            Call {
                target: plan.target,
                flow: plan.flow,
                rules: plan.rules,
                kind: Kind::Save,
                items,
                sent: self.now.mono,
                batch: Some(plan.batch),
                group: plan.group,
            },
        );
        self.actions.push(Action::Save { errand, documents, deadline });
    }
}
