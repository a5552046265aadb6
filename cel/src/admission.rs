//! What expressions of admission may name: the object before and after, its namespace, the request and the authorizer.
//!
//! Upstream: apiserver/pkg/admission/plugin/cel/compile.go BuildRequestType, BuildNamespaceType, createEnvForOpts.

mod checker;
mod compose;
mod patches;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

pub use checker::Checker;
pub use compose::{Compiled, Composer, Refused, Returns};
pub use patches::{JsonPatch, Made};

use crate::environment::Environment;
use crate::library::authz;
use crate::types::{Type, TypeProvider};

/// What a place declares besides what is always there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declares {
    /// `params`
    pub params: bool,
    /// `authorizer` and `authorizer.requestResource`
    pub authorizer: bool,
    /// `Object{…}`, `JSONPatch{…}` and `jsonpatch.escapeKey(…)`
    pub patches: bool,
}

/// What the expressions of a policy may cost together for one binding. Upstream: RuntimeCELCostBudget.
pub const POLICY_BUDGET: u64 = 10_000_000;

/// What an admitted expression may cost together with all match conditions beside it. Upstream:
/// RuntimeCELCostBudgetMatchConditions.
pub const MATCH_CONDITIONS_BUDGET: u64 = 2_500_000;

/// With `object`, `oldObject`, `namespaceObject`, `request` and what else is declared.
fn declare(environment: Environment, declares: Declares) -> Environment {
    let mut environment = with_request(environment).variable("object", Type::Dyn).variable("oldObject", Type::Dyn);
    if declares.params {
        environment = environment.variable("params", Type::Dyn);
    }
    if declares.authorizer {
        environment = environment
            .variable("authorizer", authz::authorizer_type())
            .variable("authorizer.requestResource", authz::resource_check_type());
    }
    environment
}

fn with_request(environment: Environment) -> Environment {
    environment
        .variable("namespaceObject", Type::object("kubernetes.Namespace"))
        .variable("request", Type::object("kubernetes.AdmissionRequest"))
}

/// Object types with their fields.
struct Declared(Vec<(&'static str, Vec<(&'static str, Type)>)>);

static TYPES: LazyLock<Arc<Declared>> = LazyLock::new(|| Arc::new(declared()));

impl TypeProvider for Declared {
    fn has_type(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        let (_, fields) = self.0.iter().find(|(known, _)| *known == object)?;
        fields.iter().find(|(known, _)| *known == field).map(|(_, t)| t.clone())
    }
}

fn declared() -> Declared {
    let texts = || Type::list(Type::String);
    let map_of = |value: Type| Type::map(Type::String, value);
    let strings = |names: &[&'static str]| -> Vec<(&'static str, Type)> {
        names.iter().map(|name| (*name, Type::String)).collect()
    };
    let with = |mut fields: Vec<(&'static str, Type)>, more: Vec<(&'static str, Type)>| {
        fields.extend(more);
        fields
    };
    let kind = || Type::object("kubernetes.GroupVersionKind");
    let resource = || Type::object("kubernetes.GroupVersionResource");
    let request = with(
        strings(&["subResource", "requestSubResource", "name", "namespace", "operation"]),
        vec![
            ("kind", kind()),
            ("resource", resource()),
            ("requestKind", kind()),
            ("requestResource", resource()),
            ("userInfo", Type::object("kubernetes.UserInfo")),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ],
    );
    let metadata = with(
        strings(&["name", "generateName", "namespace", "UID", "resourceVersion"]),
        vec![
            ("labels", map_of(Type::String)),
            ("annotations", map_of(Type::String)),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("finalizers", texts()),
        ],
    );
    Declared(vec![
        ("kubernetes.GroupVersionKind", strings(&["group", "version", "kind"])),
        ("kubernetes.GroupVersionResource", strings(&["group", "version", "resource"])),
        (
            "kubernetes.UserInfo",
            with(strings(&["username", "uid"]), vec![("groups", texts()), ("extra", map_of(texts()))]),
        ),
        ("kubernetes.AdmissionRequest", request),
        (
            "kubernetes.Namespace",
            vec![
                ("metadata", Type::object("kubernetes.NamespaceMetadata")),
                ("spec", Type::object("kubernetes.NamespaceSpec")),
                ("status", Type::object("kubernetes.NamespaceStatus")),
            ],
        ),
        ("kubernetes.NamespaceMetadata", metadata),
        ("kubernetes.NamespaceSpec", vec![("finalizers", texts())]),
        (
            "kubernetes.NamespaceStatus",
            vec![("conditions", Type::list(Type::object("kubernetes.NamespaceCondition"))), ("phase", Type::String)],
        ),
        (
            "kubernetes.NamespaceCondition",
            with(strings(&["status", "type", "message", "reason"]), vec![("lastTransitionTime", Type::Timestamp)]),
        ),
    ])
}
