//! Taints of nodes and the tolerations of pods.
//!
//! Upstream: k8s.io/api/core/v1/toleration.go, component-helpers/scheduling/corev1/helpers.go.

use crate::Value;

pub const NO_SCHEDULE: &str = "NoSchedule";
pub const PREFER_NO_SCHEDULE: &str = "PreferNoSchedule";
pub const NO_EXECUTE: &str = "NoExecute";

/// Whether a toleration takes a taint. The numeric operators are behind a gate that is off. Upstream: `ToleratesTaint`.
pub fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (effect, key) = (toleration.str("effect"), toleration.str("key"));
    if (!effect.is_empty() && effect != taint.str("effect")) || (!key.is_empty() && key != taint.str("key")) {
        return false;
    }
    match toleration.str("operator") {
        "" | "Equal" => toleration.str("value") == taint.str("value"),
        "Exists" => true,
        _ => false,
    }
}

/// Whether any of these tolerations takes a taint.
pub fn is_tolerated(taint: &Value, tolerations: &[Value]) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

/// The first taint with one of these effects that is not tolerated. Upstream: `FindMatchingUntoleratedTaint`.
pub fn untolerated<'a>(taints: &'a [Value], tolerations: &[Value], effects: &[&str]) -> Option<&'a Value> {
    taints.iter().filter(|t| effects.contains(&t.str("effect"))).find(|t| !is_tolerated(t, tolerations))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn what_a_toleration_leaves_out_fits_everything() {
        let taint = value!({"key": "a", "value": "b", "effect": "NoSchedule"});
        for (toleration, expected) in [
            (value!({"operator": "Exists"}), true),
            (value!({"key": "a", "operator": "Exists"}), true),
            (value!({"key": "a", "value": "b"}), true),
            (value!({"key": "a", "value": "c"}), false),
            (value!({"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute"}), false),
            (value!({"key": "a", "operator": "Gt", "value": "1"}), false),
            (value!({"key": "c", "operator": "Exists"}), false),
        ] {
            assert_eq!(tolerates(&toleration, &taint), expected, "{toleration:?}");
        }
    }

    #[test]
    fn only_taints_of_the_asked_effects_count() {
        let taints = [
            value!({"key": "a", "effect": "PreferNoSchedule"}),
            value!({"key": "b", "effect": "NoExecute"}),
            value!({"key": "c", "effect": "NoSchedule"}),
        ];
        let found = untolerated(&taints, &[], &[NO_SCHEDULE, NO_EXECUTE]);
        assert_eq!(found.map(|t| t.str("key")), Some("b"));
        let tolerations = [value!({"key": "b", "operator": "Exists"})];
        assert_eq!(untolerated(&taints, &tolerations, &[NO_EXECUTE]), None);
    }
}
