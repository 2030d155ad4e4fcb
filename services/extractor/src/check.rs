//! `--check-config`: the settings in full and every fault of the flows, without starting anything.

use document::Fault;

use crate::config::Config;
use crate::error::Error;
use crate::folder;
use crate::unit::Unit;

/// Every fault of the flows that `config` names, and every note about them.
pub fn flows(config: &Config) -> (Vec<Fault>, Vec<String>) {
    let findings = folder::read(&config.flows.folders, &folder::Known::new());
    let mut faults = findings.faults;
    for found in findings.flows.into_values() {
        faults.extend(Unit::new(found.flow, config).err().into_iter().flatten());
    }
    (faults, findings.notes)
}

/// Prints settings, notes and faults.
///
/// # Errors
/// [`Error::Flows`] when there are faults.
#[expect(clippy::print_stdout, reason = "the answer to --check-config is data for standard output")]
pub fn report(config: &Config, effective: &str) -> Result<(), Error> {
    print!("{effective}");
    let (faults, notes) = flows(config);
    for line in notes.iter().chain(&faults.iter().map(Fault::to_string).collect::<Vec<_>>()) {
        println!("# {line}");
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Flows(faults)) }
}
