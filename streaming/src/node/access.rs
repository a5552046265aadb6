//! Who asks, and may they: each path stands for subresources of the node, and one of them that is allowed is enough.
//!
//! Upstream: pkg/kubelet/server/auth.go GetRequestAttributes, server.go InstallAuthFilter.

use http::{Method, Request, Response, StatusCode};
use rustls::pki_types::CertificateDer;

use super::{Body, Gate, text};

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: Vec<(String, Vec<String>)>,
}

/// Lets a request in, or says why not.
pub async fn admit<B>(
    gate: &dyn Gate,
    certificates: &[CertificateDer<'static>],
    request: &Request<B>,
) -> Result<(), Response<Body>> {
    let unknown = || text(StatusCode::UNAUTHORIZED, "Unauthorized");
    let caller = match gate.authenticate(certificates, request.headers()).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return Err(unknown()),
        Err(error) => {
            tracing::warn!(error, "a request could not be authenticated");
            return Err(unknown());
        }
    };
    let (verb, path) = (verb(request.method()), request.uri().path());
    let wanted = subresources(path);
    for subresource in &wanted {
        let about = || format!("user={}, verb={verb}, resource=nodes, subresource", caller.name);
        match gate.authorize(&caller, verb, subresource, path).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error, "a request could not be authorized");
                let why = format!("Authorization error ({}={subresource})", about());
                return Err(text(StatusCode::INTERNAL_SERVER_ERROR, why));
            }
        }
    }
    let why = format!(
        "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
        caller.name,
        wanted.join(" ")
    );
    Err(text(StatusCode::FORBIDDEN, why))
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The subresources that a path stands for, the narrow one first.
pub fn subresources(path: &str) -> Vec<&'static str> {
    let is = |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    let mut all = Vec::new();
    for (root, narrow) in [
        ("/allocatedPods", "pods"),
        ("/pods", "pods"),
        ("/healthz", "healthz"),
        ("/configz", "configz"),
        ("/runningpods", "pods"),
    ] {
        if is(root) {
            all.push(narrow);
        }
    }
    let wide = [
        ("/stats", "stats"),
        ("/metrics", "metrics"),
        ("/logs", "log"),
        ("/checkpoint", "checkpoint"),
        ("/statusz", "statusz"),
        ("/flagz", "configz"),
    ];
    all.push(wide.iter().find(|(root, _)| is(root)).map_or("proxy", |(_, name)| name));
    all
}
