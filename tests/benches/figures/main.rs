//! `make bench`: what Starbridge costs, one JSON line a figure on standard output, everything else on standard error.
//!
//! Not part of the tests: figures depend on the machine, so nothing passes or fails by them. Each part asserts first that
//! what it measured also came out right.

mod desk;
mod figure;
mod machine;
mod mapping;
mod road;
mod transactions;

use figure::Output;

/// Words of the command line choose parts by name; none chooses all.
fn main() -> anyhow::Result<()> {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some((desk::WORD, words)) = chosen.split_first().map(|(word, words)| (word.as_str(), words)) {
        return runtime.block_on(desk::rebuild(words));
    }
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|word| word == part);
    let output = Output::new(machine::commit()?);
    machine::describe()?;
    if wanted("mapping") {
        mapping::measure(&output)?;
    }
    if wanted("transactions") {
        runtime.block_on(transactions::measure(&output))?;
    }
    if wanted("road") {
        runtime.block_on(road::measure(&output))?;
    }
    if wanted("desk") {
        runtime.block_on(desk::measure(&output))?;
    }
    if wanted("desk-of-many") {
        runtime.block_on(desk::measure_many(&output))?;
    }
    if wanted("desk-rate") {
        runtime.block_on(desk::rate(&output))?;
    }
    Ok(())
}

/// Says something to the person who watches.
#[expect(clippy::print_stderr, reason = "standard output carries the figures alone")]
fn say(text: &str) {
    eprintln!("{text}");
}
