//! The index made anew from the log, by a process of its own, which is then asked: how long it takes, and how much memory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use control::follow::Feed;
use control::index::{Index, List};
use control::metrics::ControlMetrics;
use control::mirror::Mirror;
use control::selector::Selector;
use document::Fault;
use e2e::servers::Kafka;
use queue::{Cluster, FlowRegistry};
use runtime::Clock;
use runtime::metrics::Metrics;
use runtime::watchdog::Watchdog;
use serde::{Deserialize, Serialize};

use super::letters::NOW;
use super::selectors::{Asked, seeded};

/// The word by which this program is told to be that process.
pub(crate) const WORD: &str = "rebuild-index";
/// Reading must go round within this.
const LIMIT: Duration = Duration::from_secs(60);
/// Selectors that are asked when the index is made.
const ASKED: usize = 100;
/// At once, so that every connection to the index comes to hold what it may.
const ASKING: usize = 4;

/// What the process tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    /// From an empty folder to everything read.
    pub(super) seconds: f64,
    /// Over all that the index says.
    pub(super) digest: String,
    /// The most memory the process had resident until then, MiB, brokers' client and all.
    pub(super) peak_made: f64,
    /// The same, after all kinds of questions.
    pub(super) peak: f64,
}

/// Where the index lies in its folder.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("letters.sqlite")
}

/// Has it made in `folder` by a process of its own.
///
/// # Errors
/// The process fails, or finds other than `letters` letters.
pub(super) fn run(kafka: &Kafka, folder: &Path, letters: u64) -> anyhow::Result<Told> {
    std::fs::create_dir_all(folder).context("making a folder for an index")?;
    let program = std::env::current_exe().context("asking for the path of this program")?;
    let output = Command::new(program).args([WORD, kafka.brokers()]).arg(folder).arg(letters.to_string()).output();
    let output = output.context("starting the process that makes an index")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "making an index: {said}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("what the process told: {said}"))
}

/// What that process does, told in `words`: brokers, folder, number of letters.
///
/// # Errors
/// The index cannot be made, or is not what was told.
#[expect(clippy::print_stdout, reason = "whoever started this process reads it")]
pub(crate) async fn rebuild(words: &[String]) -> anyhow::Result<()> {
    let [brokers, folder, letters] = words else { anyhow::bail!("{words:?}: brokers, folder and letters are needed") };
    let (cluster, letters) = (Cluster::plaintext(brokers.as_str()), letters.parse::<u64>()?);
    let flows = FlowRegistry::follow(&cluster, "bench").await?;
    let clock = Clock::system();
    let watchdog = Watchdog::start(LIMIT, clock.clone())?;
    let metrics = Metrics::new("bench")?;
    let begun = Instant::now();
    let index = Arc::new(Index::open(&file(Path::new(folder))).map_err(told)?);
    let feed = Feed {
        cluster,
        member: "bench".to_owned(),
        index: Arc::clone(&index),
        mirror: Mirror::default(),
        extracts: control::extracts::Extracts::default(),
        flows,
        clock,
        heartbeat: watchdog.heartbeat("index"),
        metrics: ControlMetrics::new(&metrics.meter()),
    };
    let progress = feed.start()?;
    while !progress.is_caught_up() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let peak_made = peak()?;
    let found = index.count(&Selector::all(), NOW).map_err(told)?.letters;
    anyhow::ensure!(found == letters, "{found} of {letters} letters, and {:?}", index.count_unreadable());
    let digest = index.digest().map_err(told)?;
    ask(&index, &seeded(ASKED, letters)?)?;
    println!("{}", serde_json::to_string(&Told { seconds, digest, peak_made, peak: peak()? })?);
    Ok(())
}

/// Asks all of it, several at once, for lists, counts and what a replay selects.
fn ask(index: &Index, asked: &[Asked]) -> anyhow::Result<()> {
    let one = |Asked { selector, order, descending }: &Asked| -> Result<(), Fault> {
        // Read anew, as from each request: what patterns come to hold goes with it.
        let (selector, order, descending) = (&Selector::parse(selector.text())?, *order, *descending);
        index.list(&List { selector, order, descending, page_token: None, limit: 1_000, now: NOW })?;
        index.count(selector, NOW)?;
        index.stats(selector, NOW)?;
        index.ids(selector, None, 5_000, NOW)?;
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = asked
            .chunks(asked.len().div_ceil(ASKING))
            .map(|part| scope.spawn(move || part.iter().try_for_each(one)))
            .collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(asked) => asked.map_err(told),
            Err(_) => anyhow::bail!("a thread that asks the index panicked"),
        })
    })
}

/// The most memory this process ever had resident, MiB.
fn peak() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib = line.trim().trim_end_matches(" kB").parse::<f64>().context("a number of kB")?;
    Ok(kib / 1024.0)
}

fn told(fault: Fault) -> anyhow::Error {
    anyhow::anyhow!("{fault}")
}
