//! What a history came to: for each invariant, how much it looked at and what it found.

use std::fmt;

use history_checker::{History, Invariant, Violation, check, looked_at};
use serde::Serialize;

/// Violations of one invariant that a person is shown.
const SHOWN: usize = 10;

/// The verdict on a history.
#[derive(Debug, Serialize)]
pub struct Report {
    /// One for each invariant, in order.
    pub invariants: Vec<Judged>,
    /// Every breach.
    pub violations: Vec<Violation>,
}

/// An invariant and how it fared.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// Which.
    pub invariant: Invariant,
    /// What it says.
    pub words: &'static str,
    /// How many things it looked at.
    pub looked_at: usize,
    /// How many breaches it found.
    pub violations: usize,
}

impl Report {
    /// Judges `history`.
    pub fn of(history: &History) -> Self {
        let violations = check(history);
        let invariants = looked_at(history)
            .into_iter()
            .map(|(invariant, looked_at)| {
                let violations = violations.iter().filter(|violation| violation.invariant == invariant).count();
                Judged { invariant, words: invariant.words(), looked_at, violations }
            })
            .collect();
        Self { invariants, violations }
    }

    /// Whether nothing was found, and everything looked at something unless that is allowed.
    pub fn is_clean(&self, allow_empty: bool) -> bool {
        self.violations.is_empty() && (allow_empty || self.invariants.iter().all(|judged| judged.looked_at > 0))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Judged { invariant, words, looked_at, violations } in &self.invariants {
            let verdict = match (looked_at, violations) {
                (0, 0) => "looked at nothing".to_owned(),
                (_, 0) => "holds".to_owned(),
                (_, count) => format!("{count} VIOLATIONS"),
            };
            writeln!(f, "{:<4} {words:<58} {looked_at:>8}  {verdict}", format!("{invariant:?}"))?;
        }
        for invariant in Invariant::ALL {
            let found: Vec<&Violation> = self.violations.iter().filter(|it| it.invariant == invariant).collect();
            for violation in found.iter().take(SHOWN) {
                writeln!(f, "{invariant:?} {}", violation.detail)?;
            }
            if found.len() > SHOWN {
                writeln!(f, "{invariant:?} … and {} more", found.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}
