//! One hash over everything the index says, to show that one filled anew is the same.

use document::Fault;
use rusqlite::types::ValueRef;

use super::Index;

/// Each table in the order of its key. Row numbers are left out: they tell in which order letters first came. So are
/// positions: where the last record of a compacted partition was a deletion, Kafka forgets it in time.
const TABLES: [&str; 6] = [
    "SELECT tenant, flow, flow_version, stage, category, code, state, document, version, target_key, field, attempts, \
     first_failed, last_failed, retry_at, replay, reason, revision, claimed_by, event_by, trace, origin_topic, origin_partition, \
     origin_offset, message, partition, offset, id, headers, body \
     FROM letters INDEXED BY sqlite_autoindex_letters_1 CROSS JOIN bodies USING (row) ORDER BY id",
    "SELECT * FROM earlier ORDER BY id, offset",
    "SELECT id, value, partition, offset FROM events ORDER BY id",
    "SELECT * FROM ends ORDER BY target_key, flow",
    "SELECT * FROM intents ORDER BY flow, key",
    "SELECT * FROM unreadable ORDER BY topic, partition, offset",
];

impl Index {
    /// The BLAKE3 hash, in hex, over letters with bodies, their earlier failures, events, ends, intents and unreadable records.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn digest(&self) -> Result<String, Fault> {
        self.read(|connection| {
            // All tables as of one instant.
            let snapshot = connection.unchecked_transaction()?;
            let mut hasher = blake3::Hasher::new();
            for table in TABLES {
                let mut statement = snapshot.prepare(table)?;
                let columns = statement.column_count();
                let mut rows = statement.query([])?;
                let mut count: u64 = 0;
                while let Some(row) = rows.next()? {
                    count += 1;
                    for column in 0..columns {
                        add(&mut hasher, row.get_ref(column)?);
                    }
                }
                hasher.update(&count.to_be_bytes());
            }
            Ok(hasher.finalize().to_hex().to_string())
        })
    }
}

/// Kind and length go before each value, so that no two rows run into the same bytes.
fn add(hasher: &mut blake3::Hasher, value: ValueRef<'_>) {
    let number;
    let (kind, bytes): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(integer) => {
            number = integer.to_be_bytes();
            (1, &number)
        }
        ValueRef::Real(real) => {
            number = real.to_bits().to_be_bytes();
            (2, &number)
        }
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(bytes) => (4, bytes),
    };
    hasher.update(&[kind]).update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
}
