//! Certificate requests as their controllers read them: conditions, and the requests inside.
//!
//! Upstream: pkg/controller/certificates/certificate_controller_utils.go, pkg/apis/certificates/helpers.go.

use api::Value;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use certs::Request;

pub(crate) const REQUESTS: &str = "certificates.k8s.io/v1/certificatesigningrequests";
pub(crate) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// Whether it has a condition of this type, whatever that says.
pub(crate) fn has(csr: &Value, kind: &str) -> bool {
    crate::conditions::find(csr.at("status"), kind).is_some()
}

/// Upstream: HasTrueCondition: one that says nothing counts as true.
pub(crate) fn is_true(csr: &Value, kind: &str) -> bool {
    let conditions = csr.at("status").list("conditions").iter();
    conditions.filter(|c| c.str("type") == kind).any(|c| matches!(c.str("status"), "" | "True"))
}

pub(crate) fn is_issued(csr: &Value) -> bool {
    !csr.at("status").str("certificate").is_empty()
}

pub(crate) fn usages(csr: &Value) -> Vec<&str> {
    csr.at("spec").list("usages").iter().filter_map(Value::as_str).collect()
}

/// The PEM text within; upstream: ParseCSR.
pub(crate) fn read(csr: &Value) -> Result<Request, String> {
    let why = |why: String| format!("unable to parse csr {:?}: {why}", api::meta::of(csr).name());
    let text = STANDARD.decode(csr.at("spec").str("request")).map_err(|e| why(e.to_string()))?;
    Request::from_pem(&text).map_err(|e| why(e.to_string()))
}

/// Adds a condition at the end.
pub(crate) fn with_condition(csr: &Value, condition: Value) -> Value {
    let mut new = csr.clone();
    new.entry("status").entry("conditions").make_array().push(condition);
    new
}

/// What a node's client certificate may be asked for with. Upstream: ValidateKubeletClientCSR.
pub(crate) fn check_kubelet_client(request: &Request, usages: &[&str]) -> Result<(), String> {
    check_organization(request)?;
    let names = [
        (request.dns_names.is_empty(), "DNS subjectAltNames are not allowed"),
        (request.email_addresses.is_empty(), "Email subjectAltNames are not allowed"),
        (request.addresses.is_empty(), "IP subjectAltNames are not allowed"),
        (request.uris.is_empty(), "URI subjectAltNames are not allowed"),
    ];
    refuse(&names)?;
    check_common_name(request)?;
    check_usages(usages, ["client auth", "digital signature", "key encipherment"])
}

/// What a node's serving certificate may be asked for with. Upstream: ValidateKubeletServingCSR.
pub(crate) fn check_kubelet_serving(request: &Request, usages: &[&str]) -> Result<(), String> {
    check_organization(request)?;
    let names = [
        (!request.dns_names.is_empty() || !request.addresses.is_empty(), "DNS or IP subjectAltName is required"),
        (request.email_addresses.is_empty(), "Email subjectAltNames are not allowed"),
        (request.uris.is_empty(), "URI subjectAltNames are not allowed"),
    ];
    refuse(&names)?;
    check_usages(usages, ["digital signature", "key encipherment", "server auth"])?;
    check_common_name(request)
}

fn refuse(rules: &[(bool, &str)]) -> Result<(), String> {
    rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err((*why).to_owned()))
}

fn check_organization(request: &Request) -> Result<(), String> {
    refuse(&[(request.organizations == ["system:nodes"], "subject organization is not system:nodes")])
}

fn check_common_name(request: &Request) -> Result<(), String> {
    let fits = request.common_name.starts_with("system:node:");
    refuse(&[(fits, "subject common name does not begin with system:node:")])
}

/// Exactly these; keys that are not RSA's have no use for encipherment.
fn check_usages(usages: &[&str], wanted: [&str; 3]) -> Result<(), String> {
    let known = usages.iter().all(|u| wanted.contains(u));
    let needed = wanted.iter().filter(|w| **w != "key encipherment").all(|w| usages.contains(w));
    if known && needed { Ok(()) } else { Err(format!("usages did not match [{}]", wanted.join(" "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str) -> Request {
        let file: Value = yaml_serde::from_str(include_str!("../cases/csr_requests.yaml")).expect("it is YAML");
        read(&api::value!({"spec": {"request": file.str(name)}})).expect("it can be read")
    }

    #[test]
    fn nodes_ask_in_one_way_for_clients() {
        let usages = ["digital signature", "client auth"];
        assert_eq!(check_kubelet_client(&request("node"), &usages), Ok(()));
        let why = |name: &str, usages: &[&str]| check_kubelet_client(&request(name), usages).expect_err("it is wrong");
        assert_eq!(
            why("node", &["client auth"]),
            "usages did not match [client auth digital signature key encipherment]"
        );
        assert_eq!(why("node_serving", &usages), "DNS subjectAltNames are not allowed");
        assert_eq!(why("user", &usages), "subject organization is not system:nodes");
    }

    #[test]
    fn nodes_ask_in_one_way_for_servers() {
        let usages = ["server auth", "key encipherment", "digital signature"];
        assert_eq!(check_kubelet_serving(&request("node_serving"), &usages), Ok(()));
        let why = |name: &str, usages: &[&str]| check_kubelet_serving(&request(name), usages).expect_err("it is wrong");
        assert_eq!(why("node", &usages), "DNS or IP subjectAltName is required");
        assert_eq!(
            why("node_serving", &["server auth", "client auth"]),
            "usages did not match [digital signature key encipherment server auth]"
        );
    }
}
