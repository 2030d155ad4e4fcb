//! Whole saves that fail while the target answers, and the search for the document at fault.

use std::time::Duration;

use document::{Code, FlowName, Stage};

use super::bisect::{Bisect, Next};
use super::event::{Observation, Refusal};
use super::ledger::End;
use super::partition::{ItemRef, Purpose, State};
use super::{Call, Core, Evidence, Group};

/// So many documents that fail alone may be at fault themselves; when more of them do, the target is.
const FEW: usize = 3;

impl Core {
    /// Puts documents whose outcome is unknown aside until it is known, as one set of a search.
    pub(super) fn set_aside(
        &mut self,
        call: &Call,
        items: Vec<ItemRef>,
        group: Option<u64>,
        settle: Duration,
        reason: String,
        evidence: Evidence,
    ) {
        if items.is_empty() {
            // Every one of them has moved away meanwhile.
            return self.set_idle(&call.target, &call.flow, group);
        }
        let now = self.now.mono;
        let id = match group {
            Some(id) => id,
            None => self.id(),
        };
        if let Some(target) = self.targets.get_mut(&call.target) {
            let queue = target.queues.entry(call.flow.clone()).or_default();
            let group = queue.groups.entry(id).or_insert_with(|| Group {
                search: None,
                set: items.clone(),
                unresolved: Vec::new(),
                absent: Vec::new(),
                evidence,
                on_its_way: true,
                failures: 0,
                rounds: 0,
                attempts: call.rules.retry.attempts,
                control: false,
                began: now,
                reason: String::new(),
            });
            group.unresolved.clone_from(&items);
            group.absent.clear();
            group.evidence = evidence;
            group.on_its_way = true;
            group.reason = reason;
        }
        let pace = self
            .group_mut(&call.target, &call.flow, id)
            .map_or(0, |group| if group.control || evidence == Evidence::None { 0 } else { group.failures });
        let due = now + self.wait(&call.rules.retry, pace);
        for at in &items {
            if let Some(item) = self.item_mut(at) {
                item.unknowns += 1;
                item.probes = 0;
                item.group = Some(id);
            }
            self.set_state(at, State::Probe { purpose: Purpose::Resolve, due, settle });
        }
        #[cfg(feature = "ablation")]
        if self.numbers.off == Some(super::ablation::Rule::Probe) {
            items.iter().for_each(|at| self.resolved_absent(at));
        }
    }

    /// A save was answered document by document: proof that saves of the flow can pass.
    pub(super) fn save_passed(&mut self, call: &Call) {
        let Some(queue) = self.targets.get_mut(&call.target).and_then(|target| target.queues.get_mut(&call.flow))
        else {
            return;
        };
        for (id, group) in &mut queue.groups {
            group.control = true;
            if let Some(search) = &mut group.search {
                search.control();
                if Some(*id) == call.group {
                    search.passed();
                    group.on_its_way = false;
                }
            }
        }
    }

    /// A document of a failed save is proven absent.
    pub(super) fn resolved_absent(&mut self, at: &ItemRef) {
        self.close_intent(at);
        let flow = at.partition.flow.clone();
        self.observe(Observation::Resolved { flow: flow.clone(), verdict: "absent" });
        let Some(item) = self.item(at) else { return };
        let (group, connection) = (item.group, item.rules.as_ref().map(|rules| rules.connection.clone()));
        let (Some(id), Some(connection)) = (group, connection) else { return self.set_state(at, State::Ready) };
        self.set_state(at, State::Grouped);
        let Some(group) = self.group_mut(&connection, &flow, id) else { return self.set_state(at, State::Ready) };
        group.unresolved.retain(|other| other != at);
        group.absent.push(at.clone());
        if group.unresolved.is_empty() {
            self.set_resolved(&connection, &flow, id);
        }
    }

    /// Takes a record out of the search it is part of.
    pub(super) fn leave_group(&mut self, at: &ItemRef) {
        let Some(item) = self.item_mut(at) else { return };
        let (group, rules) = (item.group.take(), item.rules.clone());
        let (Some(id), Some(rules)) = (group, rules) else { return };
        let flow = at.partition.flow.clone();
        let Some(group) = self.group_mut(&rules.connection, &flow, id) else { return };
        group.set.retain(|other| other != at);
        group.absent.retain(|other| other != at);
        if group.unresolved.contains(at) {
            group.unresolved.retain(|other| other != at);
            if let Some(search) = group.search.as_mut().filter(|_| group.evidence == Evidence::None) {
                // A set that failed is judged without it; one that is sent again must not hold it.
                search.forget(at);
            }
            if group.unresolved.is_empty() {
                self.set_resolved(&rules.connection, &flow, id);
            }
        } else if let Some(search) = &mut group.search {
            search.forget(at);
            if group.set.is_empty() && !group.on_its_way {
                self.search_on(&rules.connection, &flow, id);
            }
        }
    }

    /// The set of a search is not on its way any more, and was not judged.
    pub(super) fn set_idle(&mut self, name: &str, flow: &FlowName, id: Option<u64>) {
        let Some(group) = id.and_then(|id| self.group_mut(name, flow, id)) else { return };
        group.on_its_way = false;
        if group.set.is_empty() {
            self.search_on(name, flow, id.unwrap_or_default());
        }
    }

    /// Every outcome of a failed set is known: the search goes on.
    fn set_resolved(&mut self, name: &str, flow: &FlowName, id: u64) {
        let Some(group) = self.group_mut(name, flow, id) else { return };
        group.on_its_way = false;
        let absent = std::mem::take(&mut group.absent);
        let mut convicted = None;
        if group.evidence == Evidence::None {
            // Nothing is learnt from it: what is absent is simply sent again.
            if group.search.is_none() {
                for at in &absent {
                    if let Some(item) = self.item_mut(at) {
                        item.group = None;
                    }
                    self.set_state(at, State::Ready);
                }
                return self.drop_group(name, flow, id);
            }
        } else {
            group.failures += 1;
            match &mut group.search {
                Some(search) => convicted = search.failed(&absent),
                None => {
                    let mut search = Bisect::new(absent);
                    if group.control {
                        search.control();
                    }
                    group.search = Some(search);
                }
            }
        }
        if let Some(at) = convicted {
            if self.may_be_chance(name, flow, id, &at) {
                if let Some(search) = self.group_mut(name, flow, id).and_then(|group| group.search.as_mut()) {
                    search.acquit(at);
                }
            } else {
                self.convict(name, flow, id, &at);
            }
        }
        self.search_on(name, flow, id);
    }

    /// Whether a document that failed alone did so for want of an answer, and not often enough to say more.
    fn may_be_chance(&mut self, name: &str, flow: &FlowName, id: u64, at: &ItemRef) -> bool {
        let unanswered = self.item(at).map_or(0, |item| item.unknowns);
        let group = self.group_mut(name, flow, id);
        group.is_some_and(|group| group.evidence == Evidence::Silence && unanswered < group.attempts)
    }

    /// Ends a document that is proven absent and whose saves fail alone. Poison is only what the target answered to;
    /// for one that it never answers to, all that is known is that.
    fn convict(&mut self, name: &str, flow: &FlowName, id: u64, at: &ItemRef) {
        let Some(group) = self.group_mut(name, flow, id) else { return };
        let (code, what) = match group.evidence {
            Evidence::Silence => (Code::ReplyLost, "no save that carries it is answered"),
            Evidence::Answer | Evidence::None => (Code::PoisonDocument, "every save that carries it fails"),
        };
        let refusal = Refusal {
            field: None,
            message: format!("{what}: {}", group.reason),
            code,
            category: code.category(),
            timed: code == Code::ReplyLost,
        };
        self.park(at, Stage::Load, refusal, End::Parked);
    }

    /// Takes the next set of a search.
    pub(super) fn search_on(&mut self, name: &str, flow: &FlowName, id: u64) {
        let (now, patience) = (self.now.mono, self.numbers.poison_patience);
        let Some(group) = self.group_mut(name, flow, id) else { return };
        let Some(search) = &mut group.search else { return };
        match search.next_set() {
            Next::Send(set) => group.set = set,
            Next::Finished => self.drop_group(name, flow, id),
            Next::Stuck(all) => {
                group.rounds += 1;
                if all.len() <= FEW && now >= group.began + patience {
                    // Nothing else came by to compare with for long, and the target answered every time.
                    return all.iter().for_each(|at| self.convict(name, flow, id, at));
                }
                let spent = all.len() > 1 || group.rounds >= group.attempts;
                search.again();
                if let Next::Send(set) = search.next_set() {
                    group.set = set;
                }
                if spent {
                    group.rounds = 0;
                    let reason = format!("{} documents fail alone and no save passes", all.len());
                    if self.targets.get_mut(name).is_some_and(|target| target.breaker.open(now, &self.numbers)) {
                        self.breaker_moved(name, &reason);
                    }
                }
            }
        }
    }

    fn drop_group(&mut self, name: &str, flow: &FlowName, id: u64) {
        if let Some(queue) = self.targets.get_mut(name).and_then(|target| target.queues.get_mut(flow)) {
            queue.groups.remove(&id);
        }
    }
}
