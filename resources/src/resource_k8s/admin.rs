//! Access to devices that others use is for namespaces that say so.
//!
//! Upstream: pkg/registry/resource/utils.go.

use api::{
    Value,
    field::{Errors, Path},
    meta,
};

use crate::row::Context;

const LABEL: &str = "resource.kubernetes.io/admin-access";

/// What a claim, or a template of claims, asks for. Upstream: `AuthorizedForAdmin`.
pub fn of_spec(spec: &Value, object: &Value, context: &Context<'_>) -> Errors {
    let asks = |request: &&Value| request.at("exactly").bool("adminAccess");
    let requests = spec.at("devices").list("requests");
    match requests.iter().position(|request| asks(&request)) {
        // A template's path is a claim's, too.
        Some(i) => authorized(Path::new("spec").child("devices").child("requests").index(i), object, context),
        None => Errors::new(),
    }
}

/// What was allocated for a claim. Upstream: `AuthorizedForAdminStatus`.
pub fn of_status(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let granted = |claim: &Value| {
        let results = claim.at_path(&["status", "allocation", "devices", "results"]);
        results.items().iter().position(|result| result.bool("adminAccess"))
    };
    match granted(new).filter(|_| granted(old).is_none()) {
        Some(i) => {
            let results = Path::new("status").child("allocation").child("devices").child("results");
            authorized(results.index(i), new, context)
        }
        None => Errors::new(),
    }
}

fn authorized(at: Path, object: &Value, context: &Context<'_>) -> Errors {
    let (at, mut errs) = (at.child("adminAccess"), Errors::new());
    let name = meta::of(object).namespace();
    match (context.find)("namespaces", "", name) {
        None => {
            let namespace = api::field::quote(name);
            errs.internal(
                &at,
                format!("could not retrieve namespace to verify admin access: namespaces {namespace} not found"),
            );
        }
        Some(namespace) if meta::of(&namespace).label(LABEL) != Some("true") => errs.forbidden(
            &at,
            format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace"),
        ),
        Some(_) => {}
    }
    errs
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn only_in_a_namespace_with_the_label() {
        let claim = value!({
            "metadata": {"namespace": "ns"},
            "spec": {"devices": {"requests": [{"exactly": {}}, {"exactly": {"adminAccess": true}}]}},
            "status": {"allocation": {"devices": {"results": [{"adminAccess": true}]}}}
        });
        let said = |label: Option<&str>, check: &dyn Fn(&Context<'_>) -> Errors| {
            let namespace =
                value!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": (label.unwrap_or(""))}}});
            let find = |resource: &str, _: &str, name: &str| {
                (label.is_some() && resource == "namespaces" && name == "ns").then(|| namespace.clone())
            };
            texts(&check(&Context { find: &find, ..context() }))
        };
        let spec = |context: &Context<'_>| of_spec(claim.at("spec"), &claim, context);
        assert_eq!(said(Some("true"), &spec), Vec::<String>::new());
        assert_eq!(
            said(Some("false"), &spec),
            [
                "spec.devices.requests[1].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace"
            ]
        );
        assert_eq!(
            said(None, &spec),
            [
                "spec.devices.requests[1].adminAccess: Internal error: could not retrieve namespace to verify admin access: namespaces \"ns\" not found"
            ]
        );
        let status = |context: &Context<'_>| of_status(&claim, Value::NULL, context);
        assert_eq!(said(Some(""), &status).len(), 1);
        assert!(said(Some(""), &|context| of_status(&claim, &claim, context)).is_empty());
    }
}
