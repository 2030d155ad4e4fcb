//! What an expression refers to.

use super::node::{Link, Node, Pattern};
use crate::lookup::Lookup;
use crate::reference::Reference;

/// References and lookups in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) references: Vec<Reference>,
    pub(super) lookups: Vec<Lookup>,
    /// Whether the time of the run is asked for.
    pub(super) clock: bool,
}

impl Found {
    pub(super) fn visit(&mut self, node: &Node) {
        match node {
            Node::Constant(_) => {}
            Node::Value(reference) | Node::Aggregate(_, reference) => self.references.push(reference.clone()),
            Node::Text(template) => self.references.extend(template.references().cloned()),
            Node::Find(lookup) => {
                self.references.extend(lookup.references().into_iter().cloned());
                self.lookups.push((**lookup).clone());
            }
            Node::Chain(first, links) => {
                self.visit(first);
                for link in links {
                    match link {
                        Link::Operator(_, node, _) => self.visit(node),
                        Link::Shift(interval, _) => self.visit(&interval.amount),
                    }
                }
            }
            Node::Not(inner)
            | Node::Negate(inner)
            | Node::Is(inner, ..)
            | Node::Cast(inner, ..)
            | Node::Part(_, inner) => {
                self.visit(inner);
            }
            Node::In(inner, list, _) => {
                self.visit(inner);
                list.iter().for_each(|node| self.visit(node));
            }
            Node::Between(inner, low, high, _) => [inner, low, high].into_iter().for_each(|node| self.visit(node)),
            Node::Like(inner, pattern, ..) => {
                self.visit(inner);
                self.visit(pattern);
            }
            Node::Matches(inner, pattern, _) => {
                self.visit(inner);
                if let Pattern::Open(pattern, _) = pattern {
                    self.visit(pattern);
                }
            }
            Node::Case(operand, branches, otherwise) => {
                operand.iter().for_each(|node| self.visit(node));
                for (condition, result) in branches {
                    self.visit(condition);
                    self.visit(result);
                }
                otherwise.iter().for_each(|node| self.visit(node));
            }
            Node::Coalesce(nodes) => nodes.iter().for_each(|node| self.visit(node)),
            Node::Call(_, nodes, _) => {
                // Whatever is computed from no argument is the time: the language has no randomness.
                self.clock |= nodes.is_empty();
                nodes.iter().for_each(|node| self.visit(node));
            }
            Node::Shift(inner, interval, _) => {
                self.visit(inner);
                self.visit(&interval.amount);
            }
            Node::Difference(_, from, to) => {
                self.visit(from);
                self.visit(to);
            }
        }
    }
}
