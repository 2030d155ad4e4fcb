//! What comes in: partitions with their ledger, and records, each held against what is known of its key.

use std::sync::Arc;
use std::time::Duration;

use document::{
    Code, DeadLetter, Digest, Fault, FlowName, Mapped, Received, Tenant, TraceParent, Version, header, topic,
};
use serde_json::value::RawValue;

use super::event::{Assigned, Ended, Observation, PartitionId, Refusal};
use super::ledger::{self, End, Entry, InTarget, Intent, Reached, Since};
use super::partition::{Item, ItemRef, LeftOpen, Partition, Purpose, State};
use super::rules::OnChange;
use super::{Core, Facts, FactsFailed, Fate};

/// A ledger that was begun anew within this is one whose last saves may still settle, however the clock was set meanwhile.
const SETTLES_WITHIN: i64 = 86_400_000;

/// A person's word on a document in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Absent,
    AppliedAs(String),
}

fn read_verdict(text: &str) -> Option<Verdict> {
    match text.trim() {
        "absent" => Some(Verdict::Absent),
        other => {
            let id = other.strip_prefix("applied as ")?.trim();
            (!id.is_empty()).then(|| Verdict::AppliedAs(id.to_owned()))
        }
    }
}

impl Core {
    pub(super) fn assigned(&mut self, assigned: Assigned, facts: &dyn Facts) -> Result<(), FactsFailed> {
        let id = assigned.partition;
        // Should it come twice without having gone, the first time is forgotten as if it had gone.
        self.revoked(&id);
        let mut partition = Partition::default();
        let open_settle = self.now.mono + self.numbers.send_deadline + self.numbers.settle();
        let since = facts.get(&id, ledger::SINCE_KEY.as_bytes())?;
        // Whoever has everything looked up first says that the ledger cannot be relied on, whatever it was before.
        if assigned.ledger_lost || (since.is_none() && self.numbers.verify_first) {
            partition.trusted_from = Some(self.now.wall);
            partition.distrust_until = Some(open_settle);
            self.pending.since.push((id.clone(), Since::new(self.now.wall)));
            let detail = if assigned.ledger_lost {
                "an offset is committed but the ledger has no earlier owner"
            } else {
                "the ledger is relied on only from now on, as ledger.verify_first says"
            };
            self.observe(Observation::Alert(Fault::new(Code::LedgerLost, detail).of_record(id.to_string())));
        } else if let Some(bytes) = since {
            let at = match ledger::read::<Since>(ledger::SINCE_KEY, &bytes) {
                Ok(since) => since.at,
                Err(error) => self.distrust(&id, &error),
            };
            partition.trusted_from = Some(at);
            // Who wrote it may have died before the saves of the life before it had settled.
            if self.now.wall.saturating_sub(at) < SETTLES_WITHIN {
                partition.distrust_until = Some(open_settle);
            }
        }
        for (key, bytes) in facts.intents(&id)? {
            let key = String::from_utf8_lossy(&key).into_owned();
            let batch = key.strip_prefix(ledger::INTENT_PREFIX).unwrap_or(&key).to_owned();
            let intent = match ledger::read::<Intent>(&key, &bytes) {
                Ok(intent) => intent,
                Err(error) => {
                    partition.trusted_from = Some(self.distrust(&id, &error));
                    partition.distrust_until = Some(open_settle);
                    continue;
                }
            };
            let settle = match self.fates.get(&batch) {
                Some(Fate::NeverSent) => {
                    self.pending.left.insert((id.clone(), batch));
                    continue;
                }
                Some(Fate::Closed) => self.now.mono,
                Some(Fate::OpenSince(sent)) => *sent + self.numbers.settle(),
                None => open_settle,
            };
            for document in &intent.documents {
                partition.left_open.insert(
                    document.key.clone(),
                    LeftOpen {
                        batch: batch.clone(),
                        version: document.version,
                        offset: document.offset,
                        first: document.first,
                        settle,
                    },
                );
            }
            partition.intents.insert(batch, intent);
        }
        self.partitions.insert(id, partition);
        Ok(())
    }

    /// Tells that a ledger value is unreadable. Gives the instant before which nothing is taken on trust.
    fn distrust(&mut self, id: &PartitionId, error: &ledger::Unreadable) -> i64 {
        self.observe(Observation::Alert(
            Fault::new(Code::LedgerUnreadable, error.to_string()).of_record(format!("{id} {}", error.key)),
        ));
        self.now.wall
    }

    /// Nothing new is begun for the partition from now on.
    pub(super) fn revoking(&mut self, id: &PartitionId) {
        for at in self.items_of(id) {
            if self.item(&at).is_some_and(|item| !item.is_busy()) {
                self.unqueue(&at);
                self.leave_group(&at);
            }
        }
        if let Some(partition) = self.partitions.get_mut(id) {
            partition.revoking = true;
        }
    }

    fn items_of(&self, id: &PartitionId) -> Vec<ItemRef> {
        let Some(partition) = self.partitions.get(id) else { return Vec::new() };
        let items = partition.items.values();
        items.map(|item| ItemRef { arrival: item.arrival, partition: id.clone(), offset: item.offset }).collect()
    }

    pub(super) fn revoked(&mut self, id: &PartitionId) {
        let items = self.items_of(id);
        for at in &items {
            self.unqueue(at);
            self.leave_group(at);
        }
        for call in self.calls.values() {
            if let Some(batch) = call.batch.as_ref().filter(|_| call.items.iter().any(|at| at.partition == *id)) {
                let sent = call.sent + self.numbers.connect_allowance;
                self.fates.insert(batch.clone(), Fate::OpenSince(sent));
            }
        }
        self.partitions.remove(id);
        self.pending.forget(id);
    }

    pub(super) fn received(&mut self, received: Received, facts: &dyn Facts) -> Result<(), FactsFailed> {
        let Some(flow) = topic::flow_of(&received.topic) else { return Ok(()) };
        let id = PartitionId { flow, partition: received.partition };
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };
        if partition.revoking || partition.read_to.is_some_and(|next| received.offset < next) {
            return Ok(());
        }
        partition.read_to = Some(received.offset + 1);
        let (mapped, unreadable) = read(&received);
        let mapped = mapped.unwrap_or_else(|| stand_in(&id.flow, &received));
        let value: Arc<[u8]> = mapped.value.as_slice().into();
        partition.bytes += value.len();
        self.arrivals += 1;
        let key = mapped.target_key.clone();
        let at = ItemRef { arrival: self.arrivals, partition: id, offset: received.offset };
        let item = Item {
            arrival: self.arrivals,
            offset: received.offset,
            timestamp: received.timestamp,
            mapped: Mapped { value: Vec::new(), ..mapped },
            value,
            headers: DeadLetter::headers_of(&received.record.headers),
            verdict: received.record.headers.get(header::VERDICT).map(str::to_owned),
            rules: None,
            current: true,
            state: State::Queued,
            entry: None,
            intent: None,
            first_intent: None,
            unknowns: 0,
            probes: 0,
            advances: 0,
            group: None,
            update: None,
        };
        partition.items.insert(received.offset, item);
        let holders = partition.keys.entry(key).or_default();
        holders.push_back(received.offset);
        let first = holders.len() == 1;
        match unreadable {
            Some(detail) => {
                self.park_unreadable(&at, &received, detail);
                Ok(())
            }
            None if first => self.admit(&at, facts),
            None => Ok(()),
        }
    }

    /// Decides what becomes of a record now that its key is free.
    pub(super) fn admit(&mut self, at: &ItemRef, facts: &dyn Facts) -> Result<(), FactsFailed> {
        super::unless_gone(self.try_admit(at, facts))
    }

    fn try_admit(&mut self, at: &ItemRef, facts: &dyn Facts) -> Result<(), FactsFailed> {
        let Some(item) = self.item(at) else { return Ok(()) };
        let (flow, version) = (at.partition.flow.clone(), item.mapped.flow_version.clone());
        let Some(rules) = facts.rules(&flow, &version) else {
            if self.missing_versions.insert((flow.clone(), version.clone())) {
                self.observe(Observation::Alert(
                    Fault::new(Code::FlowVersionMissing, "records wait for a flow version that is not known here")
                        .of_record(format!("{flow}@{version}")),
                ));
            }
            self.set_state(at, State::NoRules);
            return Ok(());
        };
        let current = facts.is_current(&flow, &version);
        let key = ledger::entry_key(item.key());
        let stored = facts.get(&at.partition, key.as_bytes())?;
        let Some(item) = self.item_mut(at) else { return Ok(()) };
        item.rules = Some(rules);
        item.current = current;
        let mut distrusted = false;
        let entry = match stored.map(|bytes| ledger::read::<Entry>(&key, &bytes)).transpose() {
            Ok(entry) => entry,
            Err(error) => {
                distrusted = true;
                self.distrust(&at.partition, &error);
                None
            }
        };
        self.judge(at, entry, distrusted);
        Ok(())
    }

    fn judge(&mut self, at: &ItemRef, entry: Option<Entry>, distrusted: bool) {
        let Some(item) = self.item_mut(at) else { return };
        item.entry.clone_from(&entry);
        let (version, document, replay) = (item.version(), item.document().clone(), item.mapped.replay.clone());
        let text = item.verdict.clone();
        let verdict = text.as_deref().and_then(read_verdict);
        if let (Some(text), None) = (text, &verdict) {
            // No word at all: what is in doubt stays so, and what the ledger knows of other versions stands.
            return self.park_beside_entry(at, Code::Verdict, format!("the verdict {text:?} does not read"));
        }
        let entry = match (entry, verdict) {
            (None, Some(verdict)) => return self.obey(at, verdict),
            (None, None) => return self.begin(at, distrusted),
            // A word is about the version that is in doubt. One that has ended since, and any other, is judged as ever.
            (Some(entry), Some(verdict))
                if entry.document == document
                    && entry.version == version
                    && matches!(entry.end, None | Some(End::InDoubt)) =>
            {
                return self.obey(at, verdict);
            }
            (Some(entry), _) => entry,
        };
        if entry.document != document {
            let detail = format!("the target key belongs to document {}", entry.document);
            return self.collide(at, detail);
        }
        #[cfg(feature = "ablation")]
        let guarded = self.numbers.off != Some(super::ablation::Rule::VersionGuard);
        #[cfg(not(feature = "ablation"))]
        let guarded = true;
        if version < entry.version && guarded {
            return self.drop_stale(at, Ended::Superseded);
        }
        if version != entry.version {
            return self.judge_newer(at, &entry, distrusted);
        }
        let in_target = self.item(at).is_some_and(Item::is_in_target);
        match (entry.end, replay) {
            (Some(_), None) | (Some(End::Applied), Some(_)) => self.drop_stale(at, Ended::Superseded),
            (Some(_), Some(replay)) if entry.replays.contains(&replay) => self.drop_stale(at, Ended::Superseded),
            (Some(End::InDoubt), Some(_)) => self.resolve(at, self.now.mono + self.numbers.settle()),
            (None | Some(End::Parked), _) if in_target => self.read_status(at),
            (None | Some(End::Parked), _) => match &entry.target {
                Some(older) => self.judge_change(at, older),
                None => self.look_up(at, self.settled(at)),
            },
        }
    }

    /// A version newer than what the ledger has.
    fn judge_newer(&mut self, at: &ItemRef, entry: &Entry, distrusted: bool) {
        let Some(item) = self.item(at) else { return };
        if entry.end == Some(End::InDoubt) {
            let detail = format!("version {} of the document is in doubt", entry.version);
            return self.park_held(at, detail);
        }
        let Some(target) = &entry.target else {
            let was_conflict = matches!(entry.code, Some(Code::Conflict | Code::NumberTaken));
            return if was_conflict { self.look_up(at, self.settled(at)) } else { self.begin(at, distrusted) };
        };
        let wanted = item.rules.as_ref().map_or(Reached::Saved, |rules| rules.wanted);
        if target.digest == item.mapped.digest && item.mapped.replay.is_none() {
            if target.reached < wanted {
                return self.read_status(at);
            }
            // What lies between the two and was not loaded is overtaken by this one, which stands in the target. The ledger
            // has to know, or one of them that comes late would be loaded over it.
            let overtakes = entry.end != Some(End::Applied) || entry.changed.is_some();
            let outcome = if overtakes { Ended::Applied } else { Ended::Superseded };
            return self.stands(at, target.clone(), outcome);
        }
        self.judge_change(at, target);
    }

    /// A version whose content is in the target already.
    fn stands(&mut self, at: &ItemRef, target: InTarget, outcome: Ended) {
        if self.resume_left_open(at) {
            return;
        }
        self.note_in_target(at, target.id, target.reached);
        self.end_standing(at, outcome);
    }

    /// A content that differs from what we loaded under the key.
    fn judge_change(&mut self, at: &ItemRef, target: &InTarget) {
        let Some(item) = self.item(at) else { return };
        match item.rules.as_ref().map_or(OnChange::Park, |rules| rules.on_change) {
            OnChange::Skip => self.drop_stale(at, Ended::Skipped),
            OnChange::Park => {
                let detail = format!("version {} was loaded as {}", target.version, target.id);
                self.park_plainly(at, Code::ChangedAfterLoad, detail);
            }
            OnChange::Update => {
                let id = target.id.clone();
                if let Some(item) = self.item_mut(at) {
                    item.update = Some(id);
                }
                let due = self.settled(at);
                // An update whose outcome an earlier owner left open is resolved like any save.
                if !self.resume_left_open(at) {
                    self.set_state(at, State::Probe { purpose: Purpose::BeforeUpdate, due, settle: due });
                }
            }
        }
    }

    /// When no save of an earlier owner can be on its way any more, of those that the ledger does not tell of: where an intent
    /// does not read, each has its time first.
    fn settled(&self, at: &ItemRef) -> Duration {
        let distrusted = self.partitions.get(&at.partition).and_then(|partition| partition.distrust_until);
        distrusted.map_or(self.now.mono, |until| until.max(self.now.mono))
    }

    /// A document that is not in the target by our doing, as far as the ledger knows.
    fn begin(&mut self, at: &ItemRef, distrusted: bool) {
        if self.resume_left_open(at) {
            return;
        }
        let (Some(item), Some(partition)) = (self.item(at), self.partitions.get(&at.partition)) else { return };
        let created = item.mapped.created.map(|seconds| seconds.saturating_mul(1_000));
        let after = |instant: i64| created.is_some_and(|created| created > instant);
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let allowance = millis(self.numbers.clock_allowance);
        // The clock of the source made that date.
        let trusted = partition.trusted_from.is_none_or(|from| after(from.saturating_add(allowance)));
        let known_new = trusted && after(self.now.wall.saturating_sub(millis(self.numbers.horizon)));
        // What was created since then is nowhere on its way.
        let settle = partition.distrust_until.filter(|_| !trusted).unwrap_or(self.now.mono);
        if distrusted {
            return self.look_up(at, self.now.mono + self.numbers.send_deadline + self.numbers.settle());
        }
        if known_new && !self.numbers.verify_first {
            self.set_state(at, State::Ready);
        } else {
            self.look_up(at, settle);
        }
    }

    /// Goes on with what an earlier owner left open under the record's key. Whether there was such a thing.
    fn resume_left_open(&mut self, at: &ItemRef) -> bool {
        let Some(item) = self.item(at) else { return false };
        let (key, version, offset) = (item.key().clone(), item.version(), item.offset);
        let Some(partition) = self.partitions.get_mut(&at.partition) else { return false };
        let Some(left) = partition.left_open.get(&key).cloned() else { return false };
        if left.version != version || left.offset != offset {
            // Its record cannot be read any more, so its content cannot be compared: only a person can tell.
            partition.left_open.remove(&key);
            if let Some(item) = self.item_mut(at) {
                item.intent = Some(left.batch);
            }
            self.park_held(at, format!("a save of version {} is open, its record is gone", left.version));
            return true;
        }
        partition.left_open.remove(&key);
        let now = self.now.mono;
        if let Some(item) = self.item_mut(at) {
            item.intent = Some(left.batch);
            item.first_intent = Some(left.first);
            item.unknowns = 1;
        }
        self.set_state(at, State::Probe { purpose: Purpose::Resolve, due: now, settle: left.settle });
        true
    }

    pub(super) fn look_up(&mut self, at: &ItemRef, settle: Duration) {
        if self.resume_left_open(at) {
            return;
        }
        self.set_state(at, State::Probe { purpose: Purpose::LookUp, due: self.now.mono, settle });
    }

    /// Finds out what became of an earlier save. To find nothing proves nothing where the target does not keep keys.
    fn resolve(&mut self, at: &ItemRef, settle: Duration) {
        if let Some(item) = self.item_mut(at) {
            // What the save was to change is still there until it is done.
            let older = item.entry.as_ref().and_then(|entry| entry.target.as_ref());
            item.update = older.filter(|target| target.version != item.version()).map(|target| target.id.clone());
        }
        if self.resume_left_open(at) {
            return;
        }
        self.set_state(at, State::Probe { purpose: Purpose::Resolve, due: self.now.mono, settle });
    }

    pub(super) fn read_status(&mut self, at: &ItemRef) {
        let now = self.now.mono;
        if self.resume_left_open(at) {
            return;
        }
        self.set_state(at, State::Probe { purpose: Purpose::Status(Vec::new()), due: now, settle: now });
    }

    /// A person has looked. What was in doubt is open again; what else is known of the document stays known.
    fn obey(&mut self, at: &ItemRef, verdict: Verdict) {
        let mut entry = self.entry_of(at);
        (entry.end, entry.code, entry.letter) = (None, None, None);
        let Some(item) = self.item_mut(at) else { return };
        let older = entry.target.clone().filter(|target| target.version != entry.version);
        item.entry = Some(entry);
        let wanted = item.rules.as_ref().map_or(Reached::Saved, |rules| rules.wanted);
        let in_target = item.is_in_target();
        match verdict {
            Verdict::AppliedAs(id) => {
                self.note_in_target(at, id, wanted);
                self.end_applied(at);
            }
            // The word is taken, and still looked at: a probe costs little, a duplicate much.
            Verdict::Absent => match older {
                _ if in_target => self.read_status(at),
                Some(older) => self.judge_change(at, &older),
                None => self.look_up(at, self.settled(at)),
            },
        }
    }

    /// A record of a document whose key is another document's.
    fn collide(&mut self, at: &ItemRef, detail: String) {
        self.park_beside_entry(at, Code::Collision, detail);
    }

    pub(super) fn tick(&mut self, facts: &dyn Facts) -> Result<(), FactsFailed> {
        let waiting: Vec<ItemRef> = self.waiting_for_rules.iter().cloned().collect();
        for at in waiting {
            let Some(version) = self.item(&at).map(|item| item.mapped.flow_version.clone()) else { continue };
            if facts.rules(&at.partition.flow, &version).is_some() {
                self.missing_versions.remove(&(at.partition.flow.clone(), version));
                self.waiting_for_rules.remove(&at);
                self.admit(&at, facts)?;
            }
        }
        let now = self.now.mono;
        let mut again = Vec::new();
        for target in self.targets.values_mut() {
            for queue in target.queues.values_mut() {
                if queue.paused_until.is_some_and(|until| now >= until) {
                    queue.paused_until = None;
                    queue.breakers.values_mut().for_each(super::FlowBreaker::clear);
                    again.extend(queue.withheld.iter().cloned());
                }
            }
        }
        for at in again {
            self.unqueue(&at);
            if let Some(item) = self.item_mut(&at) {
                item.state = State::Queued;
            }
            self.admit(&at, facts)?;
        }
        Ok(())
    }

    fn park_unreadable(&mut self, at: &ItemRef, received: &Received, detail: String) {
        let refusal = Refusal {
            field: None,
            message: detail,
            code: Code::RecordUnreadable,
            category: Code::RecordUnreadable.category(),
            timed: false,
        };
        if let Some(item) = self.item_mut(at) {
            item.value = received.record.value.clone().unwrap_or_default().into();
        }
        self.letter_only(at, refusal);
    }
}

/// The document as far as the record reads as one, and what is wrong with it: the value must be one JSON object.
fn read(received: &Received) -> (Option<Mapped>, Option<String>) {
    let mapped = match Mapped::from_record(&received.record) {
        Ok(mapped) => mapped,
        Err(error) => return (None, Some(error.to_string())),
    };
    let wrong = match serde_json::from_slice::<&RawValue>(&mapped.value) {
        Ok(value) if value.get().starts_with('{') => None,
        Ok(_) => Some("the value is not a JSON object".to_owned()),
        Err(error) => Some(format!("the value is not JSON: {error}")),
    };
    (Some(mapped), wrong)
}

/// Stands for a record that cannot be read: its place is its name.
fn stand_in(flow: &FlowName, received: &Received) -> Mapped {
    let place = format!("{}/{}/{}", received.topic, received.partition, received.offset);
    Mapped {
        tenant: Tenant::default(),
        flow: flow.clone(),
        flow_version: "unknown".into(),
        document_key: place.as_str().into(),
        target_key: place.as_str().into(),
        version: Version(0),
        digest: Digest([0; 16]),
        created: None,
        source: None,
        trace: TraceParent { trace_id: [0; 16], span_id: [0; 8], flags: 0 },
        replay: None,
        value: received.record.value.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_two_words() {
        assert_eq!(read_verdict("absent"), Some(Verdict::Absent));
        assert_eq!(read_verdict(" applied as 100029 "), Some(Verdict::AppliedAs("100029".to_owned())));
        for bad in ["", "applied", "applied as ", "gone"] {
            assert_eq!(read_verdict(bad), None, "{bad}");
        }
    }
}
