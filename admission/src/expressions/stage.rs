//! A request as expressions see it.
//!
//! Upstream: plugin/cel/condition.go CreateAdmissionRequest, CreateNamespaceObject.

use std::sync::{Arc, OnceLock};

use api::Value;
use parking_lot::Mutex;

use super::{Needs, View, asking, value_of};
use crate::{Cluster, Request, matching::Seen, webhook::review};

/// A request, and what was made of it for expressions already.
pub(crate) struct Stage<'a> {
    request: &'a Request<'a>,
    cluster: &'a Cluster,
    /// The value of `request`, by how it is seen.
    seen: Mutex<Vec<(Seen, cel::Value)>>,
    authorizer: OnceLock<(cel::Value, cel::Value)>,
    namespace: OnceLock<cel::Value>,
}

/// The values that expressions may name. What none of them names is null.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub object: cel::Value,
    pub old: cel::Value,
    pub request: cel::Value,
    pub namespace: cel::Value,
    pub params: cel::Value,
    pub authorizer: cel::Value,
    pub own_check: cel::Value,
}

/// What expressions are told of a namespace's metadata.
const METADATA: [&str; 12] = [
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "finalizers",
];

impl<'a> Stage<'a> {
    pub fn new(request: &'a Request<'a>, cluster: &'a Cluster) -> Stage<'a> {
        Stage { request, cluster, seen: Mutex::default(), authorizer: OnceLock::new(), namespace: OnceLock::new() }
    }

    pub fn operation(&self) -> &'static str {
        self.request.operation.word()
    }

    /// What match conditions see: the request as it was made, and no namespace.
    pub fn conditions_scene(&self, view: &View, needs: Needs, params: Option<&Arc<Value>>) -> Scene {
        let request = self.request;
        let seen =
            Seen { resource: request.resource.clone(), version: request.version.into(), kind: view.seen.kind.clone() };
        let needs = Needs { namespace: false, ..needs };
        self.dressed(view, &seen, needs, params, None)
    }

    pub fn scene(
        &self,
        view: &View,
        needs: Needs,
        params: Option<&Arc<Value>>,
        namespace: Option<&Arc<Value>>,
    ) -> Scene {
        self.dressed(view, &view.seen, needs, params, namespace)
    }

    fn dressed(
        &self,
        view: &View,
        seen: &Seen,
        needs: Needs,
        params: Option<&Arc<Value>>,
        namespace: Option<&Arc<Value>>,
    ) -> Scene {
        let (authorizer, own_check) = match needs.authorizer {
            true => self.authorizer.get_or_init(|| asking::authorizer(self.request, &self.cluster.may)).clone(),
            false => (cel::Value::Null, cel::Value::Null),
        };
        let namespace = match namespace.filter(|_| needs.namespace) {
            Some(namespace) => self.namespace.get_or_init(|| shown(namespace)).clone(),
            None => cel::Value::Null,
        };
        Scene {
            object: value_of(&view.object),
            old: value_of(&view.old),
            request: if needs.request { self.request_as(seen) } else { cel::Value::Null },
            namespace,
            params: params.map_or(cel::Value::Null, value_of),
            authorizer,
            own_check,
        }
    }

    fn request_as(&self, seen: &Seen) -> cel::Value {
        let mut made = self.seen.lock();
        if let Some((_, value)) = made.iter().find(|(known, _)| known == seen) {
            return value.clone();
        }
        let mut review = review::question("v1", "", self.request, seen, Value::NULL, Value::NULL);
        let value = value_of(&Arc::new(review.remove("request").unwrap_or_default()));
        made.push((seen.clone(), value.clone()));
        value
    }
}

fn shown(namespace: &Value) -> cel::Value {
    let pick = |object: &Value, members: &[&str]| {
        let mut picked = Value::object();
        for member in members.iter().filter(|member| object.has(member)) {
            picked.set(member, object.at(member).clone());
        }
        picked
    };
    let mut told = pick(namespace, &["spec", "status"]);
    told.set("metadata", pick(namespace.at("metadata"), &METADATA));
    value_of(&Arc::new(told))
}
