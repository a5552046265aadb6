//! The ReplicaSets of a deployment: the one of its template, and those of earlier ones.

use std::sync::Arc;

use api::{Value, intstr};

use crate::pods;

pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
pub(super) const HASH: &str = "pod-template-hash";

/// A ReplicaSet and the size that it is to have.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub object: Arc<Value>,
    pub replicas: i64,
}

/// All sets of a deployment, by age.
#[derive(Debug)]
pub(super) struct Sets {
    all: Vec<Set>,
    /// The place of the set that has the deployment's template.
    new: Option<usize>,
}

// === impl Set ===

impl Set {
    pub fn name(&self) -> &str {
        api::meta::of(&self.object).name()
    }

    pub fn available(&self) -> i64 {
        self.object.at("status").int("availableReplicas")
    }

    /// A number that an annotation says.
    pub fn annotated(&self, key: &str) -> Option<i64> {
        api::meta::of(&self.object).annotation(key)?.parse::<i32>().ok().filter(|n| *n >= 0).map(i64::from)
    }
}

// === impl Sets ===

impl Sets {
    pub fn new(deployment: &Value, mut objects: Vec<Arc<Value>>) -> Sets {
        objects.sort_by(pods::by_age);
        let template = deployment.at("spec").at("template");
        let new = objects.iter().position(|set| is_same_template(set.at("spec").at("template"), template));
        let set = |object: Arc<Value>| Set { replicas: object.at("spec").int("replicas"), object };
        Sets { all: objects.into_iter().map(set).collect(), new }
    }

    pub fn newest(&self) -> Option<&Set> {
        self.new.map(|at| &self.all[at])
    }

    pub fn all(&self) -> &[Set] {
        &self.all
    }

    pub fn old(&self) -> impl Iterator<Item = &Set> {
        self.all.iter().enumerate().filter(|(at, _)| Some(*at) != self.new).map(|(_, set)| set)
    }

    /// The sets that are to have pods.
    pub fn active(&self) -> impl Iterator<Item = &Set> {
        self.all.iter().filter(|s| s.replicas > 0)
    }

    pub fn named(&self, name: &str) -> Option<&Set> {
        self.all.iter().find(|s| s.name() == name)
    }

    pub fn resize(&mut self, name: &str, replicas: i64) {
        for set in self.all.iter_mut().filter(|s| s.name() == name) {
            set.replicas = replicas;
        }
    }

    pub fn replicas(&self) -> i64 {
        self.all.iter().map(|s| s.replicas).sum()
    }

    /// The sum of a count in the sets' statuses.
    pub fn count(&self, member: &str) -> i64 {
        self.all.iter().map(|s| s.object.at("status").int(member)).sum()
    }
}

/// Whether templates are the same but for the label that tells them apart. Upstream: EqualIgnoreHash.
pub(super) fn is_same_template(a: &Value, b: &Value) -> bool {
    let plain = |template: &Value| {
        let mut template = template.clone();
        template.remove_path(&["metadata", "labels", HASH]);
        // What is empty may be written or not.
        for member in ["labels", "annotations", "creationTimestamp"] {
            if template.at("metadata").at(member).is_empty() {
                template.remove_path(&["metadata", member]);
            }
        }
        template.default("metadata", Value::object());
        template
    };
    plain(a) == plain(b)
}

/// How many pods there may be too many, and how many may be missing. Upstream: ResolveFenceposts, MaxUnavailable.
pub(super) fn fenceposts(spec: &Value) -> (i64, i64) {
    if spec.at("strategy").str("type") != "RollingUpdate" {
        return (0, 0);
    }
    let (replicas, rolling) = (spec.int("replicas"), spec.at("strategy").at("rollingUpdate"));
    let surge = intstr::scaled(rolling.at("maxSurge"), replicas, true).unwrap_or(0);
    let mut unavailable = intstr::scaled(rolling.at("maxUnavailable"), replicas, false).unwrap_or(0);
    if surge == 0 && unavailable == 0 {
        unavailable = 1;
    }
    (surge, unavailable.min(replicas))
}
