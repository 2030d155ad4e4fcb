//! A figure: the median over runs, and how sure it is.

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Number, json};

/// How often the runs are drawn anew for an interval.
const DRAWS: usize = 10_000;

/// Writes figures.
#[derive(Debug)]
pub(crate) struct Output {
    commit: String,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure<'a> {
    /// What it is called.
    pub(crate) name: &'a str,
    /// The unit of every value.
    pub(crate) unit: &'a str,
    /// What it is compared with, where it is.
    pub(crate) baseline: Option<&'a str>,
}

impl Output {
    /// Figures of the code as it is at `commit`.
    pub(crate) fn new(commit: String) -> Self {
        Self { commit }
    }

    /// Writes the line of `figure`, whose value was once measured in each run.
    ///
    /// # Errors
    /// There are no values, or one is not a number.
    #[expect(clippy::print_stdout, reason = "the figures are this program's output")]
    pub(crate) fn write(&self, figure: Figure<'_>, runs: &[f64]) -> anyhow::Result<()> {
        anyhow::ensure!(!runs.is_empty() && runs.iter().all(|value| value.is_finite()), "{}: {runs:?}", figure.name);
        let [low, high] = interval(runs);
        let line = json!({
            "name": figure.name,
            "value": rounded(median(runs))?,
            "unit": figure.unit,
            "interval95": [rounded(low)?, rounded(high)?],
            "runs": runs.len(),
            "baseline": figure.baseline,
            "commit": self.commit,
        });
        println!("{line}");
        Ok(())
    }
}

/// Three places are more than any of these figures is sure of.
fn rounded(value: f64) -> anyhow::Result<Number> {
    format!("{value:.3}").parse().with_context(|| format!("{value} as a JSON number"))
}

/// The value in the middle, or halfway between the two there.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// The smallest value that at least `share` of all are not above.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a count of values")]
    let rank = (sorted.len() as f64 * share).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the values")]
    let at = (rank as usize).clamp(1, sorted.len());
    sorted[at - 1]
}

/// The 95 % bootstrap interval of the median: the runs are drawn anew with replacement, from a fixed seed.
fn interval(runs: &[f64]) -> [f64; 2] {
    let mut random = StdRng::seed_from_u64(0);
    let medians: Vec<f64> = (0..DRAWS)
        .map(|_| median(&runs.iter().map(|_| runs[random.random_range(0..runs.len())]).collect::<Vec<_>>()))
        .collect();
    [quantile(&medians, 0.025), quantile(&medians, 0.975)]
}

/// How many events a second the line through `times` and their numbers tells: events come in small bursts, of which the
/// first and the last would count whole in a quotient. `times` are seconds in order.
pub(crate) fn slope(times: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of events")]
    let number = |at: usize| at as f64;
    let count = number(times.len());
    let middle = times.iter().sum::<f64>() / count;
    let middle_number = (count - 1.0) / 2.0;
    let (mut together, mut alone) = (0.0, 0.0);
    for (at, time) in times.iter().enumerate() {
        together += (time - middle) * (number(at) - middle_number);
        alone += (time - middle).powi(2);
    }
    together / alone
}
