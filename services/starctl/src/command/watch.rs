//! Follows a job until it is over.

use std::time::Duration;

use starbridge_proto::v1::{GetReplayRequest, Replay, ReplayStatus, WatchReplayRequest, WatchReplayResponse};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tonic::{Status, Streaming};

use super::progress::{BETWEEN_LINES, Progress};
use super::{Session, view};
use crate::client::status::is_lost;
use crate::exit;
use crate::message;
use crate::output::failure::Failure;

/// How often a stream that broke is opened again before that is a failure; the pause doubles from one second.
const TRIES: u32 = 5;

/// What ends a look at the stream.
enum Seen {
    Job(Box<Replay>),
    /// The stream broke, or ended before the job did.
    Broken(Status),
    /// A line is due.
    Tick,
    Interrupted,
}

/// Follows a job, shows its end, and answers what that means to scripts. An interruption leaves the job running.
pub(super) async fn follow(session: &Session, id: &str) -> Result<u8, Failure> {
    // Listened for from the first moment on, so that no interruption ends the command without a word.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let progress = Progress::new(session.output);
    let mut lines = interval_at(Instant::now() + BETWEEN_LINES, BETWEEN_LINES);
    lines.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut broken = 0;
    let mut last = session.client.ask(GetReplayRequest { id: id.to_owned() }).await?.replay.unwrap_or_default();
    progress.tick(&last)?;
    let outcome = loop {
        if is_over(&last) {
            break Ok(());
        }
        let status = match session.client.stream(WatchReplayRequest { id: id.to_owned() }).await? {
            Err(status) => Some(status),
            Ok(mut stream) => loop {
                match look(&mut stream, &mut lines, &mut interrupts).await {
                    Seen::Job(job) => {
                        (last, broken) = (*job, 0);
                        progress.update(&last);
                        if is_over(&last) {
                            break None;
                        }
                    }
                    Seen::Tick => progress.tick(&last)?,
                    Seen::Broken(status) => break Some(status),
                    Seen::Interrupted => {
                        progress.finish();
                        return interrupted(session, id);
                    }
                }
            },
        };
        let Some(status) = status else { break Ok(()) };
        if !is_lost(&status) || broken == TRIES {
            break Err(session.client.refused(&status));
        }
        tokio::select! {
            () = sleep(Duration::from_secs(1 << broken)) => broken += 1,
            _ = interrupts.recv() => {
                progress.finish();
                return interrupted(session, id);
            }
        }
    };
    progress.finish();
    outcome?;
    session.output.one(&view::REPLAY, &message::value("Replay", &last))?;
    Ok(meaning(&last))
}

async fn look(stream: &mut Streaming<WatchReplayResponse>, lines: &mut Interval, interrupts: &mut Signal) -> Seen {
    tokio::select! {
        // In this order: a job that changes without a pause must not keep the user from stopping, or a line from coming.
        biased;
        _ = interrupts.recv() => Seen::Interrupted,
        _ = lines.tick() => Seen::Tick,
        next = stream.message() => match next {
            Ok(Some(next)) => Seen::Job(Box::new(next.replay.unwrap_or_default())),
            Ok(None) => Seen::Broken(Status::unavailable("the stream ended before the job did")),
            Err(status) => Seen::Broken(status),
        },
    }
}

fn interrupted(session: &Session, id: &str) -> Result<u8, Failure> {
    let output = &session.output;
    output.notice(&output.pick(
        format!("replay {id} goes on; follow it with: starctl replay watch {id}"),
        format!("重放任务 {id} 仍在继续；继续跟踪：starctl replay watch {id}"),
    ))?;
    Ok(exit::INTERRUPTED)
}

fn is_over(job: &Replay) -> bool {
    match job.status() {
        ReplayStatus::Done | ReplayStatus::Cancelled | ReplayStatus::Stopped => true,
        ReplayStatus::Unspecified | ReplayStatus::Running | ReplayStatus::Paused | ReplayStatus::AwaitsApproval => {
            false
        }
    }
}

/// What the end of a job means to scripts.
fn meaning(job: &Replay) -> u8 {
    match job.status() {
        _ if job.failed > 0 => exit::SOME_FAILED,
        ReplayStatus::Done => exit::DONE,
        _ => exit::OTHER,
    }
}
