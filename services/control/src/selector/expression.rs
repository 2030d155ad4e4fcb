//! A selector as a tree.

use rust_decimal::Decimal;

use super::field::Field;
use super::path::Path;

/// A condition on a letter. Two-valued: what a letter does not have equals nothing, so that `not` turns every answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// All of these; none is always true.
    And(Vec<Expression>),
    /// Any of these.
    Or(Vec<Expression>),
    /// The opposite.
    Not(Box<Expression>),
    /// One test of one fact.
    Test(Test),
}

impl Expression {
    /// The paths into bodies, as they stand in the text.
    pub(super) fn paths_mut(&mut self) -> Vec<&mut Path> {
        match self {
            Expression::And(parts) | Expression::Or(parts) => {
                parts.iter_mut().flat_map(Expression::paths_mut).collect()
            }
            Expression::Not(inner) => inner.paths_mut(),
            Expression::Test(Test { subject: Subject::Payload(path), .. }) => vec![path],
            Expression::Test(_) => Vec::new(),
        }
    }

    /// The same, to be read.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Expression::And(parts) | Expression::Or(parts) => parts.iter().flat_map(Expression::paths).collect(),
            Expression::Not(inner) => inner.paths(),
            Expression::Test(Test { subject: Subject::Payload(path), .. }) => vec![path],
            Expression::Test(_) => Vec::new(),
        }
    }
}

/// One test of one fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// What is asked.
    pub subject: Subject,
    /// What it must be.
    pub check: Check,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// A fact about the letter.
    Field(Field),
    /// A value in its body; where the path leads to several, one of them must hold.
    Payload(Path),
}

/// What it must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// There; in a body also not `null`.
    Exists,
    /// Related so to a value.
    Compare(Operator, Literal),
    /// Not below the first and not above the second.
    Between(Literal, Literal),
    /// Equal to one of these.
    OneOf(Vec<Literal>),
    /// Matched somewhere by a pattern.
    Matches(Pattern),
}

/// How a value relates to another. `!=` is `not =`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Operator {
    /// Whether it holds of a value that stands so to the other.
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Operator::Equal => ordering.is_eq(),
            Operator::Less => ordering.is_lt(),
            Operator::LessOrEqual => ordering.is_le(),
            Operator::Greater => ordering.is_gt(),
            Operator::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// A value as its subject needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// Text, compared by code point.
    Text(String),
    /// A number, compared exactly.
    Number(Decimal),
    /// A point in time, unix milliseconds.
    Time(i64),
    /// A duration, milliseconds.
    Duration(i64),
    /// `true` or `false`.
    Truth(bool),
}

/// A regular expression of linear running time.
#[derive(Debug, Clone)]
pub struct Pattern(pub regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// What answering takes, the cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// The columns of the index.
    Columns,
    /// A pattern that is tried on row after row.
    Rows,
    /// The body of letter after letter.
    Bodies,
}

impl Expression {
    /// The parts that must all hold, each on its own.
    pub fn conjuncts(&self) -> &[Expression] {
        match self {
            Expression::And(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// What answering takes.
    pub fn cost(&self) -> Cost {
        match self {
            Expression::And(parts) | Expression::Or(parts) => {
                parts.iter().map(Expression::cost).max().unwrap_or(Cost::Columns)
            }
            Expression::Not(inner) => inner.cost(),
            Expression::Test(test) => test.cost(),
        }
    }
}

impl Test {
    /// What answering takes.
    pub fn cost(&self) -> Cost {
        match (&self.subject, &self.check) {
            (Subject::Payload(_), _) => Cost::Bodies,
            (Subject::Field(_), Check::Matches(_)) => Cost::Rows,
            (Subject::Field(_), _) => Cost::Columns,
        }
    }
}
