//! Nothing new in namespaces that are not there or on their way out; three namespaces stay.
//!
//! A namespace whose deletion passed here is looked up in the store for half a minute: another server's copy may not
//! show it yet. Upstream: apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go.

use std::{collections::VecDeque, sync::Arc};

use api::{GroupResource, Reason, Status, status::Cause};
use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{Cluster, Operation, Plugin, Request};

pub struct NamespaceLifecycle {
    /// Namespaces and until when (seconds since the epoch) memory is not trusted about them; the oldest first.
    doubted: Mutex<VecDeque<(String, i64)>>,
}

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
const DOUBT_SECONDS: i64 = 30;
const DOUBTED_MAX: usize = 100;

impl NamespaceLifecycle {
    pub fn new() -> NamespaceLifecycle {
        NamespaceLifecycle { doubted: Mutex::default() }
    }

    fn doubt(&self, name: &str, now: i64) {
        let mut doubted = self.doubted.lock();
        doubted.retain(|(n, until)| n != name && *until > now);
        if doubted.len() >= DOUBTED_MAX {
            doubted.pop_front();
        }
        doubted.push_back((name.into(), now + DOUBT_SECONDS));
    }

    fn is_doubted(&self, name: &str, now: i64) -> bool {
        self.doubted.lock().iter().any(|(n, until)| n == name && *until > now)
    }
}

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let now = cluster.clock.now().as_second();
        let about_namespace = request.kind.group.is_empty() && request.kind.kind == "Namespace";
        if about_namespace {
            if request.operation != Operation::Delete {
                return Ok(());
            }
            if IMMORTAL.contains(&request.name) {
                return Err(Status::forbidden(request.resource, request.name, "this namespace may not be deleted"));
            }
            self.doubt(request.name, now);
            return Ok(());
        }
        if request.namespace.is_empty() || request.operation != Operation::Create || is_access_review(request.resource)
        {
            return Ok(());
        }
        let namespaces = GroupResource::new("", "namespaces");
        let found = cluster.look.shared(&namespaces, "", request.namespace);
        let found = match found {
            Some(found) if found.at("status").str("phase") != "Active" || !self.is_doubted(request.namespace, now) => {
                Some(found)
            }
            _ => {
                let live = cluster.look.get_live(&namespaces, "", request.namespace).await;
                live.map_err(Status::internal)?.map(Arc::new)
            }
        };
        match found {
            None => Err(Status::not_found(&namespaces, request.namespace)),
            Some(namespace) if namespace.at("status").str("phase") == "Terminating" => Err(terminating(request)),
            Some(_) => Ok(()),
        }
    }
}

/// Who reviews access must not learn which namespaces there are.
fn is_access_review(resource: &GroupResource) -> bool {
    resource.group == "authorization.k8s.io" && resource.resource == "localsubjectaccessreviews"
}

fn terminating(request: &Request<'_>) -> Status {
    let namespace = request.namespace;
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let error = request.forbid(why);
    debug_assert!(error.is(Reason::Forbidden));
    error.with_cause(Cause {
        kind: "NamespaceTerminating".into(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".into(),
    })
}

#[cfg(test)]
mod tests {
    use api::{Value, value};

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden, create_pod};

    fn namespace(name: &str, phase: &str) -> Value {
        value!({"metadata": {"name": name}, "status": {"phase": phase}})
    }

    #[test]
    fn three_namespaces_stay() {
        let (plugin, world) = (NamespaceLifecycle::new(), World::new());
        for name in IMMORTAL {
            let error = Ask::delete("namespaces", "Namespace", namespace(name, "Active")).mutate(&plugin, &world);
            assert_forbidden(error, "this namespace may not be deleted");
        }
        assert!(Ask::delete("namespaces", "Namespace", namespace("ns", "Active")).mutate(&plugin, &world).is_ok());
        assert!(Ask::create("namespaces", "Namespace", namespace("default", "")).mutate(&plugin, &world).is_ok());
    }

    #[test]
    fn a_missing_namespace_takes_nothing() {
        let (plugin, world) = (NamespaceLifecycle::new(), World::new());
        let error = create_pod(value!({})).mutate(&plugin, &world).expect_err("there is no namespace");
        assert_eq!((error.code(), error.message()), (404, "namespaces \"ns\" not found"));
        let world = world.with_live("namespaces", namespace("ns", "Active"));
        assert!(create_pod(value!({})).mutate(&plugin, &world).is_ok());
    }

    #[test]
    fn a_terminating_namespace_takes_nothing_new() {
        let plugin = NamespaceLifecycle::new();
        let world = World::new().with("namespaces", namespace("ns", "Terminating"));
        let error = create_pod(value!({})).mutate(&plugin, &world).expect_err("it is terminating");
        assert_eq!(
            error.message(),
            "pods \"p\" is forbidden: unable to create new content in namespace ns because it is being terminated"
        );
        let causes = error.failure().details.clone().expect("forbidden has details").causes;
        assert_eq!((causes[0].kind.as_str(), causes[0].field.as_str()), ("NamespaceTerminating", "metadata.namespace"));
        assert_eq!(causes[0].message, "namespace ns is being terminated");
        let pod = crate::fake::pod(value!({}));
        assert!(Ask::update("pods", "Pod", pod.clone(), pod.clone()).mutate(&plugin, &world).is_ok());
        assert!(Ask::delete("pods", "Pod", pod).mutate(&plugin, &world).is_ok());
        let review = value!({"metadata": {"namespace": "ns"}});
        let review = Ask::create("localsubjectaccessreviews.authorization.k8s.io", "LocalSubjectAccessReview", review);
        assert!(review.mutate(&plugin, &world).is_ok());
    }

    #[test]
    fn memory_is_doubted_for_a_while_after_a_deletion() {
        let plugin = NamespaceLifecycle::new();
        let world = World::new()
            .with("namespaces", namespace("ns", "Active"))
            .with_live("namespaces", namespace("ns", "Terminating"));
        assert!(create_pod(value!({})).mutate(&plugin, &world).is_ok());
        Ask::delete("namespaces", "Namespace", namespace("ns", "Active")).mutate(&plugin, &world).expect("it may go");
        assert!(create_pod(value!({})).mutate(&plugin, &world).is_err());
        world.pass(DOUBT_SECONDS);
        assert!(create_pod(value!({})).mutate(&plugin, &world).is_ok());
    }
}
