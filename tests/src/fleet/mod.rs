//! Our own processes around real servers: simulated Galaxies, the three stages and the control plane, as a deployment would run them.

mod commands;
mod desk;
mod galaxy;
mod stage;
mod starctl;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub use commands::Commands;
pub use desk::{CLIENT_NAME, DeskFiles};
pub use galaxy::{AdminPort, Galaxy, GalaxyPlan};
pub use stage::{Metrics, Stage, StagePlan};
pub use starctl::Starctl;

/// Writes `text` to `folder/name`, readable by us alone, and gives its path.
///
/// # Errors
/// The file cannot be written.
pub fn secret(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join(name);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("writing {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// The tables of a service's settings that lead to these Galaxies and nowhere else.
pub fn connections(galaxies: &[&Galaxy], calls_per_minute: u32) -> String {
    let hosts: Vec<String> = galaxies.iter().map(|galaxy| galaxy.door()).collect();
    let tables: Vec<String> = galaxies.iter().map(|galaxy| galaxy.connection(calls_per_minute)).collect();
    format!("[outbound]\nhosts = {hosts:?}\n\n{}", tables.join("\n"))
}

/// A client for loopback addresses: no proxy, short patience.
///
/// # Errors
/// The client cannot be made.
pub fn http() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(10))
        .build()
        .context("making an HTTP client")
}
