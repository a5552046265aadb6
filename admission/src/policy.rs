//! Policies of users, in expressions: which of them concern a request, with which parameters, and what they say of it.
//!
//! A policy is compiled once, and its bindings tell where it holds ([`Policies`]). Each parameter of a binding that concerns a
//! request is one [`Invocation`]: [`validator`] says what it comes to, [`mutator`] what it would change. Policies do not see
//! policies, or one could keep everybody from taking it away. Upstream: apiserver/pkg/admission/plugin/policy.

mod mutator;
mod params;
mod source;
#[cfg(test)]
mod tests;
mod validator;

use std::sync::Arc;

use api::{GroupResource, Status, Value};

use crate::{Cluster, Request, matching::Seen};

pub(crate) use mutator::{Mutator, Patch};
pub(crate) use source::{Binding, Bound, Evaluator, Policies, Policy};
pub(crate) use validator::{Audit, Decision, Validator};

/// A policy that is to be evaluated for a request.
pub(crate) struct Invocation<'a, E> {
    pub policy: &'a Policy<E>,
    pub binding: &'a Binding,
    /// As what the policy sees the request.
    pub seen: Seen,
    pub params: Option<Arc<Value>>,
}

/// A policy or a binding that could not be asked whether it concerns a request.
pub(crate) struct Misconfigured<'a, E> {
    pub policy: &'a Policy<E>,
    /// None: the policy itself is wrong.
    pub binding: Option<&'a Binding>,
    /// Upstream's text.
    pub why: String,
}

/// What concerns a request, in order.
pub(crate) type Concerned<'a, E> = Vec<Result<Invocation<'a, E>, Misconfigured<'a, E>>>;

/// Upstream: policyDispatcher.Dispatch.
pub(crate) async fn concerned<'a, E>(
    bound: &'a [Bound<E>],
    request: &Request<'_>,
    cluster: &Cluster,
) -> Concerned<'a, E> {
    let mut found = Vec::new();
    for Bound { policy, bindings } in bound {
        let policy = &**policy;
        let wrong =
            |why: &str| Err(Misconfigured { policy, binding: None, why: format!("failed to configure policy: {why}") });
        let seen = match policy.criteria.wants(request, &request.object, cluster).await {
            Ok(Some(seen)) => seen,
            Ok(None) => continue,
            Err(status) => {
                found.push(wrong(status.message()));
                continue;
            }
        };
        if let Some(Err(why)) = policy.params.as_ref().map(|kind| kind.served(cluster)) {
            found.push(wrong(&why));
            continue;
        }
        for binding in bindings {
            match params_of(policy, binding, request, cluster).await {
                Ok(params) => {
                    let invocation = |params| Ok(Invocation { policy, binding, seen: seen.clone(), params });
                    found.extend(params.into_iter().map(invocation));
                }
                Err(why) => {
                    let why = format!("failed to configure binding: {why}");
                    found.push(Err(Misconfigured { policy, binding: Some(binding), why }));
                }
            }
        }
    }
    found
}

/// The parameters of each evaluation for a binding; none when it does not concern the request.
async fn params_of<E>(
    policy: &Policy<E>,
    binding: &Binding,
    request: &Request<'_>,
    cluster: &Cluster,
) -> Result<Vec<Option<Arc<Value>>>, String> {
    if let Some(criteria) = &binding.criteria {
        let wanted = criteria.wants(request, &request.object, cluster).await;
        if wanted.map_err(|status| status.message().to_owned())?.is_none() {
            return Ok(Vec::new());
        }
    }
    params::collect(policy.params.as_ref(), binding.params.as_ref(), request, cluster).await
}

/// The namespace of a request, which expressions are told of. A namespace itself has none.
pub(crate) async fn namespace_of(request: &Request<'_>, cluster: &Cluster) -> Result<Option<Arc<Value>>, Status> {
    let kind = request.kind;
    let is_namespace = kind.group.is_empty() && kind.version == "v1" && kind.kind == "Namespace";
    let name = request.namespace_known();
    if is_namespace || name.is_empty() {
        return Ok(None);
    }
    match cluster.find("", "namespaces", "", name).await? {
        Some(namespace) => Ok(Some(namespace)),
        None => Err(Status::not_found(&GroupResource::new("", "namespaces"), name)),
    }
}
