//! Names of signers and of the trust bundles that belong to them.
//!
//! Upstream: pkg/apis/core/validation/names.go.

use api::{
    field::{Errors, Path, quote},
    names,
};

const DOMAIN_LEN_MAX: usize = names::DNS1123_SUBDOMAIN_LEN_MAX;
const PATH_LEN_MAX: usize = names::DNS1123_SUBDOMAIN_LEN_MAX + names::DNS1123_LABEL_LEN_MAX + 1;

/// Reserved by the Kubernetes project. Upstream: `IsKubernetesSignerName`.
pub fn is_kubernetes(name: &str) -> bool {
    let host = name.split_once('/').map_or(name, |(host, _)| host);
    host == "kubernetes.io" || host.ends_with(".kubernetes.io")
}

/// `example.com/signer`. Upstream: `ValidateSignerName`.
pub fn name(name: &str, at: &Path, errs: &mut Errors) {
    if name.is_empty() {
        return errs.required(at, "");
    }
    let segments: Vec<&str> = name.split('/').collect();
    let [domain, path] = segments[..] else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return errs.invalid(at, name, detail);
    };
    if domain.len() > DOMAIN_LEN_MAX {
        errs.too_long(at, DOMAIN_LEN_MAX as i64);
    }
    labels(domain, names::dns1123_label, at, errs);
    if !domain.contains('.') {
        errs.invalid(at, domain, "should be a domain with at least two segments separated by dots");
    }
    labels(path, names::dns1123_subdomain, at, errs);
    let max = DOMAIN_LEN_MAX + PATH_LEN_MAX + 1;
    if name.len() > max {
        errs.too_long(at, max as i64);
    }
}

/// What is wrong with the first part that is.
fn labels(segment: &str, rule: fn(&str) -> Vec<String>, at: &Path, errs: &mut Errors) {
    let Some((label, texts)) = segment.split('.').map(|l| (l, rule(l))).find(|(_, texts)| !texts.is_empty()) else {
        return;
    };
    for text in texts {
        errs.invalid(at, segment, format!("validating label {}: {text}", quote(label)));
    }
}

/// What is wrong with a trust bundle's name, whose signer it names before the last colon.
/// Upstream: `ValidateClusterTrustBundleName(extractSignerNameFromClusterTrustBundleName(name))`.
pub fn trust_bundle_name(name: &str) -> Vec<String> {
    let Some((head, own)) = name.rsplit_once(':') else { return names::dns1123_subdomain(name) };
    if head.is_empty() {
        return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".into()];
    }
    let prefix = format!("{}:", head.replace('/', ":"));
    if !name.starts_with(&prefix) {
        let signer = head.replace(':', "/");
        return vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")];
    }
    names::dns1123_subdomain(own)
}
