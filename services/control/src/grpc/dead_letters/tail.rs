//! Every change of letters, read from the two topics that tell of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use document::{Code, DeadLetter, DeadLetterId, Fault, Received, topic};
use queue::{FlowRegistry, Next};
use serde::{Deserialize, Serialize};
use starbridge_proto::v1;
use tokio::sync::mpsc::Sender;
use tonic::Status;

use super::super::status::status;
use super::super::{Shared, blocking, show};
use crate::index::{Index, LetterRow};
use crate::letter::LetterEvent;
use crate::selector::Selector;

/// The topics that tell of letters.
const TOPICS: [&str; 2] = [topic::DEAD_LETTERS, topic::DEAD_LETTER_EVENTS];
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// Records taken of a partition in one look.
const LOOK: usize = 1_000;

/// The next record to tell of, by topic and partition. Written as JSON in base64, so that nobody takes it for something to
/// be put together by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Positions(BTreeMap<String, BTreeMap<i32, i64>>);

impl Positions {
    /// Behind the change of this position; behind everything the index has read where there is none.
    ///
    /// # Errors
    /// `E_PAGE_TOKEN` for a position that does not read; `E_INDEX`.
    pub(super) fn begin(shared: &Shared, text: &str) -> Result<Self, Fault> {
        let now = blocking(|| Self::of(&shared.index))?;
        if text.is_empty() { Ok(now) } else { Self::read(text) }
    }

    /// How far the index has read.
    fn of(index: &Index) -> Result<Self, Fault> {
        let mut positions = Self::default();
        for ((topic, partition), next) in index.positions()? {
            if TOPICS.contains(&topic.as_str()) {
                positions.set(&topic, partition, next);
            }
        }
        Ok(positions)
    }

    fn read(text: &str) -> Result<Self, Fault> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let read: Option<Self> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        // A position leads to no other topic.
        read.filter(|read| read.0.keys().all(|topic| TOPICS.contains(&topic.as_str())))
            .ok_or_else(|| Fault::new(Code::PageToken, "the position does not read").at_path("$.position"))
    }

    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("texts and numbers"))
    }

    fn get(&self, topic: &str, partition: i32) -> i64 {
        // A partition that nothing is known of is told of from its first record on.
        self.0.get(topic).and_then(|partitions| partitions.get(&partition)).copied().unwrap_or(0)
    }

    fn set(&mut self, topic: &str, partition: i32, next: i64) {
        self.0.entry(topic.to_owned()).or_default().insert(partition, next);
    }

    /// Stretches that `ahead` has and this has not: from where on, and up to where.
    fn behind(&self, ahead: &Self) -> Vec<(Next, i64)> {
        let all = ahead
            .0
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |(partition, end)| (topic, *partition, *end)));
        let open = all.filter(|(topic, partition, end)| self.get(topic, *partition) < *end);
        open.map(|(topic, partition, end)| (Next::at(topic, partition, self.get(topic, partition)), end)).collect()
    }
}

/// Sends changes until nobody listens any more, or they cannot be read: the caller then goes on from the last position.
pub(super) async fn follow(
    shared: Arc<Shared>,
    selector: Selector,
    mut from: Positions,
    to: Sender<Result<v1::TailDeadLettersResponse, Status>>,
) {
    let mut changes = shared.progress.changes();
    let begin = v1::TailDeadLettersResponse { position: from.write(), ..v1::TailDeadLettersResponse::default() };
    if to.send(Ok(begin)).await.is_err() {
        return;
    }
    loop {
        let (told, is_all) = match look(&shared, &selector, &mut from).await {
            Ok(looked) => looked,
            Err(fault) => {
                // Whoever does not listen any more need not hear of it.
                drop(to.send(Err(status(&fault))).await);
                return;
            }
        };
        for change in told {
            if to.send(Ok(change)).await.is_err() {
                return;
            }
        }
        if is_all {
            tokio::select! {
                () = to.closed() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What happened since `from`, which is moved on, and whether that is all the index has read.
async fn look(
    shared: &Shared,
    selector: &Selector,
    from: &mut Positions,
) -> Result<(Vec<v1::TailDeadLettersResponse>, bool), Fault> {
    // No further than the index: a letter is there before its changes are told.
    let ahead = blocking(|| Positions::of(&shared.index))?;
    let mut records = Vec::new();
    for (next, end) in from.behind(&ahead) {
        let (topic, partition) = (next.topic.clone(), next.partition);
        let stretch = shared.peek.stretch(next, LOOK, move |record| record.offset < end).await;
        let stretch = stretch.map_err(|error| error.fault())?;
        // Offsets without a record, such as marks of transactions, are passed over with the rest.
        let behind_last = stretch.last().filter(|_| stretch.len() >= LOOK).map_or(end, |last| last.offset + 1);
        from.set(&topic, partition, behind_last);
        records.extend(stretch);
    }
    records.sort_by_key(|record| record.timestamp);
    let now = shared.clock.millis();
    let mut told = Vec::new();
    for record in records {
        let change = blocking(|| change(&shared.index, &record, selector, now))?;
        told.extend(change.map(|change| change.shown(&shared.flows)));
    }
    // Records of several partitions are told together: to go on behind one of them is to go on behind all of them.
    if let Some(last) = told.last_mut() {
        last.position = from.write();
    }
    Ok((told, from.behind(&ahead).is_empty()))
}

/// One change of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    /// The letter after it.
    row: LetterRow,
    change: v1::DeadLetterChange,
    /// Unix milliseconds.
    at: i64,
    /// Who decided; empty for what nobody did.
    by: String,
}

impl Told {
    fn shown(self, flows: &FlowRegistry) -> v1::TailDeadLettersResponse {
        v1::TailDeadLettersResponse {
            dead_letter: Some(v1::DeadLetter { state_by: self.by, ..show::row(flows, &self.row) }),
            change: self.change.into(),
            at: Some(show::time(self.at)),
            position: String::new(),
        }
    }
}

/// What a record tells of a letter that the selector wants; nothing where it tells of none.
fn change(index: &Index, record: &Received, selector: &Selector, now: i64) -> Result<Option<Told>, Fault> {
    let told =
        |row: Option<LetterRow>, change, at, by: &str| row.map(|row| Told { row, change, at, by: by.to_owned() });
    if record.topic == topic::DEAD_LETTERS {
        let Ok(letter) = DeadLetter::from_record(&record.record) else { return Ok(None) };
        let again = letter.attempts > 1 || letter.replay.is_some();
        let kind = if again { v1::DeadLetterChange::FailedAgain } else { v1::DeadLetterChange::Arrived };
        return Ok(told(index.wanted(&letter.id(), None, selector, now)?, kind, letter.last_failed_at, ""));
    }
    let event = record.record.value.as_deref().and_then(|value| LetterEvent::read(value).ok());
    let (Ok(id), Some(event)) = (std::str::from_utf8(&record.record.key), event) else { return Ok(None) };
    let row = index.wanted(&DeadLetterId(id.to_owned()), Some(&event), selector, now)?;
    Ok(told(row, v1::DeadLetterChange::Decided, event.at, &event.by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letter::State;

    fn letter(attempts: u32) -> DeadLetter {
        DeadLetter {
            tenant: document::Tenant::default(),
            flow: document::FlowName::new("misc").expect("valid"),
            flow_version: "v1".into(),
            document_key: "A".into(),
            version: document::Version(1),
            stage: document::Stage::Load,
            category: document::Category::Validation,
            code: Code::ReferenceMissing,
            message: String::new(),
            field: None,
            origin: None,
            origin_timestamp: None,
            attempts,
            first_failed_at: 5,
            last_failed_at: 6,
            retry_at: None,
            replay: None,
            trace: None,
            headers: document::Headers::new(),
            claim_check: false,
            body: b"{}".to_vec(),
        }
    }

    fn received(topic: &str, offset: i64, record: document::Record) -> Received {
        Received { topic: topic.to_owned(), partition: 0, offset, timestamp: Some(offset), record }
    }

    #[test]
    fn every_change_is_told_as_it_was_whatever_came_after_it() {
        let id = letter(1).id();
        let mut records = vec![
            received(topic::DEAD_LETTERS, 0, letter(1).into_record()),
            received(topic::DEAD_LETTERS, 1, letter(2).into_record()),
        ];
        let mut claimed = LetterEvent::new(State::Open, 2, "li", 10);
        claimed.claimed_by = Some("li".to_owned());
        let states = [
            claimed,
            LetterEvent::new(State::Replaying, 2, "li", 11),
            LetterEvent::new(State::Resolved, 2, "control", 12),
        ];
        let events = (0..).zip(&states).map(|(at, event)| received(topic::DEAD_LETTER_EVENTS, at, event.record(&id)));
        records.extend(events);
        records.push(received(
            topic::DEAD_LETTER_EVENTS,
            3,
            document::Record { key: b"@owner".to_vec(), ..Default::default() },
        ));
        let folder = tempfile::TempDir::new().expect("a scratch folder");
        let index = Index::open(&folder.path().join("index")).expect("opened");
        index.apply(&records).expect("taken in");
        let told = |text: &str| -> Vec<(v1::DeadLetterChange, Option<State>, String, Option<String>)> {
            let selector = Selector::parse(text).expect(text);
            let all = records.iter().filter_map(|record| change(&index, record, &selector, 20).expect("judged"));
            all.map(|told| (told.change, told.row.state, told.by, told.row.claimed_by)).collect()
        };
        let row = |change, state, by: &str, claimed_by: Option<&str>| {
            (change, Some(state), by.to_owned(), claimed_by.map(str::to_owned))
        };
        let decided = [
            row(v1::DeadLetterChange::Decided, State::Open, "li", Some("li")),
            row(v1::DeadLetterChange::Decided, State::Replaying, "li", None),
            row(v1::DeadLetterChange::Decided, State::Resolved, "control", None),
        ];
        let all = told("");
        assert_eq!(all[2..], decided);
        // What arrived is shown as it stands now.
        let came = [v1::DeadLetterChange::Arrived, v1::DeadLetterChange::FailedAgain];
        assert_eq!(all[..2], came.map(|change| row(change, State::Resolved, "", None)));
        assert_eq!(told("state = replaying"), decided[1..2]);
        assert_eq!(told("claimed_by = li"), decided[..1]);
        assert_eq!(told("flow = other"), []);
    }

    #[test]
    fn a_position_leads_on_and_to_no_other_topic() {
        let mut here = Positions::default();
        here.set(topic::DEAD_LETTERS, 0, 7);
        here.set(topic::DEAD_LETTER_EVENTS, 0, 3);
        assert_eq!(Positions::read(&here.write()), Ok(here.clone()));
        let mut ahead = here.clone();
        assert_eq!(here.behind(&ahead), []);
        ahead.set(topic::DEAD_LETTERS, 0, 9);
        ahead.set(topic::DEAD_LETTERS, 4, 1);
        let begins = [(Next::at(topic::DEAD_LETTERS, 0, 7), 9), (Next::at(topic::DEAD_LETTERS, 4, 0), 1)];
        assert_eq!(here.behind(&ahead), begins);
        here.set(topic::AUDIT, 0, 0);
        for text in [here.write().as_str(), "no base64!", "e30x"] {
            let fault = Positions::read(text).expect_err("refused");
            assert_eq!((fault.code, fault.place.path.as_deref()), (Code::PageToken, Some("$.position")));
        }
    }
}
