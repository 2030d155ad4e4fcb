//! The thinking of the stage: records in, records out, without I/O, clock or randomness of its own.
//!
//! Every record of a batch is mapped by the flow version that its header names. It ends as bills for the mapped topic,
//! as a dead letter, or as a counted skip; all of one record's bills go out or none, so that a record never ends in two
//! ways. Two things stop a partition instead, with its records kept and nothing saved: a version that is not here yet,
//! and a flow whose records mostly fail alike ([`Breaker`]).

pub mod breaker;
pub mod hold;
pub mod letter;
pub mod map;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use document::{
    Code, Extracted, ExtractedAt, Fault, FlowName, FlowVersion, Received, Stage, Tenant, TraceParent, topic,
};
use queue::{Next, Outgoing, TopicPartition};

pub use breaker::{Breaker, BreakerSettings};
pub use hold::{Hold, Holds, Reason};
pub use map::Definition;

/// The flow definitions that are published.
pub trait Flows {
    /// A version of a flow; `None` while it is not here.
    fn get(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<dyn Definition>>;

    /// The version that new records of the flow are extracted under.
    fn current(&self, flow: &FlowName) -> Option<FlowVersion>;
}

/// The traces of documents.
pub trait Traces {
    /// What lives as long as the work on one record.
    type Span;

    /// Continues the trace of a record: the `traceparent` to write on.
    fn begin(&mut self, flow: &FlowName, parent: &TraceParent) -> (TraceParent, Self::Span);
}

/// How a record ended in this stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Bills went on to the mapped topic.
    Mapped,
    /// A dead letter was written.
    DeadLetter,
    /// The flow makes no bill of it.
    Skipped,
}

impl Outcome {
    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Mapped => "mapped",
            Outcome::DeadLetter => "dead_letter",
            Outcome::Skipped => "skipped",
        }
    }

    /// Whether no later stage sees the record.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Outcome::Mapped)
    }
}

/// A record that was handled, with what is to be written for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    /// The record.
    pub received: Received,
    /// Whose it is.
    pub tenant: Tenant,
    /// The flow.
    pub flow: FlowName,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, when it did.
    pub fault: Option<Fault>,
    /// Bills or a letter, in order.
    pub output: Vec<Outgoing>,
}

/// What is to be done after a batch: write every output, and only when all are acknowledged save the positions.
#[derive(Debug, Default)]
pub struct Plan {
    /// The handled records, in order.
    pub handled: Vec<Handled>,
    /// The positions to save.
    pub commits: Vec<Next>,
    /// Partitions that wait from now on.
    pub pause: Vec<TopicPartition>,
    /// Why they wait; each once, when it begins.
    pub alerts: Vec<Fault>,
}

/// Records whose wait is over.
#[derive(Debug, Default)]
pub struct Released {
    /// To be mapped before anything else of their partitions.
    pub records: Vec<Received>,
    /// To be resumed once that is written.
    pub resume: Vec<TopicPartition>,
    /// Some records were not kept: the group has to be joined anew to read them again.
    pub rejoin: bool,
}

/// What is known between two batches.
#[derive(Debug)]
pub struct Core {
    breaker: Breaker,
    holds: Holds,
    /// Records that killed the process before, and how often.
    quarantined: BTreeSet<(String, i32, i64)>,
}

/// A record on its way through [`Core::map`].
struct Step {
    handled: Handled,
    version: FlowVersion,
}

impl Core {
    /// Nothing waits and nothing failed yet.
    pub fn new(breaker: BreakerSettings, hold_bytes: usize) -> Self {
        Self { breaker: Breaker::new(breaker), holds: Holds::new(hold_bytes), quarantined: BTreeSet::new() }
    }

    /// Sets a record aside when it comes: it killed the process too often.
    pub fn quarantine(&mut self, topic: &str, partition: i32, offset: i64) {
        self.quarantined.insert((topic.to_owned(), partition, offset));
    }

    /// What waits, for metrics and readiness.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Forgets what waits: the group is joined anew, and everything unsaved is read again.
    pub fn forget(&mut self) {
        self.holds.clear();
    }

    /// Forgets what waits in partitions that are no longer ours.
    pub fn keep_only(&mut self, assigned: &[TopicPartition]) {
        self.holds.keep_only(assigned);
    }

    /// Handles a batch. `now` in unix milliseconds.
    pub fn map<T: Traces>(&mut self, batch: Vec<Received>, flows: &dyn Flows, traces: &mut T, now: i64) -> Plan {
        let mut plan = Plan::default();
        let mut steps: Vec<Step> = Vec::with_capacity(batch.len());
        for received in batch {
            let partition = TopicPartition::of(&received);
            if self.holds.contains(&partition) {
                self.holds.append(&partition, received);
                continue;
            }
            match self.step(received, flows, traces, now) {
                Ok(step) => steps.push(step),
                Err((reason, received)) => self.begin_hold(reason, vec![received], &mut plan),
            }
        }
        let steps = self.break_flows(steps, flows, &mut plan);
        plan.handled = steps.into_iter().map(|step| step.handled).collect();
        let mut ends: BTreeMap<(&str, i32), Next> = BTreeMap::new();
        for handled in &plan.handled {
            let at = &handled.received;
            ends.insert((at.topic.as_str(), at.partition), Next::after(at));
        }
        plan.commits = ends.into_values().collect();
        plan
    }

    /// Handles one record, or says why its partition must wait.
    fn step<T: Traces>(
        &self,
        received: Received,
        flows: &dyn Flows,
        traces: &mut T,
        now: i64,
    ) -> Result<Step, (Reason, Received)> {
        let extracted = match self.read(&received) {
            Ok(extracted) => extracted,
            Err(fault) => {
                let (letter, tenant, flow, version) = letter::of_unread(&received, &fault, now);
                let handled = Handled {
                    output: vec![letter::outgoing(letter)],
                    received,
                    tenant,
                    flow,
                    outcome: Outcome::DeadLetter,
                    fault: Some(fault),
                };
                return Ok(Step { handled, version });
            }
        };
        let (flow, version) = (extracted.flow.clone(), extracted.flow_version.clone());
        if self.breaker.is_open(&flow, &version) {
            return Err((Reason::Failing { flow, version }, received));
        }
        let Some(definition) = flows.get(&flow, &version) else {
            return Err((Reason::VersionLate { flow, version }, received));
        };
        let at = ExtractedAt { partition: received.partition, offset: received.offset };
        let (trace, span) = traces.begin(&flow, &extracted.trace);
        let output = map::map(&extracted, at, definition.as_ref(), trace);
        drop(span);
        let tenant = extracted.tenant.clone();
        let handled = match output {
            Ok(output) => {
                let outcome = if output.is_empty() { Outcome::Skipped } else { Outcome::Mapped };
                Handled { received, tenant, flow, outcome, fault: None, output }
            }
            Err(fault) => {
                let letter = letter::of_extracted(&received, &extracted, trace, &fault, now);
                let output = vec![letter::outgoing(letter)];
                Handled { received, tenant, flow, outcome: Outcome::DeadLetter, fault: Some(fault), output }
            }
        };
        Ok(Step { handled, version })
    }

    /// Reads the envelope.
    fn read(&self, received: &Received) -> Result<Extracted, Fault> {
        let place = letter::place(received);
        if self.quarantined.contains(&(received.topic.clone(), received.partition, received.offset)) {
            let detail = "the process died three times with this record in hand";
            return Err(Fault::new(Code::RecordQuarantined, detail).of_record(place));
        }
        let unreadable = |detail: String| Fault::new(Code::RecordUnreadable, detail).of_record(place.clone());
        let extracted = Extracted::from_record(&received.record).map_err(|error| unreadable(error.to_string()))?;
        if received.topic != topic::extracted(&extracted.flow) {
            return Err(unreadable(format!("a record of flow {} lies in the topic of another", extracted.flow)));
        }
        Ok(extracted)
    }

    /// Takes the batch into the breaker's count, and moves to the holds what must not be written any more.
    fn break_flows(&mut self, steps: Vec<Step>, flows: &dyn Flows, plan: &mut Plan) -> Vec<Step> {
        // Records of a version that was replaced are not held back: whoever published the new one knows.
        let mut counted: BTreeMap<(FlowName, FlowVersion), bool> = BTreeMap::new();
        for step in &steps {
            let (flow, version) = (&step.handled.flow, &step.version);
            let counts = *counted
                .entry((flow.clone(), version.clone()))
                .or_insert_with(|| flows.current(flow).is_none_or(|current| current == *version));
            let unread = step.handled.fault.as_ref().is_some_and(|fault| letter::is_of_the_record(fault.code));
            if counts && !unread {
                self.breaker.count(flow, version, step.handled.fault.as_ref());
            }
        }
        let opened: Vec<(FlowName, FlowVersion)> =
            counted.into_keys().filter(|(flow, version)| self.breaker.opens(flow, version)).collect();
        if opened.is_empty() {
            return steps;
        }
        let mut kept = Vec::with_capacity(steps.len());
        let mut stopped: BTreeMap<TopicPartition, (Reason, Vec<Received>)> = BTreeMap::new();
        for step in steps {
            let partition = TopicPartition::of(&step.handled.received);
            let (flow, version) = (step.handled.flow.clone(), step.version.clone());
            if let Some((_, records)) = stopped.get_mut(&partition) {
                records.push(step.handled.received);
            } else if step.handled.fault.is_some() && opened.contains(&(flow.clone(), version.clone())) {
                stopped.insert(partition, (Reason::Failing { flow, version }, vec![step.handled.received]));
            } else {
                kept.push(step);
            }
        }
        for (reason, records) in stopped.into_values() {
            self.begin_hold(reason, records, plan);
        }
        kept
    }

    fn begin_hold(&mut self, reason: Reason, records: Vec<Received>, plan: &mut Plan) {
        let Some(first) = records.first() else { return };
        let partition = TopicPartition::of(first);
        let hold = Hold::new(partition.clone(), reason, first.offset);
        plan.alerts.push(hold.fault(self.breaker.words(hold.reason())));
        plan.pause.push(partition.clone());
        self.holds.begin(hold, records);
    }

    /// Ends the waits that what is published now answers.
    pub fn release(&mut self, flows: &dyn Flows) -> Released {
        self.breaker.forget(|flow, version| flows.current(flow).is_some_and(|current| current != *version));
        let breaker = &self.breaker;
        self.holds.release(|reason| match reason {
            Reason::VersionLate { flow, version } => flows.get(flow, version).is_some(),
            Reason::Failing { flow, version } => !breaker.is_open(flow, version),
        })
    }
}

/// The letter that takes the place of a record's bills when they cannot be written.
pub fn refuse(handled: &Handled, fault: &Fault, now: i64) -> Outgoing {
    let letter = match Extracted::from_record(&handled.received.record) {
        Ok(extracted) => letter::of_extracted(&handled.received, &extracted, extracted.trace, fault, now),
        Err(_) => letter::of_unread(&handled.received, fault, now).0,
    };
    letter::outgoing(letter)
}

/// The stage's name in letters and metrics.
pub const STAGE: Stage = Stage::Transform;

#[cfg(test)]
mod tests;
