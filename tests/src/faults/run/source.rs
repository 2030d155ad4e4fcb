//! What the source shows and hides.

use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use super::super::deed::{Dates, Move, Odd};
use super::super::nemesis::Side;
use super::super::row::Row;
use super::{FORM, LOOK, RECOVERY, Run};
use crate::mend::Clerk;

/// Bills of one second, in each of two portions.
const AT_ONCE: usize = 6;
/// Rows of a large bill.
const LARGE: usize = 10_000;
/// Bills that are approved anew, how often, and how long they are away each time.
const REAPPROVED: usize = 8;
const ROUNDS: usize = 4;
const AWAY: Duration = Duration::from_millis(700);
/// Hours from UTC to the zone of the source, Asia/Shanghai.
const ZONE: i64 = 8;
/// What the extractor counts when a lookback misses too much at once.
const SHRUNK: &str = "starbridge_source_shrunk";

impl Run<'_> {
    pub(super) async fn misleading_dates(&mut self, dates: Dates) -> anyhow::Result<()> {
        match dates {
            Dates::Future(hours) => {
                let early = self.planted_at(hours).await?;
                // Bills of the present come after it, and are not passed over for it.
                let present = self.planted_at(0).await?;
                self.arrive(&[early, present]).await
            }
            Dates::Equal => {
                let approved = local(0);
                for _ in 0..2 {
                    let mut numbers = Vec::new();
                    for _ in 0..AT_ONCE {
                        let number = self.own_number("");
                        self.plant(&number, &[("FApproveDate", json!(approved))]).await?;
                        numbers.push(number);
                    }
                    self.arrive(&numbers).await?;
                }
                Ok(())
            }
            Dates::Past(hours) => {
                let late = self.planted_at(-hours).await?;
                let since = Instant::now();
                while !self.road.target.holds(FORM, &late).await? {
                    ensure!(since.elapsed() < RECOVERY, "no lookback finds {late:?}");
                    self.look_back()?;
                    self.pass(LOOK * 8).await?;
                }
                Ok(())
            }
        }
    }

    /// A save is not answered, so that the number has to be asked for.
    pub(super) async fn odd_key(&mut self, odd: Odd) -> anyhow::Result<()> {
        let number = self.own_number(&odd.text());
        let lost = json!({"kind": "cut_after", "call": "BatchSave", "numbers": [number], "count": 1});
        let lost = self.misbehave(Side::Target, &lost).await?;
        self.plant(&number, &[]).await?;
        let same = self.own_number(&odd.text());
        self.plant(&same, &[]).await?;
        self.arrive(&[number, same]).await?;
        self.end_fault(Side::Target, lost, Row::OddKey).await
    }

    pub(super) async fn source_moves(&mut self, how: Move) -> anyhow::Result<()> {
        match how {
            Move::Reapproved => {
                let mut clerk = Clerk::at(&self.road.source).await?;
                let step = self.first / REAPPROVED;
                let numbers: Vec<String> =
                    self.bills.iter().step_by(step.max(1)).take(REAPPROVED).map(|(number, _)| number.clone()).collect();
                for _ in 0..ROUNDS {
                    clerk.take_back(&numbers).await?;
                    self.feed(true).await?;
                    self.pass(AWAY).await?;
                    clerk.approve(&numbers).await?;
                    self.feed(false).await?;
                    self.pass(AWAY).await?;
                }
                Ok(())
            }
            Move::Clamped(rows) => {
                let clamp = json!({"kind": "clamp", "call": "ExecuteBillQuery", "rows": rows, "count": 0});
                let clamp = self.misbehave(Side::Source, &clamp).await?;
                // It lies behind every page.
                let last = self.planted_at(0).await?;
                self.arrive(&[last]).await?;
                self.road.source.end_fault(clamp).await
            }
            Move::Large => {
                let number = self.own_number(&format!("x{LARGE}"));
                let mut bill = self.order_of(&number)?;
                bill.lines = bill.lines.iter().cycle().take(LARGE).cloned().collect();
                self.plant_bill(&number, bill, &[]).await?;
                self.arrive(&[number]).await
            }
        }
    }

    /// Nothing is concluded from a source that shows nothing, and what it shows again is found.
    pub(super) async fn permission_lost(&mut self) -> anyhow::Result<()> {
        let nothing = json!({"kind": "clamp", "call": "ExecuteBillQuery", "rows": 0, "count": 0});
        let nothing = self.misbehave(Side::Source, &nothing).await?;
        self.until_shrunk(true).await?;
        // Once more: a bill that two lookbacks miss has left.
        self.look_back()?;
        self.pass(LOOK * 8).await?;
        self.road.source.end_fault(nothing).await?;
        self.until_shrunk(false).await?;
        let number = self.planted_at(0).await?;
        self.arrive(&[number]).await
    }

    /// Looks back until the extractor says that the source shrank, or no longer says so.
    async fn until_shrunk(&mut self, shrunk: bool) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            self.look_back()?;
            self.pass(LOOK * 4).await?;
            let metrics = self.stage("extractor-0")?.metrics().await;
            if metrics.is_ok_and(|now| now.count(SHRUNK) > 0 && (now.sum(SHRUNK, &[]) > 0.0) == shrunk) {
                return Ok(());
            }
            ensure!(since.elapsed() < RECOVERY, "that the source shrank is still told: {}", !shrunk);
        }
    }

    fn look_back(&self) -> anyhow::Result<()> {
        self.commands.send(&json!({"flow": "misc-inbound", "command": "lookback"}))
    }

    /// A bill of its own, approved so many hours from now; gives its number.
    async fn planted_at(&mut self, hours: i64) -> anyhow::Result<String> {
        let number = self.own_number("");
        let fields: &[(&str, Value)] = &[("FApproveDate", json!(local(hours)))];
        self.plant(&number, fields).await?;
        Ok(number)
    }
}

/// So many hours from now as the source writes it.
fn local(hours: i64) -> String {
    (Utc::now() + TimeDelta::hours(ZONE + hours)).format("%Y-%m-%d %H:%M:%S").to_string()
}
