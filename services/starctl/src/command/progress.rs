//! How far a job is: a bar on a terminal, a line every ten seconds elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use starbridge_proto::v1::Replay;

use crate::output::Output;
use crate::output::failure::Failure;

/// How often a line is written where no bar can be drawn.
pub(super) const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows how far a job is, on standard error.
#[derive(Debug)]
pub(super) struct Progress {
    output: Output,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(output: Output) -> Self {
        let bar = output.draws_progress().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg}").expect("a template of our own");
            bar.with_style(style)
        });
        Self { output, bar }
    }

    /// Draws the bar; lines are left to [`Progress::tick`].
    pub(super) fn update(&self, job: &Replay) {
        let Some(bar) = &self.bar else { return };
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        bar.set_length(count(job.total));
        bar.set_position(count(over(job)));
        bar.set_message(self.words(job));
    }

    /// Writes a line, where there is no bar.
    pub(super) fn tick(&self, job: &Replay) -> Result<(), Failure> {
        if self.bar.is_some() {
            return Ok(());
        }
        self.output.remark(&format!("{}/{} {}", over(job), job.total, self.words(job)))
    }

    /// Takes the bar away, so that what comes next has the line for itself.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn words(&self, job: &Replay) -> String {
        let Replay { published, resolved, superseded, failed, skipped, .. } = job;
        self.output.pick(
            format!("published {published}, resolved {resolved}, superseded {superseded}, failed {failed}, skipped {skipped}"),
            format!("已发布 {published}，已解决 {resolved}，已被取代 {superseded}，失败 {failed}，跳过 {skipped}"),
        )
    }
}

/// Letters that have their outcome.
fn over(job: &Replay) -> i64 {
    job.resolved + job.superseded + job.failed + job.skipped
}
