//! Calls: which function is meant, and which of its overloads fit. Upstream: cel-go checker/checker.go checkCall.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{Call, Expr, Id, Kind};
use crate::functions::{Function, Overload};
use crate::types::Type;
use crate::value::Value;

use super::{Checker, Reference};

impl Checker<'_> {
    pub(super) fn call(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Call(call) = &mut expr.kind else { return };
        if &*call.function == "_?._" {
            return self.optional_select(id, call);
        }
        for argument in &mut call.arguments {
            self.check(argument);
        }
        let environment = self.environment;
        let name = call.function.clone();
        let Some(target) = &mut call.target else {
            return match environment.functions.get(&name) {
                Some(function) => {
                    call.function = function.name.into();
                    self.resolve_overload(id, function, call);
                }
                None => self.undeclared(id, &name),
            };
        };
        let qualified = qualified_name(target).map(|prefix| format!("{prefix}.{name}"));
        if let Some(function) = qualified.and_then(|name| environment.functions.get(&name)) {
            call.function = function.name.into();
            call.target = None;
            return self.resolve_overload(id, function, call);
        }
        self.check(target);
        match environment.functions.get(&name) {
            Some(function) => self.resolve_overload(id, function, call),
            None => self.undeclared(id, &name),
        }
    }

    fn optional_select(&mut self, id: Id, call: &mut Call) {
        let [operand, field] = call.arguments.as_mut_slice() else { return };
        let Some(Value::String(name)) = field.literal().cloned() else { return };
        let result = self.field(id, operand, &name, true);
        self.types[id] = self.known(&result);
        if let Some(function) = self.environment.functions.get("_?._") {
            self.references[id] = Reference::Call(function.overloads.clone());
        }
    }

    fn resolve_overload(&mut self, id: Id, function: &Function, call: &Call) {
        let operands: Vec<&Expr> = call.target.iter().chain(&call.arguments).collect();
        let types: Vec<Type> = operands.iter().map(|operand| self.type_of(operand)).collect();
        let is_member = call.target.is_some();
        if matches!(function.name, "_&&_" | "_||_") {
            return self.resolve_logic(id, function, &operands, &types);
        }
        let mut result: Option<Type> = None;
        let mut fitting: Vec<Arc<Overload>> = Vec::new();
        for overload in function.overloads.iter().filter(|overload| overload.member == is_member) {
            let (arguments, overload_result) = self.instantiate(overload);
            if !self.substitutions.assign_all(&types, &arguments) {
                continue;
            }
            fitting.push(overload.clone());
            let this = self.known(&overload_result);
            result = Some(match result {
                None => this,
                Some(before) if before.is_dyn() || before == this => before,
                Some(_) => Type::Dyn,
            });
        }
        match result {
            Some(result) => {
                self.types[id] = result;
                self.references[id] = Reference::Call(fitting);
            }
            None => {
                let signature = self.signature(&types, is_member);
                let name = function.name;
                self.report(id, format!("found no matching overload for '{name}' applied to '{signature}'"));
            }
        }
    }

    fn resolve_logic(&mut self, id: Id, function: &Function, operands: &[&Expr], types: &[Type]) {
        let mut is_good = true;
        for (operand, t) in operands.iter().zip(types) {
            if !self.substitutions.assign(t, &Type::Bool) {
                self.report(operand.id, format!("expected type 'bool' but found '{t}'"));
                is_good = false;
            }
        }
        if is_good {
            self.types[id] = Type::Bool;
            self.references[id] = Reference::Call(function.overloads.clone());
        }
    }

    /// Arguments and result with a fresh unknown for each parameter.
    fn instantiate(&mut self, overload: &Overload) -> (Vec<Type>, Type) {
        if overload.parameters.is_empty() {
            return (overload.arguments.clone(), overload.result.clone());
        }
        let fresh: BTreeMap<Arc<str>, Type> =
            overload.parameters.iter().map(|name| (name.clone(), self.substitutions.fresh())).collect();
        let arguments = overload.arguments.iter().map(|argument| put_in(&fresh, argument)).collect();
        (arguments, put_in(&fresh, &overload.result))
    }

    fn signature(&self, types: &[Type], is_member: bool) -> String {
        let mut names: Vec<String> = types.iter().map(|t| self.substitutions.apply(t, true).to_string()).collect();
        let target = if is_member { format!("{}.", names.remove(0)) } else { String::new() };
        format!("{target}({})", names.join(", "))
    }
}

fn put_in(fresh: &BTreeMap<Arc<str>, Type>, t: &Type) -> Type {
    match t {
        Type::Param(name) => fresh.get(name).cloned().unwrap_or_else(|| t.clone()),
        Type::List(element) => Type::list(put_in(fresh, element)),
        Type::Map(pair) => Type::map(put_in(fresh, &pair.0), put_in(fresh, &pair.1)),
        Type::Opaque(name, parameters) => {
            Type::Opaque(name.clone(), parameters.iter().map(|p| put_in(fresh, p)).collect())
        }
        Type::Type(Some(of)) => Type::type_of(put_in(fresh, of)),
        other => other.clone(),
    }
}

/// `a.b.c` when it is nothing but names.
fn qualified_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.to_string()),
        Kind::Select(select) if !select.test_only => {
            Some(format!("{}.{}", qualified_name(&select.operand)?, select.field))
        }
        _ => None,
    }
}
