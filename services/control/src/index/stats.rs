//! How many letters there are of each kind.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use document::{Category, Code, Fault, FlowName, Stage};
use rusqlite::{Connection, params_from_iter};

use super::Index;
use super::plan::Plan;
use super::schema::failed;
use super::walk::{Scan, Walk, walk};
use crate::letter::State;
use crate::selector::Selector;

/// How long ago a letter failed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgeBucket {
    /// Less than ten minutes.
    Minutes,
    /// Less than an hour.
    Hour,
    /// Less than a day.
    Day,
    /// Less than a week.
    Week,
    /// A week or more.
    Older,
}

/// The upper bounds of all buckets but the last, milliseconds.
const BOUNDS: [(AgeBucket, i64); 4] = [
    (AgeBucket::Minutes, 600_000),
    (AgeBucket::Hour, 3_600_000),
    (AgeBucket::Day, 86_400_000),
    (AgeBucket::Week, 604_800_000),
];

impl AgeBucket {
    /// The bucket of a letter that failed first at `first_failed`, both in unix milliseconds.
    pub fn of(first_failed: i64, now: i64) -> Self {
        let bound = BOUNDS.iter().find(|(_, bound)| first_failed > now.saturating_sub(*bound));
        bound.map_or(AgeBucket::Older, |(bucket, _)| *bucket)
    }

    /// The word used in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            AgeBucket::Minutes => "below_10m",
            AgeBucket::Hour => "below_1h",
            AgeBucket::Day => "below_1d",
            AgeBucket::Week => "below_7d",
            AgeBucket::Older => "from_7d",
        }
    }
}

/// Letters by what they have in common. A kind without letters is not in its table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// All of them.
    pub letters: u64,
    /// By flow.
    pub by_flow: BTreeMap<FlowName, u64>,
    /// By category.
    pub by_category: BTreeMap<Category, u64>,
    /// By code.
    pub by_code: BTreeMap<Code, u64>,
    /// By state; `None` for those whose last event is unreadable.
    pub by_state: BTreeMap<Option<State>, u64>,
    /// By the step they failed in, under its word.
    pub by_stage: BTreeMap<&'static str, u64>,
    /// By age.
    pub by_age: BTreeMap<AgeBucket, u64>,
    /// How far the scan went, for a selector that needs one; when its limit was reached, there may be more.
    pub scan: Option<Scan>,
}

impl Stats {
    fn add(&mut self, kind: Kind, count: u64) {
        self.letters += count;
        *self.by_flow.entry(kind.flow).or_default() += count;
        *self.by_category.entry(kind.category).or_default() += count;
        *self.by_code.entry(kind.code).or_default() += count;
        *self.by_state.entry(kind.state).or_default() += count;
        *self.by_stage.entry(kind.stage.as_str()).or_default() += count;
        *self.by_age.entry(kind.age).or_default() += count;
    }
}

struct Kind {
    flow: FlowName,
    category: Category,
    code: Code,
    state: Option<State>,
    stage: Stage,
    age: AgeBucket,
}

impl Index {
    /// Counts of the letters that a selector wants at `now`, unix milliseconds.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn stats(&self, selector: &Selector, now: i64) -> Result<Stats, Fault> {
        let plan = Plan::of(selector.expression(), now);
        if plan.residual.is_none() {
            return self.reading(|connection| counted(connection, &plan, now));
        }
        let mut stats = Stats::default();
        let everything = Walk { plan: &plan, limits: self.limits, now, by: "", rest: "", rest_values: &[] };
        let scan = self.reading(|connection| {
            walk(connection, &everything, |letter, wanted| {
                if wanted {
                    let age = AgeBucket::of(letter.first_failed, now);
                    let kind = Kind {
                        flow: letter.flow,
                        category: letter.category,
                        code: letter.code,
                        state: letter.state,
                        stage: letter.stage,
                        age,
                    };
                    stats.add(kind, 1);
                }
                ControlFlow::Continue(())
            })
        })?;
        Ok(Stats { scan: Some(scan), ..stats })
    }
}

/// Columns with a word that is counted.
const WORDS: usize = 5;

/// Counts the words of each column as the rows go by. SQLite would sort all rows first to group them, in memory; and of
/// combinations of words there may be as many as letters.
fn counted(connection: &Connection, plan: &Plan, now: i64) -> Result<Stats, Fault> {
    let cannot = failed("the letters cannot be counted");
    let sql = format!("SELECT flow, category, code, state, stage, first_failed FROM letters WHERE {}", plan.condition);
    let mut statement = connection.prepare(&sql).map_err(&cannot)?;
    let mut rows = statement.query(params_from_iter(&plan.values)).map_err(&cannot)?;
    let mut stats = Stats::default();
    let mut words: [HashMap<String, u64>; WORDS] = Default::default();
    while let Some(row) = rows.next().map_err(&cannot)? {
        stats.letters += 1;
        for (column, counts) in words.iter_mut().enumerate() {
            let word = row.get_ref(column).and_then(|value| Ok(value.as_str_or_null()?)).map_err(&cannot)?;
            let word = word.unwrap_or_default();
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.to_owned(), 1)),
            }
        }
        let age = AgeBucket::of(row.get(WORDS).map_err(&cannot)?, now);
        *stats.by_age.entry(age).or_default() += 1;
    }
    let [flows, categories, codes, states, stages] = words;
    stats.by_flow = read(flows, |word| FlowName::new(word).ok())?;
    stats.by_category = read(categories, |word| word.parse().ok())?;
    stats.by_code = read(codes, |word| word.parse().ok())?;
    stats.by_state = read(states, |word| if word.is_empty() { Some(None) } else { word.parse().ok().map(Some) })?;
    stats.by_stage = read(stages, |word| word.parse().ok().map(Stage::as_str))?;
    Ok(stats)
}

/// Counts by what their words stand for.
fn read<T: Ord>(counts: HashMap<String, u64>, of: impl Fn(&str) -> Option<T>) -> Result<BTreeMap<T, u64>, Fault> {
    let no_word = |word: &str| Fault::new(Code::Index, format!("{word:?} is no word of a letter"));
    counts.into_iter().map(|(word, count)| Ok((of(&word).ok_or_else(|| no_word(&word))?, count))).collect()
}
