//! What a Galaxy lets in.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::super::nemesis::Side;
use super::super::row::Row;
use super::{LOOK, Run};

/// A service has something to call for within so long.
const CALLED: Duration = Duration::from_secs(30);
/// How long a wrong secret stays with the services.
const WRONG: Duration = Duration::from_secs(8);
/// Refused logins of one account that do not lock it yet.
const TRIES: u64 = 3;
/// The extractor waits five minutes after a refusal.
const GOES_ON: Duration = Duration::from_secs(400);

impl Run<'_> {
    /// A Galaxy takes another secret, and whoever called it learns of it by being refused: nobody goes on trying. Then
    /// services are told, and go on by themselves.
    pub(super) async fn change_secret(&mut self, side: Side) -> anyhow::Result<()> {
        let before = self.logins(side).await?;
        // Another one for each blow.
        let secret = format!("{:016x}{:016x}", self.outcome.seed, self.outcome.blows.len());
        let galaxy = match side {
            Side::Source => &mut self.road.source,
            Side::Target => &mut self.road.target,
        };
        galaxy.change_secret(&secret).await?;
        // There is something to be read and written in any case.
        let number = self.own_number("");
        self.plant(&number, &[]).await?;
        let since = Instant::now();
        while self.logins(side).await? == before && since.elapsed() < CALLED {
            self.pass(LOOK).await?;
        }
        self.pass(WRONG).await?;
        let tries = self.logins(side).await? - before;
        (self.tell)(format!("        {tries} logins were refused"));
        if tries == 0 {
            self.outcome.missed(Row::LoginRefused);
        } else if tries > TRIES {
            self.outcome.violations.push(format!("{tries} logins with a secret that was refused before"));
        }
        self.galaxy(side).tell_secret()?;
        let since = Instant::now();
        while !self.road.target.holds(super::FORM, &number).await? {
            ensure!(since.elapsed() < GOES_ON, "{number:?} does not arrive once the secret is right");
            self.pass(LOOK).await?;
        }
        Ok(())
    }

    /// Logins that a Galaxy was asked for.
    async fn logins(&self, side: Side) -> anyhow::Result<u64> {
        let stats = self.galaxy(side).admin("/stats", None).await?;
        Ok(stats["by_method"]["LoginByAppSecret"]["calls"].as_u64().unwrap_or(0))
    }
}
