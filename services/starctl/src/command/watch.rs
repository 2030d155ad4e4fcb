//! Follows a job until it is over: a replay, a backfill, a reconciliation.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tonic::{Status, Streaming};

use super::Session;
use super::progress::{BETWEEN_LINES, Progress};
use crate::client::Ask;
use crate::client::status::is_lost;
use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;

/// How often a stream that broke is opened again before that is a failure; the pause doubles from one second.
const TRIES: u32 = 5;

/// A job that can be followed. Its stream begins with how it stands, and ends with it.
pub(super) trait Watched: Sized {
    /// Asks for the stream.
    type Watch: Ask<Answer = Streaming<Self::Seen>>;
    /// What the stream tells.
    type Seen: Send;
    /// The noun of the command line.
    const COMMAND: &'static str;
    /// What it is called in English and Chinese.
    const NAMES: (&'static str, &'static str);

    fn watch(id: String) -> Self::Watch;
    fn seen(seen: Self::Seen) -> Self;
    fn id(&self) -> &str;
    fn is_over(&self) -> bool;
    /// How much of it is over, and of how much; nothing where that is not known before its end.
    fn counts(&self) -> Option<(i64, i64)>;
    /// How far it is.
    fn words(&self, output: &Output) -> String;
    /// Shows its end; answers what that means to scripts.
    async fn show(&self, session: &Session) -> Result<u8, Failure>;
}

/// Says how a job that was begun can be followed, from anywhere.
pub(super) fn tell<J: Watched>(session: &Session, job: &J) -> Result<(), Failure> {
    session.output.remark(&format!("starctl {} watch {}", J::COMMAND, job.id()))
}

/// Follows a job, shows its end, and answers what that means to scripts. An interruption leaves the job running.
pub(super) async fn follow<J: Watched>(session: &Session, id: &str) -> Result<u8, Failure> {
    // Listened for from the first moment on, so that no interruption ends the command without a word.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let progress = Progress::new(session.output);
    let end = tokio::select! {
        // In this order: a job that changes without a pause must not keep the user from stopping.
        biased;
        _ = interrupts.recv() => Ok(None),
        end = until_over::<J>(session, id, &progress) => end.map(Some),
    };
    progress.finish();
    match end? {
        Some(job) => job.show(session).await,
        None => interrupted::<J>(session, id),
    }
}

async fn until_over<J: Watched>(session: &Session, id: &str, progress: &Progress) -> Result<J, Failure> {
    let mut lines = interval_at(Instant::now() + BETWEEN_LINES, BETWEEN_LINES);
    lines.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut broken, mut last) = (0, None::<J>);
    loop {
        let status = match session.client.stream(J::watch(id.to_owned())).await? {
            Err(status) => status,
            Ok(mut stream) => loop {
                let next = tokio::select! {
                    // In this order, for the same reason.
                    biased;
                    _ = lines.tick() => {
                        last.iter().try_for_each(|job| progress.tick(job))?;
                        continue;
                    }
                    next = stream.message() => next,
                };
                match next {
                    Ok(Some(next)) => {
                        let job = J::seen(next);
                        if job.is_over() {
                            return Ok(job);
                        }
                        progress.update(&job);
                        if last.is_none() {
                            progress.tick(&job)?;
                        }
                        (last, broken) = (Some(job), 0);
                    }
                    Ok(None) => break Status::unavailable("the stream ended before the job did"),
                    Err(status) => break status,
                }
            },
        };
        if !is_lost(&status) || broken == TRIES {
            return Err(session.client.refused(&status));
        }
        sleep(Duration::from_secs(1 << broken)).await;
        broken += 1;
    }
}

fn interrupted<J: Watched>(session: &Session, id: &str) -> Result<u8, Failure> {
    let (output, command) = (&session.output, J::COMMAND);
    let name = output.pick(J::NAMES.0, J::NAMES.1);
    output.notice(&output.pick(
        format!("{name} {id} goes on; follow it with: starctl {command} watch {id}"),
        format!("{name} {id} 仍在继续；继续跟踪：starctl {command} watch {id}"),
    ))?;
    Ok(exit::INTERRUPTED)
}
