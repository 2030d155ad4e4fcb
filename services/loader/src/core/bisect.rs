//! Finds the document at fault when whole saves fail although the target answers.
//!
//! The set that failed is sent once more (sets of more than four), then halved: the left half is sent; if it passes,
//! the culprit is in the right one, which need not be sent whole. Halves set aside on the way are sent together at the
//! end. A document is convicted only when it failed **alone** and some other save of the flow passed before that: a
//! document that fails alone while nothing passes is a suspect, not a culprit, since an outage looks the same.
//!
//! A culprit among `n` costs at most `2⌈log2 n⌉ + 1` saves for n ≥ 3 (4 for two documents, 2 for one: the confirmation
//! after another save has passed).

/// Sets up to this size are halved after their first failure.
const SMALL: usize = 4;
/// More culprits than this, and the rest goes one by one.
const CULPRITS_TOGETHER: usize = 3;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// Send exactly these.
    Send(Vec<T>),
    /// Nothing is left.
    Finished,
    /// Every one that is left failed alone and nothing passed: not theirs to answer for.
    Stuck(Vec<T>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// All of `bad`.
    Bad,
    /// The left half of `bad`, so many of them.
    Left(usize),
    /// All of `deferred`.
    Deferred,
    /// The last suspect.
    Suspect,
}

/// One search, over the documents of one failed save.
#[derive(Debug, Clone)]
pub struct Bisect<T> {
    /// A set that holds a culprit.
    bad: Vec<T>,
    /// How often `bad` failed as it is.
    bad_failures: u32,
    /// Halves set aside.
    deferred: Vec<T>,
    /// Failed alone, unproven.
    suspects: Vec<T>,
    culprits: usize,
    control: bool,
    sent: Option<Sent>,
    /// How many were sent; some may be forgotten before the answer comes.
    together: usize,
}

impl<T: Clone + PartialEq> Bisect<T> {
    /// Begins with a set that failed once as a whole.
    pub fn new(failed: Vec<T>) -> Self {
        let mut search = Self {
            bad: Vec::new(),
            bad_failures: 1,
            deferred: Vec::new(),
            suspects: Vec::new(),
            culprits: 0,
            control: false,
            sent: None,
            together: 0,
        };
        if failed.len() == 1 {
            search.suspects = failed
        } else {
            search.bad = failed
        }
        search
    }

    /// Another save of the flow passed.
    pub fn control(&mut self) {
        self.control = true;
    }

    /// The set to send. The same one again until [`passed`](Self::passed) or [`failed`](Self::failed) is told.
    pub fn next_set(&mut self) -> Next<T> {
        if let Some(sent) = self.sent {
            let again = self.set(sent);
            if !again.is_empty() {
                self.together = again.len();
                return Next::Send(again);
            }
            self.sent = None;
        }
        let sent = match (self.bad.len(), self.deferred.len(), self.suspects.len()) {
            (0, 0, 0) => return Next::Finished,
            (0, 0, _) if !self.control => return Next::Stuck(self.suspects.clone()),
            (0, 0, _) => Sent::Suspect,
            (0, _, _) if self.culprits > CULPRITS_TOGETHER => {
                self.bad.extend(self.deferred.pop());
                self.bad_failures = 0;
                Sent::Bad
            }
            (0, _, _) => Sent::Deferred,
            (1, _, _) => Sent::Bad,
            (n, _, _) if n > SMALL && self.bad_failures < 2 => Sent::Bad,
            (n, _, _) => Sent::Left(n / 2),
        };
        self.sent = Some(sent);
        let set = self.set(sent);
        self.together = set.len();
        Next::Send(set)
    }

    fn set(&self, sent: Sent) -> Vec<T> {
        match sent {
            Sent::Bad => self.bad.clone(),
            Sent::Left(n) => self.bad.iter().take(n).cloned().collect(),
            Sent::Deferred => self.deferred.clone(),
            Sent::Suspect => self.suspects.last().cloned().into_iter().collect(),
        }
    }

    /// The set was answered document by document.
    pub fn passed(&mut self) {
        self.control = true;
        match self.sent.take() {
            Some(Sent::Bad) => self.bad.clear(),
            Some(Sent::Left(n)) => {
                self.bad.drain(..n.min(self.bad.len()));
                // One that is left over was never sent alone; larger sets are known to hold the culprit.
                self.bad_failures = 2;
            }
            Some(Sent::Deferred) => self.deferred.clear(),
            Some(Sent::Suspect) => {
                self.suspects.pop();
            }
            None => {}
        }
    }

    /// The set failed as a whole; of it, `absent` are proven not to be in the target (the others are, and are out of
    /// it). Gives the document convicted by this, if any.
    pub fn failed(&mut self, absent: &[T]) -> Option<T> {
        let sent = self.sent.take()?;
        let set = self.set(sent);
        let left: Vec<T> = set.iter().filter(|one| absent.contains(one)).cloned().collect();
        let alone = self.together == 1 && left.len() == 1;
        match sent {
            Sent::Bad => {
                self.bad = left;
                self.bad_failures += 1;
            }
            Sent::Left(n) => {
                let right = self.bad.split_off(n.min(self.bad.len()));
                self.deferred.extend(right);
                self.bad = left;
                self.bad_failures = 2;
            }
            Sent::Deferred => {
                self.deferred.clear();
                self.bad = left;
                self.bad_failures = 2;
            }
            Sent::Suspect => {
                self.suspects.pop();
                self.bad = left;
            }
        }
        if !alone {
            return None;
        }
        let one = self.bad.pop()?;
        if self.control {
            self.culprits += 1;
            Some(one)
        } else {
            self.suspects.push(one);
            None
        }
    }

    /// A document that was just convicted is a suspect still: what failed it may have been chance.
    pub fn acquit(&mut self, one: T) {
        self.culprits = self.culprits.saturating_sub(1);
        self.suspects.push(one);
    }

    /// Begins again with every suspect, since the target itself is in doubt.
    pub fn again(&mut self) {
        let all = std::mem::take(&mut self.suspects);
        if all.len() == 1 {
            self.bad = all;
        } else {
            self.deferred = all;
        }
        self.sent = None;
    }

    /// Takes `one` out of the search: it is no longer ours to send. Not for members of a set whose failure is yet to be
    /// told: those are left out of its `absent`.
    pub fn forget(&mut self, one: &T) {
        let at = self.bad.iter().position(|other| other == one);
        if let (Some(Sent::Left(n)), Some(at)) = (self.sent, at) {
            self.sent = Some(Sent::Left(if at < n { n - 1 } else { n }));
        }
        for set in [&mut self.bad, &mut self.deferred, &mut self.suspects] {
            set.retain(|other| other != one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a search over `n` documents of which `bad` make their save fail; the first failure counts as a save.
    fn search(n: usize, bad: &[usize]) -> (Vec<usize>, usize) {
        let mut search = Bisect::new((0..n).collect());
        let (mut saves, mut convicted) = (1, Vec::new());
        loop {
            match search.next_set() {
                Next::Send(set) => {
                    saves += 1;
                    assert!(saves < 10_000, "no end");
                    if set.iter().any(|one| bad.contains(one)) {
                        convicted.extend(search.failed(&set));
                    } else {
                        search.passed();
                    }
                }
                Next::Finished => return (convicted, saves),
                Next::Stuck(_) => {
                    // Somewhere else in the flow a save passes.
                    search.control();
                    search.again();
                }
            }
        }
    }

    fn bound(n: usize) -> usize {
        let log2 = usize::try_from(n.next_power_of_two().trailing_zeros()).expect("small");
        match n {
            1 => 2,
            2 => 4,
            _ => 2 * log2 + 1,
        }
    }

    #[test]
    fn one_culprit_costs_no_more_than_the_bound_wherever_it_stands() {
        for n in 1..=130 {
            for culprit in 0..n {
                let (convicted, saves) = search(n, &[culprit]);
                assert_eq!(convicted, [culprit], "{n}");
                assert!(saves <= bound(n), "{culprit} of {n}: {saves} saves, bound {}", bound(n));
            }
        }
    }

    #[test]
    fn one_in_a_hundred_takes_fifteen_saves_at_most() {
        assert_eq!((0..100).map(|culprit| search(100, &[culprit]).1).max(), Some(11));
    }

    #[test]
    fn nobody_is_convicted_while_nothing_passes() {
        let mut search: Bisect<u32> = Bisect::new(vec![1, 2, 3]);
        let mut sends = 0;
        let stuck = loop {
            match search.next_set() {
                Next::Send(set) => {
                    sends += 1;
                    assert_eq!(search.failed(&set), None);
                }
                Next::Stuck(all) => break all,
                Next::Finished => panic!("documents got lost"),
            }
        };
        assert_eq!((sends, stuck.len()), (4, 3));
    }

    #[test]
    fn a_document_that_turns_out_to_be_saved_is_out_of_the_search() {
        let mut search = Bisect::new(vec![1, 2]);
        assert_eq!(search.next_set(), Next::Send(vec![1]));
        assert_eq!(search.failed(&[]), None);
        assert_eq!(search.next_set(), Next::Send(vec![2]));
        search.passed();
        assert_eq!(search.next_set(), Next::Finished);
    }

    #[test]
    fn a_call_that_was_not_made_is_made_again_and_counts_for_nothing() {
        let mut search = Bisect::new((0..8).collect::<Vec<u32>>());
        let first = search.next_set();
        assert_eq!(search.next_set(), first);
        search.forget(&0);
        assert_eq!(search.next_set(), Next::Send((1..8).collect()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn every_culprit_is_found_and_nobody_else(n in 1_usize..120, picks in prop::collection::btree_set(0_usize..120, 0..6)) {
            let bad: Vec<usize> = picks.into_iter().filter(|one| *one < n).collect();
            let (mut convicted, saves) = search(n, &bad);
            convicted.sort_unstable();
            prop_assert_eq!(&convicted, &bad);
            if bad.len() <= 3 {
                prop_assert!(saves <= 2 + bad.len().max(1) * (bound(n) + 1), "{} saves for {:?} of {}", saves, bad, n);
            } else {
                prop_assert!(saves <= 4 * (bound(n) + 1) + 2 * n, "{} saves for {:?} of {}", saves, bad, n);
            }
        }
    }
}
