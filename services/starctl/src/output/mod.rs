//! The one place that writes.

pub(crate) mod failure;
pub(crate) mod table;
pub(crate) mod view;
mod yaml;

use std::io::{self, IsTerminal, Write};

use chrono::{DateTime, Local, SecondsFormat, Utc};
use document::{Code, Fault};
use serde_json::{Map, Value, json};

use crate::cli::{Form, ShowArgs, When};
use crate::words::{self, Language};
use failure::Failure;
use view::{Kind, View, plain};

/// The version of what `-o json` and `-o yaml` show.
pub(crate) const API_VERSION: &str = "starbridge.control.v1";

/// Where data and remarks go, in which form and language.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    form: Form,
    pub(crate) language: Language,
    color: When,
    quiet: bool,
    verbose: bool,
    utc: bool,
}

impl Output {
    pub(crate) fn new(show: &ShowArgs) -> Self {
        Self {
            form: show.output,
            language: show.lang.unwrap_or_default(),
            color: if show.no_color.is_some() && show.color == When::Auto { When::Never } else { show.color },
            quiet: show.quiet,
            verbose: show.verbose,
            utc: show.utc,
        }
    }

    /// The same with what a context prefers, where the command line says nothing.
    pub(crate) fn preferring(mut self, show: &ShowArgs, language: Option<Language>, utc: bool) -> Self {
        self.language = show.lang.or(language).unwrap_or_default();
        self.utc |= utc;
        self
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    pub(crate) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// The text of the reader's language.
    pub(crate) fn pick<T>(&self, english: T, chinese: T) -> T {
        self.language.pick(english, chinese)
    }

    /// One line of data.
    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        writeln!(io::stdout(), "{line}").map_err(Failure::Output)
    }

    /// Whether everything is shown as one document.
    pub(crate) fn is_document(&self) -> bool {
        matches!(self.form, Form::Json | Form::Yaml)
    }

    /// A value as one document: YAML where that is wanted, else JSON.
    pub(crate) fn document(&self, value: &Value) -> Result<(), Failure> {
        match self.form {
            Form::Yaml => write!(io::stdout(), "{}", yaml::write(value)).map_err(Failure::Output),
            _ => self.json(value),
        }
    }

    /// A JSON value as data.
    pub(crate) fn json(&self, value: &Value) -> Result<(), Failure> {
        self.line(&serde_json::to_string_pretty(value).expect("a JSON value can be written"))
    }

    /// One line for people, on standard error.
    pub(crate) fn remark(&self, line: &str) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        writeln!(io::stderr(), "{line}").map_err(Failure::Output)
    }

    /// Says of a dry run that nothing came of it: before the data where people read that, else on standard error.
    pub(crate) fn dry_run(&self, is_one: bool) -> Result<(), Failure> {
        let words = self.pick("dry run: nothing was changed", "试运行：未做任何变更");
        match self.form {
            _ if !is_one => Ok(()),
            Form::Table | Form::Wide => self.line(words),
            _ => self.remark(words),
        }
    }

    /// One line for people that is said even to those who want quiet, on standard error.
    pub(crate) fn notice(&self, line: &str) -> Result<(), Failure> {
        writeln!(io::stderr(), "{line}").map_err(Failure::Output)
    }

    /// One line for people who asked for more, on standard error.
    pub(crate) fn detail(&self, line: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.verbose { self.remark(&line()) } else { Ok(()) }
    }

    /// Whether somebody can be asked: a terminal on both sides, and not a script that reads JSON.
    pub(crate) fn can_ask(&self) -> bool {
        !self.is_json() && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Whether progress may be drawn.
    pub(crate) fn draws_progress(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// A list as data.
    pub(crate) fn list(&self, view: &View, items: &[Value], more: &Map<String, Value>) -> Result<(), Failure> {
        match self.form {
            Form::Json | Form::Yaml => self.document(&versioned(view, items, more)),
            Form::Ndjson => items.iter().try_for_each(|item| self.line(&item.to_string())),
            Form::Csv => self.csv(view, items),
            Form::Name => items.iter().try_for_each(|item| self.line(&view.name_of(item))),
            Form::Table => self.table(view, items, false),
            Form::Wide => self.table(view, items, true),
        }
    }

    /// One thing as data: a list of one for programs, a line a field for people.
    pub(crate) fn one(&self, view: &View, item: &Value) -> Result<(), Failure> {
        if !matches!(self.form, Form::Table | Form::Wide) {
            return self.list(view, std::slice::from_ref(item), &Map::new());
        }
        let rows = view.columns.iter().filter_map(|column| {
            let shown = self.cell(column.kind, column.of(item));
            (!shown.is_empty()).then(|| vec![self.pick(column.english, column.chinese).to_owned(), shown])
        });
        self.lines(&table::align(&rows.collect::<Vec<_>>()))
    }

    /// Lines of data.
    pub(crate) fn lines(&self, lines: &[String]) -> Result<(), Failure> {
        lines.iter().try_for_each(|line| self.line(line))
    }

    fn table(&self, view: &View, items: &[Value], wide: bool) -> Result<(), Failure> {
        if items.is_empty() {
            return self.remark(self.pick("nothing found", "没有结果"));
        }
        let columns: Vec<_> = view.columns.iter().filter(|column| wide || !column.wide).collect();
        let heading = columns.iter().map(|column| self.pick(column.english, column.chinese).to_uppercase()).collect();
        let mut rows: Vec<Vec<String>> = vec![heading];
        for item in items {
            rows.push(columns.iter().map(|column| self.cell(column.kind, column.of(item))).collect());
        }
        let mut lines = table::align(&rows);
        if self.colors(io::stdout().is_terminal())
            && let Some(heading) = lines.first_mut()
        {
            *heading = format!("\u{1b}[1m{heading}\u{1b}[0m");
        }
        self.lines(&lines)
    }

    /// One thing of a list that never ends, as a line for people; columns cannot know how wide they will be.
    pub(crate) fn row(&self, view: &View, item: &Value) -> Result<(), Failure> {
        let columns = view.columns.iter().filter(|column| self.form == Form::Wide || !column.wide);
        let cells: Vec<String> = columns.map(|column| self.cell(column.kind, column.of(item))).collect();
        self.line(&cells.join("  "))
    }

    /// One thing of a list that never ends, as a line of CSV.
    pub(crate) fn csv_row(&self, view: &View, item: &Value) -> Result<(), Failure> {
        csv_record(
            &mut csv::Writer::from_writer(io::stdout()),
            view.columns.iter().map(|column| plain(column.of(item))),
        )
    }

    fn csv(&self, view: &View, items: &[Value]) -> Result<(), Failure> {
        let mut writer = csv::Writer::from_writer(io::stdout());
        csv_record(&mut writer, view.columns.iter().map(|column| column.key.to_owned()))?;
        items
            .iter()
            .try_for_each(|item| csv_record(&mut writer, view.columns.iter().map(|column| plain(column.of(item)))))
    }

    /// A value as people read it; without anything that could move their cursor.
    fn cell(&self, kind: Kind, value: &Value) -> String {
        let text = match (kind, value) {
            (Kind::Time, Value::String(text)) => self.time(text),
            (Kind::Word(prefix), Value::String(text)) => {
                let word = text.strip_prefix(prefix).unwrap_or(text).to_lowercase().replace("unspecified", "");
                let chinese = self.pick(None, words::chinese(&word));
                chinese.map_or(word.clone(), |chinese| format!("{chinese}({word})"))
            }
            (Kind::Flag, Value::Bool(true)) => self.pick("yes", "是").to_owned(),
            (Kind::Flag, Value::Bool(false)) => self.pick("no", "否").to_owned(),
            (Kind::Text | Kind::Time | Kind::Flag | Kind::Word(_), value) => plain(value),
        };
        table::harmless(&text)
    }

    /// An RFC 3339 instant as people read it: local time, or UTC with `--utc`.
    pub(crate) fn time(&self, text: &str) -> String {
        let Ok(instant) = DateTime::parse_from_rfc3339(text) else { return text.to_owned() };
        if self.utc {
            return instant.with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::Secs, true);
        }
        instant.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S%:z").to_string()
    }

    fn colors(&self, terminal: bool) -> bool {
        match self.color {
            When::Auto => terminal,
            When::Always => true,
            When::Never => false,
        }
    }

    /// A fault with what the catalogue says of its code.
    pub(crate) fn fault(&self, word: &str, fault: &Fault) -> Result<(), Failure> {
        self.line(&format!("{word}: {fault}"))?;
        let (cause, way_out) = self.advice(fault.code);
        self.line(&format!("    {cause} {way_out}"))
    }

    /// A fault as JSON, with cause and way out.
    pub(crate) fn fault_value(&self, fault: &Fault) -> Value {
        let (cause, way_out) = self.advice(fault.code);
        json!({
            "code": fault.code,
            "category": fault.code.category().as_str(),
            "place": fault.place,
            "message": fault.detail,
            "hint": fault.hint,
            "cause": cause,
            "way_out": way_out,
        })
    }

    /// Cause and way out of a code, in the reader's language.
    pub(crate) fn advice(&self, code: Code) -> (&'static str, &'static str) {
        let advice = self.pick(code.english(), code.chinese());
        (advice.cause, advice.way_out)
    }
}

fn csv_record(writer: &mut csv::Writer<io::Stdout>, cells: impl Iterator<Item = String>) -> Result<(), Failure> {
    writer.write_record(cells).map_err(|error| match error.into_kind() {
        csv::ErrorKind::Io(error) => Failure::Output(error),
        other => Failure::Output(io::Error::other(format!("{other:?}"))),
    })?;
    writer.flush().map_err(Failure::Output)
}

fn versioned(view: &View, items: &[Value], more: &Map<String, Value>) -> Value {
    let mut whole = Map::new();
    whole.insert("api_version".to_owned(), Value::from(API_VERSION));
    whole.insert("kind".to_owned(), Value::from(view.kind));
    whole.insert("items".to_owned(), Value::from(items));
    whole.extend(more.clone());
    Value::Object(whole)
}
