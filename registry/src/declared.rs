//! What the facts declare, after what the rules say: which of the two speaks where both know of an error.
//!
//! Upstream marks each handwritten error that a declared rule covers, and drops it when a declared error of the same
//! type, field and origin was found. Rules here carry no such mark, so it is read off the error: one of the same type at
//! the same field is covered, unless its words are plainly about something else than the declared error's origin (a
//! field that may not change and is malformed, too). Upstream: apiserver/pkg/registry/rest/validate.go,
//! `FilterCoveredHandwrittenErrors`.

use api::{
    Value,
    field::{Errors, FieldError},
};
use schema::constraints::Declared;

use crate::{definition::Definition, special};

/// Adds declared errors of the request's version to those of the rules, and drops what they cover. `at` is the version and
/// the subresource. Returns what the client is warned of.
pub fn merge(
    errors: &mut Errors,
    definition: &Definition,
    new: &Value,
    old: Option<&Value>,
    at: (&str, &str),
) -> Vec<String> {
    let (version, subresource) = at;
    let Some(served) = definition.served(version) else { return Vec::new() };
    if errors.is_empty()
        && let Some(special) = special::of(definition)
    {
        errors.extend(special.judge(new, old));
    }
    if let Some(found) = definition.world.judge(definition, served, new, old, subresource, errors) {
        errors.extend(found.errors);
        return found.warnings;
    }
    if !definition.world.declares(served) {
        return Vec::new();
    }
    let check = |new: &Value, old: Option<&Value>| definition.world.declared(served, new, old);
    let found = if served.gvk == definition.hub {
        check(new, old)
    } else {
        let spoken = |object: &Value| {
            let mut object = object.clone();
            definition.from_hub(&mut object, served);
            object
        };
        check(&spoken(new), old.map(spoken).as_ref())
    };
    let fields: Vec<String> = found.iter().map(|d| normal(&d.error.field)).collect();
    errors.0.retain(|hand| {
        let field = normal(&hand.field);
        !found.iter().zip(&fields).any(|(declared, at)| *at == field && covers(declared, hand))
    });
    errors.0.extend(found.into_iter().map(|d| d.error));
    Vec::new()
}

fn covers(declared: &Declared, hand: &FieldError) -> bool {
    declared.error.kind == hand.kind
        && match declared.origin {
            "minimum" | "maximum" => declared.error.detail == hand.detail,
            "immutable" => ["immutable", "change", "update"].iter().any(|word| hand.detail.contains(word)),
            origin => subject(&hand.detail).is_none_or(|s| origin.starts_with(s)),
        }
}

/// The origin that an error's words give away.
fn subject(detail: &str) -> Option<&'static str> {
    let words = [
        ("field is immutable", "immutable"),
        ("must be greater than or equal to ", "minimum"),
        ("must be less than or equal to ", "maximum"),
        ("a lowercase RFC ", "format"),
        ("an RFC ", "format"),
        ("name part ", "format"),
        ("prefix part ", "format"),
        ("a valid label ", "format"),
        ("must be no more than ", "format"),
        // Of several templates together, beside what is declared of the same struct.
        ("detected multiple priority ", "priority"),
        ("all priority and priorityClassName ", "priority"),
    ];
    words.iter().find(|(start, _)| detail.starts_with(start)).map(|(_, subject)| *subject)
}

/// Where an error of an older version stands in the internal form.
/// Upstream: `ResourceNormalizationRules`, `NodeNormalizationRules`.
fn normal(field: &str) -> String {
    if let Some(rest) = field.strip_prefix("spec.runtimeHandler") {
        return format!("handler{rest}");
    }
    if let Some((before, after)) = field.split_once("].basic.").filter(|(b, _)| b.starts_with("spec.devices[")) {
        return format!("{before}].{after}");
    }
    let flat =
        ["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "derivedAttributes"];
    match field.split_once(".devices.requests[").and_then(|(before, rest)| Some((before, rest.split_once("].")?))) {
        Some((before, (i, member))) if flat.iter().any(|f| member.starts_with(f)) => {
            format!("{before}.devices.requests[{i}].exactly.{member}")
        }
        _ => field.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::field::Path;

    fn only(make: impl FnOnce(&mut Errors)) -> FieldError {
        let mut errors = Errors::new();
        make(&mut errors);
        errors.0.remove(0)
    }

    #[test]
    fn one_speaks_where_both_know() {
        let at = Path::new("spec").child("name");
        let hand = only(|e| e.invalid(&at, "X", "a lowercase RFC 1123 label must …"));
        let kept = only(|e| e.invalid(&at, "X", "field is immutable"));
        let declared = Declared { error: hand.clone(), origin: "format=k8s-short-name" };
        assert!(covers(&declared, &hand));
        assert!(!covers(&declared, &kept));
        assert!(!covers(&declared, &only(|e| e.required(&at, ""))));
        let union =
            Declared { error: only(|e| e.invalid(&at, "{a, b}", "must specify exactly one of")), origin: "union" };
        assert!(!covers(&union, &only(|e| e.invalid(&at, "", "detected multiple priority configurations"))));
    }

    #[test]
    fn older_versions_fields_are_those_of_the_internal_form() {
        assert_eq!(normal("spec.devices.requests[1].count"), "spec.devices.requests[1].exactly.count");
        assert_eq!(normal("spec.spec.devices.requests[1].name"), "spec.spec.devices.requests[1].name");
        assert_eq!(normal("spec.devices[2].basic.taints[0].key"), "spec.devices[2].taints[0].key");
    }
}
