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
        assert_eq!(request("node").check_kubelet_client(&usages), Ok(()));
        let why = |name: &str, usages: &[&str]| request(name).check_kubelet_client(usages).expect_err("it is wrong");
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
        assert_eq!(request("node_serving").check_kubelet_serving(&usages), Ok(()));
        let why = |name: &str, usages: &[&str]| request(name).check_kubelet_serving(usages).expect_err("it is wrong");
        assert_eq!(why("node", &usages), "DNS or IP subjectAltName is required");
        assert_eq!(
            why("node_serving", &["server auth", "client auth"]),
            "usages did not match [digital signature key encipherment server auth]"
        );
    }
}
