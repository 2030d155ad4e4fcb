//! What befalls brokers, what they keep, and the disks that are written to.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use super::super::nemesis::Disk;
use super::{LOOK, RECOVERY, Run};

/// Copies that lag longer behind their leader than this never reach it.
const IN_SYNC: Duration = Duration::from_secs(60);

/// How long saves that were begun may still arrive, and how many bills such saves carry at most.
const IN_FLIGHT: Duration = Duration::from_secs(3);
const SENT: u64 = 20;

/// A group without members still has one for the time of a session, 45 s.
const MISSED: Duration = Duration::from_secs(90);

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

    /// Stops a service until its group has no member left, and has the broker forget the group with its offsets.
    pub(super) async fn offsets_expire(&mut self, service: &'static str) -> anyhow::Result<()> {
        let (name, since) = (format!("{service}-0"), Instant::now());
        self.feed(true).await?;
        // Whoever has read nothing has no offsets that could be forgotten.
        while !self.works(service).await && !self.is_spent().await? {
            ensure!(since.elapsed() < RECOVERY, "{name} does nothing");
            self.pass(LOOK).await?;
        }
        self.stage(&name)?.process().stop(Duration::from_secs(60))?;
        self.down.insert(name.clone());
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.road.kafka.brokers()).create()?;
        let (since, group) = (Instant::now(), format!("starbridge.{service}"));
        loop {
            // A member that has a name of its own is missed only after a session's time.
            self.pass(Duration::from_secs(3)).await?;
            match admin.delete_groups(&[&group], &AdminOptions::new()).await?.into_iter().next() {
                Some(Ok(_)) => break,
                Some(Err((_, code))) => ensure!(since.elapsed() < MISSED, "{group} does not go: {code}"),
                None => bail!("no word of {group}"),
            }
        }
        let since = Instant::now();
        self.stage(&name)?.begin()?;
        self.down.remove(&name);
        self.feed(true).await?;
        // From the log's start, and each record has an outcome once more.
        let all = f64::from(u32::try_from(self.given).unwrap_or(u32::MAX));
        while self.stage(&name)?.metrics().await.map_or(0.0, |now| now.sum("starbridge_records_total", &[])) < all {
            ensure!(since.elapsed() < RECOVERY, "{name} does not read everything again");
            self.pass(LOOK).await?;
        }
        self.recovered(service, since, 0, Some(service)).await
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
