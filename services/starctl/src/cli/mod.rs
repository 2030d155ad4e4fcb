//! What can be typed.

pub(crate) mod access;
pub(crate) mod api;
pub(crate) mod backfill;
pub(crate) mod change;
pub(crate) mod connection;
pub(crate) mod context;
pub(crate) mod flow;
pub(crate) mod letter;
pub(crate) mod lineage;
pub(crate) mod reconcile;
pub(crate) mod replay;
pub(crate) mod schedule;
pub(crate) mod secret;
pub(crate) mod tenant;
pub(crate) mod value;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::context::Context;
use crate::words::Language;

/// Looks after Starbridge: its flows, its dead letters and what became of them.
#[derive(Debug, Parser)]
#[command(name = "starctl", version, about, disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How things are shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ShowArgs {
    /// Form of the data on standard output; everything else goes to standard error.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Form::Table, global = true, env = "STARCTL_OUTPUT", hide_env_values = true)]
    pub(crate) output: Form,
    /// Language of prose, headings and advice; the context's, else en.
    #[arg(long, value_enum, global = true, env = "STARCTL_LANG", hide_env_values = true)]
    pub(crate) lang: Option<Language>,
    /// When to use colours.
    #[arg(long, value_enum, default_value_t = When::Auto, global = true, env = "STARCTL_COLOR", hide_env_values = true, hide_short_help = true)]
    pub(crate) color: When,
    /// Set to anything, it takes the colours away.
    #[arg(long, global = true, env = "NO_COLOR", hide = true)]
    pub(crate) no_color: Option<String>,
    /// Says nothing on standard error but errors and questions.
    #[arg(short, long, global = true, conflicts_with = "verbose", hide_short_help = true)]
    pub(crate) quiet: bool,
    /// Says which calls are made, how they end and how long they take.
    #[arg(short, long, global = true, hide_short_help = true)]
    pub(crate) verbose: bool,
    /// Shows times in UTC instead of local time.
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) utc: bool,
}

/// Which control plane is spoken to. A flag wins over the environment, which wins over the context.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ServerArgs {
    /// The context to use; the current one where absent.
    #[arg(long, global = true, env = "STARCTL_CONTEXT", hide_env_values = true, hide_short_help = true)]
    pub(crate) context: Option<String>,
    /// The file of contexts; ~/.config/starctl/config.toml where absent. Nobody else may read it.
    #[arg(long, global = true, env = "STARCTL_CONFIG", hide_env_values = true, hide_short_help = true)]
    pub(crate) config: Option<PathBuf>,
    /// The control plane: https://HOST:PORT.
    #[arg(long, global = true, env = "STARCTL_ENDPOINT", hide_env_values = true, hide_short_help = true)]
    pub(crate) endpoint: Option<String>,
    /// How long to wait for an answer: 30s, 2m.
    #[arg(long, global = true, value_parser = value::duration, env = "STARCTL_TIMEOUT", hide_env_values = true, hide_short_help = true)]
    pub(crate) timeout: Option<Duration>,
    /// The file that holds the token. Nobody else may read it.
    #[arg(long, global = true, env = "STARCTL_TOKEN_FILE", hide_env_values = true, hide_short_help = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// The authority that signed the server's certificate, PEM; the system's where absent.
    #[arg(long, global = true, env = "STARCTL_CA_CERT", hide_env_values = true, hide_short_help = true)]
    pub(crate) ca_cert: Option<PathBuf>,
    /// The client certificate, PEM.
    #[arg(long, global = true, env = "STARCTL_CLIENT_CERT", hide_env_values = true, hide_short_help = true)]
    pub(crate) client_cert: Option<PathBuf>,
    /// The key of the client certificate, PEM. Nobody else may read it.
    #[arg(long, global = true, env = "STARCTL_CLIENT_KEY", hide_env_values = true, hide_short_help = true)]
    pub(crate) client_key: Option<PathBuf>,
    /// The name that the server's certificate must carry; the endpoint's host where absent.
    #[arg(long, global = true, env = "STARCTL_SERVER_NAME", hide_env_values = true, hide_short_help = true)]
    pub(crate) server_name: Option<String>,
}

/// Form of the data on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Aligned columns for people.
    #[value(alias = "text")]
    Table,
    /// The same with every column.
    Wide,
    /// One document with everything, versioned.
    Json,
    /// The same as YAML.
    Yaml,
    /// One line of JSON an item.
    Ndjson,
    /// Every column, comma-separated, with a heading line.
    Csv,
    /// Names alone, one a line, to be handed to the next command.
    Name,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal.
    Auto,
    Always,
    Never,
}

/// Whose things are meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct TenantArgs {
    /// What belongs to this tenant alone; the context's where absent.
    #[arg(long, value_parser = value::tenant, conflicts_with = "all_tenants")]
    pub(crate) tenant: Option<String>,
    /// What belongs to any tenant, whatever the context says.
    #[arg(long)]
    pub(crate) all_tenants: bool,
}

impl TenantArgs {
    /// The tenant that is meant, `None` for all of them.
    pub(crate) fn chosen<'a>(&'a self, context: &'a Context) -> Option<&'a str> {
        if self.all_tenants { None } else { self.tenant.as_deref().or(context.tenant.as_deref()) }
    }

    /// Whether what belongs to this tenant is meant.
    pub(crate) fn takes(&self, context: &Context, tenant: &str) -> bool {
        self.chosen(context).is_none_or(|wanted| wanted == tenant)
    }
}

/// Which part of a list is shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct PageArgs {
    /// How many items at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Continues the list that gave this token.
    #[arg(long)]
    pub(crate) page_token: Option<String>,
    /// The field to sort by; a dash before it turns the order round. Dead letters are sorted by the server (last_failed, first_failed, document), others after they arrived.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) sort_by: Option<String>,
}

/// How a list is shown that comes in one piece.
#[derive(Debug, Clone, Args)]
pub(crate) struct SortArgs {
    /// The field to sort by; a dash before it turns the order round.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) sort_by: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Flows: their files offline, and what is published and running.
    Flow {
        #[command(subcommand)]
        command: flow::FlowCommand,
    },
    /// The interfaces of other systems that flows speak to.
    Api {
        #[command(subcommand)]
        command: api::ApiCommand,
    },
    /// When flows run: their schedules and next firings.
    Schedule {
        #[command(subcommand)]
        command: schedule::ScheduleCommand,
    },
    /// Whose flows there are, and what their systems permit.
    Tenant {
        #[command(subcommand)]
        command: tenant::TenantCommand,
    },
    /// Dead letters: look, decide, replay.
    Dlq {
        #[command(subcommand)]
        command: letter::LetterCommand,
    },
    /// Replay jobs: follow, pause, end.
    Replay {
        #[command(subcommand)]
        command: replay::ReplayCommand,
    },
    /// Documents of which nobody knows whether the target has them.
    Doubt {
        #[command(subcommand)]
        command: letter::DoubtCommand,
    },
    /// Backfill: reads a part of the past from the source of a flow.
    Backfill {
        #[command(subcommand)]
        command: backfill::BackfillCommand,
    },
    /// The secrets of connections at rest: sealed files and master keys. Needs no server.
    Secret {
        #[command(subcommand)]
        command: secret::SecretCommand,
    },
    /// Reconciliation: asks both systems of a flow what they hold and names what does not agree.
    Reconcile {
        #[command(subcommand)]
        command: reconcile::ReconcileCommand,
    },
    /// Single documents.
    Record {
        #[command(subcommand)]
        command: letter::RecordCommand,
    },
    /// Lineage: which field of the target comes from which field of the source.
    Lineage {
        #[command(subcommand)]
        command: lineage::LineageCommand,
    },
    /// The systems that flows read from and write to.
    Connection {
        #[command(subcommand)]
        command: connection::ConnectionCommand,
    },
    /// The audit trail.
    Audit {
        #[command(subcommand)]
        command: access::AuditCommand,
    },
    /// Signing in, tokens and roles.
    Auth {
        #[command(subcommand)]
        command: access::AuthCommand,
    },
    /// Named control planes, kept in the file of contexts.
    Context {
        #[command(subcommand)]
        command: context::ContextCommand,
    },
    /// Checks the way to the control plane step by step, with advice.
    Doctor {
        /// Checks only what lies on this machine: contexts, certificates, token, clock; exit code 9 when a step fails.
        #[arg(long)]
        offline: bool,
    },
    /// Explains a noun or one of its fields; `explain flow NAME` tells what that flow does.
    Explain {
        /// NOUN or NOUN.FIELD, such as dead_letter.safety; all nouns where absent.
        what: Option<String>,
        /// The flow that is to be told of, as `flow describe` does.
        #[arg(value_parser = value::flow_name)]
        name: Option<String>,
    },
    /// Prints the script that completes starctl's commands in a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Prints the version.
    Version,
}
