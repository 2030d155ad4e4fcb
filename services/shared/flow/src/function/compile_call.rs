//! Calls: which functions there are, what they take, and those that are more than a call.

use document::Fault;
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::catalogue::{self, Entry};
use super::compile::{Compiler, no_part};
use super::evaluate::unit_of;
use super::node::{Aggregate, Interval, Node, Unit};
use super::prepare::fault;
use crate::reference::Reference;

impl Compiler<'_> {
    pub(super) fn function(&self, tree: Box<Expr>, column: usize, depth: usize) -> Result<Node, Fault> {
        let (name, arguments) = arguments(tree, column)?;
        self.call(&name, arguments, column, depth)
    }

    pub(super) fn call(&self, name: &str, arguments: Vec<Expr>, column: usize, depth: usize) -> Result<Node, Fault> {
        let count = arguments.len();
        let wrong = |expected: &str| fault(column, format!("{name} takes {expected}, not {count}"));
        if let Some(kind) = Aggregate::of(name) {
            let mut arguments = arguments.into_iter();
            return match (arguments.next(), arguments.next()) {
                (Some(argument), None) => Ok(Node::Aggregate(kind, self.aggregated(name, argument, depth)?)),
                _ => Err(wrong("one reference")),
            };
        }
        match (name, count) {
            ("IF", 3) => {
                let mut nodes = self.nodes(arguments, depth)?.into_iter();
                let (Some(condition), Some(taken), otherwise) = (nodes.next(), nodes.next(), nodes.next()) else {
                    return Err(wrong("3 arguments"));
                };
                Ok(Node::Case(None, vec![(condition, taken)], otherwise.map(Box::new)))
            }
            ("IF", _) => Err(wrong("3 arguments")),
            ("IFNULL" | "NVL", 2) | ("COALESCE", 1..) => Ok(Node::Coalesce(self.nodes(arguments, depth)?)),
            ("IFNULL" | "NVL", _) => Err(wrong("2 arguments")),
            ("COALESCE", _) => Err(wrong("1 argument or more")),
            ("DATE_ADD" | "ADDDATE", 2) => self.shift(arguments, true, depth, column),
            ("DATE_SUB" | "SUBDATE", 2) => self.shift(arguments, false, depth, column),
            ("DATE_ADD" | "DATE_SUB" | "ADDDATE" | "SUBDATE", _) => Err(wrong("2 arguments")),
            ("TIMESTAMPDIFF" | "TIMESTAMPADD", 3) => self.by_unit(name, arguments, column, depth),
            ("TIMESTAMPDIFF" | "TIMESTAMPADD", _) => Err(wrong("3 arguments")),
            _ => {
                let entry = self.entry(name, column)?;
                if !(entry.least..=entry.most).contains(&count) {
                    return Err(wrong(&expected(entry)));
                }
                Ok(Node::Call(entry, self.nodes(arguments, depth)?, column))
            }
        }
    }

    pub(super) fn entry(&self, name: &str, column: usize) -> Result<&'static Entry, Fault> {
        catalogue::entry_of(name).ok_or_else(|| {
            let unknown = fault(column, format!("unknown function {name}"));
            match catalogue::nearest(name) {
                Some(known) => unknown.hint(format!("did you mean {known}?")),
                None => unknown,
            }
        })
    }

    /// `DATE_ADD(date, INTERVAL n unit)`, or days alone with `ADDDATE(date, n)`.
    fn shift(&self, arguments: Vec<Expr>, forward: bool, depth: usize, column: usize) -> Result<Node, Fault> {
        let mut arguments = arguments.into_iter();
        let (Some(date), Some(by)) = (arguments.next(), arguments.next()) else {
            return Err(fault(column, "a date and an INTERVAL are needed"));
        };
        let interval = match by {
            Expr::Interval(interval) => self.interval(interval, column, depth)?,
            days => Interval { amount: self.boxed(Box::new(days), depth)?, unit: Unit::Day },
        };
        Ok(Node::Shift(self.boxed(Box::new(date), depth)?, interval, forward))
    }

    fn by_unit(&self, name: &str, arguments: Vec<Expr>, column: usize, depth: usize) -> Result<Node, Fault> {
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next().map(Box::new);
        let (Some(unit), Some(first), Some(second)) = (next(), next(), next()) else {
            return Err(fault(column, format!("{name} takes a unit and two values")));
        };
        let unit = match &*unit {
            Expr::Identifier(word) => unit_of(&word.value),
            _ => None,
        };
        let unit = unit.ok_or_else(|| fault(column, format!("the first argument of {name} is a unit, such as DAY")))?;
        if name == "TIMESTAMPDIFF" {
            return Ok(Node::Difference(unit, self.boxed(first, depth)?, self.boxed(second, depth)?));
        }
        let interval = Interval { amount: self.boxed(first, depth)?, unit };
        Ok(Node::Shift(self.boxed(second, depth)?, interval, true))
    }

    fn aggregated(&self, name: &str, argument: Expr, depth: usize) -> Result<Reference, Fault> {
        let column = self.column(&argument);
        match self.node(Box::new(argument), depth + 1)? {
            Node::Value(reference) => Ok(reference),
            Node::Text(text) => match text.whole() {
                Some(reference) => Ok(reference.clone()),
                None => Err(fault(column, format!("{name} takes one reference"))),
            },
            _ => Err(fault(column, format!("{name} takes one reference, such as {name}({{details.qty}})"))),
        }
    }
}

/// Name in upper case and arguments of a call.
fn arguments(tree: Box<Expr>, column: usize) -> Result<(String, Vec<Expr>), Fault> {
    let Expr::Function(function) = *tree else { return Err(no_part(&tree, column)) };
    let name = function.name.to_string().to_ascii_uppercase();
    if function.over.is_some() || function.filter.is_some() || !function.within_group.is_empty() {
        return Err(fault(column, format!("{name} takes its arguments and nothing else")));
    }
    let mut arguments = Vec::new();
    match function.args {
        FunctionArguments::None => {}
        FunctionArguments::Subquery(_) => return Err(fault(column, "SELECT is not part of an expression")),
        FunctionArguments::List(list) => {
            if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                return Err(fault(column, format!("{name} takes its arguments and nothing else")));
            }
            for argument in list.args {
                match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(tree)) => arguments.push(tree),
                    other => return Err(fault(column, format!("{other} is not an argument of {name}"))),
                }
            }
        }
    }
    Ok((name, arguments))
}

fn expected(entry: &Entry) -> String {
    let plural = if entry.most == 1 { "" } else { "s" };
    match (entry.least, entry.most) {
        (least, most) if least == most => format!("{least} argument{plural}"),
        (least, usize::MAX) => format!("{least} or more arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    }
}
