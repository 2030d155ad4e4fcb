//! Versions of the flow that people publish while it runs.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::people::item;
use super::{FORM, LOOK, RECOVERY, Run};
use crate::compare::letters;

/// Bills that arrive under a version by which none can be mapped: more than must fail before the flow is held.
const FAILING: usize = 40;
/// Who maps.
const MAPPER: &str = "transformer-0";
/// The document whose mapping is changed.
const TARGET: &str = "target.json";

impl Run<'_> {
    /// Publishes a flow folder with other batches and a field more; one with other partitions is refused.
    pub(super) async fn configure(&mut self, documents: u64) -> anyhow::Result<()> {
        let partitions = self.folder(&[("partitions", "12".to_owned())], "", "")?;
        let refused = self.apply(&partitions).await?;
        ensure!(!refused.status.success(), "a flow with other partitions was taken");
        let mark = format!("change {}", self.outcome.blows.len());
        let field = json!({"field": "FNOTE", "label": "备注", "type": "string", "value": mark});
        let documents = [("documents", documents.to_string())];
        let changed = self.folder(&documents, "\"request\": [", &format!("\"request\": [{field},"))?;
        // What was read before is mapped by the version it was read under, however late.
        self.stage(MAPPER)?.process().pause()?;
        let before = self.own_number("");
        self.plant(&before, &[]).await?;
        self.until_read(&before).await?;
        self.publish(&changed).await?;
        let after = self.own_number("");
        self.plant(&after, &[]).await?;
        self.until_read(&after).await?;
        self.stage(MAPPER)?.process().resume()?;
        let both = [before, after];
        self.arrive(&both).await?;
        for (number, marked) in both.iter().zip([false, true]) {
            let held = self.road.target.dump(FORM, number).await?;
            let told = held.iter().all(|bill| (bill["FNOTE"] == json!(mark)) == marked);
            ensure!(told, "not by the version it was read under: {held:?}");
        }
        Ok(())
    }

    /// Waits until a bill lies where the transformer reads.
    async fn until_read(&mut self, number: &str) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let brokers = self.road.kafka.brokers().to_owned();
            let read = move || letters::records(&brokers, "starbridge.misc-inbound.extracted", "sb-document-key");
            if tokio::task::spawn_blocking(read).await??.iter().any(|(_, document)| document == number) {
                return Ok(());
            }
            ensure!(since.elapsed() < RECOVERY, "{number} is not read");
            self.pass(LOOK).await?;
        }
    }

    /// Publishes a version by which no bill can be mapped. The flow is held before many letters are written; when a good
    /// version is there, what lay between becomes letters, and all of them are mapped by it.
    pub(super) async fn failing_version(&mut self) -> anyhow::Result<()> {
        let bad = self.folder(&[], "{{FDate|date}}", "{{FBillNo|date}}")?;
        self.publish(&bad).await?;
        for _ in 0..FAILING {
            let number = self.own_number("");
            self.plant(&number, &[]).await?;
        }
        let since = Instant::now();
        while self.stage(MAPPER)?.metrics().await.map_or(0.0, |now| now.sum("starbridge_flow_paused", &[])) == 0.0 {
            ensure!(since.elapsed() < RECOVERY, "a flow whose bills all fail is not held");
            self.pass(LOOK).await?;
        }
        let written = self.listed("stage = transform and state = open").await?.len();
        ensure!(written < FAILING, "{written} letters of a version that fails everywhere");
        let good = self.folder(&[], "", "")?;
        self.publish(&good).await?;
        while !self.road.unaccounted(self.bills[..self.given].iter().map(|(number, _)| number)).await?.0.is_empty() {
            ensure!(since.elapsed() < RECOVERY, "what was held has no end");
            self.pass(LOOK).await?;
        }
        let again = ["dlq", "replay", "-l", "stage = transform and state = open", "--from-stage", "transform"];
        let reason = ["--rate", "50", "--reason", "a good version is there", "--yes", "-o", "json"];
        let job = item(&self.ask(&[&again[..], &reason].concat()).await?)?;
        let job = self.over(&job).await?;
        let all = job["total"] != 0 && job["resolved"] == job["total"];
        ensure!(all && job["failed"] == 0, "the replay of what could not be mapped: {job}");
        let left = self.listed("stage = transform and state = open").await?;
        ensure!(left.is_empty(), "letters that were not replayed: {left:?}");
        Ok(())
    }

    /// A copy of the flow's folder with lines of the flow file changed, and of the target document `from` to `to`.
    fn folder(&self, changes: &[(&str, String)], from: &str, to: &str) -> anyhow::Result<PathBuf> {
        let place = self.road.folder().join(format!("applied-{}", self.outcome.blows.len()));
        self.road.copy_flow(&place, changes)?;
        let file = place.join(TARGET);
        let text = std::fs::read_to_string(&file).context("the target document")?;
        ensure!(text.contains(from), "{from:?} is not in the target document");
        if !from.is_empty() {
            std::fs::write(&file, text.replacen(from, to, 1)).context("the target document")?;
        }
        Ok(place)
    }

    async fn apply(&mut self, folder: &Path) -> anyhow::Result<Output> {
        let folder = folder.display().to_string();
        self.ask(&["flow", "apply", &folder, "--context", "engineer", "--reason", "a change", "--yes", "-o", "json"])
            .await
    }

    /// Publishes a folder as the flow's current version, and waits until the extractor runs it.
    async fn publish(&mut self, folder: &Path) -> anyhow::Result<()> {
        let applied = item(&self.apply(folder).await?)?;
        let version = applied["flow"]["version"].as_str().with_context(|| format!("no version: {applied}"))?.to_owned();
        let since = Instant::now();
        loop {
            let metrics = self.stage("extractor-0")?.metrics().await;
            if metrics.is_ok_and(|now| now.sum("starbridge_config_info", &[&version]) == 1.0) {
                return Ok(());
            }
            ensure!(since.elapsed() < RECOVERY, "the extractor does not run version {version}");
            self.pass(LOOK).await?;
        }
    }
}
