//! What the simulator is told on its command line. Every open point of the WebAPI page is a switch here.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Simulated systems that speak on the wire like the real ones.
#[derive(Debug, Parser)]
#[command(name = "starbridge-simulator", version, about)]
pub struct Command {
    /// Which system to simulate.
    #[command(subcommand)]
    pub system: System,
}

/// The systems that can be simulated.
#[derive(Debug, Subcommand)]
pub enum System {
    /// A Kingdee Cloud Galaxy (K3Cloud) with its WebAPI.
    Kingdee(Box<Options>),
}

/// What happens to a document whose save worked and whose audit was refused (open point 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuditFailure {
    /// The save is undone: one transaction.
    Rollback,
    /// The document stays, saved and submitted.
    Keep,
}

/// A switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

/// Which selection wins when a call carries both `Ids` and `Numbers` (open point 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Precedence {
    /// `Ids` win.
    Ids,
    /// `Numbers` win.
    Numbers,
    /// Both are taken together.
    Both,
}

/// Which spelling of the generic operation is known (open point 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Spelling {
    /// `ExcuteOperation` and `ExecuteOperation`.
    Both,
    /// `ExcuteOperation`, the SDK's spelling.
    Excute,
    /// `ExecuteOperation` alone.
    Execute,
}

/// Which forms of the signed path are accepted (open point 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SignedPath {
    /// The path as it came, as it was typed before percent-encoding, and both in form-style encoding.
    Any,
    /// The path exactly as it came on the wire.
    Raw,
}

/// How a text that was never given reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EmptyText {
    /// `null`; a given `""` stays `""`.
    Null,
    /// `""`.
    Empty,
    /// One blank.
    Blank,
}

/// What a refused login says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LoginWords {
    /// One text, whatever is wrong.
    Vague,
    /// The part that is wrong: user, application or secret.
    Exact,
}

/// How a call beyond the limit is refused (open point 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LimitReply {
    /// HTTP 200 with MsgCode 14.
    Msgcode,
    /// HTTP 429 with Retry-After.
    Http429,
}

/// A secret; it does not show when settings are printed.
#[derive(Clone)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Settings of a simulated Galaxy.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Address of the WebAPI; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Address of the admin port (faults, log, stats, documents, clock); port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub admin: SocketAddr,
    /// Id of the data centre (account).
    #[arg(long)]
    pub acct_id: String,
    /// The application id, `CLIENT_SECRETPART`.
    #[arg(long)]
    pub app_id: String,
    /// The application secret. For trials; a file keeps it off the process list.
    #[arg(long, required_unless_present = "app_secret_file", conflicts_with = "app_secret_file")]
    pub app_secret: Option<Secret>,
    /// File that holds the application secret.
    #[arg(long)]
    pub app_secret_file: Option<PathBuf>,
    /// The integration user.
    #[arg(long)]
    pub user: String,
    /// File that holds the user's password; without it the password login is refused.
    #[arg(long)]
    pub password_file: Option<PathBuf>,

    /// CSV of orders that become audited 其他入库单, with their organisations, stocks and materials.
    #[arg(long)]
    pub orders: Option<PathBuf>,
    /// Put before every order number.
    #[arg(long, default_value = "", requires = "orders")]
    pub orders_prefix: String,
    /// Create and approve date of the orders, server local time unless it names an offset; default: the start time.
    #[arg(long)]
    pub approved_at: Option<String>,
    /// CSV of orders whose stocks and materials exist here, beside organisations 125, 126, 121 and 109; no bills.
    #[arg(long, conflicts_with = "orders")]
    pub base_data_from: Option<PathBuf>,
    /// File with the product ids, one a line, that do not exist here although the CSV names them.
    #[arg(long, requires = "base_data_from")]
    pub unknown_products: Option<PathBuf>,
    /// File with bill numbers, one a line, that foreign audited 其他入库单 already carry here.
    #[arg(long)]
    pub held_numbers: Option<PathBuf>,
    /// Further forms (TOML, as the built-in ones); a form of a built-in name replaces it.
    #[arg(long)]
    pub schema: Vec<PathBuf>,

    /// Calls served in any sliding window; the next one is refused.
    #[arg(long)]
    pub calls_per_minute: Option<u32>,
    /// Length of that window in milliseconds.
    #[arg(long, default_value_t = 60_000)]
    pub call_window_ms: u64,
    /// How a call beyond the limit is refused.
    #[arg(long, value_enum, default_value = "msgcode")]
    pub limit_reply: LimitReply,
    /// What an audit refused inside IsAutoSubmitAndAudit does to the save.
    #[arg(long, value_enum, default_value = "rollback")]
    pub audit_failure: AuditFailure,
    /// Ceiling of Limit; more is silently cut to it [default: 10000].
    #[arg(long, conflicts_with = "page_refuse")]
    pub page_clamp: Option<usize>,
    /// Ceiling of Limit; more is refused with MsgCode 8.
    #[arg(long)]
    pub page_refuse: Option<usize>,
    /// First segment of every path, compared without regard to case.
    #[arg(long, default_value = "K3Cloud")]
    pub url_prefix: String,
    /// Whether a form refuses a number that another document carries.
    #[arg(long, value_enum, default_value = "on")]
    pub unique_numbers: OnOff,
    /// Whether a new document keeps the number it was sent with; otherwise the server numbers it, as a numbering rule does.
    #[arg(long, value_enum, default_value = "on")]
    pub kept_numbers: OnOff,
    /// Whether fields marked required are demanded when a document is saved.
    #[arg(long, value_enum, default_value = "on")]
    pub required_fields: OnOff,
    /// How a text that was never given reads.
    #[arg(long, value_enum, default_value = "null")]
    pub empty_text: EmptyText,
    /// Which selection wins when a call carries both Ids and Numbers.
    #[arg(long, value_enum, default_value = "ids")]
    pub selection: Precedence,
    /// Which spelling of the generic operation is known.
    #[arg(long, value_enum, default_value = "both")]
    pub operation_spelling: Spelling,
    /// Which forms of the signed path are accepted.
    #[arg(long, value_enum, default_value = "any")]
    pub signed_path: SignedPath,
    /// What a refused login says.
    #[arg(long, value_enum, default_value = "vague")]
    pub login_words: LoginWords,
    /// Seconds after which an unused session is gone (open point 4).
    #[arg(long, default_value_t = 1_200)]
    pub session_idle_s: u64,
    /// Zone of server local time.
    #[arg(long, default_value = "Asia/Shanghai")]
    pub zone: chrono_tz::Tz,

    /// File to which one JSON line per call is written.
    #[arg(long)]
    pub request_log: Option<PathBuf>,
    /// Seed of fault probabilities and of the first internal ids.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A fault from the start: JSON, or KIND[:KEY=VALUE,…] such as cut_after:call=BatchSave,nth=2. May be repeated.
    #[arg(long, value_name = "SPEC")]
    pub fail: Vec<String>,
}

impl Options {
    /// The settings written in `arguments`, which begin after the word `kingdee`.
    ///
    /// # Errors
    ///
    /// What the command line would say about them.
    pub fn from_arguments<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, clap::Error> {
        let words = ["starbridge-simulator", "kingdee"].into_iter().chain(arguments);
        let Command { system: System::Kingdee(options) } = Command::try_parse_from(words)?;
        Ok(*options)
    }

    /// The ceiling of `Limit`, and whether more is refused.
    pub(crate) fn page(&self) -> (usize, bool) {
        match self.page_refuse {
            Some(ceiling) => (ceiling, true),
            None => (self.page_clamp.unwrap_or(10_000), false),
        }
    }
}
