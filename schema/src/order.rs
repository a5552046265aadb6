//! In which order groups and versions are preferred. Upstream: `controlplane.DefaultAPIGroupPriorities` as discovery shows it.

use std::{
    cmp::{Ordering, Reverse},
    collections::HashMap,
    sync::OnceLock,
};

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
pub fn version(group: &str, version: &str) -> (usize, Reverse<Version>) {
    let known = order().versions.get(&(group.to_string(), version.to_string())).copied().unwrap_or(usize::MAX);
    (known, Reverse(Version::of(version)))
}

/// Which of two versions is older. Upstream: apimachinery/pkg/version CompareKubeAwareVersionStrings.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    Version::of(a).cmp(&Version::of(b))
}

/// A version taken apart: what is none of Kubernetes' form is older than all, the later letter the older.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Option<(u8, u64, u64)>, Reverse<String>);

impl Version {
    fn of(text: &str) -> Version {
        match taken_apart(text) {
            Some(parts) => Version(Some(parts), Reverse(String::new())),
            None => Version(None, Reverse(text.into())),
        }
    }
}

/// `v2beta1` as stage, major and minor.
fn taken_apart(text: &str) -> Option<(u8, u64, u64)> {
    let number = |text: &str| text.parse::<u64>().ok().filter(|n| *n > 0 && !text.starts_with('0'));
    let rest = text.strip_prefix('v')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = number(&rest[..end])?;
    match &rest[end..] {
        "" => Some((2, major, 0)),
        stage => {
            let (rank, minor) = match (stage.strip_prefix("beta"), stage.strip_prefix("alpha")) {
                (Some(minor), _) => (1, minor),
                (_, Some(minor)) => (0, minor),
                _ => return None,
            };
            Some((rank, major, number(minor)?))
        }
    }
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
        let ordered = ["foo10", "foo1", "v1alpha1", "v2alpha1", "v1beta1", "v1beta2", "v1", "v2", "v10"];
        assert!(ordered.windows(2).all(|pair| compare_versions(pair[0], pair[1]).is_lt()));
        assert!(version("example.com", "v2") < version("example.com", "v1"));
    }
}
