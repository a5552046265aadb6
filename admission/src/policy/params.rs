//! The objects that a policy takes as its parameters.
//!
//! Upstream: plugin/policy/generic/policy_dispatcher.go CollectParams.

use std::sync::Arc;

use api::{GroupVersion, Gvk, Value, meta, selector::Selector};

use crate::{Cluster, Mapped, Request};

/// The kind of a policy's parameters.
pub(crate) struct ParamKind(Gvk);

/// Which objects of the kind are meant.
pub(crate) struct ParamRef {
    name: String,
    /// `""`: the request's.
    namespace: String,
    selector: Option<Result<Selector, String>>,
    /// Without parameters the request is refused, not let through.
    required: bool,
}

// === impl ParamKind ===

impl ParamKind {
    pub fn read(kind: &Value) -> ParamKind {
        let GroupVersion { group, version } = GroupVersion::parse(kind.str("apiVersion")).unwrap_or_default();
        ParamKind(Gvk::new(group, version, kind.str("kind")))
    }

    /// Who serves the kind now: a definition comes, goes and comes back otherwise. The error is upstream's text.
    pub fn served(&self, cluster: &Cluster) -> Result<Mapped, String> {
        let found = cluster.look.resources_of(&self.0).into_iter().next();
        found.ok_or_else(|| format!("failed to find resource referenced by paramKind: '{}'", self.0))
    }
}

// === impl ParamRef ===

impl ParamRef {
    pub fn read(reference: &Value) -> ParamRef {
        let selector = reference.has("selector").then(|| Selector::from_label_selector(reference.at("selector")));
        ParamRef {
            name: reference.str("name").into(),
            namespace: reference.str("namespace").into(),
            selector,
            required: reference.str("parameterNotFoundAction") == "Deny",
        }
    }

    /// The namespace to look in, `""` for a kind of the cluster.
    fn namespace<'a>(&'a self, served: &Mapped, request: &'a Request<'_>) -> Result<&'a str, String> {
        match (served.namespaced, self.namespace.as_str()) {
            (false, "") => Ok(""),
            (false, _) => Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into()),
            (true, "") => match request.namespace_known() {
                "" => {
                    Err("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".into())
                }
                own => Ok(own),
            },
            (true, named) => Ok(named),
        }
    }

    async fn find(&self, served: &Mapped, request: &Request<'_>, cluster: &Cluster) -> Result<Vec<Arc<Value>>, String> {
        let (resource, namespace) = (&served.resource, self.namespace(served, request)?);
        match (self.name.as_str(), &self.selector) {
            ("", None) => Err("one of name or selector must be provided".into()),
            ("", Some(selector)) => {
                let selector = selector.as_ref().map_err(Clone::clone)?;
                let listed = cluster.look.list(resource, namespace).into_iter();
                Ok(listed.filter(|object| selector.matches(meta::of(object).labels())).map(Arc::new).collect())
            }
            (_, Some(_)) => Err("paramRef.name and paramRef.selector are mutually exclusive".into()),
            (name, None) => {
                let found = cluster.find(&resource.group, &resource.resource, namespace, name).await;
                Ok(found.map_err(|status| status.to_string())?.into_iter().collect())
            }
        }
    }
}

/// The parameters of a policy's binding for a request: a single nothing where it takes none, and none where there are none and
/// that is allowed. The error is upstream's text.
pub(crate) async fn collect(
    kind: Option<&ParamKind>,
    reference: Option<&ParamRef>,
    request: &Request<'_>,
    cluster: &Cluster,
) -> Result<Vec<Option<Arc<Value>>>, String> {
    let (Some(kind), Some(reference)) = (kind, reference) else { return Ok(vec![None]) };
    let found = reference.find(&kind.served(cluster)?, request, cluster).await?;
    if found.is_empty() && reference.required {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".into());
    }
    let mut params = Vec::with_capacity(found.len());
    for object in found {
        let object = match meta::gvk(&object) == kind.0 {
            true => object,
            false => {
                let shown = cluster.look.in_version(request, &object, &kind.0).await;
                Arc::new(shown.map_err(|status| status.to_string())?)
            }
        };
        params.push(Some(object));
    }
    Ok(params)
}
