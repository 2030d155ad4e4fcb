//! Starts a simulated system and tells, in one line of JSON, where it listens.

use anyhow::Context;
use clap::Parser;
use simulator::options::{Command, System};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command { system: System::Kingdee(options) } = Command::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();

    // Both before the line is said: whoever reads it may end us at once.
    let mut terminated = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("waiting for Ctrl-C")?;
    let running = simulator::start(&options).await.context("the simulator was not started")?;
    say(&running.line());

    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    running.stop().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the line is the program's output: its starter reads the ports from it")]
fn say(line: &str) {
    println!("{line}");
}
