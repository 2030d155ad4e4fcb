//! How a process lives: where its settings come from, how it is seen from outside, how it waits and how it ends.
//!
//! A service's `main` reads [`settings`], starts [`telemetry`], serves [`health`] and runs until
//! [`shutdown::requested`]. Everything here takes time, randomness and the environment as arguments; the process
//! itself is touched only by [`settings::Invocation::of_process`], [`clock::Clock::system`] and the signal handler.

pub mod backoff;
pub mod clock;
pub mod health;
pub mod metrics;
pub mod patience;
pub mod probe;
pub mod process;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod watchdog;

use std::future::Future;
use std::time::Duration;

pub use backoff::Backoff;
pub use clock::Clock;
pub use patience::Patience;
pub use settings::{Faults, Settings};
pub use shutdown::Shutdown;

/// Runs `work` to its end on a runtime of its own, with at most four worker threads: a stage waits more than it computes.
///
/// Blocking calls that are still out then (a broker that does not answer) get a second, and no more: an end that was
/// asked for must not wait for them, as the runtime of `#[tokio::main]` does.
///
/// # Errors
/// The system refuses threads.
pub fn run<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(outcome)
}

/// Makes aws-lc the TLS provider of this process. First line of every `main`: with two providers in one build, rustls
/// panics at the first connection unless one was chosen.
pub fn install_tls_provider() {
    // A second call finds the provider of the first in place, which is what it wanted.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_does_not_wait_for_what_blocks() {
        let (_never, waits) = std::sync::mpsc::channel::<()>();
        let clock = Clock::system();
        let outcome = run(async {
            tokio::task::spawn_blocking(move || waits.recv_timeout(Duration::from_secs(30)));
            7
        });
        assert_eq!(outcome.expect("threads"), 7);
        assert!(clock.monotonic() < Duration::from_secs(10));
    }
}
