//! Tolerations: which one covers which, and how two lists become one.
//!
//! Upstream: pkg/util/tolerations/tolerations.go.

use api::Value;

/// Both lists, without what another one covers. Of equal ones the first stays. Upstream: `MergeTolerations`.
pub fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<&Value> = Vec::new();
    for (i, toleration) in all.iter().enumerate() {
        let before = merged.iter().any(|m| covers(m, toleration));
        let after = all[i + 1..].iter().any(|later| !same(toleration, later) && covers(later, toleration));
        if !before && !after {
            merged.push(toleration);
        }
    }
    merged.into_iter().cloned().collect()
}

/// Whether each is covered by one of the allowed; no allowed ones allow all. Upstream: `VerifyAgainstWhitelist`.
pub fn all_allowed(tolerations: &[Value], allowed: &[Value]) -> bool {
    allowed.is_empty() || tolerations.iter().all(|t| allowed.iter().any(|a| covers(a, t)))
}

/// Whether both concern the same taints, whatever their time. Upstream: `MatchToleration`.
pub fn concern_the_same(a: &Value, b: &Value) -> bool {
    ["key", "effect", "operator", "value"].iter().all(|field| a.str(field) == b.str(field))
}

pub fn same(a: &Value, b: &Value) -> bool {
    concern_the_same(a, b) && a.opt_int("tolerationSeconds") == b.opt_int("tolerationSeconds")
}

/// Whether `wide` tolerates all that `narrow` does. Upstream: `isSuperset`.
fn covers(wide: &Value, narrow: &Value) -> bool {
    if same(wide, narrow) {
        return true;
    }
    let every_key = wide.str("key").is_empty() && wide.str("operator") == "Exists";
    if narrow.str("key") != wide.str("key") && !every_key {
        return false;
    }
    if narrow.str("effect") != wide.str("effect") && !wide.str("effect").is_empty() {
        return false;
    }
    if wide.str("effect") == "NoExecute"
        && let Some(longest) = wide.opt_int("tolerationSeconds")
        && narrow.opt_int("tolerationSeconds").is_none_or(|seconds| seconds > longest)
    {
        return false;
    }
    match wide.str("operator") {
        "Equal" | "" => narrow.str("operator") == "Equal" && narrow.str("value") == wide.str("value"),
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn a_wide_toleration_covers_narrow_ones() {
        let all = value!({"operator": "Exists"});
        let foo = value!({"key": "foo", "operator": "Equal", "value": "bar", "effect": "NoSchedule"});
        let other = value!({"key": "foo", "operator": "Equal", "value": "baz", "effect": "NoSchedule"});
        let short = value!({"key": "n", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
        let long = value!({"key": "n", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 50});
        let one = std::slice::from_ref;
        assert_eq!(merge(one(&foo), one(&all)), one(&all));
        assert_eq!(merge(one(&foo), one(&foo)), one(&foo));
        assert_eq!(merge(one(&foo), one(&other)), [foo.clone(), other.clone()]);
        assert_eq!(merge(one(&short), one(&long)), one(&long));
        assert!(all_allowed(one(&foo), one(&all)));
        assert!(all_allowed(one(&foo), &[]));
        assert!(!all_allowed(one(&foo), one(&other)));
        assert!(!all_allowed(one(&long), one(&short)));
    }
}
