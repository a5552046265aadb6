//! An expression as a tree. Every node has an id, by which its place in the text and its type are found.

use std::sync::Arc;

use crate::value::Value;

pub(crate) type Id = usize;

#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub id: Id,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// What is left of an expression that was refused.
    Nothing,
    Literal(Value),
    Ident(Arc<str>),
    Select(Box<Select>),
    Call(Box<Call>),
    List(Vec<Element>),
    Map(Vec<Entry>),
    Struct(Arc<str>, Vec<Field>),
    Fold(Box<Fold>),
}

#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub operand: Expr,
    pub field: Arc<str>,
    /// `has(operand.field)`.
    pub test_only: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub function: Arc<str>,
    pub target: Option<Expr>,
    pub arguments: Vec<Expr>,
}

#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub value: Expr,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub id: Id,
    pub name: Arc<str>,
    pub value: Expr,
    pub optional: bool,
}

/// A walk over a list or map with an accumulator: what macros come to.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub range: Expr,
    pub variable: Arc<str>,
    pub second_variable: Option<Arc<str>>,
    pub accumulator: Arc<str>,
    pub init: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

/// The accumulator of macros, which no expression can name.
pub(crate) const ACCUMULATOR: &str = "@result";
/// Its old name, which no expression may take either.
pub(crate) const OLD_ACCUMULATOR: &str = "__result__";

impl Expr {
    pub(crate) fn ident(&self) -> Option<&Arc<str>> {
        match &self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn literal(&self) -> Option<&Value> {
        match &self.kind {
            Kind::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// The expressions directly below this one, in the order of their text.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            Kind::Nothing | Kind::Literal(_) | Kind::Ident(_) => Vec::new(),
            Kind::Select(select) => vec![&select.operand],
            Kind::Call(call) => call.target.iter().chain(&call.arguments).collect(),
            Kind::List(elements) => elements.iter().map(|element| &element.value).collect(),
            Kind::Map(entries) => entries.iter().flat_map(|entry| [&entry.key, &entry.value]).collect(),
            Kind::Struct(_, fields) => fields.iter().map(|field| &field.value).collect(),
            Kind::Fold(fold) => vec![&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result],
        }
    }
}
