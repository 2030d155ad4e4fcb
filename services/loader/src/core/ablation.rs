//! Rules of the core that the simulation can switch off, to show that it would notice. Part of no build that ships.

/// A rule of this core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A save is not begun later than its intent allows.
    Deadline,
    /// An intent is readable before its save is begun.
    Intent,
    /// After an unknown outcome the target is asked before anything is sent again.
    Probe,
    /// A version older than the one handled is dropped.
    VersionGuard,
}
