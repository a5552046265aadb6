//! The rules about one value. Upstream: apimachinery/pkg/api/validate.

use std::collections::HashSet;

use api::{
    Value,
    field::{Bad, Errors, Kind, go_json},
};

use super::{
    Change, Check, Format, Matching, Rule, Stage,
    same::{by_identity, identity},
    walk::{At, Pair, Run, Step, is_set},
};
use crate::{normalise, types::Shape};

/// Runs checks in their order; true when what comes below is not to be looked at.
pub fn all(run: &mut Run<'_>, checks: &[Check], at: &At<'_>, pair: Pair<'_>) -> bool {
    let mut stopped = false;
    for check in checks {
        if stopped && !check.stops {
            break;
        }
        stopped |= one(run, check, at, pair) && check.stops;
    }
    stopped
}

/// Runs a check; true when it found something.
fn one(run: &mut Run<'_>, check: &Check, at: &At<'_>, pair: Pair<'_>) -> bool {
    if check.silent {
        return !is_set(pair.new, pair.pointer);
    }
    match &check.rule {
        Rule::EachValue(inner) => {
            each_value(run, inner, at, pair);
            return false;
        }
        Rule::EachKey(format) => {
            each_key(run, *format, check.stage, at, pair);
            return false;
        }
        Rule::Subfield(name, checks) => {
            subfield(run, name, checks, at, pair);
            return false;
        }
        _ => {}
    }
    let errors = errors(run, &check.rule, at, pair);
    let found = !errors.is_empty();
    if found {
        run.take(errors, origin(&check.rule), check.stage);
    }
    found
}

fn origin(rule: &Rule) -> &'static str {
    match rule {
        Rule::Immutable => "immutable",
        Rule::Minimum(_) => "minimum",
        Rule::Maximum(_) => "maximum",
        Rule::LengthMax(_) => "maxLength",
        Rule::BytesMax(_) => "maxBytes",
        Rule::ItemsMax(_) => "maxItems",
        Rule::Format(format) => format.origin(),
        Rule::Monotonic => "monotonic",
        Rule::Update(_) => "update",
        Rule::OneItem(_) => "zeroOrOneOf",
        _ => "",
    }
}

fn errors(run: &Run<'_>, rule: &Rule, at: &At<'_>, pair: Pair<'_>) -> Errors {
    let mut errors = Errors::new();
    let text = || pair.new.as_str().unwrap_or("");
    // A pointer that is nil has no value to look at.
    let number = || pair.new.as_int().or((!pair.pointer).then_some(0));
    match rule {
        Rule::Present if !is_set(pair.new, pair.pointer) => errors.required(&at.path(), ""),
        Rule::Absent if is_set(pair.new, pair.pointer) => errors.forbidden(&at.path(), ""),
        Rule::Immutable if run.update => errors.invalid(&at.path(), Value::Null, "field is immutable"),
        Rule::Minimum(min) => {
            if let Some(n) = number().filter(|n| n < min) {
                errors.invalid(&at.path(), n, format!("must be greater than or equal to {min}"));
            }
        }
        Rule::Maximum(max) => {
            if let Some(n) = number().filter(|n| n > max) {
                errors.invalid(&at.path(), n, format!("must be less than or equal to {max}"));
            }
        }
        Rule::LengthMax(max) if text().len() > *max && text().chars().count() > *max => {
            errors.too_long_characters(&at.path(), *max as i64);
        }
        Rule::BytesMax(max) if text().len() > *max => errors.too_long(&at.path(), *max as i64),
        Rule::ItemsMax(max) if pair.new.items().len() > *max => {
            errors.too_many(&at.path(), pair.new.items().len(), *max);
        }
        Rule::Format(format) if !(pair.pointer && pair.new.is_null()) => {
            errors.extend(format.check(text(), &shown(text(), pair.named), &at.path()));
        }
        Rule::Monotonic if run.update => {
            if let Some((new, old)) = number().zip(pair.old.and_then(Value::as_int)).filter(|(new, old)| new < old) {
                errors.invalid(&at.path(), new, format!("may not be decreased from {old}"));
            }
        }
        Rule::Unique => unique(&mut errors, run, at, pair),
        Rule::Update(changes) if run.update => {
            changes.iter().for_each(|c| update(&mut errors, *c, at, pair));
        }
        Rule::Custom(judge) if !(pair.pointer && pair.new.is_null()) => {
            if let Some(detail) = judge(pair.new) {
                errors.invalid(&at.path(), pair.new, detail);
            }
        }
        Rule::OneItem(terms) => one_item(&mut errors, terms, run.update, at, pair),
        _ => {}
    }
    errors
}

/// A text as messages show it: `%q`, or JSON for Go's named types.
fn shown(text: &str, named: bool) -> Bad {
    let value = Value::from(text);
    if named { Bad::Raw(go_json(&value)) } else { Bad::Value(value) }
}

/// No element stands twice. Upstream: `validate.ValSliceUnique`.
fn unique(errors: &mut Errors, run: &Run<'_>, at: &At<'_>, pair: Pair<'_>) {
    let Shape::List(item) = pair.shape else { return };
    let mut seen = HashSet::new();
    for (i, element) in pair.new.items().iter().enumerate() {
        if !seen.insert(identity(element, pair.matching)) {
            let mut bad = element.clone();
            normalise::shape(&mut bad, item, run.schemas);
            errors.duplicate(&At { up: Some(at), step: Step::Index(i) }.path(), bad);
        }
    }
}

/// Upstream: apimachinery/pkg/api/validate/update.go.
fn update(errors: &mut Errors, change: Change, at: &At<'_>, pair: Pair<'_>) {
    let compound = matches!(pair.shape, Shape::List(_) | Shape::Map(_));
    if pair.old.is_none() && !pair.pointer && !compound {
        return;
    }
    let old = pair.old.unwrap_or(Value::NULL);
    let (was, is) = (is_set(old, pair.pointer), is_set(pair.new, pair.pointer));
    let mut say = |detail: &str| errors.invalid(&at.path(), Value::Null, detail);
    match change {
        Change::NoSet if !was && is => say("field cannot be set once created"),
        Change::NoUnset if was && !is => say("field cannot be cleared once set"),
        Change::NoModify if was && is && !compound => say("field cannot be modified once set"),
        Change::NoAddItem => {
            let known = by_identity(old.items(), pair.matching);
            for (i, new) in pair.new.items().iter().enumerate() {
                if !known.contains_key(&identity(new, pair.matching)) {
                    errors.forbidden(&At { up: Some(at), step: Step::Index(i) }.path(), "item may not be added");
                }
            }
        }
        Change::NoRemoveItem => {
            let kept = by_identity(pair.new.items(), pair.matching);
            let gone = old.items().iter().filter(|o| !kept.contains_key(&identity(o, pair.matching)));
            gone.for_each(|_| errors.forbidden(&at.path(), "item may not be removed"));
        }
        _ => {}
    }
}

/// Upstream: `validate.ZeroOrOneOfUnion` over `+k8s:item`.
fn one_item(
    errors: &mut Errors,
    terms: &[(api::EcoString, api::EcoString, String)],
    update: bool,
    at: &At<'_>,
    pair: Pair<'_>,
) {
    let given = |list: &Value| -> Vec<bool> {
        terms.iter().map(|(key, value, _)| list.items().iter().any(|e| e.str(key) == value)).collect()
    };
    let now = given(pair.new);
    if update && pair.old.is_some_and(|old| given(old) == now) {
        return;
    }
    let names: Vec<&str> = terms.iter().zip(&now).filter(|(_, set)| **set).map(|(t, _)| t.2.as_str()).collect();
    if names.len() > 1 {
        let all: Vec<String> = terms.iter().map(|t| format!("`{}`", t.2)).collect();
        let bad = Bad::Value(format!("{{{}}}", names.join(", ")).into());
        errors.push(Kind::Invalid, &at.path(), bad, format!("must specify at most one of: {}", all.join(", ")));
    }
}

/// Upstream: `validate.EachValSliceVal`, `validate.EachMapVal`.
fn each_value(run: &mut Run<'_>, inner: &Check, at: &At<'_>, pair: Pair<'_>) {
    let (Shape::List(item) | Shape::Map(item)) = pair.shape else { return };
    let known = by_identity(pair.old.map_or(&[], Value::items), pair.matching);
    let elements = pair.new.items().iter().enumerate().map(|(i, v)| (Step::Index(i), v));
    for (step, new) in elements.chain(pair.new.members().map(|(k, v)| (Step::Key(k), v))) {
        let old = match step {
            Step::Key(key) => pair.old.and_then(|o| o.get(key)),
            _ if known.is_empty() => None,
            _ => known.get(&identity(new, pair.matching)).copied(),
        };
        let element = Pair { new, old, shape: item, pointer: false, named: false, matching: &Matching::None };
        if !run.is_unchanged(&element) {
            one(run, inner, &At { up: Some(at), step }, element);
        }
    }
}

/// Upstream: `validate.EachMapKey`, whose errors stand at the map.
fn each_key(run: &mut Run<'_>, format: Format, stage: Stage, at: &At<'_>, pair: Pair<'_>) {
    for (key, _) in pair.new.members() {
        if run.update && pair.old.is_some_and(|o| o.has(key)) {
            continue;
        }
        let errors = format.check(key, &Bad::Value(key.into()), &at.path());
        run.take(errors, format.origin(), stage);
    }
}

/// Upstream: `validate.Subfield`.
fn subfield(run: &mut Run<'_>, name: &str, checks: &[Check], at: &At<'_>, pair: Pair<'_>) {
    let Shape::Struct(id) = pair.shape else { return };
    let Some((_, field)) = run.schemas.get(*id).field(name) else { return };
    let inner = Pair {
        new: pair.new.at(name),
        old: pair.old.map(|o| o.at(name)),
        shape: &field.shape,
        pointer: field.pointer,
        named: !field.go_type.is_empty(),
        matching: &Matching::None,
    };
    if !run.is_unchanged(&inner) {
        all(run, checks, &At { up: Some(at), step: Step::Child(name) }, inner);
    }
}
