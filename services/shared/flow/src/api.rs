//! The interfaces of other systems that a flow's documents may name.

use crate::file::MAX_DOCUMENTS;

/// An interface, of Kingdee Cloud Galaxy as all of them are by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    /// Rows of a form.
    ExecuteBillQuery,
    /// One document.
    Save,
    /// Documents, each with an outcome of its own.
    BatchSave,
}

/// Which way data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Out of the system: a flow's source names it.
    Read,
    /// Into the system: a flow's target names it.
    Write,
}

impl Direction {
    /// `read` or `write`.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Read => "read",
            Direction::Write => "write",
        }
    }
}

impl Api {
    /// All of them.
    pub const ALL: [Api; 3] = [Api::ExecuteBillQuery, Api::Save, Api::BatchSave];

    /// The interface of this name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.name().eq_ignore_ascii_case(name))
    }

    /// As documents write it.
    pub fn name(self) -> &'static str {
        match self {
            Api::ExecuteBillQuery => "executeBillQuery",
            Api::Save => "save",
            Api::BatchSave => "batchSave",
        }
    }

    /// Whose it is.
    pub fn system(self) -> &'static str {
        "kingdee"
    }

    /// Which way data goes.
    pub fn direction(self) -> Direction {
        match self {
            Api::ExecuteBillQuery => Direction::Read,
            Api::Save | Api::BatchSave => Direction::Write,
        }
    }

    /// Most documents that one call carries; `None` for what is read in pages of rows.
    pub fn documents(self) -> Option<u32> {
        match self.direction() {
            Direction::Read => None,
            Direction::Write => Some(MAX_DOCUMENTS),
        }
    }

    /// Whether a call may be repeated when its answer is lost: what writes is looked for first.
    pub fn is_repeatable(self) -> bool {
        self.direction() == Direction::Read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_whatever_its_case() {
        for api in Api::ALL {
            assert_eq!(Api::named(&api.name().to_uppercase()), Some(api));
            assert_eq!(api.documents().is_none(), api.is_repeatable());
        }
        assert_eq!(Api::named("oms/order/query"), None);
    }
}
