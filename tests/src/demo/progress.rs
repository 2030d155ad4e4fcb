//! How far the run is, from the services' own `/metrics`.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::fleet::Metrics;

/// Counts over all services.
#[derive(Debug, Default, Clone)]
pub struct Progress {
    /// Bills read from the source.
    pub extracted: usize,
    /// Bills mapped.
    pub mapped: usize,
    /// Bills that stand in the target.
    pub applied: usize,
    /// Bills with a dead letter.
    pub parked: usize,
}

impl Progress {
    /// Adds what one service says.
    pub(super) fn add(&mut self, metrics: &Metrics) {
        let count = |labels: &[&str]| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter of documents")]
            let count = metrics.sum("starbridge_records_total", labels) as usize;
            count
        };
        self.extracted += count(&["stage=\"extract\"", "outcome=\"emitted\""]);
        self.mapped += count(&["stage=\"transform\"", "outcome=\"mapped\""]);
        self.applied += count(&["outcome=\"applied\"", "terminal=\"true\""]);
        self.parked += count(&["outcome=\"parked\"", "terminal=\"true\""]);
    }

    /// Bills that have ended.
    pub fn ended(&self) -> usize {
        self.applied + self.parked
    }
}

/// A line that is written over on a terminal; elsewhere a line every ten seconds.
#[derive(Debug)]
pub(super) struct Display {
    orders: usize,
    terminal: bool,
    last: Option<Instant>,
}

impl Display {
    pub(super) fn new(orders: usize) -> Self {
        Self { orders, terminal: std::io::stderr().is_terminal(), last: None }
    }

    pub(super) fn show(&mut self, progress: &Progress, elapsed: Duration) {
        let pause = Duration::from_secs(if self.terminal { 0 } else { 10 });
        if self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        self.last = Some(Instant::now());
        let line = format!(
            "{:4} s  read {:5}  mapped {:5}  applied {:5}  parked {:3}  of {}",
            elapsed.as_secs(),
            progress.extracted,
            progress.mapped,
            progress.applied,
            progress.parked,
            self.orders
        );
        let written =
            if self.terminal { write!(std::io::stderr(), "\r{line}") } else { writeln!(std::io::stderr(), "{line}") };
        // A terminal that went away is no reason to stop.
        drop(written);
    }

    pub(super) fn end(&self) {
        if self.terminal {
            drop(writeln!(std::io::stderr()));
        }
    }
}
