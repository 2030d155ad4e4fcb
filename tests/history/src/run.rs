//! Everything that a run left behind, as one history.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use history_checker::{Field, History, Sighting};

use crate::orders::Orders;
use crate::{log, requests, webapi};

/// Where a run's remains are, and what is known of it besides.
#[derive(Debug, Clone)]
pub struct Run {
    /// The orders that the source was given.
    pub orders: PathBuf,
    /// The broker's folder.
    pub data: PathBuf,
    /// The flow.
    pub flow: String,
    /// JSON files with the access to source and target.
    pub access: [PathBuf; 2],
    /// The request logs of source and target.
    pub logs: [PathBuf; 2],
    /// Most calls that source and target permit in any sliding minute.
    pub limits: [usize; 2],
    /// Numbers that the target refuses: a letter is all that may come of them.
    pub poisoned: Vec<String>,
    /// Numbers that the target holds for others.
    pub held: Vec<String>,
    /// Numbers whose bill a person gave another date than that of its order, with the date.
    pub dated: BTreeMap<String, String>,
    /// When Redis was hurt, unix milliseconds.
    pub redis: Vec<i64>,
    /// When no work was possible, unix milliseconds.
    pub blackouts: Vec<(i64, i64)>,
    /// How long a save of unknown outcome may still be at work, milliseconds.
    pub settle: i64,
}

/// Fifteen minutes: within that time a version reaches its end, and calls go on after Redis was hurt.
const PATIENCE: i64 = 15 * 60_000;

impl Run {
    /// Reads all of it. The systems must be at rest.
    ///
    /// # Errors
    /// Something cannot be read; names it.
    pub async fn read(&self) -> anyhow::Result<History> {
        let [source_limit, limit] = self.limits;
        let mut history = History {
            source_limit,
            limit,
            settle: self.settle,
            end_within: PATIENCE,
            stall: PATIENCE,
            redis: self.redis.clone(),
            blackouts: self.blackouts.clone(),
            foreign: self.held.clone(),
            ..History::default()
        };
        // Before the systems are asked, so that our own calls do not count.
        let [source_log, target_log] = &self.logs;
        history.source_calls = requests::read(source_log)?.into_iter().map(|call| call.at).collect();
        history.calls = requests::read(target_log)?;
        log::read(&self.data, &self.flow, &mut history)?;
        self.systems(&mut history).await?;
        Ok(history)
    }

    /// What both systems hold, and what the target must hold: an order for each bill of the source.
    async fn systems(&self, history: &mut History) -> anyhow::Result<()> {
        let orders = Orders::read(&self.orders)?;
        let [source, target] = &self.access;
        let refused: BTreeSet<&String> = self.poisoned.iter().chain(&self.held).collect();
        let standing = webapi::bills(source).await.context("the source")?;
        ensure!(!standing.is_empty(), "the source holds no bill");
        for standing in standing {
            let document = standing.bill.key;
            if !refused.contains(&document) {
                let mut expected = orders.bill(&document).with_context(|| format!("{document} is no order"))?;
                if let Some(date) = self.dated.get(&document) {
                    expected.fields.insert("FDate".to_owned(), Field::Text(date.clone()));
                }
                history.expected.push(expected);
            }
            history.source.push(Sighting { stamp: log::instant(&standing.approved)?, document });
        }
        let standing = webapi::bills(target).await.context("the target")?;
        history.target = standing.into_iter().map(|standing| standing.bill).collect();
        Ok(())
    }
}
