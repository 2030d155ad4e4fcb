//! The wish to stop, as a value that everything long-lived is given.

use tokio_util::sync::CancellationToken;

/// Says when to stop taking new work. Clones share the wish.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks when the process gets SIGTERM or SIGINT. Needs a running tokio runtime.
    ///
    /// # Errors
    /// The system refuses the signal handler.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let mut signals = Signals::new()?;
        let told = shutdown.clone();
        tokio::spawn(async move {
            let name = signals.next().await;
            tracing::info!(signal = name, "stop requested");
            told.request();
        });
        Ok(shutdown)
    }

    /// Asks everyone who holds a clone to stop.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until somebody asks. May be dropped and called again.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// The system refuses the signal handler.
pub async fn requested() -> std::io::Result<()> {
    Signals::new()?.next().await;
    Ok(())
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clones_hear_of_the_wish_at_any_time() {
        let shutdown = Shutdown::new();
        let clone = shutdown.clone();
        assert!(!clone.is_requested());
        let waiting = tokio::spawn(async move { clone.requested().await });
        shutdown.request();
        waiting.await.expect("the task ends");
        assert!(shutdown.is_requested());
        shutdown.requested().await;
    }

    #[tokio::test]
    async fn a_signal_is_a_wish_to_stop() {
        let shutdown = Shutdown::on_signals().expect("handlers");
        let pid = std::process::id().to_string();
        let sent = tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill runs");
        assert!(sent.success());
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }
}
