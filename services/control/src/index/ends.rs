//! Beside the letters: what the loader noted of documents, and records that could not be read.

use document::{Code, DocumentKey, Fault, FlowName, TargetKey};
use rusqlite::{Row, ToSql, params};

use super::Index;
use super::ledger::{self, End};
use super::row::count;
use super::schema::failed;

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it lies.
    pub at: UnreadableAt,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Where an unreadable record lies. In the order of lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnreadableAt {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What of a flow the loader has begun and not brought to a known end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Saves that may be on their way.
    pub intents: u64,
    /// Documents with steps missing.
    pub begun: u64,
    /// Documents of which nobody knows whether the target has them.
    pub in_doubt: u64,
}

impl Index {
    /// What of a flow is begun and not at a known end. Reads every entry of the flow's ledger.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn unfinished(&self, flow: &FlowName) -> Result<Unfinished, Fault> {
        let sql = "SELECT (SELECT count(*) FROM intents WHERE flow = ?1), \
                   coalesce(sum(word IS NULL), 0), coalesce(sum(word = 'in_doubt'), 0) FROM \
                   (SELECT json_extract(CAST(value AS TEXT), '$.end') AS word FROM ends WHERE flow = ?1)";
        self.read(|connection| {
            connection.prepare_cached(sql)?.query_row([flow.as_str()], |row| {
                Ok(Unfinished { intents: count(row, 0)?, begun: count(row, 1)?, in_doubt: count(row, 2)? })
            })
        })
    }

    /// How many documents of a flow the loader knows.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn documents(&self, flow: &FlowName) -> Result<u64, Fault> {
        let sql = "SELECT count(*) FROM ends WHERE flow = ?1";
        self.read(|connection| connection.prepare_cached(sql)?.query_row([flow.as_str()], |row| count(row, 0)))
    }

    /// What the loader noted of a source document, in any flow or in one; a document has several target keys where
    /// its key was changed.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn ends_of_document(&self, document: &DocumentKey, flow: Option<&FlowName>) -> Result<Vec<End>, Fault> {
        self.ends("document", document.as_str(), flow)
    }

    /// What the loader noted of a target key, in any flow or in one.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn ends_of_target(&self, key: &TargetKey, flow: Option<&FlowName>) -> Result<Vec<End>, Fault> {
        self.ends("target_key", key.as_str(), flow)
    }

    fn ends(&self, column: &'static str, key: &str, flow: Option<&FlowName>) -> Result<Vec<End>, Fault> {
        let sql = format!(
            "SELECT flow, target_key, value FROM ends WHERE {column} = ?1 AND (?2 IS NULL OR flow = ?2) \
             ORDER BY flow, target_key"
        );
        let flow = flow.map(FlowName::as_str);
        let rows = self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![key, flow], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let damaged = |detail: String| Fault::new(Code::Index, detail).of_record(key);
        rows.into_iter()
            .map(|(flow, target_key, value)| {
                Ok(End {
                    flow: FlowName::new(flow).map_err(|error| damaged(error.to_string()))?,
                    target_key: TargetKey(target_key),
                    entry: ledger::read(&value).map_err(|error| damaged(error.to_string()))?,
                })
            })
            .collect()
    }

    /// Records that could not be read, those behind `after`, in the order of topic, partition and offset.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn unreadable(&self, after: Option<&UnreadableAt>, limit: usize) -> Result<Vec<Unreadable>, Fault> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (condition, values): (&str, Vec<&dyn ToSql>) = match after {
            None => ("", vec![&limit]),
            Some(at) => {
                ("WHERE (topic, partition, offset) > (?, ?, ?)", vec![&at.topic, &at.partition, &at.offset, &limit])
            }
        };
        let sql = format!(
            "SELECT topic, partition, offset, fault FROM unreadable {condition} ORDER BY topic, partition, offset \
             LIMIT ?"
        );
        self.reading(|connection| {
            let cannot = failed("the unreadable records cannot be listed");
            let mut statement = connection.prepare_cached(&sql).map_err(&cannot)?;
            let place = |row: &Row<'_>| {
                let at = UnreadableAt { topic: row.get(0)?, partition: row.get(1)?, offset: row.get(2)? };
                Ok((at, row.get::<_, String>(3)?))
            };
            let rows = statement.query_map(values.as_slice(), place).map_err(&cannot)?;
            rows.map(|row| {
                let (at, fault) = row.map_err(&cannot)?;
                let fault = serde_json::from_str(&fault).map_err(|error| Fault::new(Code::Index, error.to_string()))?;
                Ok(Unreadable { at, fault })
            })
            .collect()
        })
    }

    /// How many records could not be read.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn count_unreadable(&self) -> Result<u64, Fault> {
        self.read(|connection| connection.query_row("SELECT count(*) FROM unreadable", [], |row| count(row, 0)))
    }
}
