//! What befalls brokers, and the disks that are written to.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::super::nemesis::Disk;
use super::Run;

/// Copies that lag longer behind their leader than this never reach it.
const IN_SYNC: Duration = Duration::from_secs(60);

/// How long saves that were begun may still arrive, and how many bills such saves carry at most.
const IN_FLIGHT: Duration = Duration::from_secs(3);
const SENT: u64 = 20;

impl Run<'_> {
    /// Kills as many brokers as `stopped`, the first of them `first`, and starts them again. Where others are left to lead,
    /// work goes on without them.
    pub(super) async fn brokers_leave(&mut self, first: usize, stopped: usize, away: Duration) -> anyhow::Result<()> {
        let since = Instant::now();
        let nodes = self.road.kafka.nodes();
        for node in first..first + stopped {
            self.road.kafka.kill_node(node % nodes)?;
        }
        if stopped * 2 < nodes {
            // What was being sent when it died proves nothing.
            self.pass(IN_FLIGHT).await?;
            let base = self.applied().await? + SENT;
            self.feed(true).await?;
            self.recovered("leader", since, base, None).await?;
        }
        self.pass(away).await?;
        self.road.kafka.begin()?;
        let base = self.applied().await?;
        self.feed(true).await?;
        self.recovered("broker", since, base, None).await
    }

    /// No file of a process grows for a while: nor after it was started again.
    pub(super) async fn disk_full(&mut self, disk: Disk, time: Duration) -> anyhow::Result<()> {
        let since = Instant::now();
        let base = self.applied().await?;
        match disk {
            Disk::Broker(node) => {
                let node = node % self.road.kafka.nodes();
                if let Some(process) = self.road.kafka.process(node) {
                    process.limit_files(true)?;
                }
                self.feed(true).await?;
                self.pass(time).await?;
                // A broker whose disk fails ends; it is started by whoever made room.
                self.road.kafka.kill_node(node)?;
                self.road.kafka.begin()?;
            }
            Disk::Service(service) => {
                let name = format!("{service}-0");
                self.feed(true).await?;
                // One that ends of it is started again, and its disk is as full then.
                while since.elapsed() < time {
                    self.stage(&name)?.process().limit_files(true).ok();
                    self.pass(Duration::from_millis(250)).await?;
                }
                self.stage(&name)?.process().limit_files(false).ok();
                if service == "control" {
                    return self.recovered(service, since, base, Some(service)).await;
                }
            }
        }
        self.feed(true).await?;
        self.recovered("disk", since, base, None).await
    }

    /// Waits until every broker has everything: the checker reads what lies on the disk of the first one.
    pub(super) async fn in_sync(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !self.road.kafka.is_in_sync() {
            ensure!(begin.elapsed() < IN_SYNC, "a broker has not caught up with the leaders after {IN_SYNC:?}");
            self.pass(Duration::from_millis(500)).await?;
        }
        Ok(())
    }
}
