//! Whether a type may stand for another, and what that says of types yet unknown. Upstream: cel-go checker/types.go.

use crate::types::Type;

/// What has been found out of types that were unknown. What a failed attempt found is forgotten.
#[derive(Default)]
pub(super) struct Substitutions {
    /// By a variable's number.
    found: Vec<Option<Type>>,
    /// What was there before, since the last success.
    undo: Vec<(u32, Option<Type>)>,
}

impl Substitutions {
    pub(super) fn fresh(&mut self) -> Type {
        self.found.push(None);
        Type::Var(self.found.len() as u32 - 1)
    }

    /// Whether `from` may stand where `to` is.
    pub(super) fn assign(&mut self, to: &Type, from: &Type) -> bool {
        let is_good = self.assignable(to, from);
        self.settle(is_good)
    }

    pub(super) fn assign_all(&mut self, to: &[Type], from: &[Type]) -> bool {
        let is_good = self.all_assignable(to, from);
        self.settle(is_good)
    }

    fn settle(&mut self, is_good: bool) -> bool {
        while let Some((number, before)) = self.undo.pop() {
            if !is_good {
                self.found[number as usize] = before;
            }
        }
        is_good
    }

    fn find(&self, t: &Type) -> Option<&Type> {
        match t {
            Type::Var(number) => self.found.get(*number as usize)?.as_ref(),
            _ => None,
        }
    }

    fn set(&mut self, variable: &Type, t: Type) {
        if let Type::Var(number) = variable {
            let before = self.found[*number as usize].replace(t);
            self.undo.push((*number, before));
        }
    }

    /// A type with what is known put in; `to_dyn`: what is not known is dyn.
    pub(super) fn apply(&self, t: &Type, to_dyn: bool) -> Type {
        if let Some(found) = self.find(t) {
            return self.apply(found, to_dyn);
        }
        match t {
            Type::Var(_) | Type::Param(_) if to_dyn => Type::Dyn,
            Type::List(element) => Type::list(self.apply(element, to_dyn)),
            Type::Map(pair) => Type::map(self.apply(&pair.0, to_dyn), self.apply(&pair.1, to_dyn)),
            Type::Opaque(name, parameters) => {
                Type::Opaque(name.clone(), parameters.iter().map(|p| self.apply(p, to_dyn)).collect())
            }
            Type::Type(Some(of)) => Type::type_of(self.apply(of, to_dyn)),
            other => other.clone(),
        }
    }

    fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        if let Type::Var(_) = b {
            match self.substitute(a, b) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if let Type::Var(_) = a {
            return self.substitute(b, a).0;
        }
        if a.is_dyn_or_error() || b.is_dyn_or_error() {
            return true;
        }
        match (a, b) {
            (Type::Null, other) | (other, Type::Null) => is_nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) => self.assignable(a, b),
            (Type::Map(a), Type::Map(b)) => self.assignable(&a.0, &b.0) && self.assignable(&a.1, &b.1),
            (Type::Opaque(a, ap), Type::Opaque(b, bp)) => a == b && self.all_assignable(ap, bp),
            (a, b) => a == b,
        }
    }

    fn all_assignable(&mut self, a: &[Type], b: &[Type]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.assignable(a, b))
    }

    /// Whether `variable` can be `t`, and whether something was known of it.
    fn substitute(&mut self, t: &Type, variable: &Type) -> (bool, bool) {
        if t == variable {
            return (true, true);
        }
        if let Some(found) = self.find(variable).cloned() {
            if *t == found {
                return (true, true);
            }
            if self.assignable(t, &found) {
                let general = most_general(t, &found);
                if self.is_apart(variable, &general) {
                    self.set(variable, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.is_apart(variable, t) {
            self.set(variable, t.clone());
            return (true, false);
        }
        (false, false)
    }

    /// Whether the variable does not stand within the type.
    fn is_apart(&self, variable: &Type, within: &Type) -> bool {
        if variable == within {
            return false;
        }
        match within {
            Type::Var(_) => match self.find(within) {
                None => true,
                Some(found) => self.is_apart(variable, found),
            },
            other => other.parameters().iter().all(|parameter| self.is_apart(variable, parameter)),
        }
    }
}

fn is_nullable(t: &Type) -> bool {
    matches!(t, Type::Null | Type::Opaque(..) | Type::Object(_) | Type::Duration | Type::Timestamp)
}

/// The one that says less.
pub(super) fn most_general(a: &Type, b: &Type) -> Type {
    if is_equal_or_less_specific(a, b) { a.clone() } else { b.clone() }
}

fn is_equal_or_less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Any | Type::Var(_), _) => true,
        (_, Type::Dyn | Type::Any | Type::Var(_)) => false,
        (Type::Opaque(a, ap), Type::Opaque(b, bp)) => {
            a == b && ap.len() == bp.len() && ap.iter().zip(bp.iter()).all(|(a, b)| is_equal_or_less_specific(a, b))
        }
        (Type::List(a), Type::List(b)) => is_equal_or_less_specific(a, b),
        (Type::Map(a), Type::Map(b)) => is_equal_or_less_specific(&a.0, &b.0) && is_equal_or_less_specific(&a.1, &b.1),
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a == b,
    }
}
