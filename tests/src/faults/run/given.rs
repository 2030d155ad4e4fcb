//! What the source is given.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{FORM, FRESH, LOOK, RATE, RECOVERY, Run};
use crate::compare::rules::Bill;
use crate::mend::model;

impl Run<'_> {
    /// Gives the source what is due by now, or a few bills more at once if `fresh`, and asks for a scan.
    pub(super) async fn feed(&mut self, fresh: bool) -> anyhow::Result<()> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bills")]
        let arrived = (self.portion_at.elapsed().as_secs_f64() * RATE) as usize;
        // Every blow meets bills that were not there before it.
        let late = self.bills.len() - self.first;
        let most = self.first + late * self.outcome.blows.len() / (self.blows + 1);
        let due = (self.given + arrived).min(most).max(self.given);
        self.give(due + if fresh { FRESH } else { 0 }).await
    }

    pub(super) async fn give(&mut self, due: usize) -> anyhow::Result<()> {
        self.portion_at = Instant::now();
        let new = self.bills.get(self.given..due.min(self.bills.len())).unwrap_or_default();
        if !new.is_empty() {
            let documents: Vec<Value> = new.iter().map(|(number, bill)| model(number, bill)).collect();
            let order = json!({"form": FORM, "documents": documents});
            self.road.source.admin("/documents", Some(&order)).await.context("giving bills to the source")?;
            self.given += new.len();
        }
        // A command that does not reach the broker is followed by another one.
        self.commands.send(&json!({"flow": "misc-inbound", "command": "run"}))
    }

    /// The number of a bill that the run is given besides: that of an order, and behind it the sign of a copy and `mark`.
    pub(super) fn own_number(&self, mark: &str) -> String {
        let (order, _) = &self.bills[self.bills.len() % self.first];
        format!("{order}~{}{mark}", self.bills.len())
    }

    /// Gives the source a copy of the order that `number` names, with these fields besides, and asks for a scan.
    pub(super) async fn plant(&mut self, number: &str, fields: &[(&str, Value)]) -> anyhow::Result<()> {
        let bill = self.order_of(number)?;
        self.plant_bill(number, bill, fields).await
    }

    /// The bill of the order that a number of [`Run::own_number`] names.
    pub(super) fn order_of(&self, number: &str) -> anyhow::Result<Bill> {
        let order = number.rsplit_once('~').map_or(number, |(order, _)| order);
        let found = self.bills.iter().find(|(known, _)| known == order);
        found.map(|(_, bill)| bill.clone()).with_context(|| format!("{order} is no order of this run"))
    }

    /// Gives the source a bill, with these fields besides, and asks for a scan.
    pub(super) async fn plant_bill(
        &mut self,
        number: &str,
        bill: Bill,
        fields: &[(&str, Value)],
    ) -> anyhow::Result<()> {
        let mut document = model(number, &bill);
        for (name, value) in fields {
            document[*name] = value.clone();
        }
        let order = json!({"form": FORM, "documents": [document]});
        self.road.source.admin("/documents", Some(&order)).await.context("giving a bill to the source")?;
        self.bills.insert(self.given, (number.to_owned(), bill));
        self.given += 1;
        self.feed(false).await
    }

    /// Waits until the target holds each of these numbers.
    pub(super) async fn arrive(&mut self, numbers: &[String]) -> anyhow::Result<()> {
        let since = Instant::now();
        for number in numbers {
            while !self.road.target.holds(FORM, number).await? {
                ensure!(since.elapsed() < RECOVERY, "{number:?} does not arrive");
                self.pass(LOOK).await?;
            }
        }
        Ok(())
    }
}
