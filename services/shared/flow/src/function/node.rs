//! The compiled form of an expression: a small tree of our own, without anything of the parser.

use regex::Regex;

use super::catalogue::Entry;
use super::datum::Datum;
use crate::lookup::Lookup;
use crate::reference::{Reference, Template};

/// A part of a compiled expression.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Constant(Datum),
    /// A reference outside quotes.
    Value(Reference),
    /// A quoted literal with references.
    Text(Template),
    Find(Box<Lookup>),
    /// Operators of equal or falling strength from left to right, in a list so that long chains need no deep stack.
    Chain(Box<Node>, Vec<Link>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Is(Box<Node>, State, bool),
    In(Box<Node>, Vec<Node>, bool),
    Between(Box<Node>, Box<Node>, Box<Node>, bool),
    Like(Box<Node>, Box<Node>, Option<char>, bool),
    Matches(Box<Node>, Pattern, bool),
    Case(Option<Box<Node>>, Vec<(Node, Node)>, Option<Box<Node>>),
    /// The first argument that is not NULL; the others are not computed.
    Coalesce(Vec<Node>),
    Call(&'static Entry, Vec<Node>, usize),
    Aggregate(Aggregate, Reference),
    /// Date plus (or minus) an interval.
    Shift(Box<Node>, Interval, bool),
    /// Whole units from the first date to the second.
    Difference(Unit, Box<Node>, Box<Node>),
    Part(Unit, Box<Node>),
    Cast(Box<Node>, Kind, usize),
}

/// An operator with its right side and the column where that begins.
#[derive(Debug, Clone)]
pub(super) enum Link {
    Operator(Operator, Node, usize),
    /// `+ INTERVAL` (true) or `- INTERVAL`.
    Shift(Interval, bool),
}

/// `INTERVAL n unit`.
#[derive(Debug, Clone)]
pub(super) struct Interval {
    pub(super) amount: Box<Node>,
    pub(super) unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    DivideWhole,
    Remainder,
    Equal,
    SameOrBothNull,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Xor,
}

/// What `IS` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Null,
    True,
    False,
}

/// The pattern of `REGEXP`: compiled when it is constant.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    Ready(Regex),
    /// With the column where it begins.
    Open(Box<Node>, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Least,
    Greatest,
    Count,
}

impl Aggregate {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "SUM" => Self::Sum,
            "AVG" => Self::Average,
            "MIN" => Self::Least,
            "MAX" => Self::Greatest,
            "COUNT" => Self::Count,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Microsecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    /// The unit of a name in upper case, also as `SQL_TSI_DAY`.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("SQL_TSI_").unwrap_or(name) {
            "MICROSECOND" => Self::Microsecond,
            "SECOND" => Self::Second,
            "MINUTE" => Self::Minute,
            "HOUR" => Self::Hour,
            "DAY" => Self::Day,
            "WEEK" => Self::Week,
            "MONTH" => Self::Month,
            "QUARTER" => Self::Quarter,
            "YEAR" => Self::Year,
            _ => return None,
        })
    }
}

/// The type of a `CAST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Signed,
    Unsigned,
    /// Text, cut to so many characters.
    Char(Option<usize>),
    /// Digits and places.
    Decimal(u32, u32),
    /// A number as it is.
    Number,
    Date,
    DateTime,
    Time,
}
