//! Labels of nodes that nobody should select by any more.
//!
//! Upstream: pkg/api/node/util.go.

use api::{Value, field::Path};

/// What to say about a label of nodes, when it is deprecated. Upstream: `GetNodeLabelDeprecatedMessage`.
pub fn deprecated(key: &str) -> Option<&'static str> {
    Some(match key {
        "beta.kubernetes.io/arch" => r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#,
        "beta.kubernetes.io/os" => r#"deprecated since v1.14; use "kubernetes.io/os" instead"#,
        "failure-domain.beta.kubernetes.io/region" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#
        }
        "beta.kubernetes.io/instance-type" => {
            r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#
        }
        "app.kubernetes.io/created-by" => "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => "deprecated since v1.22; use Taints and Tolerations instead",
        "node-role.kubernetes.io/master" => r#"use "node-role.kubernetes.io/control-plane" instead"#,
        _ => return None,
    })
}

/// Warnings for a label selector over nodes. Upstream: `GetWarningsForNodeSelector`.
pub fn selector_warnings(selector: &Value, at: &Path) -> Vec<String> {
    let expressions = selector.list("matchExpressions").iter().enumerate().filter_map(|(i, expression)| {
        let key = expression.str("key");
        let text = deprecated(key)?;
        Some(format!("{}: {key} is {text}", at.child("matchExpressions").index(i).child("key")))
    });
    let labels = selector.strings("matchLabels").filter_map(|(key, _)| {
        let text = deprecated(key)?;
        Some(format!("{}: {text}", at.child("matchLabels").child(key)))
    });
    expressions.chain(labels).collect()
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn old_labels_are_named_where_they_stand() {
        let selector = value!({
            "matchLabels": {"beta.kubernetes.io/os": "linux", "kubernetes.io/os": "linux"},
            "matchExpressions": [{"key": "app.kubernetes.io/created-by", "operator": "Exists"}]
        });
        assert_eq!(
            selector_warnings(&selector, &Path::new("nodeTopology")),
            [
                "nodeTopology.matchExpressions[0].key: app.kubernetes.io/created-by is deprecated since v1.9",
                "nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            ]
        );
    }
}
