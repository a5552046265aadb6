//! What is refused although its types are right: literals that are no durations, times or patterns, mixed lists and maps,
//! format strings that do not fit what they are given.
//!
//! Upstream: cel-go cel/validator.go, ext/formatting.go.

use crate::ast::{Call, Expr, Kind};
use crate::issue::{Issues, Source};
use crate::library::{format_string, regex};
use crate::types::Type;
use crate::value::Value;

use super::Checked;

pub(super) fn validate(checked: &Checked, source: &Source, offsets: &[usize]) -> Issues {
    let mut validator = Validator { checked, source, offsets, issues: Issues::default() };
    for pass in [literals_are_good, lists_are_homogeneous, maps_are_homogeneous, formats_fit] {
        validator.walk(&checked.expr, false, pass);
    }
    validator.issues
}

struct Validator<'a> {
    checked: &'a Checked,
    source: &'a Source,
    offsets: &'a [usize],
    issues: Issues,
}

/// Looks at one node; whether it stands in an argument of `format`, where anything goes.
type Pass = fn(&mut Validator<'_>, &Expr, bool);

impl Validator<'_> {
    fn walk(&mut self, expr: &Expr, in_format: bool, pass: Pass) {
        pass(self, expr, in_format);
        let is_format = matches!(&expr.kind, Kind::Call(call) if &*call.function == "format");
        for child in expr.children() {
            self.walk(child, in_format || is_format, pass);
        }
    }

    fn report(&mut self, id: usize, message: String) {
        self.issues.report(self.source, Some(self.offsets[id]), message);
    }

    fn mismatch(&mut self, id: usize, expected: &Type, found: &Type) {
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }
}

fn literals_are_good(validator: &mut Validator<'_>, expr: &Expr, _: bool) {
    let Kind::Call(call) = &expr.kind else { return };
    let Some((first, literal)) = call.arguments.first().and_then(|first| Some((first, first.literal()?))) else {
        return;
    };
    let is_good = match &*call.function {
        "duration" => literal.convert(&Type::Duration).is_ok(),
        "timestamp" => literal.convert(&Type::Timestamp).is_ok(),
        "matches" => literal.as_str().is_none_or(|pattern| regex::compile(pattern).is_ok()),
        _ => return,
    };
    if !is_good {
        validator.report(first.id, format!("invalid {} argument", call.function));
    }
}

fn inner(t: &Type, optional: bool) -> Type {
    if optional { t.parameters().first().cloned().unwrap_or_else(|| t.clone()) } else { t.clone() }
}

fn lists_are_homogeneous(validator: &mut Validator<'_>, expr: &Expr, in_format: bool) {
    let Kind::List(elements) = &expr.kind else { return };
    if in_format {
        return;
    }
    let mut first: Option<Type> = None;
    for element in elements {
        let t = inner(validator.checked.type_of(&element.value), element.optional);
        match &first {
            None => first = Some(t),
            Some(first) if !first.is_equivalent(&t) => {
                return validator.mismatch(element.value.id, first, &t);
            }
            Some(_) => {}
        }
    }
}

fn maps_are_homogeneous(validator: &mut Validator<'_>, expr: &Expr, in_format: bool) {
    let Kind::Map(entries) = &expr.kind else { return };
    if in_format {
        return;
    }
    let mut first: Option<(Type, Type)> = None;
    for entry in entries {
        let key = validator.checked.type_of(&entry.key).clone();
        let value = inner(validator.checked.type_of(&entry.value), entry.optional);
        let Some((first_key, first_value)) = &first else {
            first = Some((key, value));
            continue;
        };
        if !first_key.is_equivalent(&key) {
            validator.mismatch(entry.key.id, first_key, &key);
        }
        if !first_value.is_equivalent(&value) {
            validator.mismatch(entry.value.id, first_value, &value);
        }
    }
}

fn formats_fit(validator: &mut Validator<'_>, expr: &Expr, _: bool) {
    let Kind::Call(call) = &expr.kind else { return };
    let Some((text, arguments)) = format_call(validator.checked, expr.id, call) else { return };
    let checked = validator.checked;
    match format_string::check(text, arguments.len(), &mut |index, clause| fits(checked, arguments[index], clause)) {
        Err((at, message)) => validator.report(at.unwrap_or(expr.id), message),
        Ok(used) if used < arguments.len() => {
            let given = arguments.len();
            let message = format!("too many arguments supplied to string.format (expected {used}, got {given})");
            validator.report(expr.id, message);
        }
        Ok(_) => {}
    }
}

/// The literal that `format` is called on and the literal list it is given, when both are.
fn format_call<'a>(checked: &Checked, id: usize, call: &'a Call) -> Option<(&'a str, Vec<&'a Expr>)> {
    if &*call.function != "format" || !checked.overloads(id).iter().any(|overload| overload.id == "string_format") {
        return None;
    }
    let Some(Value::String(text)) = call.target.as_ref()?.literal() else { return None };
    match call.arguments.as_slice() {
        [Expr { kind: Kind::List(elements), .. }] => Some((text, elements.iter().map(|e| &e.value).collect())),
        _ => None,
    }
}

/// Whether an argument may stand for a clause; otherwise which expression may not, and the name of its type.
fn fits(checked: &Checked, argument: &Expr, clause: format_string::Clause) -> Result<(), (usize, String)> {
    let t = checked.type_of(argument);
    let is_good = *t == Type::Dyn || clause.takes_type(t);
    if !is_good {
        return Err((argument.id, t.runtime_name().to_owned()));
    }
    if clause == format_string::Clause::Text && matches!(argument.kind, Kind::List(_) | Kind::Map(_)) {
        return argument.children().into_iter().try_for_each(|child| fits(checked, child, clause));
    }
    Ok(())
}
