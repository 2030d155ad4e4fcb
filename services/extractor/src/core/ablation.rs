//! Rules of the core that the simulation can switch off, to show that it would notice. Part of no build that ships.

/// A rule of this core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The last bill of a page is not taken for complete.
    Trim,
    /// Only an empty page ends a scan.
    EmptyPage,
}
