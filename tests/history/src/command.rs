//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use history_checker::History;

use crate::report::Report;
use crate::run::Run;

/// Judges what a run left behind by the invariants I1–I13.
#[derive(Debug, Parser)]
#[command(name = "history")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks a run, or a history that was kept. Exit 0: clean; 1: violations; 2: it could not be read.
    Check(Box<Check>),
}

#[derive(Debug, Args)]
struct Check {
    /// A kept history; nothing else is read then.
    #[arg(long, conflicts_with_all = ["orders", "kafka_data", "source", "target", "source_log", "target_log", "limit", "keep"])]
    history: Option<PathBuf>,
    /// The orders that the source was given (CSV).
    #[arg(long, required_unless_present = "history")]
    orders: Option<PathBuf>,
    /// The broker's data folder.
    #[arg(long, required_unless_present = "history")]
    kafka_data: Option<PathBuf>,
    /// The flow.
    #[arg(long, default_value = "misc-inbound")]
    flow: String,
    /// JSON file with the access to the source: url, acct_id, user, app_id, app_secret.
    #[arg(long, required_unless_present = "history")]
    source: Option<PathBuf>,
    /// The same of the target.
    #[arg(long, required_unless_present = "history")]
    target: Option<PathBuf>,
    /// The source's request log.
    #[arg(long, required_unless_present = "history")]
    source_log: Option<PathBuf>,
    /// The target's request log.
    #[arg(long, required_unless_present = "history")]
    target_log: Option<PathBuf>,
    /// Most calls in any sliding minute: of both, or given twice, of source and target.
    #[arg(long, required_unless_present = "history", num_args = 1)]
    limit: Vec<usize>,
    /// A number that the target refuses.
    #[arg(long = "poisoned", value_name = "NUMBER")]
    poisoned: Vec<String>,
    /// A number that the target holds for others.
    #[arg(long = "held", value_name = "NUMBER")]
    held: Vec<String>,
    /// A number whose bill a person gave another date than that of its order: in the source, or in its letter.
    #[arg(long = "dated", value_name = "DATE=NUMBER", value_parser = dated)]
    dated: Vec<(String, String)>,
    /// When Redis was hurt, unix milliseconds.
    #[arg(long = "redis-hurt", value_name = "TIME")]
    redis: Vec<i64>,
    /// A span in which no work was possible, unix milliseconds.
    #[arg(long = "blackout", value_name = "FROM..TO", value_parser = span)]
    blackouts: Vec<(i64, i64)>,
    /// How long a save of unknown outcome may still be at work (`save.exec_max`), milliseconds.
    #[arg(long, default_value_t = 0)]
    settle: i64,
    /// Where to keep the history as JSON.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Be content with checks that had nothing to look at.
    #[arg(long)]
    allow_empty: bool,
    /// The verdict as JSON.
    #[arg(long)]
    json: bool,
}

/// What is to be shown, and whether all is well.
#[derive(Debug)]
pub struct Verdict {
    /// For standard output.
    pub text: String,
    /// Whether the history is clean.
    pub clean: bool,
}

/// Does what is asked.
///
/// # Errors
/// The run or the kept history cannot be read, or the history cannot be kept.
pub async fn run(arguments: Arguments) -> anyhow::Result<Verdict> {
    let Command::Check(check) = arguments.command;
    let (json, allow_empty) = (check.json, check.allow_empty);
    let history = check.history().await?;
    let report = Report::of(&history);
    let text = if json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_string() };
    Ok(Verdict { text, clean: report.is_clean(allow_empty) })
}

impl Check {
    async fn history(self) -> anyhow::Result<History> {
        if let Some(file) = &self.history {
            let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            return serde_json::from_slice(&bytes).with_context(|| format!("in {}", file.display()));
        }
        let limits = match self.limit.as_slice() {
            [both] => [*both, *both],
            [source, target] => [*source, *target],
            _ => anyhow::bail!("--limit is given once or twice"),
        };
        let needed = |file: Option<PathBuf>| file.context("an option is missing");
        let run = Run {
            orders: needed(self.orders)?,
            data: needed(self.kafka_data)?,
            flow: self.flow,
            access: [needed(self.source)?, needed(self.target)?],
            logs: [needed(self.source_log)?, needed(self.target_log)?],
            limits,
            poisoned: self.poisoned,
            held: self.held,
            dated: self.dated.into_iter().map(|(date, number)| (number, date)).collect(),
            redis: self.redis,
            blackouts: self.blackouts,
            settle: self.settle,
        };
        let history = run.read().await?;
        if let Some(file) = &self.keep {
            let text = serde_json::to_string(&history).context("the history as JSON")?;
            std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(history)
    }
}

/// `DATE=NUMBER`: a number may hold anything.
fn dated(text: &str) -> anyhow::Result<(String, String)> {
    let (date, number) = text.split_once('=').context("no DATE=NUMBER")?;
    ensure!(NaiveDate::parse_from_str(date, "%Y-%m-%d").is_ok(), "{date:?} is no date yyyy-MM-dd");
    Ok((date.to_owned(), number.to_owned()))
}

/// `FROM..TO`.
fn span(text: &str) -> anyhow::Result<(i64, i64)> {
    let (from, to) = text.split_once("..").context("no FROM..TO")?;
    let span = (from.parse()?, to.parse()?);
    ensure!(span.0 <= span.1, "it ends before it begins");
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_ends() {
        assert_eq!(span("5..9").expect("a span"), (5, 9));
        for bad in ["5", "9..5", "a..b"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_date_comes_before_its_number() {
        let expected = ("2014-01-02".to_owned(), "A=1".to_owned());
        assert_eq!(dated("2014-01-02=A=1").expect("a date"), expected);
        for bad in ["2014-01-02", "A=2014-01-02", "2014-13-01=A"] {
            assert!(dated(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_kept_history_needs_nothing_else() {
        assert!(Arguments::try_parse_from(["history", "check", "--history", "h.json"]).is_ok());
        assert!(Arguments::try_parse_from(["history", "check", "--history", "h.json", "--limit", "9"]).is_err());
        let missing = Arguments::try_parse_from(["history", "check", "--limit", "9"]).expect_err("incomplete");
        assert!(missing.to_string().contains("--kafka-data"), "{missing}");
    }
}
