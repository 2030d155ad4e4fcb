//! What the loop needs of the world: records in, records out, the flows that are published, traces.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use document::{Code, FlowName, FlowVersion, Received, TraceParent, topic};
use queue::{Cluster, Consumer, Error, FlowRegistry, Lag, Next, Outgoing, Producer, TopicPartition};
use runtime::health::Readiness;
use runtime::{Patience, Shutdown, telemetry};

use crate::core::{Definition, Flows, STAGE, Traces};

/// Where records come from.
pub trait Source {
    /// Takes up these topics in place of the earlier ones; joins the group the first time.
    fn subscribe(&mut self, topics: &[String]) -> impl Future<Output = Result<(), Error>>;

    /// Leaves and joins anew: everything unsaved is read again.
    fn rejoin(&mut self, topics: &[String]) -> impl Future<Output = Result<(), Error>>;

    /// At most `max` records, or none when none came within `wait`. May be dropped while it waits.
    fn poll(&mut self, max: usize, wait: Duration) -> impl Future<Output = Result<Vec<Received>, Error>>;

    /// Saves positions.
    fn commit(&mut self, next: &[Next]) -> impl Future<Output = Result<(), Error>>;

    /// Takes no more records of these partitions.
    fn pause(&mut self, partitions: &[TopicPartition]);

    /// Takes records of these partitions again.
    fn resume(&mut self, partitions: &[TopicPartition]);

    /// The partitions that are ours.
    fn assigned(&self) -> Vec<TopicPartition>;

    /// How far behind we are in them.
    fn lag(&self) -> impl Future<Output = Result<Vec<Lag>, Error>>;

    /// Leaves the group.
    fn close(self) -> impl Future<Output = ()>;
}

/// Where records go.
pub trait Sink {
    /// Writes the records in order and waits until each is acknowledged.
    fn send_all(&mut self, records: Vec<Outgoing>) -> impl Future<Output = Result<(), Error>>;

    /// Gives up a client that failed and makes another.
    ///
    /// # Errors
    /// The settings cannot be used any more.
    fn reconnect(&mut self) -> Result<(), Error>;
}

/// The published flows.
pub trait Registry: Flows {
    /// The extracted topics of all current flows.
    fn topics(&self) -> Vec<String>;
}

/// A group member on Kafka.
#[derive(Debug)]
pub struct KafkaSource {
    cluster: Cluster,
    group: String,
    member: String,
    consumer: Option<Consumer>,
}

impl KafkaSource {
    /// Prepared; the group is joined with the first topics.
    pub fn new(cluster: &Cluster, group: &str, member: &str) -> Self {
        Self { cluster: cluster.clone(), group: group.to_owned(), member: member.to_owned(), consumer: None }
    }

    async fn leave(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            killpoint::reached("source.leaving");
            consumer.close().await;
        }
    }
}

impl Source for KafkaSource {
    async fn subscribe(&mut self, topics: &[String]) -> Result<(), Error> {
        match &self.consumer {
            // The client knows no subscription to nothing.
            _ if topics.is_empty() => {
                self.leave().await;
                Ok(())
            }
            Some(consumer) => consumer.subscribe(topics),
            None => self.rejoin(topics).await,
        }
    }

    async fn rejoin(&mut self, topics: &[String]) -> Result<(), Error> {
        self.leave().await;
        killpoint::reached("source.joining");
        self.consumer = Some(Consumer::join(&self.cluster, &self.group, &self.member, topics).await?);
        killpoint::reached("source.joined");
        Ok(())
    }

    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Received>, Error> {
        match &mut self.consumer {
            Some(consumer) => consumer.poll(max, wait).await,
            None => {
                tokio::time::sleep(wait).await;
                Ok(Vec::new())
            }
        }
    }

    async fn commit(&mut self, next: &[Next]) -> Result<(), Error> {
        match &self.consumer {
            Some(consumer) => consumer.commit(next).await,
            None => Ok(()),
        }
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        if let Some(consumer) = &self.consumer {
            consumer.pause(partitions);
        }
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        if let Some(consumer) = &self.consumer {
            consumer.resume(partitions);
        }
    }

    fn assigned(&self) -> Vec<TopicPartition> {
        self.consumer.as_ref().map(Consumer::assigned).unwrap_or_default()
    }

    async fn lag(&self) -> Result<Vec<Lag>, Error> {
        match &self.consumer {
            Some(consumer) => consumer.lag().await,
            None => Ok(Vec::new()),
        }
    }

    async fn close(mut self) {
        self.leave().await;
    }
}

/// A producer on Kafka.
#[derive(Debug)]
pub struct KafkaSink {
    cluster: Cluster,
    client_id: String,
    producer: Producer,
}

impl KafkaSink {
    /// Prepared; the brokers are first asked when something is written.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn connect(cluster: &Cluster, client_id: &str) -> Result<Self, Error> {
        let producer = Producer::connect(cluster, client_id)?;
        Ok(Self { cluster: cluster.clone(), client_id: client_id.to_owned(), producer })
    }
}

impl Sink for KafkaSink {
    async fn send_all(&mut self, records: Vec<Outgoing>) -> Result<(), Error> {
        killpoint::reached("sink.sending");
        let sent = self.producer.send_all(records).await;
        killpoint::reached("sink.sent");
        sent
    }

    fn reconnect(&mut self) -> Result<(), Error> {
        killpoint::reached("sink.reconnecting");
        self.producer = Producer::connect(&self.cluster, &self.client_id)?;
        Ok(())
    }
}

impl Flows for FlowRegistry {
    fn get(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<dyn Definition>> {
        let flow: Arc<dyn Definition> = FlowRegistry::get(self, flow, version)?;
        Some(flow)
    }

    fn current(&self, flow: &FlowName) -> Option<FlowVersion> {
        let flows = FlowRegistry::current(self);
        flows.iter().find(|current| current.name == *flow).map(|current| current.version.clone())
    }
}

impl Registry for FlowRegistry {
    fn topics(&self) -> Vec<String> {
        // By name and not by what compiles: a broken publication must not end the reading of what was extracted before.
        self.names().iter().map(topic::extracted).collect()
    }
}

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
    Patience { condition: "flows", readiness, shutdown, random: rand::random }.until(attempt, passing).await
}

/// Spans of the process, and new span ids where none are exported.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spans;

impl Traces for Spans {
    type Span = tracing::Span;

    fn begin(&mut self, flow: &FlowName, parent: &TraceParent) -> (TraceParent, tracing::Span) {
        let span = tracing::info_span!("transform", %flow, stage = STAGE.as_str());
        (telemetry::follow(&span, parent, rand::random()), span)
    }
}
