//! In which order groups and versions are preferred. Upstream: `controlplane.DefaultAPIGroupPriorities` as discovery shows it.

use std::{collections::HashMap, sync::OnceLock};

use api::Value;

static DISCOVERY: &str = include_str!("../facts/discovery.json");

/// Places of groups, and of versions within them.
struct Order {
    groups: HashMap<String, usize>,
    versions: HashMap<(String, String), usize>,
}

/// Where a group stands; groups that upstream does not have come last, by name.
pub fn group(name: &str) -> (usize, String) {
    (order().groups.get(name).copied().unwrap_or(usize::MAX), name.into())
}

/// Where a version stands in its group; unknown ones last, stable before beta before alpha, newer before older.
pub fn version(group: &str, version: &str) -> (usize, u8, String) {
    let known = order().versions.get(&(group.to_string(), version.to_string())).copied().unwrap_or(usize::MAX);
    let stage = match version {
        v if v.contains("alpha") => 2,
        v if v.contains("beta") => 1,
        _ => 0,
    };
    (known, stage, version.into())
}

fn order() -> &'static Order {
    static ORDER: OnceLock<Order> = OnceLock::new();
    ORDER.get_or_init(|| {
        let facts: Value = serde_json::from_str(DISCOVERY).expect("the checked-in facts are read by a test");
        let mut order = Order { groups: HashMap::new(), versions: HashMap::new() };
        for (i, group) in facts.list("groups").iter().enumerate() {
            order.groups.insert(group.str("name").into(), i);
            for (j, version) in group.list("versions").iter().enumerate() {
                order.versions.insert((group.str("name").into(), version.str("version").into()), j);
            }
        }
        order
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_order_is_known() {
        assert!(group("") < group("apps"));
        assert!(version("autoscaling", "v2") < version("autoscaling", "v1"));
        assert!(group("apps") < group("example.com"));
    }
}
