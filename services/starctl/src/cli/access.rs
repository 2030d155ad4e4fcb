//! Signing in, tokens, roles, and the audit trail.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::change::ChangeArgs;
use super::{PageArgs, SortArgs, value};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Lists who did what, newest first.
    List {
        #[command(flatten)]
        page: PageArgs,
        /// Only what this person did.
        #[arg(long)]
        actor: Option<String>,
        /// Only about objects that begin so: flow/misc-inbound, dead_letter/.
        #[arg(long)]
        object: Option<String>,
    },
    /// Reads the whole trail, checks its chain and what was signed of it; exit code 9 when it is not whole.
    Verify {
        /// A file of public keys, as audit get-key prints them. The signature is then checked here, too, by these alone.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// A file of signed heads that you keep: the trail must go through all of them; the newest is added at its end.
        #[arg(long, value_name = "FILE")]
        kept: Option<PathBuf>,
    },
    /// Prints the public keys that sign heads of the trail. Keep them where nobody of the installation can change them.
    GetKey,
}

/// Where a role holds; everywhere where absent.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScopeArgs {
    /// The tenant.
    #[arg(long, default_value = "*")]
    pub(crate) tenant: String,
    /// The flow.
    #[arg(long, default_value = "*", value_parser = value::flow_name)]
    pub(crate) flow: String,
    /// The connection.
    #[arg(long, default_value = "*")]
    pub(crate) connection: String,
}

/// A role of somebody.
#[derive(Debug, Clone, Args)]
pub(crate) struct BindingArgs {
    /// Who: the subject of a token or of a client certificate.
    #[arg(value_parser = value::some_text)]
    pub(crate) principal: String,
    /// viewer, operator, engineer, system_administrator, security_administrator or auditor.
    pub(crate) role: String,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Takes a token from the terminal (hidden), standard input or a file, tries it, and keeps it for the context.
    Login {
        /// The file to take the token from.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Removes the kept token from this machine. It stays valid until it ends or is revoked.
    Logout,
    /// Shows who you are, until when, and your roles.
    Whoami,
    /// Says whether you may do something, and why; exit code 4 when not.
    CanI {
        /// read, replay, discard and so on.
        verb: String,
        /// flow, dead_letter, replay and so on.
        object: String,
        #[command(flatten)]
        scope: ScopeArgs,
    },
    /// Exchanges the one-time bootstrap credential for the first administrator's token, and keeps that.
    Bootstrap {
        /// The name of the first administrator.
        principal: String,
        /// The file that holds the credential. Nobody else may read it.
        #[arg(long, value_name = "FILE")]
        credential_file: PathBuf,
    },
    /// Makes a token for somebody: on standard output this once, or into a file.
    IssueToken {
        /// For whom.
        #[arg(value_parser = value::some_text)]
        principal: String,
        /// How long it holds: 12h at most.
        #[arg(long, default_value = "12h", value_parser = value::duration)]
        lifetime: Duration,
        /// Writes the token to this new file, which nobody else may read, instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Takes a token back; every replica refuses it within 30 s.
    RevokeToken {
        /// The token's id, as issue-token told it: 32 hex digits.
        #[arg(value_parser = value::token_id)]
        token_id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Lists who has which role where.
    Bindings {
        #[command(flatten)]
        sort: SortArgs,
    },
    /// Gives somebody a role.
    Bind {
        #[command(flatten)]
        binding: BindingArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Takes a role from somebody.
    Unbind {
        #[command(flatten)]
        binding: BindingArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
}
