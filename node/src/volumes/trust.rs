//! Trust anchors out of ClusterTrustBundles. Upstream: pkg/kubelet/clustertrustbundle.

use std::{collections::BTreeSet, sync::Arc};

use api::{Value, selector::Selector};
use base64::{Engine, engine::general_purpose::STANDARD};
use certs::inspect;

use crate::objects::{Objects, TRUST_BUNDLE};

const SELECTOR_LEN_MAX: usize = 100 * 1024;
const LINE_LEN: usize = 64;

/// The anchors that a `clusterTrustBundle` source asks for, as one PEM text.
pub async fn anchors(objects: &dyn Objects, source: &Value) -> Result<Vec<u8>, String> {
    let optional = source.bool("optional");
    if let Some(name) = source.opt_str("name") {
        return match objects.get(TRUST_BUNDLE, "", name).await {
            Ok(bundle) => Ok(merged(&[bundle])),
            Err(error) if error.is_not_found() && optional => Ok(Vec::new()),
            Err(error) => Err(format!("while getting ClusterTrustBundle: {error}")),
        };
    }
    let Some(signer) = source.opt_str("signerName") else {
        return Err("ClusterTrustBundle projection requires either name or signerName to be set".into());
    };
    let selector = match source.at("labelSelector") {
        // Not saying any chooses nothing, an empty one everything.
        Value::Null => Selector::nothing(),
        said => Selector::from_label_selector(said).map_err(|why| format!("while parsing label selector: {why}"))?,
    };
    let len = selector.to_string().len();
    if len > SELECTOR_LEN_MAX {
        return Err(format!("label selector length ({len}) is larger than {SELECTOR_LEN_MAX}"));
    }
    let all = objects.list(TRUST_BUNDLE, "").await.map_err(|error| error.to_string())?;
    let of_signer = |bundle: &Arc<Value>| {
        bundle.at("spec").str("signerName") == signer && selector.matches(bundle.at_path(&["metadata", "labels"]))
    };
    let chosen: Vec<_> = all.into_iter().filter(of_signer).collect();
    match chosen.is_empty() {
        false => Ok(merged(&chosen)),
        true if optional => Ok(Vec::new()),
        true => Err("combination of signerName and labelSelector matched zero ClusterTrustBundles".into()),
    }
}

/// Every certificate once. Their order means nothing, and is the same each time so that files do not change for nothing.
fn merged(bundles: &[Arc<Value>]) -> Vec<u8> {
    let texts = bundles.iter().map(|bundle| bundle.at("spec").str("trustBundle"));
    let all: BTreeSet<Vec<u8>> = texts.flat_map(|text| certificates(text.as_bytes())).collect();
    encoded(all).into_bytes()
}

/// What stands in the blocks of a PEM text.
pub fn certificates(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    inspect::blocks(text).into_iter().map(|block| block.der)
}

/// Certificates as PEM, with nothing beside them.
pub fn encoded(certificates: impl IntoIterator<Item = Vec<u8>>) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----");
        for line in STANDARD.encode(certificate).as_bytes().chunks(LINE_LEN) {
            pem.push('\n');
            pem.push_str(&String::from_utf8_lossy(line));
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    pem
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::stored::Stored;
    use api::value;

    fn pem(bytes: &[u8]) -> String {
        encoded([bytes.to_vec()])
    }

    fn stored() -> Arc<Stored> {
        let stored = Stored::new();
        let put = |name: &str, signer: &str, label: &str, text: String| {
            let bundle =
                value!({"metadata": {"labels": {"l": label}}, "spec": {"signerName": signer, "trustBundle": text}});
            stored.put(TRUST_BUNDLE, "", name, bundle);
        };
        put("a", "s", "1", format!("a comment\n{}{}", pem(b"two"), pem(b"one")));
        put("b", "s", "2", pem(b"one"));
        put("c", "t", "1", pem(b"three"));
        stored
    }

    async fn of(source: Value) -> Result<String, String> {
        anchors(&*stored(), &source).await.map(|pem| String::from_utf8(pem).expect("is text"))
    }

    #[tokio::test]
    async fn by_name_or_by_signer_each_certificate_is_there_once() {
        let both = format!("{}{}", pem(b"one"), pem(b"two"));
        assert_eq!(of(value!({"name": "a"})).await, Ok(both.clone()));
        assert_eq!(of(value!({"signerName": "s", "labelSelector": {}})).await, Ok(both));
        let chosen = value!({"signerName": "s", "labelSelector": {"matchLabels": {"l": "2"}}});
        assert_eq!(of(chosen).await, Ok(pem(b"one")));
    }

    #[tokio::test]
    async fn nothing_is_an_error_unless_it_is_optional() {
        let none = "combination of signerName and labelSelector matched zero ClusterTrustBundles";
        assert_eq!(of(value!({"signerName": "s"})).await, Err(none.into()));
        assert_eq!(of(value!({"signerName": "s", "optional": true})).await, Ok(String::new()));
        assert_eq!(of(value!({"name": "z", "optional": true})).await, Ok(String::new()));
        assert!(
            of(value!({"name": "z"})).await.is_err_and(|why| why.starts_with("while getting ClusterTrustBundle: "))
        );
        assert!(of(value!({})).await.is_err());
    }
}
