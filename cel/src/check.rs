//! Types of expressions: every node gets its type, every call the overloads that fit.
//!
//! Upstream: cel-go checker/checker.go. Scopes are two: what the environment declares, and the variables of the walks that
//! stand around an expression.

mod assign;
mod call;
mod validate;

use std::sync::Arc;

use crate::ast::{Expr, Fold, Id, Kind, Select};
use crate::environment::Environment;
use crate::functions::Overload;
use crate::issue::{Issues, Source};
use crate::parse::Parsed;
use crate::types::Type;
use crate::value::Value;

use assign::Substitutions;

/// An expression whose every node has a type.
pub(crate) struct Checked {
    pub expr: Expr,
    /// By a node's id.
    pub types: Vec<Type>,
    pub references: Vec<Reference>,
}

/// What a node refers to.
#[derive(Clone, Debug, Default)]
pub(crate) enum Reference {
    #[default]
    Nothing,
    /// A variable; whether the environment's is meant although a walk has one of that name.
    Variable { name: Arc<str>, global: bool },
    /// The name of a type.
    TypeName(Type),
    /// The overloads that fit.
    Call(Vec<Arc<Overload>>),
}

impl Checked {
    pub(crate) fn type_of(&self, expr: &Expr) -> &Type {
        &self.types[expr.id]
    }

    /// Whether a name stands somewhere as a variable of the environment.
    pub(crate) fn uses(&self, variable: &str) -> bool {
        let is_meant =
            |reference: &Reference| matches!(reference, Reference::Variable { name, .. } if &**name == variable);
        self.references.iter().any(is_meant)
    }

    pub(crate) fn overloads(&self, id: Id) -> &[Arc<Overload>] {
        match &self.references[id] {
            Reference::Call(overloads) => overloads,
            _ => &[],
        }
    }
}

pub(crate) fn check(environment: &Environment, source: &Source, parsed: Parsed) -> Result<Checked, Issues> {
    let Parsed { mut expr, offsets } = parsed;
    let mut checker = Checker {
        environment,
        source,
        issues: Issues::default(),
        types: vec![Type::Error; offsets.len()],
        references: vec![Reference::Nothing; offsets.len()],
        offsets,
        locals: Vec::new(),
        substitutions: Substitutions::default(),
    };
    checker.check(&mut expr);
    if !checker.issues.is_empty() {
        return Err(checker.issues);
    }
    let types = checker.types.iter().map(|t| checker.substitutions.apply(t, true)).collect();
    let checked = Checked { expr, types, references: checker.references };
    let issues = validate::validate(&checked, source, &checker.offsets);
    if issues.is_empty() { Ok(checked) } else { Err(issues) }
}

struct Checker<'a> {
    environment: &'a Environment,
    source: &'a Source,
    issues: Issues,
    types: Vec<Type>,
    references: Vec<Reference>,
    offsets: Vec<usize>,
    /// Variables of the walks around, the innermost last.
    locals: Vec<(Arc<str>, Type)>,
    substitutions: Substitutions,
}

impl Checker<'_> {
    fn report(&mut self, id: Id, message: String) {
        self.issues.report(self.source, Some(self.offsets[id]), message);
    }

    fn type_of(&self, expr: &Expr) -> Type {
        self.types[expr.id].clone()
    }

    /// What is known of a type by now.
    fn known(&self, t: &Type) -> Type {
        self.substitutions.apply(t, false)
    }

    fn check(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            Kind::Nothing => {}
            Kind::Literal(value) => self.types[expr.id] = literal_type(value),
            Kind::Ident(_) => self.ident(expr),
            Kind::Select(_) => self.select(expr),
            Kind::Call(_) => self.call(expr),
            Kind::List(_) => self.list(expr),
            Kind::Map(_) => self.map(expr),
            Kind::Struct(..) => self.construct(expr),
            Kind::Fold(_) => self.fold(expr),
        }
    }

    // --- names

    fn is_local(&self, name: &str) -> bool {
        let name = name.strip_prefix('.').unwrap_or(name);
        self.locals.iter().any(|(local, _)| &**local == name)
    }

    /// The type of a name, and what it refers to.
    fn resolve(&self, name: &str) -> Option<(Type, Reference)> {
        let local = self.locals.iter().rev().find(|(local, _)| &**local == name);
        if let Some((name, t)) = local {
            return Some((t.clone(), Reference::Variable { name: name.clone(), global: false }));
        }
        let plain = name.strip_prefix('.').unwrap_or(name);
        self.global(plain, self.is_local(name))
    }

    fn global(&self, name: &str, hidden: bool) -> Option<(Type, Reference)> {
        if let Some((name, t)) = self.environment.variable_type(name) {
            return Some((t.clone(), Reference::Variable { name: name.clone(), global: hidden }));
        }
        let named = self.environment.type_named(name)?;
        Some((Type::type_of(named.clone()), Reference::TypeName(named)))
    }

    fn refer(&mut self, expr: &mut Expr, found: (Type, Reference)) {
        let (t, reference) = found;
        self.types[expr.id] = t;
        if let Reference::Variable { name, global } = &reference {
            let dot = if *global { "." } else { "" };
            expr.kind = Kind::Ident(format!("{dot}{name}").into());
        }
        self.references[expr.id] = reference;
    }

    fn undeclared(&mut self, id: Id, name: &str) {
        self.report(id, format!("undeclared reference to '{name}' (in container '')"));
    }

    fn ident(&mut self, expr: &mut Expr) {
        let Kind::Ident(name) = &expr.kind else { return };
        match self.resolve(name) {
            Some(found) => self.refer(expr, found),
            None => {
                let name = name.clone();
                self.undeclared(expr.id, &name);
            }
        }
    }

    fn select(&mut self, expr: &mut Expr) {
        if let Some(names) = qualifiers(expr)
            && (!self.is_local(&names[0]) || names[0].starts_with('.'))
        {
            let joined = names.join(".");
            let hidden = self.is_local(&names[0]);
            let name = joined.strip_prefix('.').unwrap_or(&joined);
            if let Some(found) = self.global(name, hidden) {
                // A type's name is one name, with dots in it: no part of it is read, and none costs.
                expr.kind = Kind::Ident(name.into());
                return self.refer(expr, found);
            }
        }
        let id = expr.id;
        let Kind::Select(select) = &mut expr.kind else { return };
        let Select { operand, field, test_only } = &mut **select;
        let (field, test_only) = (field.clone(), *test_only);
        let mut result = self.field(id, operand, &field, false);
        if test_only {
            result = Type::Bool;
        }
        self.types[id] = self.known(&result);
    }

    /// The type of a field of `operand`. Upstream: checkSelectField.
    fn field(&mut self, id: Id, operand: &mut Expr, field: &str, optional: bool) -> Type {
        self.check(operand);
        let operand_type = self.known(&self.type_of(operand));
        let (target, is_optional) = operand_type.unwrap_optional();
        let result = match &target {
            Type::Map(pair) => pair.1.clone(),
            Type::Object(name) => self.object_field(id, name, field).unwrap_or(Type::Error),
            Type::Var(_) => {
                self.substitutions.assign(&Type::Dyn, &target);
                Type::Dyn
            }
            other => {
                if !other.is_dyn_or_error() {
                    self.report(id, format!("type '{other}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if is_optional || optional { Type::optional(result) } else { result }
    }

    fn object_field(&mut self, id: Id, object: &str, field: &str) -> Option<Type> {
        if !self.environment.types.has_type(object) {
            self.report(id, format!("unexpected failed resolution of '{object}'"));
            return None;
        }
        let found = self.environment.types.field(object, field);
        if found.is_none() {
            self.report(id, format!("undefined field '{field}'"));
        }
        found
    }

    // --- what is made

    fn list(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::List(elements) = &mut expr.kind else { return };
        let mut joined: Option<Type> = None;
        for element in elements {
            self.check(&mut element.value);
            let t = self.optional_of(&element.value, element.optional);
            joined = Some(self.join(joined, t));
        }
        let element = joined.unwrap_or_else(|| self.substitutions.fresh());
        self.types[id] = Type::list(element);
    }

    /// The type of a value that stands behind `?` or not.
    fn optional_of(&mut self, value: &Expr, optional: bool) -> Type {
        let t = self.type_of(value);
        if !optional {
            return t;
        }
        let (inner, is_optional) = t.unwrap_optional();
        if !is_optional && !inner.is_dyn() {
            let expected = Type::optional(inner.clone());
            self.report(value.id, format!("expected type '{expected}' but found '{inner}'"));
        }
        inner
    }

    /// The type of both what came before and this one. That they may differ is refused later, where it is.
    fn join(&mut self, before: Option<Type>, t: Type) -> Type {
        let Some(before) = before else { return t };
        if self.substitutions.assign(&before, &t) {
            return assign::most_general(&before, &t);
        }
        Type::Dyn
    }

    fn map(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Map(entries) = &mut expr.kind else { return };
        let (mut keys, mut values): (Option<Type>, Option<Type>) = (None, None);
        for entry in entries {
            self.check(&mut entry.key);
            let key = self.type_of(&entry.key);
            keys = Some(self.join(keys, key));
            self.check(&mut entry.value);
            let value = self.optional_of(&entry.value, entry.optional);
            values = Some(self.join(values, value));
        }
        let key = keys.unwrap_or_else(|| self.substitutions.fresh());
        let value = values.unwrap_or_else(|| self.substitutions.fresh());
        self.types[id] = Type::map(key, value);
    }

    fn construct(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Struct(name, fields) = &mut expr.kind else { return };
        let plain: Arc<str> = name.strip_prefix('.').unwrap_or(name).into();
        let named = self.environment.type_named(&plain);
        let Some(named) = named else {
            let name = name.clone();
            return self.undeclared(id, &name);
        };
        *name = plain.clone();
        if matches!(named, Type::Object(_)) {
            self.types[id] = named.clone();
        } else {
            self.report(id, format!("'{}' is not a message type", named.runtime_name()));
        }
        for field in fields {
            self.check(&mut field.value);
            let expected = self.object_field(field.id, &plain, &field.name).unwrap_or(Type::Error);
            let found = self.optional_of(&field.value, field.optional);
            if !self.substitutions.assign(&expected, &found) {
                let name = &field.name;
                let message = format!("expected type of field '{name}' is '{expected}' but provided type is '{found}'");
                self.report(field.id, message);
            }
        }
    }

    // --- walks

    fn fold(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Fold(fold) = &mut expr.kind else { return };
        self.check(&mut fold.range);
        self.check(&mut fold.init);
        let range = self.known(&self.type_of(&fold.range));
        let accumulator = self.type_of(&fold.init);
        let scope = self.locals.len();
        self.locals.push((fold.accumulator.clone(), accumulator.clone()));
        let inner = self.locals.len();
        self.declare_variables(fold, &range);
        self.check(&mut fold.condition);
        self.expect(&fold.condition, &Type::Bool);
        self.check(&mut fold.step);
        self.expect(&fold.step, &accumulator);
        self.locals.truncate(inner);
        self.check(&mut fold.result);
        self.locals.truncate(scope);
        self.types[id] = self.known(&self.type_of(&fold.result));
    }

    fn declare_variables(&mut self, fold: &Fold, range: &Type) {
        let (first, second) = match range {
            Type::List(element) if fold.second_variable.is_some() => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Dyn),
            Type::Map(pair) => (pair.0.clone(), pair.1.clone()),
            Type::Dyn | Type::Error | Type::Var(_) => {
                self.substitutions.assign(&Type::Dyn, range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(fold.range.id, message);
                (Type::Error, Type::Error)
            }
        };
        self.locals.push((fold.variable.clone(), first));
        if let Some(name) = &fold.second_variable {
            self.locals.push((name.clone(), second));
        }
    }

    fn expect(&mut self, expr: &Expr, expected: &Type) {
        let found = self.type_of(expr);
        if !self.substitutions.assign(expected, &found) {
            self.report(expr.id, format!("expected type '{expected}' but found '{found}'"));
        }
    }
}

fn literal_type(value: &Value) -> Type {
    value.value_type()
}

/// The names of `a.b.c`, when it is nothing but names.
fn qualifiers(expr: &Expr) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut here = expr;
    loop {
        match &here.kind {
            Kind::Select(select) if !select.test_only => {
                names.push(select.field.to_string());
                here = &select.operand;
            }
            Kind::Ident(name) => {
                names.push(name.to_string());
                names.reverse();
                return Some(names);
            }
            _ => return None,
        }
    }
}
