//! Real servers for tests and demo, each on free ports with its data in a scratch folder: Apache Kafka, Redis, and our
//! own binaries. A child never outlives the process that started it, however that process ends.
//!
//! `STARBRIDGE_TEST_KAFKA` (`host:port`) and `STARBRIDGE_TEST_REDIS` (`redis://…`) point at servers that already run;
//! then none is started, and tests that must stop or pause a server start one of their own all the same.

pub mod kafka;
pub mod process;
pub mod redis;
pub mod shared;

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

pub use kafka::{Behind, Kafka};
pub use process::Process;
pub use redis::Redis;
pub use shared::SharedKafka;

/// Ports below those that the kernel gives to connections by itself (from 32,768 on): between this moment and the one at
/// which a server binds its port, no connection can take it.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// `count` ports of the loopback that were free a moment ago, none of which this process was given before.
///
/// # Errors
/// No port can be bound.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Every process begins elsewhere, so that two of them rarely look at the same port.
    let begin = RandomState::new().build_hasher().finish() % u64::from(PORTS.end - PORTS.start);
    let begin = PORTS.start + u16::try_from(begin).expect("below the width of the range");
    let mut ports = Vec::new();
    for port in (begin..PORTS.end).chain(PORTS.start..begin) {
        if ports.len() == count {
            break;
        }
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            ports.push(port);
        }
    }
    anyhow::ensure!(ports.len() == count, "no free port on the loopback");
    Ok(ports)
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
