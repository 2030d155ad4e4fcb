//! Where figures come from: commit, machine, versions, load.

use std::process::Command;

use anyhow::Context as _;
use e2e::servers::workspace;

use crate::say;

/// The commit of the working tree; `-dirty` at its end where files differ from it.
///
/// # Errors
/// This is no working tree of git.
pub(crate) fn commit() -> anyhow::Result<String> {
    let text = run("git", &["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])?;
    Ok(text.trim().to_owned())
}

/// Says machine, versions and load average.
///
/// # Errors
/// The kernel or a program does not tell.
pub(crate) fn describe() -> anyhow::Result<()> {
    let processor = field("/proc/cpuinfo", "model name")?;
    let memory = field("/proc/meminfo", "MemTotal")?;
    let processors = std::thread::available_parallelism().context("asking for the processors")?;
    say(&format!("machine: {processors} x {processor}, {memory}"));
    say(&format!("system: {}", read("/proc/sys/kernel/osrelease")?.trim()));
    for (program, arguments) in
        [("rustc", ["--version"].as_slice()), ("redis-server", &["--version"]), ("java", &["--version"])]
    {
        let text = run(program, arguments)?;
        say(text.lines().next().unwrap_or_default());
    }
    let pom = read(&workspace().join("deploy/kafka/pom.xml").display().to_string())?;
    let kafka = pom.lines().find(|line| line.contains("<kafka.version>")).unwrap_or_default();
    say(&format!("kafka: {}", kafka.trim()));
    load()
}

/// Says the load average.
///
/// # Errors
/// The kernel does not tell.
pub(crate) fn load() -> anyhow::Result<()> {
    say(&format!("load average: {}", read("/proc/loadavg")?.trim()));
    Ok(())
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

/// The first value of `name` in a file of `name: value` lines.
fn field(path: &str, name: &str) -> anyhow::Result<String> {
    let text = read(path)?;
    let line = text.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name} in {path}"))?;
    Ok(line.split_once(':').map_or("", |(_, value)| value).trim().to_owned())
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).current_dir(workspace()).output();
    let output = output.with_context(|| format!("running {program}"))?;
    anyhow::ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).with_context(|| format!("what {program} printed"))
}
