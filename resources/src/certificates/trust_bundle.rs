//! ClusterTrustBundles: authorities to trust, for one signer or for none.

use std::collections::BTreeMap;

use api::{
    Value,
    field::{Errors, Path},
};
use certs::inspect;

use super::{BY_SIGNER, GROUP};
use crate::{
    cells, checks, names,
    pod::signer,
    row::{Context, NAME, Row, Rules, Version, column},
    strategy::stored,
};

const SIZE_MAX: usize = 1024 * 1024;

pub const ROW: Row = Row {
    group: GROUP,
    kind: "ClusterTrustBundle",
    plural: "clustertrustbundles",
    versions: &[
        Version::stable("v1", "io.k8s.api.certificates.v1.ClusterTrustBundle"),
        Version {
            lifecycle: (33, 37, 40),
            replacement: "certificates.k8s.io/v1 ClusterTrustBundle",
            ..Version::off("v1beta1", "io.k8s.api.certificates.v1beta1.ClusterTrustBundle")
        },
    ],
    stored: stored(GROUP, "v1beta1", "clustertrustbundles"),
    // The rule needs the signer: see `validate`.
    name_rule: |_, _| Vec::new(),
    name_in_object: wrong_name,
    unconditional_update: false,
    selectable: &[BY_SIGNER],
    columns: &[NAME, column("SignerName", "string", |b, _| cells::or_none(b.at("spec").str("signerName")))],
    rules: Rules { validate: |new, _| validate(new, true), validate_update, ..Rules::NONE },
    ..Row::CLUSTER
};

/// Upstream: `ValidateClusterTrustBundle`.
fn validate(bundle: &Value, parse: bool) -> Errors {
    let mut errs = Errors::new();
    let signer = bundle.at("spec").str("signerName");
    let at = Path::new("spec");
    if !signer.is_empty() {
        signer::name(signer, &at.child("signerName"), &mut errs);
    }
    if parse {
        trust_anchors(bundle.at("spec").str("trustBundle"), &at.child("trustBundle"), &mut errs);
    }
    errs
}

/// Upstream: core validation's `ValidateClusterTrustBundleName`.
fn wrong_name(bundle: &Value, name: &str, prefix: bool) -> Vec<String> {
    let signer = bundle.at("spec").str("signerName");
    if signer.is_empty() {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".into()];
        }
        return names::dns_subdomain(name, prefix);
    }
    let required = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&required) {
        Some(rest) => names::dns_subdomain(rest, prefix),
        None => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {required}")],
    }
}

/// Upstream: `validateTrustBundle`.
fn trust_anchors(pem: &str, at: &Path, errs: &mut Errors) {
    if pem.len() > SIZE_MAX {
        return errs.too_long(at, SIZE_MAX as i64);
    }
    let mut wrong = |text: String| errs.invalid(at, "<value omitted>", text);
    let mut anchors: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    let mut damaged = false;
    for (i, block) in inspect::blocks(pem.as_bytes()).into_iter().enumerate() {
        let text = match inspect::certificate(&block.der) {
            _ if block.label != "CERTIFICATE" => format!("has bad block type: {}", block.label),
            _ if block.has_headers => "has PEM block headers".into(),
            None => "does not parse as X.509".into(),
            Some(certificate) if !certificate.is_ca => "does not have the CA bit set".into(),
            Some(_) => {
                anchors.entry(block.der).or_default().push(i.to_string());
                continue;
            }
        };
        damaged = true;
        wrong(format!("entry {i} {text}"));
    }
    if damaged {
        return;
    }
    if anchors.is_empty() {
        wrong("at least one trust anchor must be provided".into());
    }
    for places in anchors.values().filter(|places| places.len() > 1) {
        wrong(format!("duplicate trust anchor (indices [{}])", places.join(" ")));
    }
}

/// A bundle that is not touched is not read again, so that a stricter parser does no harm.
fn validate_update(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let (is, was) = (new.at("spec"), old.at("spec"));
    let mut errs = validate(new, is.str("trustBundle") != was.str("trustBundle"));
    let at = Path::new("spec").child("signerName");
    if is.str("signerName") != was.str("signerName") {
        errs.invalid(&at, is.str("signerName"), checks::IMMUTABLE);
    }
    errs
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn the_name_starts_with_the_signer() {
        let bundle = value!({"metadata": {"name": "x"}, "spec": {"signerName": "a.b/c"}});
        assert_eq!(
            texts(&validate(&bundle, true)),
            ["spec.trustBundle: Invalid value: \"<value omitted>\": at least one trust anchor must be provided",]
        );
        let wrong = |name: &str| ROW.wrong_name(&bundle, name, false);
        assert_eq!(wrong("x"), ["ClusterTrustBundle for signerName a.b/c must be named with prefix a.b:c:"]);
        assert!(wrong("a.b:c:x").is_empty());
        assert_eq!(ROW.wrong_name(&value!({}), "a:b", false).len(), 1);
    }

    #[test]
    fn entries_are_authorities() {
        let text =
            "-----BEGIN A-----\nb25l\n-----END A-----\n-----BEGIN CERTIFICATE-----\nb25l\n-----END CERTIFICATE-----\n";
        let mut errs = Errors::new();
        trust_anchors(text, &Path::new("t"), &mut errs);
        assert_eq!(
            texts(&errs),
            [
                "t: Invalid value: \"<value omitted>\": entry 0 has bad block type: A",
                "t: Invalid value: \"<value omitted>\": entry 1 does not parse as X.509",
            ]
        );
    }

    #[test]
    fn the_signer_stays_and_an_old_bundle_is_not_read_again() {
        let old = value!({"metadata": {"name": "x"}, "spec": {"trustBundle": "old"}});
        assert!(validate_update(&old, &old, &context()).is_empty());
        let new = value!({"metadata": {"name": "a.b:c:x"}, "spec": {"trustBundle": "old", "signerName": "a.b/c"}});
        assert_eq!(
            texts(&validate_update(&new, &old, &context())),
            ["spec.signerName: Invalid value: \"a.b/c\": field is immutable"]
        );
    }
}
