//! LimitRanges. Upstream: `ValidateLimitRange`, pkg/registry/core/limitrange.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path},
    names,
    quantity::{Format, Quantity},
};

use super::quotas;
use crate::{
    cells, checks,
    pod::resources::{self, container_name, resource_name},
    row::{Context, Row, Rules, TypeDefault, Version},
    strategy::stored,
};

const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];
const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

pub const LIMIT_RANGE: Row = Row {
    kind: "LimitRange",
    plural: "limitranges",
    short_names: &["limits"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.LimitRange")],
    stored: stored("", "v1", "limitranges"),
    create_on_update: true,
    columns: cells::NAME_AND_CREATED,
    rules: Rules {
        prepare_create: name,
        validate: |new, _| validate(new),
        validate_update: |new, _, _| validate(new),
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

pub const DEFAULT: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.LimitRangeItem", run: fill };

/// A limit range without any name gets one. Upstream: `PrepareForCreate`.
fn name(new: &mut Value, context: &Context<'_>) {
    if api::meta::of(new).name().is_empty() {
        new.set_path(&["metadata", "name"], (context.fresh_uid)());
    }
}

fn fill(item: &mut Value) {
    from_bounds(item);
    quotas::round(item, &LISTS);
}

/// A container's default limit is its maximum, its default request its default limit, else its minimum.
fn from_bounds(item: &mut Value) {
    if item.str("type") != "Container" {
        return;
    }
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        let source = item.at(from).clone();
        let target = item.entry(to);
        target.make_object();
        for (name, amount) in source.members() {
            target.default(name, amount);
        }
        target.make_object().sort();
    }
}

fn validate(range: &Value) -> Errors {
    let mut errs = Errors::new();
    let items = range.at("spec").list("limits");
    for (i, item) in items.iter().enumerate() {
        let at = Path::new("spec").child("limits").index(i);
        let kind = item.str("type");
        type_name(kind, &at.child("type"), &mut errs);
        if items[..i].iter().any(|other| other.str("type") == kind) {
            errs.duplicate(&at.child("type"), kind);
        }
        validate_item(item, &at, &mut errs);
    }
    errs
}

fn type_name(kind: &str, at: &Path, errs: &mut Errors) {
    let wrong = names::qualified_name(kind);
    if wrong.is_empty() && !kind.contains('/') && !TYPES.contains(&kind) {
        errs.invalid(at, kind, "must be a standard limit type or fully qualified");
    }
    checks::messages(errs, at, kind, wrong);
}

fn validate_item(item: &Value, at: &Path, errs: &mut Errors) {
    let kind = item.str("type");
    let mut resources = BTreeSet::new();
    for list in LISTS {
        if kind == "Pod" && list.starts_with("default") {
            if !item.at(list).is_empty() {
                errs.forbidden(&at.child(list), "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        if list == "maxLimitRequestRatio" && kind == "PersistentVolumeClaim" {
            storage_is_bounded(item, at, errs);
        }
        for (name, _) in item.at(list).members() {
            let at = at.child(list).key(name);
            match kind {
                "Pod" | "Container" => container_name(name, &at, errs),
                _ => {
                    resource_name(name, &at, errs);
                }
            }
            resources.insert(name);
        }
    }
    for name in resources {
        Bounds::of(item, name).validate(name, at, errs);
    }
}

fn storage_is_bounded(item: &Value, at: &Path, errs: &mut Errors) {
    if !item.at("min").has("storage") && !item.at("max").has("storage") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errs.required(&at.child("limits"), detail);
    }
}

/// What an item says about one resource.
struct Bounds {
    max: Option<Quantity>,
    min: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

// === impl Bounds ===

impl Bounds {
    fn of(item: &Value, name: &str) -> Bounds {
        let pod = item.str("type") == "Pod";
        let read = |list: &str| item.at(list).get(name).map(Quantity::of);
        Bounds {
            max: read("max"),
            min: read("min"),
            default: read("default").filter(|_| !pod),
            request: read("defaultRequest").filter(|_| !pod),
            ratio: read("maxLimitRequestRatio"),
        }
    }

    fn validate(&self, name: &str, at: &Path, errs: &mut Errors) {
        let key = |list: &str| at.child(list).key(name);
        let words =
            |a: &str, x: &Quantity, b: &str, y: &Quantity| format!("{a} value {x} is greater than {b} value {y}");
        // Where the error stands, which amount it shows, and the two in their order.
        let (min, max) = (("min", &self.min), ("max", &self.max));
        let (request, default) = (("default request", &self.request), ("default", &self.default));
        let limit = ("default limit", &self.default);
        let pairs = [
            ("min", &self.min, min, max),
            ("defaultRequest", &self.request, min, request),
            ("defaultRequest", &self.request, request, max),
            ("defaultRequest", &self.request, request, limit),
            // Upstream shows the bound here, not the default.
            ("default", &self.min, min, default),
            ("default", &self.max, default, max),
        ];
        for (list, shown, (small_name, small), (large_name, large)) in pairs {
            if let (Some(shown), Some(small), Some(large)) = (shown, small, large)
                && small > large
            {
                errs.invalid(&key(list), shown.to_string(), words(small_name, small, large_name, large));
            }
        }
        self.validate_ratio(&key("maxLimitRequestRatio"), errs);
        if let (Some(default), Some(request)) = (&self.default, &self.request)
            && !resources::is_overcommittable(name)
            && default != request
        {
            let detail = format!("default value {default} must equal to defaultRequest value {request} in {name}");
            errs.invalid(&key("defaultRequest"), request.to_string(), detail);
        }
    }

    fn validate_ratio(&self, at: &Path, errs: &mut Errors) {
        let Some(ratio) = &self.ratio else { return };
        if *ratio < Quantity::new(1, Format::DecimalSi) {
            errs.invalid(at, ratio.to_string(), format!("ratio {ratio} is less than 1"));
        }
        let (Some(min), Some(max)) = (&self.min, &self.max) else { return };
        // In thousandths where they fit.
        let fits = [ratio, min, max].iter().all(|q| q.value() < i64::MAX / 1000);
        let (value, limit) = match fits {
            true => (ratio.milli_value() as f64 / 1000.0, max.milli_value() as f64 / min.milli_value() as f64),
            false => (ratio.value() as f64, max.value() as f64 / min.value() as f64),
        };
        if value > limit {
            errs.invalid(at, ratio.to_string(), format!("ratio {ratio} is greater than max/min = {limit:.6}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::texts;

    fn of(item: Value) -> Vec<String> {
        texts(&validate(&value!({"spec": {"limits": [item]}})))
    }

    #[test]
    fn a_container_is_filled_in() {
        let mut item = value!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1Mi"}});
        from_bounds(&mut item);
        assert_eq!(item.at("default"), &value!({"cpu": "2"}));
        assert_eq!(item.at("defaultRequest"), &value!({"cpu": "2", "memory": "1Mi"}));
        assert!(of(item).is_empty());
    }

    #[test]
    fn bounds_have_an_order() {
        assert_eq!(
            of(value!({"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}, "default": {"cpu": "3"}})),
            [
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
                "spec.limits[0].default[cpu]: Invalid value: \"1\": default value 3 is greater than max value 1",
            ]
        );
        assert_eq!(
            of(value!({"type": "Pod", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}})),
            [
                "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"3\": ratio 3 is greater than max/min = 2.000000"
            ]
        );
    }

    #[test]
    fn kinds_differ() {
        assert_eq!(
            of(value!({"type": "Pod", "default": {"cpu": "1"}})),
            ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"]
        );
        assert_eq!(
            of(value!({"type": "PersistentVolumeClaim"})),
            [
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided"
            ]
        );
        assert_eq!(
            of(value!({"type": "Thing", "max": {"a.b/c": "1"}})),
            ["spec.limits[0].type: Invalid value: \"Thing\": must be a standard limit type or fully qualified"]
        );
    }
}
