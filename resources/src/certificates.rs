//! certificates.k8s.io: asking for certificates, and whom to trust.
//!
//! Who may approve and sign is judged by admission, with the authorizer at hand. Upstream: pkg/apis/certificates,
//! pkg/registry/certificates.

mod pod_certificate;
mod request;
mod trust_bundle;

use api::{
    Value,
    field::{Errors, Path, quote},
    names,
};
use base64::Engine as _;

use crate::row::{Row, Selectable, TypeDefault};

const GROUP: &str = "certificates.k8s.io";
const BY_SIGNER: Selectable = Selectable { label: "spec.signerName", value: |o| o.at("spec").str("signerName").into() };

pub const ROWS: &[Row] = &[request::ROW, trust_bundle::ROW, pod_certificate::ROW];
pub const DEFAULTS: &[TypeDefault] = &[];

/// The bytes of a `[]byte` member, none when it is missing.
fn bytes(of: &Value, member: &str) -> Vec<u8> {
    // The schema has decoded it already, so that it is base64.
    base64::engine::general_purpose::STANDARD.decode(of.str(member)).unwrap_or_default()
}

/// Upstream: core validation's `ValidateSignerName`.
fn signer_name(name: &str, at: &Path, errs: &mut Errors) {
    if name.is_empty() {
        return errs.required(at, "");
    }
    let segments: Vec<&str> = name.split('/').collect();
    let [domain, path] = segments.as_slice() else {
        let text = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return errs.invalid(at, name, text);
    };
    if domain.len() > 253 {
        errs.too_long(at, 253);
    }
    first_wrong_label(domain, names::dns1123_label, at, errs);
    if !domain.contains('.') {
        errs.invalid(at, *domain, "should be a domain with at least two segments separated by dots");
    }
    first_wrong_label(path, names::dns1123_subdomain, at, errs);
    let longest = 253 + (253 + 63 + 1) + 1;
    if name.len() > longest {
        errs.too_long(at, longest as i64);
    }
}

fn first_wrong_label(segment: &str, rule: fn(&str) -> Vec<String>, at: &Path, errs: &mut Errors) {
    let wrong = segment.split('.').map(|label| (label, rule(label))).find(|(_, texts)| !texts.is_empty());
    for (label, text) in wrong.iter().flat_map(|(label, texts)| texts.iter().map(move |text| (label, text))) {
        errs.invalid(at, segment, format!("validating label {}: {text}", quote(label)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;

    #[test]
    fn a_signer_is_a_domain_and_a_path() {
        let cases = [
            ("example.com/a.b", None),
            ("", Some("s: Required value")),
            ("a", Some("s: Invalid value: \"a\": must be a fully qualified domain and path of the form 'example.com/signer-name'")),
            ("com/a", Some("s: Invalid value: \"com\": should be a domain with at least two segments separated by dots")),
        ];
        for (name, wrong) in cases {
            let mut errs = Errors::new();
            signer_name(name, &Path::new("s"), &mut errs);
            assert_eq!(texts(&errs), wrong.into_iter().collect::<Vec<_>>(), "{name}");
        }
        let mut errs = Errors::new();
        signer_name("A.com/b", &Path::new("s"), &mut errs);
        assert!(texts(&errs)[0].starts_with("s: Invalid value: \"A.com\": validating label \"A\": a lowercase RFC 1123"));
    }
}
