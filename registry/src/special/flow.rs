//! Which flow a request belongs to: flow schemas and priority levels as data, and how they match.
//!
//! Upstream: k8s.io/apiserver/pkg/util/flowcontrol/rule.go.

use api::{Attributes, User, Value, meta, user};

/// All schemas, in the order in which they are asked, and all levels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    pub schemas: Vec<Schema>,
    pub levels: Vec<Level>,
}

/// Who belongs to a flow, and at which level they stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub name: String,
    pub uid: String,
    pub level: String,
    precedence: i64,
    distinguisher: Distinguisher,
    /// As the API has them: `{subjects, resourceRules, nonResourceRules}` each.
    rules: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distinguisher {
    None,
    User,
    Namespace,
}

/// How much of the server a level has, and what happens beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    pub name: String,
    pub uid: String,
    /// Its part of all seats is this by the sum of all.
    pub shares: i64,
    /// Of its seats, how many hundredths others may use.
    pub lendable_percent: i64,
    /// How many hundredths of its own it may use of others'; as many as there are when none.
    pub borrowing_percent: Option<i64>,
    pub beyond: Beyond,
}

/// What happens to a request that finds no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// It needs none.
    Served,
    Rejected,
    Queued(Shape),
}

/// A level's queues: how many, over how many of them a flow is spread, and how many requests each holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub queues: usize,
    pub hand: usize,
    pub len_max: usize,
}

// === impl Policy ===

impl Policy {
    /// Out of objects. Schemas without a level, and levels that cannot be, are left out.
    pub fn new(schemas: &[Value], levels: &[Value]) -> Policy {
        let levels: Vec<Level> = levels.iter().filter_map(Level::read).collect();
        let mut schemas: Vec<Schema> = schemas.iter().map(Schema::read).collect();
        schemas.retain(|schema| levels.iter().any(|level| level.name == schema.level));
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        Policy { schemas, levels }
    }

    /// The first schema that a request matches; the last, which is for all, when none does.
    pub fn classify(&self, user: &User, attributes: &Attributes) -> Option<&Schema> {
        self.schemas.iter().find(|schema| schema.matches(user, attributes)).or(self.schemas.last())
    }
}

// === impl Schema ===

impl Schema {
    fn read(object: &Value) -> Schema {
        let (meta, spec) = (meta::of(object), object.at("spec"));
        Schema {
            name: meta.name().into(),
            uid: meta.uid().into(),
            level: spec.at("priorityLevelConfiguration").str("name").into(),
            precedence: spec.opt_int("matchingPrecedence").unwrap_or(1000),
            distinguisher: match spec.at("distinguisherMethod").str("type") {
                "ByUser" => Distinguisher::User,
                "ByNamespace" => Distinguisher::Namespace,
                _ => Distinguisher::None,
            },
            rules: spec.at("rules").clone(),
        }
    }

    /// What tells this request's flow from others of the same schema.
    pub fn distinguish<'a>(&self, user: &'a User, attributes: &'a Attributes) -> &'a str {
        match self.distinguisher {
            Distinguisher::None => "",
            Distinguisher::User => &user.name,
            Distinguisher::Namespace => &attributes.namespace,
        }
    }

    fn matches(&self, user: &User, attributes: &Attributes) -> bool {
        self.rules.items().iter().any(|rule| {
            rule.list("subjects").iter().any(|subject| is_subject(subject, user))
                && match attributes.is_resource {
                    true => rule.list("resourceRules").iter().any(|rule| covers_resource(rule, attributes)),
                    false => rule.list("nonResourceRules").iter().any(|rule| covers_path(rule, attributes)),
                }
        })
    }
}

fn is_subject(subject: &Value, user: &User) -> bool {
    match subject.str("kind") {
        "User" => subject.has("user") && ["*", &user.name].contains(&subject.at("user").str("name")),
        "Group" => {
            let group = subject.at("group").str("name");
            subject.has("group") && (group == "*" || user.is_in(group))
        }
        "ServiceAccount" => {
            let (account, Some((namespace, name))) = (subject.at("serviceAccount"), user.service_account()) else {
                return false;
            };
            account.str("namespace") == namespace && ["*", name].contains(&account.str("name"))
        }
        _ => false,
    }
}

fn covers_resource(rule: &Value, attributes: &Attributes) -> bool {
    has(rule.list("verbs"), &attributes.verb)
        && has(rule.list("resources"), &attributes.resource_with_subresource())
        && has(rule.list("apiGroups"), &attributes.group)
        && match attributes.namespace.as_str() {
            "" => rule.bool("clusterScope"),
            namespace => has(rule.list("namespaces"), namespace),
        }
}

fn covers_path(rule: &Value, attributes: &Attributes) -> bool {
    let path = attributes.path.as_str();
    has(rule.list("verbs"), &attributes.verb)
        && rule.list("nonResourceURLs").iter().filter_map(Value::as_str).any(|pattern| {
            let prefix = pattern.trim_end_matches('*').trim_end_matches('/');
            pattern == "*" || pattern == path || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        })
}

/// Whether a list names something, or everything by one star.
fn has(list: &[Value], wanted: &str) -> bool {
    matches!(list, [only] if only.as_str() == Some("*")) || list.iter().any(|item| item.as_str() == Some(wanted))
}

// === impl Beyond ===

impl Beyond {
    /// How many requests may wait; none where there are no queues.
    pub fn room(self) -> usize {
        match self {
            Beyond::Queued(shape) => shape.queues * shape.len_max,
            Beyond::Served | Beyond::Rejected => 0,
        }
    }
}

// === impl Level ===

impl Level {
    /// None when its parts contradict each other.
    fn read(object: &Value) -> Option<Level> {
        let (meta, spec) = (meta::of(object), object.at("spec"));
        let exempt = spec.str("type") == "Exempt";
        // Nothing but the one of this name is exempt.
        if exempt != (meta.name() == "exempt") {
            return None;
        }
        let part = spec.at(if exempt { "exempt" } else { "limited" });
        let response = part.at("limitResponse");
        let beyond = match response.str("type") {
            _ if exempt => Beyond::Served,
            "Reject" => Beyond::Rejected,
            "Queue" => Beyond::Queued(Shape::read(response.at("queuing"))?),
            _ => return None,
        };
        Some(Level {
            name: meta.name().into(),
            uid: meta.uid().into(),
            shares: part.opt_int("nominalConcurrencyShares").unwrap_or(if exempt { 0 } else { 30 }),
            lendable_percent: part.int("lendablePercent"),
            borrowing_percent: part.opt_int("borrowingLimitPercent"),
            beyond,
        })
    }
}

impl Shape {
    fn read(queuing: &Value) -> Option<Shape> {
        let number = |member: &str, default: i64| usize::try_from(queuing.opt_int(member).unwrap_or(default)).ok();
        let shape = Shape {
            queues: number("queues", 64)?,
            hand: number("handSize", 8)?,
            len_max: number("queueLengthLimit", 50)?,
        };
        (shape.queues > 0 && (1..=shape.queues).contains(&shape.hand)).then_some(shape)
    }
}

/// The group that may do everything is never asked to wait: what the server itself does must not wait for its clients.
pub fn is_exempt(user: &User) -> bool {
    user.is_in(user::MASTERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::furniture::flows;

    fn named(user: &str, groups: &[&str], verb: &str, resource: &str, namespace: &str) -> String {
        let policy = flows::standard();
        let attributes = match resource.strip_prefix('/') {
            Some(_) => Attributes { verb: verb.into(), path: resource.into(), ..Attributes::default() },
            None => {
                let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
                let (resource, below) = resource.split_once('/').unwrap_or((resource, ""));
                Attributes {
                    verb: verb.into(),
                    is_resource: true,
                    group: group.into(),
                    resource: resource.into(),
                    subresource: below.into(),
                    namespace: namespace.into(),
                    ..Attributes::default()
                }
            }
        };
        policy.classify(&User::new(user, groups), &attributes).map(|s| s.name.clone()).unwrap_or_default()
    }

    #[test]
    fn requests_go_where_upstreams_policy_sends_them() {
        let node = ["system:nodes", "system:authenticated"];
        let account = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
        let someone = ["system:authenticated"];
        assert_eq!(named("admin", &["system:masters"], "get", "pods", "d"), "exempt");
        assert_eq!(named("tom", &someone, "get", "/healthz", ""), "probes");
        assert_eq!(named("tom", &someone, "get", "/readyz/etcd", ""), "probes");
        assert_eq!(named("system:node:a", &node, "update", "nodes/status", ""), "system-node-high");
        assert_eq!(named("system:node:a", &node, "list", "pods", ""), "system-nodes");
        assert_eq!(
            named("system:kube-scheduler", &someone, "update", "leases.coordination.k8s.io", "kube-system"),
            "system-leader-election"
        );
        assert_eq!(named("system:kube-scheduler", &someone, "list", "pods", ""), "kube-scheduler");
        assert_eq!(
            named("system:serviceaccount:kube-system:job-controller", &account, "list", "pods", ""),
            "kube-system-service-accounts"
        );
        assert_eq!(
            named("system:serviceaccount:d:x", &["system:serviceaccounts", "system:authenticated"], "list", "pods", ""),
            "service-accounts"
        );
        assert_eq!(named("tom", &someone, "list", "pods", ""), "global-default");
        assert_eq!(named("system:anonymous", &["system:unauthenticated"], "get", "/x", ""), "global-default");
        assert_eq!(named("nobody", &[], "get", "/x", ""), "catch-all");
    }

    #[test]
    fn flows_are_told_apart_as_their_schema_says() {
        let policy = flows::standard();
        let user = User::new("tom", &["system:authenticated"]);
        let attributes =
            Attributes { verb: "get".into(), path: "/x".into(), namespace: "d".into(), ..Attributes::default() };
        let schema = policy.classify(&user, &attributes).expect("there is one for all");
        assert_eq!(schema.distinguish(&user, &attributes), "tom");
    }
}
