//! Whether a value is what its schema says, in the words of kube-openapi's validator.
//!
//! Errors are told apart by text, as upstream does, and counted in the same way: of several alternatives that all fail the
//! one that matched most speaks. What an update has not changed is not judged (ratcheting). Upstream:
//! kube-openapi/pkg/validation/validate, apiextensions-apiserver/pkg/apiserver/validation.

use std::collections::HashSet;

use api::{
    EcoString, Value,
    field::{Bad, Errors, Kind, Path, go_float, go_json, quote},
};

use super::{Additional, Checks, Node, lists};

/// Judges a value that stands at `at` (`None` for the object itself). `old` is there on an update.
pub fn validate(node: &Node, new: &Value, old: Option<&Value>, at: Option<&str>) -> Errors {
    let found = Walk { root: at.is_none() }.ratcheted(node, new, old, "");
    let base = at.map_or_else(Path::root, Path::new);
    let mut errors = Errors::new();
    for misfit in found.misfits {
        misfit.tell(&base, &mut errors);
    }
    errors
}

/// What is wrong somewhere.
#[derive(Clone, Debug)]
struct Misfit {
    /// `""` for the value itself; none for what upstream says of no place.
    at: Option<String>,
    kind: What,
    bad: Value,
    text: String,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Required,
    Values(Vec<String>),
    TooLong(i64),
    TooMany(i64, i64),
    Type,
    Other,
}

/// What a look at a value came to. Upstream: `validate.Result`.
#[derive(Default)]
struct Found {
    misfits: Vec<Misfit>,
    /// Their texts: a body can hold a hundred thousand.
    texts: HashSet<String>,
    matches: usize,
}

struct Walk {
    /// Kind and apiVersion of the object itself are always judged.
    root: bool,
}

// === impl Misfit ===

impl Misfit {
    fn tell(self, base: &Path, errors: &mut Errors) {
        let at = match self.at.as_deref() {
            None | Some("" | ".") => base.clone(),
            Some(name) => base.child(name.strip_prefix('.').unwrap_or(name)),
        };
        let bad = if self.bad.is_null() { Value::from("") } else { self.bad };
        match self.kind {
            What::Required => errors.required(&at, ""),
            What::Values(values) => errors.not_supported(&at, bad, &values),
            What::TooLong(max) => errors.too_long(&at, max),
            What::TooMany(actual, max) => {
                let items = if max == 1 { "item" } else { "items" };
                errors.push(Kind::TooMany, &at, Bad::Value(actual.into()), format!("must have at most {max} {items}"));
            }
            What::Type => errors.type_invalid(&at, bad, self.text),
            What::Other => errors.invalid(&at, bad, self.text),
        }
    }
}

// === impl Found ===

impl Found {
    fn is_valid(&self) -> bool {
        self.misfits.is_empty()
    }

    fn merge(&mut self, other: Found) {
        self.matches += other.matches;
        other.misfits.into_iter().for_each(|misfit| self.add(misfit));
    }

    fn add(&mut self, misfit: Misfit) {
        if self.texts.insert(misfit.text.clone()) {
            self.misfits.push(misfit);
        }
    }

    fn note(&mut self, path: &str, kind: What, bad: impl Into<Value>, text: String) {
        self.add(Misfit { at: Some(path.into()), kind, bad: bad.into(), text });
    }

    /// What upstream says of no place.
    fn say(&mut self, text: String) {
        self.add(Misfit { at: None, kind: What::Other, bad: Value::Null, text });
    }
}

// === impl Walk ===

impl Walk {
    /// Judges a value that has an old one; where the two are equal nothing is wrong.
    fn ratcheted(&self, node: &Node, new: &Value, old: Option<&Value>, path: &str) -> Found {
        let mut found = self.value(node, new, old, path);
        if !found.is_valid() && old.is_some_and(|old| lists::is_same(node, new, old)) {
            found.misfits.clear();
            found.texts.clear();
        }
        found
    }

    /// The validators in upstream's order.
    fn value(&self, node: &Node, value: &Value, old: Option<&Value>, path: &str) -> Found {
        let mut found = Found::default();
        if value.is_null() {
            found.merge(of_type(node, value, path));
            one_of_values(&node.checks, value, path, &mut found);
            return found;
        }
        if !types(node).is_empty() || !node.checks.format_name.is_empty() {
            found.merge(of_type(node, value, path));
            found.matches += 1;
        }
        found.merge(self.junctors(node, value, old, path));
        found.matches += 1;
        match value {
            Value::Str(text) => {
                string(&node.checks, text, path, &mut found);
                found.matches += 1;
                if let Some(format) = node.checks.format {
                    if !format.fits(text) {
                        let name = &node.checks.format_name;
                        let text = format!("{path} in body must be of type {name}: {}", quote(text));
                        found.note(path, What::Type, value.clone(), text);
                    }
                    found.matches += 1;
                }
            }
            Value::Int(_) | Value::Float(_) => {
                number(node, value, path, &mut found);
                found.matches += 2;
            }
            Value::Array(_) => {
                found.merge(self.items(node, value, old, path));
                found.matches += 1;
            }
            _ => {}
        }
        one_of_values(&node.checks, value, path, &mut found);
        found.matches += 1;
        if value.as_object().is_some() {
            found.merge(self.object(node, value, old, path));
            found.matches += 1;
        }
        found.matches += 1;
        found
    }

    fn junctors(&self, node: &Node, value: &Value, old: Option<&Value>, path: &str) -> Found {
        let mut main = Found::default();
        let checks = &node.checks;
        let judge = |node: &Node| self.value(node, value, old, path);
        if !checks.any_of.is_empty() {
            let (best, valid) = best(checks.any_of.iter().map(judge), true);
            if valid == 0 {
                main.say(format!("{} must validate at least one schema (anyOf)", quote(path)));
            }
            main.merge(best);
        }
        if !checks.one_of.is_empty() {
            let (best, valid) = best(checks.one_of.iter().map(judge), false);
            if valid == 1 {
                main.merge(best);
            } else {
                let found = match valid {
                    0 => "Found none valid".to_string(),
                    more => format!("Found {more} valid alternatives"),
                };
                main.say(format!("{} must validate one and only one schema (oneOf). {found}", quote(path)));
                if valid == 0 {
                    main.merge(best);
                }
            }
        }
        if !checks.all_of.is_empty() {
            let mut valid = 0;
            for found in checks.all_of.iter().map(judge) {
                valid += usize::from(found.is_valid());
                main.merge(found);
            }
            if valid != checks.all_of.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                main.say(format!("{} must validate all the schemas (allOf){none}", quote(path)));
            }
        }
        if checks.not.as_deref().is_some_and(|not| judge(not).is_valid()) {
            main.say(format!("{} must not validate the schema (not)", quote(path)));
        }
        main.matches += 1;
        main
    }

    fn items(&self, node: &Node, value: &Value, old: Option<&Value>, path: &str) -> Found {
        let mut found = Found::default();
        let items = value.items();
        if let Some(of) = &node.items {
            let correlated = lists::correlate(node, items, old);
            for (i, item) in items.iter().enumerate() {
                let path = format!("{path}[{i}]");
                found.merge(match correlated.of(i) {
                    Some(old) => self.ratcheted(of, item, Some(old), &path),
                    None => self.value(of, item, None, &path),
                });
            }
        }
        let (checks, len) = (&node.checks, items.len() as i64);
        if let Some(min) = checks.items_min.filter(|min| len < *min) {
            found.note(path, What::Other, len, format!("{path} in body should have at least {min} items"));
        }
        if let Some(max) = checks.items_max.filter(|max| len > *max) {
            let text = format!("{path} in body should have at most {max} items");
            found.note(path, What::TooMany(len, max), len, text);
        }
        if checks.unique_items && (1..items.len()).any(|i| items[..i].contains(&items[i])) {
            found.note(path, What::Other, Value::Null, format!("{path} in body shouldn't contain duplicates"));
        }
        found.matches += 1;
        found
    }

    fn object(&self, node: &Node, value: &Value, old: Option<&Value>, path: &str) -> Found {
        let mut found = Found::default();
        let (checks, len) = (&node.checks, value.members().count() as i64);
        if let Some(min) = checks.members_min.filter(|min| len < *min) {
            found.note(path, What::Other, len, format!("{path} in body should have at least {min} properties"));
        }
        if let Some(max) = checks.members_max.filter(|max| len > *max) {
            let text = format!("{path} in body should have at most {max} properties");
            found.note(path, What::TooMany(len, max), len, text);
        }
        let beside = value.members().filter(|(name, _)| !node.properties.contains_key(*name));
        match &node.additional {
            Additional::Allowed(false) => {
                for (name, _) in beside {
                    found.note(path, What::Other, name, format!("{path}.{name} in body is a forbidden property"));
                }
            }
            Additional::Schema(of) => {
                for (name, member) in beside {
                    found.merge(self.member(of, name, member, old, &format!("{path}.{name}"), path));
                }
            }
            _ => {}
        }
        for (name, of) in &node.properties {
            if let Some(member) = value.get(name) {
                let below = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                found.merge(self.member(of, name, member, old, &below, path));
            }
        }
        for name in checks.required.iter().filter(|name| value.get(name).is_none()) {
            let at = format!("{path}.{name}");
            found.note(&at, What::Required, Value::Null, format!("{at} in body is required"));
        }
        found
    }

    fn member(&self, of: &Node, name: &str, new: &Value, old: Option<&Value>, path: &str, parent: &str) -> Found {
        let is_type = self.root && parent.is_empty() && matches!(name, "kind" | "apiVersion");
        match old.and_then(|old| old.get(name)).filter(|_| !is_type) {
            Some(old) => self.ratcheted(of, new, Some(old), path),
            None => self.value(of, new, None, path),
        }
    }
}

/// The best of several looks, and how many were valid; `first` stops at the first valid one.
fn best(looks: impl Iterator<Item = Found>, first: bool) -> (Found, usize) {
    let (mut best, mut valid): (Option<Found>, usize) = (None, 0);
    for found in looks {
        if found.is_valid() {
            if valid == 0 {
                best = Some(found);
            }
            valid += 1;
            if first {
                break;
            }
        } else if valid == 0 && best.as_ref().is_none_or(|best| found.matches > best.matches) {
            best = Some(found);
        }
    }
    (best.unwrap_or_default(), valid)
}

fn types(node: &Node) -> Vec<&str> {
    match (node.int_or_string, node.kind.as_str()) {
        (true, _) => vec!["integer", "string"],
        (false, "") => vec![],
        (false, kind) => vec![kind],
    }
}

/// Upstream: `typeValidator`.
fn of_type(node: &Node, value: &Value, path: &str) -> Found {
    let found = Found { matches: 1, ..Found::default() };
    let (types, format) = (types(node), node.checks.format_name.as_str());
    let refuse = |wanted: &str, actual: &str| {
        let mut refused = Found::default();
        refused.note(path, What::Type, actual, format!("{path} in body must be of type {wanted}: {}", quote(actual)));
        refused
    };
    let joined = || types.join(",");
    let (actual, actual_format) = match value {
        Value::Null => {
            return match types.is_empty() || node.nullable || types.contains(&"null") {
                true => found,
                false => refuse(&joined(), "null"),
            };
        }
        Value::Bool(_) => ("boolean", ""),
        Value::Str(_) => ("string", ""),
        Value::Int(_) => ("integer", "int64"),
        Value::Float(_) => ("number", "float64"),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    };
    let wants = |kind: &str| types.contains(&kind);
    let float_int = matches!(value, Value::Float(f) if is_json_integer(*f)) && wants("integer");
    let int_float = actual == "integer" && wants("number");
    let is_text = matches!(value, Value::Str(_) | Value::Array(_));
    let fits = wants(actual) || actual_format == format || float_int || int_float;
    if !is_text && !format.is_empty() && !fits {
        return refuse(format, actual_format);
    }
    if !wants("number") && !wants("integer") && !format.is_empty() && is_text {
        return found;
    }
    if !(wants(actual) || float_int || int_float) {
        return refuse(&joined(), actual);
    }
    found
}

/// Upstream: `swag.IsFloat64AJSONInteger`.
fn is_json_integer(f: f64) -> bool {
    const MAX: f64 = 9_007_199_254_740_991.0;
    f.is_finite() && f.abs() <= MAX && (f.fract() == 0.0)
}

/// Upstream: `basicCommonValidator`.
fn one_of_values(checks: &Checks, value: &Value, path: &str, found: &mut Found) {
    if checks.values.is_empty() || checks.values.iter().any(|allowed| is_value(value, allowed)) {
        return;
    }
    let shown = |v: &Value| v.as_str().map_or_else(|| go_json(v), str::to_owned);
    let values: Vec<String> = checks.values.iter().map(shown).collect();
    let text = format!("{path} in body should be one of [{}]", values.join(" "));
    found.note(path, What::Values(values), value.clone(), text);
}

/// Equal after Go's conversion to the type of the other.
fn is_value(value: &Value, allowed: &Value) -> bool {
    match (value, allowed) {
        (Value::Null, _) => false,
        (Value::Float(f), Value::Int(i)) => *f as i64 == *i,
        (Value::Int(i), Value::Float(f)) => *i as f64 == *f,
        _ => value == allowed,
    }
}

/// Upstream: `stringValidator`: one error at most.
fn string(checks: &Checks, text: &EcoString, path: &str, found: &mut Found) {
    let len = text.chars().count() as i64;
    if let Some(max) = checks.len_max.filter(|max| len > *max) {
        let said = format!("{path} in body should be at most {max} chars long");
        return found.note(path, What::TooLong(max), text.as_str(), said);
    }
    if let Some(min) = checks.len_min.filter(|min| len < *min) {
        let said = format!("{path} in body should be at least {min} chars long");
        return found.note(path, What::Other, text.as_str(), said);
    }
    if let Some(pattern) = &checks.pattern
        && let Err(shown) = pattern.matches(text)
    {
        found.note(path, What::Other, text.as_str(), format!("{path} in body should match '{shown}'"));
    }
}

/// Upstream: `numberValidator`.
fn number(node: &Node, value: &Value, path: &str, found: &mut Found) {
    let checks = &node.checks;
    let Some(data) = super::compile::number(value) else { return };
    check_range(node, value, "Checked", path, found);
    let of = |float: f64, whole: i64| match value {
        Value::Int(_) => whole.to_string(),
        _ => go_float(float),
    };
    if let Some(factor) = checks.multiple_of {
        let fits = check_range(node, &Value::Float(factor), "MultipleOf", path, found);
        let (positive, multiple, shown) = match value {
            Value::Int(i) if fits => {
                let whole = factor as i64;
                (whole > 0, whole > 0 && i % whole == 0, Value::Int(whole))
            }
            _ => {
                let times = if factor < 1.0 { 1.0 / factor * data } else { data / factor };
                (factor > 0.0, is_json_integer(times), Value::Float(factor))
            }
        };
        if !positive {
            let text = format!("factor MultipleOf declared for {path} must be positive: {}", go_json(&shown));
            found.note(path, What::Other, shown, text);
        } else if !multiple {
            let text = format!("{path} in body should be a multiple of {}", go_json(&shown));
            found.note(path, What::Other, value.clone(), text);
        }
    }
    if let Some(max) = checks.maximum {
        check_range(node, &Value::Float(max), "Maximum boundary", path, found);
        let (over, is_max) = match value {
            Value::Int(i) => (*i > max as i64, *i == max as i64),
            _ => (data > max, data == max),
        };
        if over || (checks.exclusive_maximum && is_max) {
            let words = if checks.exclusive_maximum { "less than" } else { "less than or equal to" };
            let text = format!("{path} in body should be {words} {}", of(max, max as i64));
            found.note(path, What::Other, value.clone(), text);
        }
    }
    if let Some(min) = checks.minimum {
        check_range(node, &Value::Float(min), "Minimum boundary", path, found);
        let (under, is_min) = match value {
            Value::Int(i) => (*i < min as i64, *i == min as i64),
            _ => (data < min, data == min),
        };
        if under || (checks.exclusive_minimum && is_min) {
            let words = if checks.exclusive_minimum { "greater than" } else { "greater than or equal to" };
            let text = format!("{path} in body should be {words} {}", of(min, min as i64));
            found.note(path, What::Other, value.clone(), text);
        }
    }
}

/// Whether a number is one of the type and format. Upstream: `IsValueValidAgainstRange`.
fn check_range(node: &Node, value: &Value, what: &str, path: &str, found: &mut Found) -> bool {
    let (kind, format) = (if node.int_or_string { "" } else { node.kind.as_str() }, node.checks.format_name.as_str());
    let whole = match value {
        Value::Int(i) => Some(i128::from(*i)),
        Value::Float(f) if f.fract() == 0.0 => Some(*f as i128),
        _ => None,
    };
    let fits = match (kind, format) {
        ("integer", "int32") => whole.is_some_and(|i| i32::try_from(i).is_ok()),
        ("integer", _) => whole.is_some_and(|i| i64::try_from(i).is_ok()),
        (_, "float") => super::compile::number(value).is_some_and(|f| f.abs() <= f64::from(f32::MAX)),
        _ => true,
    };
    if !fits {
        found.say(match format {
            "" => format!("{what} value must be of type {kind} (default format) in {path}"),
            _ => format!("{what} value must be of type {kind} with format {format} in {path}"),
        });
    }
    fits
}
