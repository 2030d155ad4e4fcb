//! A stage of Starbridge as a process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::servers::binaries;
use crate::servers::process::{Process, Spec};

/// Which stage, and its settings beside health, member and data folder.
#[derive(Debug, Clone)]
pub struct StagePlan {
    /// `extractor`, `transformer`, `loader` or `control`.
    pub service: &'static str,
    /// Number of the replica.
    pub ordinal: u32,
    /// Tables of the settings file, except `[health]`, `[worker]` and `[telemetry]`.
    pub settings: String,
    /// Further lines of `[worker]`.
    pub worker: String,
}

/// A running stage.
#[derive(Debug)]
pub struct Stage {
    plan: StagePlan,
    scratch: PathBuf,
    process: Process,
    client: reqwest::Client,
}

impl Stage {
    /// Writes the settings and starts the process; does not wait for it.
    ///
    /// # Errors
    /// The settings cannot be written or the program does not exist.
    pub fn start(plan: StagePlan, scratch: &Path) -> anyhow::Result<Self> {
        let process = launch(&plan, scratch, &[])?;
        Ok(Self { plan, scratch: scratch.to_owned(), process, client: super::http()? })
    }

    /// Name of the process: service and ordinal.
    pub fn name(&self) -> String {
        name(&self.plan)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it with no warning.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Asks it to drain, waits until it has, and starts it again.
    ///
    /// # Errors
    /// It does not end in time or does not start.
    pub fn restart(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.process.stop(patience)?;
        self.begin()
    }

    /// Starts it again after it ended.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        self.begin_with(&[])
    }

    /// Starts it again after it ended, this once with these variables in its environment.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin_with(&mut self, variables: &[(&str, &str)]) -> anyhow::Result<()> {
        self.process = launch(&self.plan, &self.scratch, variables)?;
        Ok(())
    }

    /// Removes what it kept on its disk, once it has ended.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn forget(&self) -> anyhow::Result<()> {
        let data = data_dir(&self.plan, &self.scratch);
        if !data.exists() {
            return Ok(());
        }
        std::fs::remove_dir_all(&data).with_context(|| format!("removing {}", data.display()))
    }

    /// Whether it is ready to work.
    pub async fn is_ready(&self) -> bool {
        self.get("/ready").await.is_ok()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It ended, or is not ready within `patience`.
    pub async fn ready(&mut self, patience: Duration) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !self.is_ready().await {
            if let Some(status) = self.process.ended()? {
                bail!("{} ended with {status}:\n{}", self.name(), self.process.last_words());
            }
            if begin.elapsed() > patience {
                bail!("{} is not ready after {patience:?}:\n{}", self.name(), self.process.last_words());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Its metrics now: name with labels → value.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        let text = self.get("/metrics").await?;
        Ok(Metrics::parse(&text))
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let address = std::fs::read_to_string(address_file(&self.plan, &self.scratch)).context("no address yet")?;
        let reply = self.client.get(format!("http://{}{path}", address.trim())).send().await?.error_for_status()?;
        Ok(reply.text().await?)
    }
}

fn name(plan: &StagePlan) -> String {
    format!("{}-{}", plan.service, plan.ordinal)
}

fn data_dir(plan: &StagePlan, scratch: &Path) -> PathBuf {
    scratch.join(format!("{}-data", name(plan)))
}

fn address_file(plan: &StagePlan, scratch: &Path) -> PathBuf {
    scratch.join(format!("{}.address", name(plan)))
}

fn launch(plan: &StagePlan, scratch: &Path, variables: &[(&str, &str)]) -> anyhow::Result<Process> {
    let name = name(plan);
    let address = address_file(plan, scratch);
    if address.exists() {
        std::fs::remove_file(&address).context("removing an old address")?;
    }
    let data = data_dir(plan, scratch);
    let settings = format!(
        "[health]\nlisten = \"127.0.0.1:0\"\naddress_file = {:?}\n\n[worker]\nmember = {name:?}\ndata_dir = {:?}\n{}\n\
         {}",
        address.display().to_string(),
        data.display().to_string(),
        plan.worker,
        plan.settings,
    );
    let file = scratch.join(format!("{name}.toml"));
    std::fs::write(&file, settings).context("writing settings")?;
    let program = binaries()?.join(format!("starbridge-{}", plan.service));
    let spec = Spec::new(&name, program, scratch).arguments(["--config".into(), file.into_os_string()]);
    Process::spawn(variables.iter().fold(spec, |spec, (name, value)| spec.variable(name, value)))
}

/// A scrape of `/metrics`.
#[derive(Debug, Default, Clone)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Self(samples.collect())
    }

    /// The sum of every sample of `metric` whose labels contain each of `labels` (`outcome="applied"`).
    pub fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        self.0
            .iter()
            .filter(|(name, _)| name.split('{').next() == Some(metric))
            .filter(|(name, _)| labels.iter().all(|label| name.contains(label)))
            .map(|(_, value)| value)
            .sum()
    }

    /// Every sample's name with its labels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How many samples `metric` has.
    pub fn count(&self, metric: &str) -> usize {
        self.0.keys().filter(|name| name.split('{').next() == Some(metric)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_labels() {
        let metrics = Metrics::parse(
            "# HELP x y\nstarbridge_records_total{flow=\"a\",outcome=\"applied\"} 3\n\
             starbridge_records_total{flow=\"a\",outcome=\"parked\"} 2\nstarbridge_records_total_x{} 9\n",
        );
        assert_eq!(metrics.sum("starbridge_records_total", &[]), 5.0);
        assert_eq!(metrics.sum("starbridge_records_total", &["outcome=\"parked\""]), 2.0);
        assert_eq!(metrics.sum("absent", &[]), 0.0);
        assert_eq!((metrics.count("starbridge_records_total"), metrics.count("absent")), (2, 0));
        assert_eq!(metrics.names().next(), Some("starbridge_records_total_x{}"));
    }
}
