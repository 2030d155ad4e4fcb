//! What is said with every change.

use clap::Args;

use super::value;

/// A change that may say why.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Change")]
pub(crate) struct ChangeArgs {
    /// Only says what would happen.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, in words; written to the audit trail.
    #[arg(long, value_parser = value::some_text)]
    pub(crate) reason: Option<String>,
    /// Names this very request: sent again with the same key it gets the first answer. A random one where absent.
    #[arg(long, value_parser = value::some_text)]
    pub(crate) idempotency_key: Option<String>,
    /// Does it without asking.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// A change that has to say why.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Change")]
pub(crate) struct ReasonedArgs {
    /// Only says what would happen.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, in words; written to the audit trail.
    #[arg(long, required_unless_present = "dry_run", value_parser = value::some_text)]
    pub(crate) reason: Option<String>,
    /// Names this very request: sent again with the same key it gets the first answer. A random one where absent.
    #[arg(long, value_parser = value::some_text)]
    pub(crate) idempotency_key: Option<String>,
    /// Does it without asking.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

impl ReasonedArgs {
    /// The same as a change of the common kind.
    pub(crate) fn to_change(&self) -> ChangeArgs {
        ChangeArgs {
            dry_run: self.dry_run,
            reason: self.reason.clone(),
            idempotency_key: self.idempotency_key.clone(),
            yes: self.yes,
        }
    }
}
