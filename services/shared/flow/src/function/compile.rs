//! From the parser's tree to our own, refusing whatever the language does not have.

use document::{Code, Fault};
use sqlparser::ast::{
    BinaryOperator, CaseWhen, DateTimeField, Expr, InTarget, Interval as SqlInterval, TrimWhereField, UnaryOperator,
    Value as SqlValue,
};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Location;

use super::catalogue;
use super::datum::Datum;
use super::evaluate::{LIST, regex, unit_of};
use super::node::{Interval, Kind, Link, Node, Operator, Pattern, State, Unit};
use super::prepare::{Expressions, Prepared, fault};
use super::types;
use crate::number;

/// The deepest nesting. Operators in a row are not nested.
const DEPTH: usize = 64;

/// The parser's own bound, in its own steps; ours is reached first by anything but parentheses.
const PARSER_DEPTH: usize = 512;

/// Reads a text into a tree.
pub(super) fn compile(text: &str, first_column: usize) -> Result<Node, Fault> {
    if text.trim().is_empty() {
        return Err(fault(first_column, "the expression is empty"));
    }
    let prepared = Prepared::new(text, first_column)?;
    let mut parser = Parser::new(&Expressions)
        .with_recursion_limit(PARSER_DEPTH)
        .with_tokens_with_locations(prepared.tokens.clone());
    let tree = parser.parse_expr().map_err(|error| refused(&prepared, error))?;
    let rest = parser.peek_token();
    if rest.token != sqlparser::tokenizer::Token::EOF {
        let column = prepared.column(rest.span.start);
        return Err(match shown(&rest.token.to_string()) {
            Some(word) => fault(column, format!("the expression should end before {word:?}")),
            None => fault(column, "two values stand side by side; an operator is missing"),
        });
    }
    Compiler { prepared: &prepared }.node(Box::new(tree), 0)
}

/// The text of a token as it was written; nothing for a placeholder.
fn shown(token: &str) -> Option<&str> {
    (!token.contains('\u{E000}')).then_some(token)
}

/// The parser's complaint, at the column of the written text.
fn refused(prepared: &Prepared, error: ParserError) -> Fault {
    let message = match error {
        ParserError::RecursionLimitExceeded => return too_deep(prepared.column(Location::new(1, 1))),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let (words, column) = match message.rsplit_once(" at Line: 1, Column: ") {
        Some((words, column)) => (words, column.trim().parse().unwrap_or(1)),
        None => (message.as_str(), 1),
    };
    let words = match words.split_once(", found: ") {
        Some((expected, found)) => match (found.trim(), shown(found.trim())) {
            ("EOF", _) => format!("{expected}, but the expression ends here"),
            (_, Some(found)) => format!("{expected}, found {found:?}"),
            (_, None) => format!("{expected}, found a value"),
        },
        None => words.to_owned(),
    };
    fault(prepared.column(Location::new(1, column)), words)
}

fn too_deep(column: usize) -> Fault {
    Fault::new(Code::Limit, format!("the expression is nested deeper than {DEPTH}")).at_column(column.to_string())
}

pub(super) struct Compiler<'a> {
    prepared: &'a Prepared,
}

impl Compiler<'_> {
    pub(super) fn boxed(&self, tree: Box<Expr>, depth: usize) -> Result<Box<Node>, Fault> {
        self.node(tree, depth + 1).map(Box::new)
    }

    pub(super) fn nodes(&self, trees: Vec<Expr>, depth: usize) -> Result<Vec<Node>, Fault> {
        if trees.len() > LIST {
            return Err(Fault::new(Code::Limit, "a list has over 10,000 elements"));
        }
        trees.into_iter().map(|tree| self.node(Box::new(tree), depth + 1)).collect()
    }

    /// Only chooses: what is done per kind of tree has its own stack frame, so that nesting costs little.
    pub(super) fn node(&self, mut tree: Box<Expr>, depth: usize) -> Result<Node, Fault> {
        while let Expr::Nested(inner) = *tree {
            tree = inner;
        }
        let column = self.column(&tree);
        if depth > DEPTH {
            return Err(too_deep(column));
        }
        match *tree {
            Expr::Identifier(_) | Expr::Value(_) => self.leaf(&tree, column),
            Expr::BinaryOp { .. } => self.chain(tree, depth),
            Expr::Function(_) => self.function(tree, column, depth),
            Expr::Case { .. } => self.case(tree, depth),
            Expr::UnaryOp { .. } => self.unary(tree, column, depth),
            Expr::In { .. } | Expr::Between { .. } => self.within(tree, column, depth),
            Expr::Like { .. } | Expr::RLike { .. } => self.pattern(tree, column, depth),
            Expr::Cast { .. } | Expr::Convert { .. } | Expr::Extract { .. } => self.typed(tree, column, depth),
            Expr::Position { .. } | Expr::Substring { .. } | Expr::Trim { .. } => self.worded(tree, column, depth),
            _ => self.is(tree, column, depth),
        }
    }

    fn leaf(&self, tree: &Expr, column: usize) -> Result<Node, Fault> {
        match tree {
            Expr::Identifier(name) => match self.prepared.bound(&name.value) {
                Some(Node::Text(text)) => Ok(match text.constant() {
                    Some(constant) => Node::Constant(Datum::Text(constant.to_owned())),
                    None => Node::Text(text.clone()),
                }),
                Some(node) => Ok(node.clone()),
                None => Err(self.unknown_word(&name.value, column)),
            },
            Expr::Value(value) => constant(&value.value, column).map(Node::Constant),
            other => Err(no_part(other, column)),
        }
    }

    fn unary(&self, tree: Box<Expr>, column: usize, depth: usize) -> Result<Node, Fault> {
        match *tree {
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => self.node(expr, depth + 1),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Ok(Node::Negate(self.boxed(expr, depth)?)),
            Expr::UnaryOp { op: UnaryOperator::Not | UnaryOperator::BangNot, expr } => {
                Ok(Node::Not(self.boxed(expr, depth)?))
            }
            other => Err(no_part(&other, column)),
        }
    }

    fn is(&self, tree: Box<Expr>, column: usize, depth: usize) -> Result<Node, Fault> {
        let (inner, state, negated) = match *tree {
            Expr::IsNull(inner) | Expr::IsUnknown(inner) => (inner, State::Null, false),
            Expr::IsNotNull(inner) | Expr::IsNotUnknown(inner) => (inner, State::Null, true),
            Expr::IsTrue(inner) => (inner, State::True, false),
            Expr::IsNotTrue(inner) => (inner, State::True, true),
            Expr::IsFalse(inner) => (inner, State::False, false),
            Expr::IsNotFalse(inner) => (inner, State::False, true),
            Expr::Interval(_) => {
                return Err(fault(column, "INTERVAL stands only after + or - and in DATE_ADD and DATE_SUB"));
            }
            other => return Err(no_part(&other, column)),
        };
        Ok(Node::Is(self.boxed(inner, depth)?, state, negated))
    }

    fn within(&self, tree: Box<Expr>, column: usize, depth: usize) -> Result<Node, Fault> {
        match *tree {
            Expr::In { expr, target: InTarget::List(list), negated, .. } => {
                Ok(Node::In(self.boxed(expr, depth)?, self.nodes(list, depth)?, negated))
            }
            Expr::Between { expr, negated, low, high } => {
                let (value, low) = (self.boxed(expr, depth)?, self.boxed(low, depth)?);
                Ok(Node::Between(value, low, self.boxed(high, depth)?, negated))
            }
            other => Err(no_part(&other, column)),
        }
    }

    fn pattern(&self, tree: Box<Expr>, column: usize, depth: usize) -> Result<Node, Fault> {
        match *tree {
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                let escape = escape_char.map(|escape| self.escape(escape, depth)).transpose()?;
                Ok(Node::Like(self.boxed(expr, depth)?, self.boxed(pattern, depth)?, escape, negated))
            }
            Expr::RLike { negated, expr, pattern, .. } => {
                let column = self.column(&pattern);
                let pattern = match self.node(pattern, depth + 1)? {
                    Node::Constant(Datum::Text(text)) => Pattern::Ready(regex(&text, column)?),
                    other => Pattern::Open(Box::new(other), column),
                };
                Ok(Node::Matches(self.boxed(expr, depth)?, pattern, negated))
            }
            other => Err(no_part(&other, column)),
        }
    }

    fn case(&self, tree: Box<Expr>, depth: usize) -> Result<Node, Fault> {
        let Expr::Case { operand, conditions, else_result, .. } = *tree else { return Ok(Node::Constant(Datum::Null)) };
        let operand = operand.map(|operand| self.boxed(operand, depth)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for CaseWhen { condition, result } in conditions {
            let condition = self.node(Box::new(condition), depth + 1)?;
            branches.push((condition, self.node(Box::new(result), depth + 1)?));
        }
        let otherwise = else_result.map(|result| self.boxed(result, depth)).transpose()?;
        Ok(Node::Case(operand, branches, otherwise))
    }

    fn typed(&self, tree: Box<Expr>, column: usize, depth: usize) -> Result<Node, Fault> {
        match *tree {
            Expr::Cast { expr, data_type, format: None, .. } => {
                Ok(Node::Cast(self.boxed(expr, depth)?, types::kind(&data_type, column)?, column))
            }
            Expr::Convert { expr, data_type, .. } => {
                let kind = data_type.map_or(Ok(Kind::Char(None)), |data_type| types::kind(&data_type, column))?;
                Ok(Node::Cast(self.boxed(expr, depth)?, kind, column))
            }
            Expr::Extract { field, expr, .. } => Ok(Node::Part(self.field(&field, column)?, self.boxed(expr, depth)?)),
            other => Err(no_part(&other, column)),
        }
    }

    fn worded(&self, tree: Box<Expr>, column: usize, depth: usize) -> Result<Node, Fault> {
        match *tree {
            Expr::Position { expr, r#in } => self.call("POSITION", vec![*expr, *r#in], column, depth),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let parts = [Some(expr), substring_from, substring_for];
                self.call("SUBSTRING", parts.into_iter().flatten().map(|part| *part).collect(), column, depth)
            }
            Expr::Trim { trim_where, trim_what, expr, .. } => {
                let side = match trim_where {
                    Some(TrimWhereField::Leading) => 1,
                    Some(TrimWhereField::Trailing) => 2,
                    Some(TrimWhereField::Both) | None => 0,
                };
                let blank = || Ok(Node::Constant(Datum::Text(" ".to_owned())));
                let what = trim_what.map_or_else(blank, |what| self.node(what, depth + 1))?;
                let nodes = vec![self.node(expr, depth + 1)?, what, Node::Constant(Datum::integer(side))];
                Ok(Node::Call(self.entry("TRIM", column)?, nodes, column))
            }
            other => Err(no_part(&other, column)),
        }
    }

    /// Operators in a row lean to the left; they become one list.
    fn chain(&self, mut first: Box<Expr>, depth: usize) -> Result<Node, Fault> {
        let mut parts = Vec::new();
        while let Expr::BinaryOp { left, op, right } = *first {
            parts.push((op, right));
            first = left;
        }
        let mut parts = parts.into_iter().rev();
        let first = match *first {
            // INTERVAL 1 DAY + date
            Expr::Interval(interval) => {
                let column = self.column(&interval.value);
                match parts.next() {
                    Some((BinaryOperator::Plus, date)) => {
                        Node::Shift(self.boxed(date, depth)?, self.interval(interval, column, depth)?, true)
                    }
                    _ => return Err(fault(column, "INTERVAL can only be added to a date")),
                }
            }
            other => self.node(Box::new(other), depth + 1)?,
        };
        let mut links = Vec::new();
        for (operator, right) in parts {
            links.push(self.link(operator, right, depth)?);
        }
        Ok(if links.is_empty() { first } else { Node::Chain(Box::new(first), links) })
    }

    fn link(&self, operator: BinaryOperator, right: Box<Expr>, depth: usize) -> Result<Link, Fault> {
        let column = self.column(&right);
        match (operator, *right) {
            (BinaryOperator::Plus, Expr::Interval(interval)) => {
                Ok(Link::Shift(self.interval(interval, column, depth)?, true))
            }
            (BinaryOperator::Minus, Expr::Interval(interval)) => {
                Ok(Link::Shift(self.interval(interval, column, depth)?, false))
            }
            (operator, right) => {
                let known = operator_of(&operator)
                    .ok_or_else(|| fault(column, format!("the operator {operator} is not supported")))?;
                Ok(Link::Operator(known, self.node(Box::new(right), depth + 1)?, column))
            }
        }
    }

    pub(super) fn interval(&self, interval: SqlInterval, column: usize, depth: usize) -> Result<Interval, Fault> {
        let unit = match &interval.leading_field {
            Some(field) => self.field(field, column)?,
            None => return Err(fault(column, "INTERVAL needs a unit, such as DAY")),
        };
        if interval.last_field.is_some() {
            return Err(fault(column, "INTERVAL takes one unit"));
        }
        Ok(Interval { amount: self.boxed(interval.value, depth)?, unit })
    }

    fn field(&self, field: &DateTimeField, column: usize) -> Result<Unit, Fault> {
        let name = field.to_string();
        unit_of(&name).ok_or_else(|| {
            fault(column, format!("{name} is not a unit"))
                .hint("units: MICROSECOND SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR")
        })
    }

    fn escape(&self, tree: Box<Expr>, depth: usize) -> Result<char, Fault> {
        let column = self.column(&tree);
        let text = match self.node(tree, depth + 1)? {
            Node::Constant(Datum::Text(text)) => text,
            _ => String::new(),
        };
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(escape), None) => Ok(escape),
            _ => Err(fault(column, "ESCAPE needs one quoted character")),
        }
    }

    fn unknown_word(&self, word: &str, column: usize) -> Fault {
        if shown(word).is_none() {
            return fault(column, "two values stand side by side; an operator is missing");
        }
        let upper = word.to_ascii_uppercase();
        let unknown = fault(column, format!("{word:?} is neither a keyword nor a reference"));
        if catalogue::entry_of(&upper).is_some() {
            unknown.hint(format!("a function needs its parentheses: {upper}(…)"))
        } else {
            unknown.hint(format!("a field is written {{{word}}}, a text '{word}'"))
        }
    }

    /// The column where a tree begins.
    pub(super) fn column(&self, tree: &Expr) -> usize {
        let mut tree = tree;
        loop {
            let location = match tree {
                Expr::Identifier(name) => name.span.start,
                Expr::Value(value) => value.span.start,
                Expr::Case { case_token, .. } => case_token.0.span.start,
                Expr::Function(function) => match function.name.0.first().and_then(|part| part.as_ident()) {
                    Some(name) => name.span.start,
                    None => Location::new(1, 1),
                },
                Expr::Nested(inner)
                | Expr::IsNull(inner)
                | Expr::IsNotNull(inner)
                | Expr::IsTrue(inner)
                | Expr::IsNotTrue(inner)
                | Expr::IsFalse(inner)
                | Expr::IsNotFalse(inner)
                | Expr::IsUnknown(inner)
                | Expr::IsNotUnknown(inner)
                | Expr::BinaryOp { left: inner, .. }
                | Expr::UnaryOp { expr: inner, .. }
                | Expr::In { expr: inner, .. }
                | Expr::Between { expr: inner, .. }
                | Expr::Like { expr: inner, .. }
                | Expr::RLike { expr: inner, .. }
                | Expr::Cast { expr: inner, .. }
                | Expr::Convert { expr: inner, .. }
                | Expr::Extract { expr: inner, .. }
                | Expr::Position { expr: inner, .. }
                | Expr::Substring { expr: inner, .. }
                | Expr::Trim { expr: inner, .. }
                | Expr::Interval(SqlInterval { value: inner, .. }) => {
                    tree = inner;
                    continue;
                }
                _ => Location::new(1, 1),
            };
            return self.prepared.column(location);
        }
    }
}

fn constant(value: &SqlValue, column: usize) -> Result<Datum, Fault> {
    match value {
        SqlValue::Number(text, _) => {
            let number = number::read(text).map_err(|fault| fault.at_column(column.to_string()))?;
            number.map(Datum::with_places).ok_or_else(|| fault(column, format!("{text:?} is not a number")))
        }
        SqlValue::Boolean(flag) => Ok(Datum::Bool(*flag)),
        SqlValue::Null => Ok(Datum::Null),
        other => Err(fault(column, format!("{other} is not part of an expression"))),
    }
}

fn operator_of(operator: &BinaryOperator) -> Option<Operator> {
    Some(match operator {
        BinaryOperator::Plus => Operator::Add,
        BinaryOperator::Minus => Operator::Subtract,
        BinaryOperator::Multiply => Operator::Multiply,
        BinaryOperator::Divide => Operator::Divide,
        // Stands for DIV, see the tokens.
        BinaryOperator::StringConcat => Operator::DivideWhole,
        BinaryOperator::Modulo => Operator::Remainder,
        BinaryOperator::Eq => Operator::Equal,
        BinaryOperator::Spaceship => Operator::SameOrBothNull,
        BinaryOperator::NotEq => Operator::NotEqual,
        BinaryOperator::Lt => Operator::Less,
        BinaryOperator::LtEq => Operator::LessOrEqual,
        BinaryOperator::Gt => Operator::Greater,
        BinaryOperator::GtEq => Operator::GreaterOrEqual,
        BinaryOperator::And => Operator::And,
        BinaryOperator::Or => Operator::Or,
        BinaryOperator::Xor => Operator::Xor,
        _ => return None,
    })
}

pub(super) fn no_part(tree: &Expr, column: usize) -> Fault {
    let named = match tree {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::In { .. } => "SELECT",
        Expr::Tuple(_) => "a list in parentheses",
        Expr::Collate { .. } => "COLLATE",
        Expr::AtTimeZone { .. } => "AT TIME ZONE",
        _ => "this",
    };
    fault(column, format!("{named} is not part of an expression"))
}
