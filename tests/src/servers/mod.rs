//! Real servers for tests and demo, each on free ports with its data in a scratch folder: Apache Kafka, Redis, and our
//! own binaries. A child never outlives the process that started it, however that process ends.
//!
//! `STARBRIDGE_TEST_KAFKA` (`host:port`) and `STARBRIDGE_TEST_REDIS` (`redis://…`) point at servers that already run;
//! then none is started, and tests that must stop or pause a server start one of their own all the same.

pub mod kafka;
pub mod process;
pub mod redis;
pub mod shared;

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::Context as _;

pub use kafka::Kafka;
pub use process::Process;
pub use redis::Redis;
pub use shared::SharedKafka;

/// `count` ports of the loopback that were free a moment ago.
///
/// # Errors
/// No port can be bound.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()
        .context("no free port on the loopback")?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Where set-up keeps downloads: `STARBRIDGE_CACHE`, else `.starbridge` at the root of the workspace.
pub fn cache() -> PathBuf {
    variable("STARBRIDGE_CACHE").map_or_else(|| workspace().join(".starbridge"), PathBuf::from)
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// The folder that holds our binaries: the one this program lies in, or its parent for a test.
///
/// # Errors
/// The path of this program is not known.
pub fn binaries() -> anyhow::Result<PathBuf> {
    let mut folder = std::env::current_exe().context("asking for the path of this program")?;
    folder.pop();
    if folder.file_name().is_some_and(|name| name == "deps") {
        folder.pop();
    }
    Ok(folder)
}

#[expect(clippy::disallowed_methods, reason = "the harness is told where to look by its environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
