//! The same letters wherever a selector is used: in a list, in a stream, in an export or a replay.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Context as _;
use control::index::{Index, List};
use control::selector::Selector;
use document::{DeadLetterId, Fault};

use super::letters::{Letters, NOW};
use super::selectors::Asked;
use crate::figure::{Figure, Output};
use crate::say;

/// Letters of the largest page that a list may have.
const LIST: usize = 1_000;
/// Letters that an export or a replay takes from the index at once.
const SELECTION: usize = 5_000;
/// At once.
const THREADS: usize = 2;

/// The letters of the log, each at a place of its own.
struct Known {
    ids: Vec<DeadLetterId>,
    places: HashMap<DeadLetterId, usize>,
}

/// What a selector chooses, by place.
struct Chosen {
    letters: Vec<bool>,
    /// Whether a scan ends before the last letter, so that an export or a replay would be refused.
    limited: bool,
}

/// Asserts it of every selector and writes how many they were.
///
/// # Errors
/// A selector chooses other letters here than there.
pub(super) fn measure(output: &Output, index: &Index, asked: &[Asked], letters: u64) -> anyhow::Result<()> {
    let ids: Vec<DeadLetterId> = Letters::new().take(usize::try_from(letters)?).map(|made| made.id).collect();
    let places = ids.iter().cloned().zip(0..).collect();
    let known = Known { ids, places };
    let begun = Instant::now();
    let chosen = by_threads(asked, |_, asked| known.chosen(index, asked))?;
    say(&format!("desk, the same in lists and exports after {:.0?}", begun.elapsed()));
    let selectors: Vec<&Selector> = asked.iter().map(|asked| &asked.selector).collect();
    by_threads(&known.ids, |place, id| {
        let judged = index.judged(id, None, &selectors, NOW).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let (_, wanted) = judged.with_context(|| format!("{id} is gone"))?;
        let differs = wanted.iter().zip(&chosen).position(|(wanted, chosen)| *wanted != chosen.letters[place]);
        anyhow::ensure!(
            differs.is_none(),
            "{id} is in a list and not in a stream, or the other way: {:?}",
            differs.map(|at| selectors[at])
        );
        Ok(())
    })?;
    say(&format!("desk, the same in streams after {:.0?}", begun.elapsed()));
    let letters = |chosen: &Chosen| chosen.letters.iter().filter(|letter| **letter).count();
    let some = chosen.iter().filter(|chosen| letters(chosen) > 0).count();
    say(&format!("desk: {some} of {} selectors choose some letter", chosen.len()));
    let limited = chosen.iter().filter(|chosen| chosen.limited).count();
    let all: usize = chosen.iter().map(letters).sum();
    output.write(Figure { name: "selectors_of_same_letters", unit: "1", baseline: None }, &[float(chosen.len())])?;
    output.write(Figure { name: "letters_of_same_selectors", unit: "1", baseline: None }, &[float(all)])?;
    output.write(Figure { name: "selectors_beyond_scan_limit", unit: "1", baseline: None }, &[float(limited)])
}

/// What `work` makes of all, in their order, several at once.
fn by_threads<T: Sync, R: Send>(
    all: &[T],
    work: impl Fn(usize, &T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let part = all.len().div_ceil(THREADS);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = all
            .chunks(part)
            .enumerate()
            .map(|(number, of_thread)| {
                let one = move |(at, one)| work(number * part + at, one);
                scope.spawn(move || of_thread.iter().enumerate().map(one).collect::<anyhow::Result<Vec<R>>>())
            })
            .collect();
        let mut made = Vec::new();
        for thread in threads {
            made.extend(thread.join().map_err(|_| anyhow::anyhow!("a thread that compares panicked"))??);
        }
        Ok(made)
    })
}

impl Known {
    /// What a list chooses, once an export and a replay are seen to choose the same.
    fn chosen(&self, index: &Index, asked: &Asked) -> anyhow::Result<Chosen> {
        let selector = &asked.selector;
        let told = |fault: Fault| anyhow::anyhow!("{selector}: {fault}");
        let letters = self.marked(listed(index, asked).map_err(told)?)?;
        let (selected, limited) = selected(index, asked).map_err(told)?;
        let differs = letters.iter().zip(self.marked(selected)?).position(|(listed, selected)| *listed != selected);
        let differs = differs.map(|at| (&self.ids[at], letters[at]));
        anyhow::ensure!(differs.is_none(), "{selector}: {differs:?} (in the list or not) is otherwise in an export");
        Ok(Chosen { letters, limited })
    }

    /// By place, which letters are among `ids`.
    fn marked(&self, ids: Vec<DeadLetterId>) -> anyhow::Result<Vec<bool>> {
        let mut marked = vec![false; self.ids.len()];
        for id in ids {
            let place = self.places.get(&id);
            let mark = place.and_then(|place| marked.get_mut(*place));
            let known_and_new = mark.is_some_and(|mark| !std::mem::replace(mark, true));
            anyhow::ensure!(known_and_new, "{id} is no letter, or comes twice");
        }
        Ok(marked)
    }
}

/// A list, page after page to its end.
fn listed(index: &Index, asked: &Asked) -> Result<Vec<DeadLetterId>, Fault> {
    let (mut all, mut token) = (Vec::new(), None::<String>);
    loop {
        let Asked { selector, order, descending } = asked;
        let (order, descending, page_token) = (*order, *descending, token.as_deref());
        let page = index.list(&List { selector, order, descending, page_token, limit: LIST, now: NOW })?;
        all.extend(page.items.into_iter().map(|letter| letter.id));
        token = page.next;
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// What an export or a replay takes from the index, gone on with where a scan reaches its limit; and whether one did.
fn selected(index: &Index, asked: &Asked) -> Result<(Vec<DeadLetterId>, bool), Fault> {
    let (mut all, mut token, mut limited) = (Vec::new(), None::<String>, false);
    loop {
        let page = index.ids(&asked.selector, token.as_deref(), SELECTION, NOW)?;
        all.extend(page.items);
        limited |= page.scan.is_some_and(|scan| scan.limit_reached);
        token = page.next;
        if token.is_none() {
            return Ok((all, limited));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of selectors and letters")]
fn float(count: usize) -> f64 {
    count as f64
}
