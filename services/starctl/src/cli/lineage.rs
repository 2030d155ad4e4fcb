//! Where fields of the target come from.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum LineageCommand {
    /// Shows where every field of a flow's target document comes from, and through which expression.
    Flow {
        #[command(flatten)]
        flow: WhichFlow,
    },
    /// Shows the lines about one field, of the target or of the source.
    Field {
        #[command(flatten)]
        flow: WhichFlow,
        /// The field: whole as in FEntity.FQty, by its last name, or as the source system calls it.
        field: String,
    },
}

/// A flow, on disk or published.
#[derive(Debug, Clone, Args)]
pub(crate) struct WhichFlow {
    /// A published flow by its name; or a flow folder or flow file, known by a slash or .toml, which is read offline.
    pub(crate) flow: String,
    /// An earlier version instead of the current one.
    #[arg(long = "at", value_name = "VERSION")]
    pub(crate) version: Option<String>,
}

impl WhichFlow {
    /// Whether it lies on this machine.
    pub(crate) fn is_path(&self) -> bool {
        self.flow == "."
            || self.flow.contains(['/', '\\']) && !self.flow.starts_with("flow/")
            || self.flow.ends_with(".toml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_a_name() {
        let is_path = |flow: &str| WhichFlow { flow: flow.to_owned(), version: None }.is_path();
        for path in [".", "./misc", "deploy/flows/misc-inbound", "flow.toml"] {
            assert!(is_path(path), "{path}");
        }
        for name in ["misc-inbound", "flow/misc-inbound"] {
            assert!(!is_path(name), "{name}");
        }
    }
}
