//! Defaults, and nulls that stand for nothing.
//!
//! Upstream: apiserver/schema/defaulting/{algorithm,prunenulls}.go.

use api::Value;

use super::{Additional, Node};

/// Puts in what was left out. Upstream: `Default`.
pub fn defaults(value: &mut Value, node: &Node) {
    match value {
        Value::Object(members) => {
            for (name, of) in &node.properties {
                let Some(default) = &of.default else { continue };
                if members.get(name).is_none_or(|member| is_unwanted(member, of)) {
                    members.insert(name.clone(), default.clone());
                }
            }
            for (name, member) in members.iter_mut() {
                if let Some(of) = node.properties.get(name) {
                    defaults(member, of);
                } else if let Additional::Schema(of) = &node.additional {
                    element(member, of);
                }
            }
        }
        Value::Array(_) => {
            let Some(of) = &node.items else { return };
            value.make_array().iter_mut().for_each(|item| element(item, of));
        }
        _ => {}
    }
}

fn element(value: &mut Value, of: &Node) {
    if is_unwanted(value, of) {
        *value = of.default.clone().unwrap_or_default();
    }
    defaults(value, of);
}

fn is_unwanted(value: &Value, of: &Node) -> bool {
    value.is_null() && !of.nullable
}

/// Takes out nulls where none may stand and nothing comes in their place. Upstream: `PruneNonNullableNullsWithoutDefaults`.
pub fn prune_nulls(value: &mut Value, node: Option<&Node>) {
    match value {
        Value::Object(members) => {
            let of = |name: &str| node.and_then(|n| n.member(name));
            let goes =
                |name: &str, member: &Value| of(name).is_some_and(|of| is_unwanted(member, of) && of.default.is_none());
            if members.iter().any(|(name, member)| goes(name, member)) {
                members.retain(|name, member| !goes(name, member));
            }
            members.iter_mut().for_each(|(name, member)| prune_nulls(member, of(name)));
        }
        Value::Array(_) => {
            let items = node.and_then(|n| n.items.as_deref());
            value.make_array().iter_mut().for_each(|item| prune_nulls(item, items));
        }
        _ => {}
    }
}
