//! Rules of the core that the simulation can switch off, to show that it would notice. Part of no build that ships.

/// A rule of this core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The last bill of a page is not taken for complete.
    Trim,
    /// Only an empty page ends a scan.
    EmptyPage,
}

impl Rule {
    /// What a scan without this rule makes of a page of so many rows where `full` are a full one: whether it takes itself
    /// to be over; `None` where the rule has no say.
    pub fn ends(self, rows: usize, full: usize) -> Option<bool> {
        match self {
            Rule::Trim => Some(false),
            Rule::EmptyPage => (rows < full).then_some(true),
        }
    }
}
