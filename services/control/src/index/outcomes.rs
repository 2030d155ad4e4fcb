//! What became of documents under one version of their flow.

use document::{Fault, FlowName, FlowVersion};
use rusqlite::params;

use super::Index;
use super::row::count;

/// What became of documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Applied.
    pub applied: u64,
    /// In dead letters of the stages behind the extractor: what cannot even be read fails under every version.
    pub failed: u64,
}

impl Index {
    /// What became of the documents of a flow that ended under a version since then, unix milliseconds. Reads every entry of
    /// the flow's ledger.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn outcomes(&self, flow: &FlowName, version: &FlowVersion, since: i64) -> Result<Outcomes, Fault> {
        let sql = "SELECT \
                   (SELECT count(*) FROM ends WHERE flow = ?1 \
                    AND json_extract(CAST(value AS TEXT), '$.flow_version') = ?2 \
                    AND json_extract(CAST(value AS TEXT), '$.at') >= ?3 \
                    AND json_extract(CAST(value AS TEXT), '$.end') = 'applied'), \
                   (SELECT count(DISTINCT document) FROM letters \
                    WHERE first_failed >= ?3 AND flow = ?1 AND flow_version = ?2 AND stage <> 'extract')";
        self.read(|connection| {
            connection.prepare_cached(sql)?.query_row(params![flow.as_str(), version.as_str(), since], |row| {
                Ok(Outcomes { applied: count(row, 0)?, failed: count(row, 1)? })
            })
        })
    }
}
