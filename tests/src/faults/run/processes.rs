//! What befalls the processes of the services.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Signal;

use super::super::limits::IN_DOUBT;
use super::super::row::Row;
use super::Run;

/// A place that is not reached within so long is one that a service comes by when it ends.
const AT_POINT: Duration = Duration::from_secs(25);

impl Run<'_> {
    pub(super) async fn kill(&mut self, service: &str, away: Duration) -> anyhow::Result<()> {
        let since = Instant::now();
        let name = format!("{service}-0");
        self.stage(&name)?.kill()?;
        self.down.insert(name.clone());
        let of = self.of(service).await?;
        self.pass(away).await?;
        self.stage(&name)?.begin()?;
        self.down.remove(&name);
        self.feed(true).await?;
        self.recovered(of, since, 0, Some(service)).await
    }

    /// How the recovery of a service that was just killed is called: a save without an outcome is waited for longer.
    async fn of<'a>(&self, service: &'a str) -> anyhow::Result<&'a str> {
        Ok(if service == "loader" && self.road.open_saves().await? > 0 { IN_DOUBT } else { service })
    }

    /// Starts a service that dies at `point`, and starts it again when it has. Places that it only comes by when it ends
    /// are reached by asking it to.
    pub(super) async fn die(&mut self, service: &str, point: &str, passage: u64) -> anyhow::Result<()> {
        let name = format!("{service}-0");
        self.stage(&name)?.kill()?;
        let order = format!("{point}:{passage}");
        self.stage(&name)?.begin_with(&[("STARBRIDGE_KILLPOINT", &order)])?;
        self.down.insert(name.clone());
        self.feed(true).await?;
        let (begin, mut asked) = (Instant::now(), false);
        let status = loop {
            self.pass(Duration::from_millis(250)).await?;
            if let Some(status) = self.stage(&name)?.process().ended()? {
                break status;
            }
            if begin.elapsed() > AT_POINT && !asked {
                asked = true;
                self.stage(&name)?.process().signal(Signal::TERM)?;
            }
            if begin.elapsed() > AT_POINT * 3 {
                self.stage(&name)?.kill()?;
                anyhow::bail!("{name} does not end when it is asked");
            }
        };
        let reached = status.signal() == Some(Signal::KILL.as_raw());
        (self.tell)(format!("        {name} {}", if reached { "died there" } else { "never came by" }));
        let place = format!("{service} {point}");
        if reached {
            self.outcome.deaths.push(place);
        } else {
            self.outcome.never_came_by.push(place);
            self.outcome.missed(Row::Kill);
        }
        let since = Instant::now();
        let of = self.of(service).await?;
        self.stage(&name)?.begin()?;
        self.down.remove(&name);
        self.feed(true).await?;
        self.recovered(of, since, 0, Some(service)).await
    }

    pub(super) async fn freeze(&mut self, service: &'static str, time: Duration, peer: bool) -> anyhow::Result<()> {
        if peer {
            self.road.join(service, 1)?;
            self.pass(Duration::from_secs(8)).await?;
        }
        let name = format!("{service}-0");
        self.stage(&name)?.process().pause()?;
        self.pass(time).await?;
        let (since, base) = (Instant::now(), self.applied().await?);
        self.stage(&name)?.process().resume()?;
        // Until then it may not know that its place was lost.
        self.pass(Duration::from_secs(4)).await?;
        if peer {
            self.leave(service, 1);
            return Ok(());
        }
        self.feed(true).await?;
        self.recovered("frozen", since, base, (service == "control").then_some(service)).await
    }

    /// Lets a service stand still exactly at `point`, beside another that takes over meanwhile, and go on.
    pub(super) async fn stand_still(
        &mut self,
        service: &'static str,
        point: &str,
        time: Duration,
    ) -> anyhow::Result<()> {
        let name = format!("{service}-0");
        self.stage(&name)?.kill()?;
        let order = format!("{point}:1:stop");
        self.stage(&name)?.begin_with(&[("STARBRIDGE_KILLPOINT", &order)])?;
        self.feed(true).await?;
        let begin = Instant::now();
        let stopped = loop {
            self.pass(Duration::from_millis(250)).await?;
            if self.stage(&name)?.process().is_stopped()? {
                break true;
            }
            if begin.elapsed() > AT_POINT {
                break false;
            }
        };
        (self.tell)(format!("        {name} {}", if stopped { "stands there" } else { "never came by" }));
        if stopped {
            self.outcome.standstills.push(format!("{service} {point}"));
            self.road.join(service, 1)?;
            self.pass(time).await?;
            self.stage(&name)?.process().resume()?;
            // What it was about to do it does now.
            self.pass(Duration::from_secs(8)).await?;
            self.leave(service, 1);
        } else {
            self.outcome.missed(Row::PausedBeforeWrite);
        }
        // The next start knows no order.
        self.stage(&name)?.kill()?;
        self.stage(&name)?.begin()
    }

    /// Lets the wall clock of a service jump while it runs, and not its stopwatch.
    pub(super) async fn jump(&mut self, service: &str, by: &[i64]) -> anyhow::Result<()> {
        let name = format!("{service}-0");
        let file = self.road.folder().join(format!("{name}.clock"));
        let set = |seconds: i64| std::fs::write(&file, seconds.to_string()).context("setting a clock");
        set(0)?;
        self.stage(&name)?.kill()?;
        let told = file.display().to_string();
        self.stage(&name)?.begin_with(&[("STARBRIDGE_CLOCK", &told)])?;
        for seconds in by {
            self.feed(true).await?;
            self.pass(Duration::from_secs(8)).await?;
            set(*seconds)?;
        }
        self.feed(true).await?;
        self.pass(Duration::from_secs(8)).await?;
        self.begin_as_it_was(service, &name).await
    }

    /// Lets a service run as in a machine of another zone.
    pub(super) async fn move_to_zone(&mut self, service: &str, zone: &str) -> anyhow::Result<()> {
        let name = format!("{service}-0");
        self.stage(&name)?.kill()?;
        self.stage(&name)?.begin_with(&[("TZ", zone)])?;
        for _ in 0..2 {
            self.feed(true).await?;
            self.pass(Duration::from_secs(8)).await?;
        }
        self.begin_as_it_was(service, &name).await
    }

    /// Starts a service again in its own surroundings.
    async fn begin_as_it_was(&mut self, service: &str, name: &str) -> anyhow::Result<()> {
        let since = Instant::now();
        self.stage(name)?.kill()?;
        self.stage(name)?.begin()?;
        self.feed(true).await?;
        self.recovered(service, since, 0, Some(service)).await
    }
}
