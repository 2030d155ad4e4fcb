//! Which topics to take part in: the mapped topics of published flows, once they and their ledgers are there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use document::{Code, Fault, FlowName, topic};
use queue::Admin;
use tracing::{debug, error, info};

/// How often a flow whose topics are not there yet is looked for again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The topics that are taken part in, and those that could be.
#[derive(Debug)]
pub(crate) struct Topics {
    admin: Admin,
    subscribe_every: Duration,
    /// Flows whose topics are there.
    good: BTreeMap<FlowName, String>,
    refused: BTreeSet<FlowName>,
    wanted: Vec<String>,
    looked: Option<Duration>,
    changed: Option<Duration>,
}

impl Topics {
    pub(crate) fn new(admin: Admin, subscribe_every: Duration) -> Self {
        Self {
            admin,
            subscribe_every,
            good: BTreeMap::new(),
            refused: BTreeSet::new(),
            wanted: Vec::new(),
            looked: None,
            changed: None,
        }
    }

    /// The topics to take part in.
    pub(crate) fn wanted(&self) -> &[String] {
        &self.wanted
    }

    /// Looks which of `names` can be taken part in. Whether the list changed, which it does at a measured pace.
    pub(crate) async fn refresh(&mut self, names: &[FlowName], now: Duration) -> bool {
        let recently = |then: Option<Duration>, every| then.is_some_and(|then| now < then + every);
        if recently(self.looked, LOOK_EVERY) {
            return false;
        }
        self.looked = Some(now);
        for name in names {
            if !self.good.contains_key(name) && !self.refused.contains(name) {
                self.look(name).await;
            }
        }
        let wanted: Vec<String> = names.iter().filter_map(|name| self.good.get(name)).cloned().collect();
        // The first topics are taken up at once; nothing is shared out anew by them.
        let too_soon = !self.wanted.is_empty() && recently(self.changed, self.subscribe_every);
        if wanted == self.wanted || too_soon {
            return false;
        }
        info!(topics = wanted.len(), "taking part in topics");
        self.wanted = wanted;
        self.changed = Some(now);
        true
    }

    async fn look(&mut self, name: &FlowName) {
        let (mapped, ledger) = (topic::mapped(name), topic::ledger(name));
        match (self.admin.partitions(&mapped).await, self.admin.partitions(&ledger).await) {
            (Ok(Some(a)), Ok(Some(b))) if a == b => {
                self.good.insert(name.clone(), mapped);
            }
            (Ok(Some(a)), Ok(Some(b))) => {
                let fault =
                    Fault::new(Code::PartitionsDiffer, format!("{mapped} has {a} partitions, {ledger} has {b}"));
                error!(flow = %name, fault = %fault.of_record(ledger), "flow stopped");
                self.refused.insert(name.clone());
            }
            (Err(error), _) | (_, Err(error)) => debug!(flow = %name, %error, "topics not looked up"),
            (Ok(_), Ok(_)) => debug!(flow = %name, "topics are not there yet"),
        }
    }
}
