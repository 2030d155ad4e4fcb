//! `ablate`: switches the rules of the protocol off, one at a time. A simulation that does not notice is too weak.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use simulation::Rule;

#[derive(Debug, Parser)]
#[command(about = "Switches each rule of the protocol off and shows by which seed the simulation notices")]
struct Arguments {
    /// How many histories each rule is given.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// This rule alone, by its name.
    #[arg(long)]
    rule: Option<String>,
    /// With `rule`: tells the story of this seed.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    simulation::keep_panics();
    let wanted = |rule: &Rule| arguments.rule.as_deref().is_none_or(|name| name == rule.name());
    if let (Some(seed), Some(rule)) = (arguments.seed, Rule::ALL.into_iter().find(wanted)) {
        let outcome = simulation::run(seed, Some(rule), true);
        for line in &outcome.trace {
            writeln!(out, "{line}")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut missed = 0;
    writeln!(out, "{:<22} {:>14}  how", "rule switched off", "caught at seed")?;
    for rule in Rule::ALL.into_iter().filter(wanted) {
        let (caught, ran) = simulation::sweep(1, arguments.seeds, Some(rule), true);
        match caught.first() {
            Some(outcome) => {
                let how = outcome.violation.as_deref().unwrap_or_default();
                writeln!(out, "{:<22} {:>14}  {how}", rule.name(), outcome.seed)?;
            }
            None => {
                missed += 1;
                writeln!(out, "{:<22} {:>14}  NOT CAUGHT in {ran} histories", rule.name(), "-")?;
            }
        }
        out.flush()?;
    }
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
