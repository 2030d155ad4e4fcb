//! A compiled condition and its evaluation.

use std::cmp::Ordering;
use std::collections::HashSet;

use chrono::NaiveDateTime;
use rust_decimal::Decimal;

use super::{Column, Row};
use crate::schema::Slot;
use crate::store::Store;
use crate::value::Seen;

/// A condition over the rows of one form.
#[derive(Debug, Clone)]
pub enum Condition {
    /// Always the same; `None` is unknown.
    Constant(Option<bool>),
    /// All of them.
    All(Vec<Condition>),
    /// One of them.
    Any(Vec<Condition>),
    /// The opposite.
    Not(Box<Condition>),
    /// A comparison.
    Compare(Operand, Comparison, Operand),
    /// Membership in a list.
    In {
        /// The column.
        column: Column,
        /// The values.
        values: HashSet<Literal>,
        /// Whether the list also holds null, which makes a miss unknown.
        has_null: bool,
    },
    /// A text pattern of `%` and `_`.
    Like {
        /// What is matched.
        text: Operand,
        /// The pattern.
        pattern: Vec<Wild>,
    },
    /// Whether there is nothing.
    IsNull(Column),
}

/// One side of a comparison.
#[derive(Debug, Clone)]
pub enum Operand {
    /// A column.
    Column(Column),
    /// A value.
    Literal(Literal),
}

/// A value in a filter, already of the type of the column it meets. Texts have lost their trailing blanks only where
/// they are members of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Literal {
    /// A text.
    Text(String),
    /// A number.
    Number(Decimal),
    /// A date.
    Time(NaiveDateTime),
    /// A flag.
    Bool(bool),
}

/// How two sides compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wild {
    /// Exactly this character.
    Char(char),
    /// Any one character.
    One,
    /// Any characters, also none.
    Any,
}

impl Comparison {
    /// The same comparison with its sides exchanged.
    pub fn mirrored(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Unequal => Self::Unequal,
            Self::Less => Self::Greater,
            Self::AtMost => Self::AtLeast,
            Self::Greater => Self::Less,
            Self::AtLeast => Self::AtMost,
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

impl Literal {
    fn seen(&self) -> Seen<'_> {
        match self {
            Literal::Text(text) => Seen::Text(text),
            Literal::Number(number) => Seen::Decimal(*number),
            Literal::Time(time) => Seen::Time(*time),
            Literal::Bool(flag) => Seen::Bool(*flag),
        }
    }
}

impl Operand {
    fn see<'a>(&'a self, store: &'a Store, row: &Row<'a>) -> Seen<'a> {
        match self {
            Operand::Column(column) => column.see(store, row),
            Operand::Literal(literal) => literal.seen(),
        }
    }
}

impl Condition {
    /// Whether the row meets the condition; `None` is unknown and leaves the row out.
    pub fn test<'a>(&'a self, store: &'a Store, row: &Row<'a>) -> Option<bool> {
        match self {
            Condition::Constant(truth) => *truth,
            Condition::All(parts) => {
                let mut truth = Some(true);
                for part in parts {
                    match part.test(store, row) {
                        Some(false) => return Some(false),
                        None => truth = None,
                        Some(true) => {}
                    }
                }
                truth
            }
            Condition::Any(parts) => {
                let mut truth = Some(false);
                for part in parts {
                    match part.test(store, row) {
                        Some(true) => return Some(true),
                        None => truth = None,
                        Some(false) => {}
                    }
                }
                truth
            }
            Condition::Not(part) => part.test(store, row).map(|truth| !truth),
            Condition::Compare(left, comparison, right) => {
                left.see(store, row).compare(right.see(store, row)).map(|order| comparison.holds(order))
            }
            Condition::In { column, values, has_null } => {
                let literal = match column.see(store, row) {
                    Seen::Null => return None,
                    Seen::Text(text) => Literal::Text(text.trim_end_matches(' ').to_owned()),
                    Seen::Int(number) => Literal::Number(number.into()),
                    Seen::Decimal(number) => Literal::Number(number.normalize()),
                    Seen::Time(time) => Literal::Time(time),
                    Seen::Bool(flag) => Literal::Bool(flag),
                };
                match (values.contains(&literal), has_null) {
                    (true, _) => Some(true),
                    (false, true) => None,
                    (false, false) => Some(false),
                }
            }
            Condition::Like { text, pattern } => match text.see(store, row) {
                Seen::Text(text) => Some(matches(text, pattern)),
                _ => None,
            },
            Condition::IsNull(column) => Some(matches!(column.see(store, row), Seen::Null)),
        }
    }

    /// Calls `visit` with every column.
    pub fn columns(&self, visit: &mut impl FnMut(&Column)) {
        match self {
            Condition::Constant(_) => {}
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| part.columns(visit)),
            Condition::Not(part) => part.columns(visit),
            Condition::Compare(left, _, right) => {
                for operand in [left, right] {
                    if let Operand::Column(column) = operand {
                        visit(column);
                    }
                }
            }
            Condition::In { column, .. } | Condition::IsNull(column) => visit(column),
            Condition::Like { text, .. } => {
                if let Operand::Column(column) = text {
                    visit(column);
                }
            }
        }
    }

    /// Bounds of the primary key, inclusive, that every matching document keeps to: lets a scan start at its key.
    pub fn key_bounds(&self) -> (i64, i64) {
        let mut bounds = (i64::MIN, i64::MAX);
        let parts = match self {
            Condition::All(parts) => parts.as_slice(),
            other => std::slice::from_ref(other),
        };
        for part in parts {
            let Condition::Compare(Operand::Column(column), comparison, Operand::Literal(Literal::Number(number))) =
                part
            else {
                continue;
            };
            // A bound with a fraction is left to the test itself.
            let Some(number) = i64::try_from(*number).ok().filter(|_| column.is_plain(Slot::Pk) && number.is_integer())
            else {
                continue;
            };
            match comparison {
                Comparison::Equal => bounds = (bounds.0.max(number), bounds.1.min(number)),
                Comparison::Greater => bounds.0 = bounds.0.max(number.saturating_add(1)),
                Comparison::AtLeast => bounds.0 = bounds.0.max(number),
                Comparison::Less => bounds.1 = bounds.1.min(number.saturating_sub(1)),
                Comparison::AtMost => bounds.1 = bounds.1.min(number),
                Comparison::Unequal => {}
            }
        }
        bounds
    }

    /// The texts that head field `slot` must be one of, where the condition says so: lets a probe use the index.
    pub fn texts_of(&self, slot: Slot) -> Option<Vec<&str>> {
        let parts = match self {
            Condition::All(parts) => parts.as_slice(),
            other => std::slice::from_ref(other),
        };
        parts.iter().find_map(|part| match part {
            Condition::Compare(Operand::Column(column), Comparison::Equal, Operand::Literal(Literal::Text(text)))
                if column.is_plain(slot) =>
            {
                Some(vec![text.as_str()])
            }
            Condition::In { column, values, .. } if column.is_plain(slot) => values
                .iter()
                .map(|value| match value {
                    Literal::Text(text) => Some(text.as_str()),
                    Literal::Number(_) | Literal::Time(_) | Literal::Bool(_) => None,
                })
                .collect(),
            _ => None,
        })
    }
}

/// Whether `text` matches `pattern`, in time bounded by the product of their lengths.
fn matches(text: &str, pattern: &[Wild]) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut in_pattern) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(character) = text.get(at) {
        match pattern.get(in_pattern) {
            Some(Wild::Any) => {
                retry = Some((at, in_pattern));
                in_pattern += 1;
                continue;
            }
            Some(Wild::One) => {
                at += 1;
                in_pattern += 1;
                continue;
            }
            Some(Wild::Char(expected)) if expected == character => {
                at += 1;
                in_pattern += 1;
                continue;
            }
            Some(Wild::Char(_)) | None => {}
        }
        let Some((from, any)) = retry else { return false };
        retry = Some((from + 1, any));
        at = from + 1;
        in_pattern = any + 1;
    }
    pattern.iter().skip(in_pattern).all(|piece| *piece == Wild::Any)
}
