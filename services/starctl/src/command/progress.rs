//! How far a job is: a bar on a terminal, a line every ten seconds elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::watch::Watched;
use crate::output::Output;
use crate::output::failure::Failure;

/// How often a line is written where no bar can be drawn.
pub(super) const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows how far a job is, on standard error.
#[derive(Debug)]
pub(super) struct Progress {
    output: Output,
    bar: Option<ProgressBar>,
    begun: Instant,
}

impl Progress {
    pub(super) fn new(output: Output) -> Self {
        let bar = output.draws_progress().then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
        Self { output, bar, begun: Instant::now() }
    }

    /// Draws the bar; where a job tells no counts, how long it has been followed. Lines are left to [`Progress::tick`].
    pub(super) fn update(&self, job: &impl Watched) {
        let Some(bar) = &self.bar else { return };
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        let template = match job.counts() {
            Some((over, total)) => {
                bar.set_length(count(total));
                bar.set_position(count(over));
                "{bar:32} {pos}/{len} {msg}"
            }
            None => {
                bar.enable_steady_tick(Duration::from_secs(1));
                "{spinner} {msg} {elapsed}"
            }
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a template of our own"));
        bar.set_message(job.words(&self.output));
    }

    /// Writes a line, where there is no bar.
    pub(super) fn tick(&self, job: &impl Watched) -> Result<(), Failure> {
        if self.bar.is_some() {
            return Ok(());
        }
        let words = job.words(&self.output);
        let seconds = self.begun.elapsed().as_secs() / BETWEEN_LINES.as_secs() * BETWEEN_LINES.as_secs();
        self.output.remark(&match job.counts() {
            Some((over, total)) => format!("{over}/{total} {words}"),
            None if seconds == 0 => words,
            None => format!("{words}, {seconds} s"),
        })
    }

    /// Takes the bar away, so that what comes next has the line for itself.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
