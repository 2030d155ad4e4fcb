//! The files of a road: orders and flows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::servers::workspace;

/// The first `count` orders of the shipped file, each `copies` times under its own number, as a file of their own.
pub(super) fn first_orders(count: usize, copies: usize, scratch: &Path) -> anyhow::Result<PathBuf> {
    let shipped = workspace().join("tests/data/superstore-orders.csv");
    let mut reader = csv::Reader::from_path(&shipped).context("opening the orders")?;
    let path = scratch.join("orders.csv");
    let mut writer = csv::Writer::from_path(&path).context("writing the orders")?;
    writer.write_record(reader.headers()?)?;
    let mut seen = BTreeSet::new();
    for row in reader.records() {
        let row = row?;
        let id = row.get(0).unwrap_or_default().to_owned();
        if !seen.contains(&id) && seen.len() >= count {
            continue;
        }
        writer.write_record(&row)?;
        for copy in 2..=copies {
            let number = format!("{id}-{copy}");
            writer.write_record(std::iter::once(number.as_str()).chain(row.iter().skip(1)))?;
        }
        seen.insert(id);
    }
    writer.flush()?;
    Ok(path)
}

/// The folder of a flow as it is shipped.
pub(super) fn shipped(flow: &str) -> PathBuf {
    workspace().join("deploy/flows").join(flow)
}

/// Copies a flow's folder to `folder`; `changes` are lines of the flow file with another value.
pub(super) fn copy_flow(from: &Path, folder: &Path, changes: &[(&str, String)]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(from).context("reading the flow's folder")? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    change_flow(folder, changes)
}

/// Gives lines of the flow file in `folder` another value.
pub(super) fn change_flow(folder: &Path, changes: &[(&str, String)]) -> anyhow::Result<()> {
    let path = folder.join("flow.toml");
    let text = std::fs::read_to_string(&path).context("reading the flow")?;
    let changed: Vec<String> = text
        .lines()
        .map(|line| {
            let name = line.split_once('=').map_or("", |(name, _)| name.trim());
            match changes.iter().find(|(changed, _)| *changed == name) {
                Some((name, value)) => format!("{name} = {value}"),
                None => line.to_owned(),
            }
        })
        .collect();
    std::fs::write(&path, changed.join("\n")).context("writing the flow")
}
