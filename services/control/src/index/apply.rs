//! Records of Kafka, one batch after the other, into the tables.

use std::collections::HashMap;
use std::sync::PoisonError;

use document::{Code, DeadLetter, Fault, Received, RecordError, topic};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::Index;
use super::earlier;
use super::ledger;
use super::row::version_column;
use super::schema::failed;
use crate::letter::{LetterEvent, State};
use crate::mask::pattern;

/// What a batch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Records that were taken in.
    pub taken: u64,
    /// Records below their partition's position, which were taken in before.
    pub repeated: u64,
    /// Of those taken in, records that could not be read.
    pub unreadable: u64,
}

/// The columns of `letters` that come from the letter's last event.
#[derive(Default)]
struct EventColumns {
    state: Option<&'static str>,
    replay: Option<String>,
    reason: Option<String>,
    revision: u32,
    claimed_by: Option<String>,
    by: Option<String>,
}

impl EventColumns {
    fn of(event: LetterEvent) -> Self {
        Self {
            state: Some(event.state.as_str()),
            replay: event.replay,
            reason: event.reason,
            revision: event.edit.map_or(0, |edit| edit.rev),
            claimed_by: event.claimed_by,
            by: Some(event.by),
        }
    }

    /// Those of a letter to which nothing happened.
    fn none() -> Self {
        Self { state: Some(State::Open.as_str()), ..Self::default() }
    }

    /// Those of a letter whose last event cannot be read.
    fn unreadable() -> Self {
        Self::default()
    }
}

impl Index {
    /// Takes in records in the order of their partitions, and their positions with them, all or nothing. A record
    /// that was taken in before is passed over.
    ///
    /// # Errors
    /// `E_INDEX`; nothing of the batch was taken in. Also for a topic that is not indexed.
    pub fn apply(&self, batch: &[Received]) -> Result<Applied, Fault> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let cannot = failed("records cannot be taken into the index");
        let transaction = writer.transaction().map_err(&cannot)?;
        let mut positions: HashMap<(&str, i32), i64> = HashMap::new();
        let mut applied = Applied::default();
        for received in batch {
            let partition = (received.topic.as_str(), received.partition);
            let next = match positions.get(&partition) {
                Some(next) => *next,
                None => next_offset(&transaction, received).map_err(&cannot)?,
            };
            if received.offset < next {
                applied.repeated += 1;
                continue;
            }
            take(&transaction, received, &mut applied)?;
            positions.insert(partition, received.offset + 1);
        }
        for ((topic, partition), next) in positions {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO positions (topic, partition, next) VALUES (?, ?, ?)")
                .and_then(|mut statement| statement.execute(params![topic, partition, next]))
                .map_err(&cannot)?;
        }
        transaction.commit().map_err(&cannot)?;
        Ok(applied)
    }

    /// Takes out what came from records below `low_watermark`, the first offset that the partition still has.
    /// Answers how many rows went.
    ///
    /// # Errors
    /// `E_INDEX`; nothing was taken out.
    pub fn prune(&self, topic: &str, partition: i32, low_watermark: i64) -> Result<usize, Fault> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut prune = || {
            let transaction = writer.transaction()?;
            let gone = prune(&transaction, topic, partition, low_watermark)?;
            transaction.commit()?;
            Ok(gone)
        };
        prune().map_err(failed("expired records cannot be taken out of the index"))
    }

    /// Forgets a partition whose topic was made anew: what came from it, and how far it was read.
    ///
    /// # Errors
    /// `E_INDEX`; nothing was taken out.
    pub fn forget(&self, topic: &str, partition: i32) -> Result<(), Fault> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut forget = || {
            let transaction = writer.transaction()?;
            prune(&transaction, topic, partition, i64::MAX)?;
            transaction
                .execute("DELETE FROM positions WHERE topic = ? AND partition = ?", params![topic, partition])?;
            transaction.commit()
        };
        forget().map_err(failed("a topic that was made anew cannot be taken out of the index"))
    }
}

fn next_offset(transaction: &Transaction<'_>, received: &Received) -> rusqlite::Result<i64> {
    let next = transaction
        .prepare_cached("SELECT next FROM positions WHERE topic = ? AND partition = ?")?
        .query_row(params![received.topic, received.partition], |row| row.get(0))
        .optional()?;
    Ok(next.unwrap_or(i64::MIN))
}

fn take(transaction: &Transaction<'_>, received: &Received, applied: &mut Applied) -> Result<(), Fault> {
    let cannot = failed("a record cannot be taken into the index");
    let outcome = if received.topic == topic::DEAD_LETTERS {
        match DeadLetter::from_record(&received.record) {
            Ok(letter) => put_letter(transaction, &letter, received).map_err(&cannot)?,
            Err(error) => Err(error),
        }
    } else if received.topic == topic::DEAD_LETTER_EVENTS {
        take_event(transaction, received).map_err(&cannot)?
    } else if received.topic.ends_with(".ledger") && topic::flow_of(&received.topic).is_some() {
        take_end(transaction, received).map_err(&cannot)?
    } else {
        return Err(Fault::new(Code::Index, format!("topic {:?} is not indexed", received.topic)));
    };
    applied.taken += 1;
    if let Err(error) = outcome {
        applied.unreadable += 1;
        put_unreadable(transaction, received, &error).map_err(&cannot)?;
    }
    Ok(())
}

/// What could not be read of a record; the outer result is the store's.
type Read = Result<(), RecordError>;

fn put_letter(transaction: &Transaction<'_>, letter: &DeadLetter, received: &Received) -> rusqlite::Result<Read> {
    let id = letter.id();
    earlier::keep(transaction, &id)?;
    let columns = event_columns(transaction, &id.0)?;
    let target_key = received.record.headers.get("sb-target-key");
    let origin = letter.origin.as_ref();
    // As everybody may see it, whatever asks for it: a condition must not tell, question by question, what is masked.
    let message = pattern::mask(&letter.message);
    let row: i64 = transaction
        .prepare_cached(
            "INSERT INTO letters (id, tenant, flow, flow_version, stage, category, code, document, version, \
             target_key, message, field, attempts, first_failed, last_failed, retry_at, failed_replay, \
             origin_topic, origin_partition, origin_offset, partition, offset, state, event_replay, reason, revision, \
             claimed_by, event_by, trace) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, flow_version = excluded.flow_version, \
             category = excluded.category, code = excluded.code, target_key = excluded.target_key, \
             message = excluded.message, field = excluded.field, attempts = excluded.attempts, \
             first_failed = excluded.first_failed, last_failed = excluded.last_failed, \
             retry_at = excluded.retry_at, failed_replay = excluded.failed_replay, \
             origin_topic = excluded.origin_topic, origin_partition = excluded.origin_partition, \
             origin_offset = excluded.origin_offset, partition = excluded.partition, offset = excluded.offset, \
             trace = excluded.trace RETURNING row",
        )?
        .query_row(
            params![
                id.0,
                letter.tenant.as_str(),
                letter.flow.as_str(),
                letter.flow_version.as_str(),
                letter.stage.as_str(),
                letter.category.as_str(),
                letter.code.as_str(),
                letter.document_key.as_str(),
                version_column(letter.version.0),
                target_key,
                message.as_deref().unwrap_or(&letter.message),
                letter.field,
                letter.attempts,
                letter.first_failed_at,
                letter.last_failed_at,
                letter.retry_at,
                letter.replay,
                origin.map(|(topic, _, _)| topic),
                origin.map(|(_, partition, _)| partition),
                origin.map(|(_, _, offset)| offset),
                received.partition,
                received.offset,
                columns.state,
                columns.replay,
                columns.reason,
                columns.revision,
                columns.claimed_by,
                columns.by,
                letter.trace.map(|trace| hex::encode(trace.trace_id)),
            ],
            |row| row.get(0),
        )?;
    let headers: Vec<(&str, &str)> = received.record.headers.iter().collect();
    let headers = serde_json::to_string(&headers).expect("pairs of texts are JSON");
    transaction
        .prepare_cached("INSERT OR REPLACE INTO bodies (row, headers, body) VALUES (?, ?, ?)")?
        .execute(params![row, headers, letter.body])?;
    Ok(Ok(()))
}

fn event_columns(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<EventColumns> {
    let event: Option<Option<Vec<u8>>> = transaction
        .prepare_cached("SELECT value FROM events WHERE id = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(match event {
        None => EventColumns::none(),
        Some(value) => match value.and_then(|value| LetterEvent::read(&value).ok()) {
            Some(event) => EventColumns::of(event),
            None => EventColumns::unreadable(),
        },
    })
}

fn take_event(transaction: &Transaction<'_>, received: &Received) -> rusqlite::Result<Read> {
    forget_unreadable(transaction, received)?;
    let key = &received.record.key;
    if queue::is_own_key(key) {
        return Ok(Ok(()));
    }
    let Ok(id) = std::str::from_utf8(key) else {
        let detail = "the key is not text".to_owned();
        return Ok(Err(RecordError::ValueUnreadable { expected: "the event of a dead letter", detail }));
    };
    let Some(value) = &received.record.value else {
        transaction.prepare_cached("DELETE FROM events WHERE id = ?")?.execute([id])?;
        set_event(transaction, id, &EventColumns::none())?;
        return Ok(Ok(()));
    };
    let (columns, kept, read) = match LetterEvent::read(value) {
        Ok(event) => (EventColumns::of(event), Some(value), Ok(())),
        // The one before may be gone from the topic by now, and was not the last word in any case.
        Err(error) => (EventColumns::unreadable(), None, Err(error)),
    };
    transaction
        .prepare_cached("INSERT OR REPLACE INTO events (id, value, partition, offset) VALUES (?, ?, ?, ?)")?
        .execute(params![id, kept, received.partition, received.offset])?;
    set_event(transaction, id, &columns)?;
    Ok(read)
}

fn set_event(transaction: &Transaction<'_>, id: &str, columns: &EventColumns) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE letters SET state = ?, event_replay = ?, reason = ?, revision = ?, claimed_by = ?, event_by = ? \
             WHERE id = ?",
        )?
        .execute(params![
            columns.state,
            columns.replay,
            columns.reason,
            columns.revision,
            columns.claimed_by,
            columns.by,
            id
        ])?;
    Ok(())
}

fn take_end(transaction: &Transaction<'_>, received: &Received) -> rusqlite::Result<Read> {
    forget_unreadable(transaction, received)?;
    let Some(flow) = topic::flow_of(&received.topic) else { return Ok(Ok(())) };
    if let Some(intent) = ledger::intent(&received.record.key) {
        take_intent(transaction, received, flow.as_str(), intent)?;
        return Ok(Ok(()));
    }
    let Some(key) = ledger::target_key(&received.record.key) else { return Ok(Ok(())) };
    let read = received.record.value.as_deref().map(|value| (value, ledger::read(value)));
    if let Some((value, Ok(entry))) = read {
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO ends (flow, target_key, document, value, partition, offset) \
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                flow.as_str(),
                key.as_str(),
                entry.document.as_str(),
                value,
                received.partition,
                received.offset
            ])?;
        return Ok(Ok(()));
    }
    transaction
        .prepare_cached("DELETE FROM ends WHERE target_key = ? AND flow = ?")?
        .execute(params![key.as_str(), flow.as_str()])?;
    Ok(read.map_or(Ok(()), |(_, entry)| entry.map(drop)))
}

/// Notes that a save may be on its way, or is not any more.
fn take_intent(transaction: &Transaction<'_>, received: &Received, flow: &str, intent: &str) -> rusqlite::Result<()> {
    match &received.record.value {
        Some(_) => transaction
            .prepare_cached("INSERT OR REPLACE INTO intents (flow, key, partition, offset) VALUES (?, ?, ?, ?)")?
            .execute(params![flow, intent, received.partition, received.offset])?,
        None => transaction
            .prepare_cached("DELETE FROM intents WHERE flow = ? AND key = ?")?
            .execute(params![flow, intent])?,
    };
    Ok(())
}

/// In a compacted topic a record replaces the earlier one of its key, also where that could not be read: Kafka will
/// drop it, and an index that is filled anew would not know it.
fn forget_unreadable(transaction: &Transaction<'_>, received: &Received) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM unreadable WHERE topic = ? AND partition = ? AND key = ?")?
        .execute(params![received.topic, received.partition, received.record.key])?;
    Ok(())
}

fn put_unreadable(transaction: &Transaction<'_>, received: &Received, error: &RecordError) -> rusqlite::Result<()> {
    let place = format!("{}/{}@{}", received.topic, received.partition, received.offset);
    let fault = Fault::new(Code::RecordUnreadable, error.to_string()).of_record(place);
    let fault = serde_json::to_string(&fault).expect("a fault is JSON");
    transaction
        .prepare_cached("INSERT INTO unreadable (topic, partition, offset, key, fault) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![received.topic, received.partition, received.offset, received.record.key, fault])?;
    Ok(())
}

fn prune(transaction: &Transaction<'_>, topic: &str, partition: i32, low: i64) -> rusqlite::Result<usize> {
    let mut gone = transaction.execute(
        "DELETE FROM unreadable WHERE topic = ? AND partition = ? AND offset < ?",
        params![topic, partition, low],
    )?;
    if topic == topic::DEAD_LETTERS {
        transaction.execute(
            "DELETE FROM bodies WHERE row IN (SELECT row FROM letters WHERE partition = ? AND offset < ?)",
            params![partition, low],
        )?;
        transaction.execute("DELETE FROM earlier WHERE partition = ? AND offset < ?", params![partition, low])?;
        gone +=
            transaction.execute("DELETE FROM letters WHERE partition = ? AND offset < ?", params![partition, low])?;
    } else if topic == topic::DEAD_LETTER_EVENTS {
        let mut expired = transaction.prepare("SELECT id FROM events WHERE partition = ? AND offset < ?")?;
        let ids: Vec<String> =
            expired.query_map(params![partition, low], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        for id in &ids {
            transaction.prepare_cached("DELETE FROM events WHERE id = ?")?.execute([id])?;
            set_event(transaction, id, &EventColumns::none())?;
        }
        gone += ids.len();
    } else if let Some(flow) = topic::flow_of(topic) {
        for table in ["ends", "intents"] {
            gone += transaction.execute(
                &format!("DELETE FROM {table} WHERE flow = ? AND partition = ? AND offset < ?"),
                params![flow.as_str(), partition, low],
            )?;
        }
    }
    Ok(gone)
}
