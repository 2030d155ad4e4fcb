//! The flow versions that records name, as far as they are published and usable here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use document::{Code, FlowName, FlowVersion};
use queue::{Cluster, Error, FlowRegistry};
use runtime::health::Readiness;
use runtime::{Clock, Patience, Shutdown};
use tracing::error;

use crate::definition::{Definition, Limits};
use crate::error::connection_missing;

/// Reads the published flows, waiting for brokers and topic as long as it takes; `None` when asked to stop meanwhile.
///
/// # Errors
/// Settings that no waiting makes good.
pub async fn follow(
    cluster: &Cluster,
    member: &str,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> Result<Option<FlowRegistry>, Error> {
    let attempt = async || FlowRegistry::follow(cluster, member).await;
    let passing = |error: &Error| (error.code() != Code::KafkaSettings).then(|| error.fault());
    Patience { condition: "kafka", readiness, shutdown, random: rand::random }.until(attempt, passing).await
}

type Key = (FlowName, String);

/// Definitions by flow and version, each read once.
#[derive(Debug)]
pub struct Definitions {
    registry: FlowRegistry,
    connections: BTreeSet<String>,
    limits: Limits,
    clock: Clock,
    read: Mutex<BTreeMap<Key, Arc<Definition>>>,
    told: Mutex<BTreeSet<Key>>,
}

impl Definitions {
    /// Definitions out of `registry`, for flows whose target is among `connections`.
    pub fn new(registry: FlowRegistry, connections: BTreeSet<String>, limits: Limits, clock: Clock) -> Self {
        Self { registry, connections, limits, clock, read: Mutex::default(), told: Mutex::default() }
    }

    /// The flows that are published, whether they can be used or not.
    pub fn names(&self) -> Vec<FlowName> {
        self.registry.names()
    }

    /// Whether a flow goes by this version; also while nothing says by which one it goes.
    pub fn is_current(&self, flow: &FlowName, version: &FlowVersion) -> bool {
        self.registry.pointer(flow).is_none_or(|pointer| pointer == *version)
    }

    /// A version of a flow; `None` while records of it have to wait.
    pub fn get(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<Definition>> {
        let key = (flow.clone(), version.0.clone());
        if let Some(known) = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(Arc::clone(known));
        }
        let compiled = self.registry.get(flow, version)?;
        let name = format!("{flow}@{version}");
        let connection = &compiled.settings.target.connection;
        let definition = if self.connections.contains(connection) {
            Definition::of(&compiled, self.clock.seconds(), &self.limits)
        } else {
            Err(connection_missing(&name, connection))
        };
        match definition {
            Ok(definition) => {
                let definition = Arc::new(definition);
                self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&definition));
                Some(definition)
            }
            Err(fault) => {
                if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
                    error!(flow = %name, code = %fault.code, %fault, "flow cannot be loaded, its records wait");
                }
                None
            }
        }
    }

    /// Whose flow it is, by the first of its versions that was read.
    pub fn tenant(&self, flow: &FlowName) -> String {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let of_flow = read.range((flow.clone(), String::new())..).next().filter(|((name, _), _)| name == flow);
        of_flow.map_or_else(|| document::Tenant::default().to_string(), |(_, definition)| definition.tenant.clone())
    }
}
