//! Transactions of one session on the real broker: how many a second, and how long each takes.

use std::time::{Duration, Instant};

use document::{Headers, Record};
use e2e::servers::Kafka;
use queue::{Admin, Cleanup, Cluster, Event, Outgoing, Session, SessionSettings, TopicSpec, Transaction};

use crate::figure::{Figure, Output, quantile};
use crate::{machine, say};

const RUNS: usize = 7;
const RUN: Duration = Duration::from_secs(3);
/// Data records of a transaction, and as many facts: a call of the shipped flow carries as many documents.
const DOCUMENTS: usize = 50;
const VALUE: usize = 400;
const PATIENCE: Duration = Duration::from_secs(30);

/// Commits for a while, run by run in one session.
///
/// # Errors
/// The broker does not come up, or refuses something.
pub(crate) async fn measure(output: &Output) -> anyhow::Result<()> {
    let scratch = tempfile::Builder::new().prefix("starbridge-bench-").tempdir()?;
    let folder = scratch.path().to_owned();
    let kafka = tokio::task::spawn_blocking(move || Kafka::start(&folder)).await??;
    let session = open(Cluster::plaintext(kafka.brokers()), scratch.path()).await?;
    machine::load()?;
    say(&format!("transactions: {DOCUMENTS} data records and {DOCUMENTS} facts of {VALUE} bytes each"));
    // The first transactions pay for connections.
    run(&session).await?;
    let (mut rates, mut medians, mut slowest) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let begin = Instant::now();
        let times = run(&session).await?;
        #[expect(clippy::cast_precision_loss, reason = "a count of transactions")]
        let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
        rates.push(rate);
        medians.push(quantile(&times, 0.5));
        slowest.push(quantile(&times, 0.99));
    }
    session.close().await;
    output.write(Figure { name: "transactions", unit: "1/s", baseline: None }, &rates)?;
    output.write(Figure { name: "transaction_median", unit: "ms", baseline: None }, &medians)?;
    output.write(Figure { name: "transaction_p99", unit: "ms", baseline: None }, &slowest)
}

async fn open(cluster: Cluster, folder: &std::path::Path) -> anyhow::Result<Session> {
    let topic = |name: &str, cleanup| TopicSpec {
        name: name.to_owned(),
        partitions: 1,
        cleanup,
        retention: None,
        min_compaction_lag: None,
    };
    let topics = [topic("in", Cleanup::Delete), topic("state", Cleanup::Compact), topic("out", Cleanup::Delete)];
    Admin::connect(&cluster)?.ensure(&topics, 1).await?;
    let states = |_: &str| vec!["state".to_owned()];
    let settings = SessionSettings::new(cluster, "bench", "bench-0", vec!["in".to_owned()], states, folder);
    let session = Session::open(settings).await?;
    match session.next(1, PATIENCE).await? {
        Event::Assigned(_) => Ok(session),
        other => anyhow::bail!("not an assignment: {other:?}"),
    }
}

/// Commits one transaction after another; what each took, in milliseconds.
async fn run(session: &Session) -> anyhow::Result<Vec<f64>> {
    let record =
        |key: String| Record { key: key.into_bytes(), headers: Headers::new(), value: Some(vec![b'v'; VALUE]) };
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < RUN {
        let data = (0..DOCUMENTS).map(|at| Outgoing::to("out", record(format!("k{at}")))).collect();
        let facts = (0..DOCUMENTS).map(|at| Outgoing::to_partition("state", 0, record(format!("doc/{at}")))).collect();
        let committing = Instant::now();
        session.commit(Transaction { data, facts, offsets: Vec::new() }).await?;
        times.push(committing.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}
