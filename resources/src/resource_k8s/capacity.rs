//! How much of a device can be had, and in which portions. Upstream: validation.go validateRequestPolicy.

use api::{
    Value,
    field::{Errors, Path},
    quantity::Quantity,
};

use super::lists;
use crate::checks::NEGATIVE;

const OPTIONS_MAX: usize = 10;

/// A capacity; only of devices that are shared may portions be asked for.
pub fn validate(capacity: &Value, shared: bool, at: &Path, errs: &mut Errors) {
    let (policy, at) = (capacity.at("requestPolicy"), at.child("requestPolicy"));
    if policy.is_null() {
        return;
    }
    if !shared {
        return errs.forbidden(&at, "allowMultipleAllocations must be true");
    }
    let (values, range) = (policy.list("validValues"), policy.at("validRange"));
    let (kind, given) = match (values.is_empty(), range.is_null()) {
        (false, false) => {
            let text = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
            return errs.forbidden(&at, text);
        }
        (true, true) => return,
        (false, true) => ("validValues", policy.at("validValues")),
        (true, false) => ("validRange", range),
    };
    if !policy.has("default") {
        return errs.required(&at.child("default"), format!("required when {kind} is defined"));
    }
    let (default, whole) = (Quantity::of(policy.at("default")), Quantity::of(capacity.at("value")));
    if kind == "validValues" {
        valid_values(given.items(), &default, &whole, &at.child(kind), errs);
    } else {
        valid_range(given, &default, &whole, &at.child(kind), errs);
    }
}

/// Upstream: `validateRequestPolicyValidValues`.
fn valid_values(values: &[Value], default: &Quantity, whole: &Quantity, at: &Path, errs: &mut Errors) {
    let amounts: Vec<Quantity> = values.iter().map(Quantity::of).collect();
    for (i, pair) in amounts.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        errs.invalid(&at.index(i + 1), pair[1].to_string(), "values must be sorted in ascending order");
    }
    let key = |value: &Value| Quantity::of(value).value().to_string();
    lists::set(values, OPTIONS_MAX, at, errs, key, |value, at, errs| {
        let amount = Quantity::of(value);
        if amount > *whole {
            errs.invalid(at, amount.to_string(), format!("option is larger than capacity value: {whole}"));
        }
    });
    // With too many options upstream does not look at them and misses the default, too.
    if amounts.len() > OPTIONS_MAX || !amounts.contains(default) {
        errs.invalid(at, default.to_string(), "default value is not valid according to the requestPolicy");
    }
}

/// Upstream: `validateRequestPolicyRange`.
fn valid_range(range: &Value, default: &Quantity, whole: &Quantity, at: &Path, errs: &mut Errors) {
    let amount = |member: &str| range.has(member).then(|| Quantity::of(range.at(member)));
    let Some(min) = amount("min") else {
        return errs.required(&at.child("min"), "required when validRange is defined");
    };
    let mut wrong =
        |member: &str, shown: &Quantity, text: String| errs.invalid(&at.child(member), shown.to_string(), text);
    if min > *whole {
        wrong("min", &min, format!("min is larger than capacity value: {whole}"));
    }
    if *default < min {
        wrong("default", default, format!("default is less than min: {min}"));
    }
    let max = amount("max");
    if let Some(max) = &max {
        if min > *max {
            wrong("max", &min, format!("min is larger than max: {max}"));
        }
        if max > whole {
            wrong("max", max, format!("max is larger than capacity value: {whole}"));
        }
        if default > max {
            wrong("default", default, format!("default is more than max: {max}"));
        }
    }
    let Some(step) = amount("step") else { return };
    if step.sign() <= 0 {
        return wrong("step", &step, "must be greater than zero".into());
    }
    let first = min.add(&step);
    if first > *whole {
        wrong("step", &step, format!("one step {first} is larger than capacity value: {whole}"));
    }
    let named = [("default", Some(default)), ("min", Some(&min)), ("max", max.as_ref()), ("step", Some(&step))];
    let mut safe = true;
    for (member, amount) in named.iter().filter_map(|(member, amount)| Some((member, (*amount)?))) {
        if let Some(text) = beyond_int64(amount) {
            wrong(member, amount, text.into());
            safe = false;
        }
    }
    for value in std::iter::once(default).chain(&max).filter(|_| safe) {
        if (value.value() - min.value()) % step.value() != 0 {
            wrong("step", value, format!("value is not a multiple of a given step ({step}) from ({min})"));
        }
    }
}

/// Upstream: `validateInt64Range`.
fn beyond_int64(amount: &Quantity) -> Option<&'static str> {
    if amount.sign() < 0 {
        return Some(NEGATIVE);
    }
    let limit = Quantity::new(i64::MAX, amount.format());
    (*amount > limit).then_some("must not be larger than 9223372036854775807")
}
