//! How long a page of a list takes.

use std::time::Instant;

use control::index::{Index, List};

use super::letters::NOW;
use super::selectors::Asked;
use crate::figure::{Figure, Output, quantile};
use crate::say;

/// Letters of a page that asks for no number.
const PAGE: usize = 100;

/// What selectors of one kind took in one run, milliseconds each.
#[derive(Debug, Default)]
struct Times {
    lists: Vec<f64>,
    counts: Vec<f64>,
}

/// Asks for the first page of every selector's list, and for its count, in each run.
///
/// # Errors
/// The index cannot be read.
pub(super) fn measure(output: &Output, index: &Index, asked: &[Asked], runs: usize) -> anyhow::Result<()> {
    for (scans, of) in [(false, "columns"), (true, "scans")] {
        let asked: Vec<&Asked> = asked.iter().filter(|asked| asked.scans() == scans).collect();
        let mut over_runs: Vec<Times> = Vec::new();
        let mut limited = 0;
        for run in 0..runs {
            let mut times = Times::default();
            for asked in &asked {
                let Asked { selector, order, descending } = *asked;
                let (order, descending) = (*order, *descending);
                let list = List { selector, order, descending, page_token: None, limit: PAGE, now: NOW };
                let begun = Instant::now();
                let page = index.list(&list).map_err(|fault| anyhow::anyhow!("{selector}: {fault}"))?;
                times.lists.push(begun.elapsed().as_secs_f64() * 1e3);
                let begun = Instant::now();
                index.count(selector, NOW).map_err(|fault| anyhow::anyhow!("{selector}: {fault}"))?;
                times.counts.push(begun.elapsed().as_secs_f64() * 1e3);
                limited += usize::from(run == 0 && page.scan.is_some_and(|scan| scan.limit_reached));
            }
            if run == 0 {
                slowest(of, &asked, &times.lists);
            }
            over_runs.push(times);
        }
        say(&format!("desk, {of}: {} selectors, {limited} ended by the limit of a scan", asked.len()));
        for (share, part) in [(0.5, "median"), (0.95, "p95"), (1.0, "max")] {
            let write = |name: &str, times: fn(&Times) -> &[f64]| {
                let values: Vec<f64> = over_runs.iter().map(|run| quantile(times(run), share)).collect();
                output.write(Figure { name: &format!("{name}_by_{of}_{part}"), unit: "ms", baseline: None }, &values)
            };
            write("index_list", |times| &times.lists)?;
            write("index_count", |times| &times.counts)?;
        }
    }
    Ok(())
}

/// Says which took longest, for whoever wants to make it faster.
fn slowest(of: &str, asked: &[&Asked], times: &[f64]) {
    let mut all: Vec<(&f64, &&Asked)> = times.iter().zip(asked).collect();
    all.sort_by(|a, b| b.0.total_cmp(a.0));
    for (time, Asked { selector, order, descending }) in all.into_iter().take(5) {
        say(&format!("desk, {of}: {time:.1} ms, {order:?}, descending {descending}: {selector}"));
    }
}
