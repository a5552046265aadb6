//! A pod as the scheduler reads it: everything that is asked often is worked out once.
//!
//! Upstream: pkg/scheduler/framework/types.go PodInfo.

use std::sync::Arc;

use api::{
    EcoString, Value, host_ports, meta,
    node_selector::{Required, Term as NodeTerm},
    selector::{Operator, Requirement, Selector},
};
use client::mirror::Key;

use crate::Requests;

/// What was read of a pod.
#[derive(Debug)]
pub struct Pod {
    pub object: Arc<Value>,
    pub key: Key,
    pub uid: EcoString,
    pub priority: i64,
    /// The node it was given, or "".
    pub node: EcoString,
    pub nominated: EcoString,
    /// `schedulerName`
    pub scheduler: EcoString,
    pub is_gated: bool,
    pub is_terminating: bool,
    /// What has to fit.
    pub requests: Requests,
    /// What it takes on its node; more than it asks for while it is resized.
    pub held: Requests,
    /// CPU in thousandths and bytes, with something for containers that state nothing.
    pub weighed: (i64, i64),
    pub required_nodes: Required,
    /// With their weights.
    pub preferred_nodes: Vec<(i64, NodeTerm)>,
    pub ports: Vec<host_ports::Port>,
    /// Normalised names, one for each container and image volume.
    pub images: Vec<EcoString>,
    pub spread: Vec<Spread>,
    pub affinity: Vec<Term>,
    pub anti_affinity: Vec<Term>,
    pub preferred: Vec<(i64, Term)>,
    pub preferred_anti: Vec<(i64, Term)>,
}

/// A topology spread constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    pub max_skew: i64,
    pub key: EcoString,
    pub selector: Selector,
    pub min_domains: i64,
    /// `DoNotSchedule`, not `ScheduleAnyway`.
    pub is_hard: bool,
    pub honors_affinity: bool,
    pub honors_taints: bool,
}

/// A term of affinity to pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// Ordered; the pod's own when the term names none.
    pub namespaces: Vec<EcoString>,
    pub namespace_selector: Selector,
    pub selector: Selector,
    pub key: EcoString,
}

// === impl Pod ===

impl Pod {
    pub fn read(object: Arc<Value>) -> Pod {
        let (spec, status, meta) = (object.at("spec"), object.at("status"), meta::of(&object));
        let affinity = spec.at("affinity");
        let terms = |which: &str| {
            let list = affinity.at(which).list("requiredDuringSchedulingIgnoredDuringExecution");
            list.iter().map(|term| Term::read(term, meta.namespace())).collect::<Vec<_>>()
        };
        let preferred = |which: &str| {
            let list = affinity.at(which).list("preferredDuringSchedulingIgnoredDuringExecution");
            let read = |t: &Value| (t.int("weight"), Term::read(t.at("podAffinityTerm"), meta.namespace()));
            list.iter().map(read).collect::<Vec<_>>()
        };
        Pod {
            key: Key::of(&object),
            uid: meta.uid().into(),
            priority: spec.int("priority"),
            node: spec.str("nodeName").into(),
            nominated: status.str("nominatedNodeName").into(),
            scheduler: spec.str("schedulerName").into(),
            is_gated: !spec.list("schedulingGates").is_empty(),
            is_terminating: meta.is_terminating(),
            requests: Requests::of_pod(&object, false),
            held: Requests::of_pod(&object, true),
            weighed: Requests::weighed(&object),
            required_nodes: Required::of(spec),
            preferred_nodes: preferred_nodes(affinity.at("nodeAffinity")),
            ports: host_ports::of(spec),
            images: images(spec),
            spread: spec.list("topologySpreadConstraints").iter().map(|c| Spread::read(c, meta.labels())).collect(),
            affinity: terms("podAffinity"),
            anti_affinity: terms("podAntiAffinity"),
            preferred: preferred("podAffinity"),
            preferred_anti: preferred("podAntiAffinity"),
            object,
        }
    }

    pub fn labels(&self) -> &Value {
        meta::of(&self.object).labels()
    }

    pub fn tolerations(&self) -> &[Value] {
        self.object.at("spec").list("tolerations")
    }

    /// Whether it may take the place of others. Upstream: `preemptionPolicy`.
    pub fn preempts(&self) -> bool {
        self.object.at("spec").str("preemptionPolicy") != "Never"
    }

    /// Whether it has come to its end, and takes nothing any more.
    pub fn is_over(&self) -> bool {
        matches!(self.object.at("status").str("phase"), "Succeeded" | "Failed")
    }

    /// Whether it has terms about other pods.
    pub fn has_affinity(&self) -> bool {
        !(self.affinity.is_empty()
            && self.anti_affinity.is_empty()
            && self.preferred.is_empty()
            && self.preferred_anti.is_empty())
    }
}

fn images(spec: &Value) -> Vec<EcoString> {
    let containers = spec.list("initContainers").iter().chain(spec.list("containers")).map(|c| c.str("image"));
    let volumes = spec.list("volumes").iter().filter(|v| v.has("image")).map(|v| v.at("image").str("reference"));
    containers.chain(volumes).map(normalized_image).collect()
}

/// With its tag. Upstream: `normalizedImageName`.
pub fn normalized_image(name: &str) -> EcoString {
    if name.rfind(':') <= name.rfind('/') { format!("{name}:latest").into() } else { name.into() }
}

fn preferred_nodes(affinity: &Value) -> Vec<(i64, NodeTerm)> {
    let list = affinity.list("preferredDuringSchedulingIgnoredDuringExecution");
    let read = |term: &Value| Some((term.int("weight"), NodeTerm::read(term.at("preference"))?));
    list.iter().filter(|term| term.int("weight") != 0).filter_map(read).collect()
}

// === impl Spread ===

impl Spread {
    /// Upstream: `filterTopologySpreadConstraints`.
    pub fn read(constraint: &Value, labels: &Value) -> Spread {
        let selector =
            Selector::from_label_selector(constraint.at("labelSelector")).unwrap_or_else(|_| Selector::nothing());
        let same = constraint
            .list("matchLabelKeys")
            .iter()
            .filter_map(Value::as_str)
            .filter_map(|key| Requirement::new(key, Operator::Equals, vec![labels.opt_str(key)?.into()]).ok());
        Spread {
            max_skew: constraint.int("maxSkew"),
            key: constraint.str("topologyKey").into(),
            selector: selector.and(same),
            min_domains: constraint.opt_int("minDomains").unwrap_or(1),
            is_hard: constraint.str("whenUnsatisfiable") == "DoNotSchedule",
            honors_affinity: constraint.str("nodeAffinityPolicy") != "Ignore",
            honors_taints: constraint.str("nodeTaintsPolicy") == "Honor",
        }
    }
}

// === impl Term ===

impl Term {
    /// Upstream: `newAffinityTerm`, `getNamespacesFromPodAffinityTerm`.
    fn read(term: &Value, own_namespace: &str) -> Term {
        let mut namespaces: Vec<EcoString> =
            term.list("namespaces").iter().filter_map(Value::as_str).map(EcoString::from).collect();
        if namespaces.is_empty() && term.at("namespaceSelector").is_null() {
            namespaces.push(own_namespace.into());
        }
        namespaces.sort_unstable();
        let read = |name: &str| Selector::from_label_selector(term.at(name)).unwrap_or_else(|_| Selector::nothing());
        Term {
            namespaces,
            namespace_selector: read("namespaceSelector"),
            selector: read("labelSelector"),
            key: term.str("topologyKey").into(),
        }
    }

    /// Whether a pod in a namespace with these labels is meant. Upstream: `AffinityTerm.Matches`.
    pub fn matches(&self, pod: &Pod, namespace_labels: &Value) -> bool {
        let here = self.namespaces.contains(&pod.key.namespace) || self.namespace_selector.matches(namespace_labels);
        here && self.selector.matches(pod.labels())
    }
}
