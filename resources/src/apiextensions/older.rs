//! Definitions as upstream stores them: apiextensions.k8s.io/v1beta1, which nobody serves any more.
//!
//! What held for all versions then belongs to each of them now. Upstream: apiextensions-apiserver
//! pkg/apis/apiextensions/{v1beta1/defaults.go,v1/conversion.go}.

use api::Value;

/// Makes a v1 definition of one in v1beta1.
pub fn to_v1(definition: &mut Value) {
    definition.set("apiVersion", "apiextensions.k8s.io/v1");
    let spec = definition.entry("spec");
    spec.default("scope", "Namespaced");
    spec.default("preserveUnknownFields", true);
    let version = spec.remove("version").unwrap_or_default();
    if spec.list("versions").is_empty() && !version.is_null() {
        spec.set("versions", api::value!([{"name": version, "served": true, "storage": true}]));
    }
    let of_all = [
        ("subresources", spec.remove("subresources")),
        ("schema", spec.remove("validation")),
        ("additionalPrinterColumns", spec.remove("additionalPrinterColumns")),
        ("selectableFields", spec.remove("selectableFields")),
    ];
    for version in spec.entry("versions").make_array() {
        for (member, value) in &of_all {
            if let Some(value) = value {
                version.set(member, value.clone());
            }
        }
        if version.has("additionalPrinterColumns") {
            version.entry("additionalPrinterColumns").make_array().iter_mut().for_each(column);
        }
    }
    if spec.has("conversion") {
        conversion(spec.entry("conversion"));
    }
}

fn column(column: &mut Value) {
    if let Some(path) = column.remove("JSONPath") {
        column.set("jsonPath", path);
    }
}

fn conversion(conversion: &mut Value) {
    let moved = [("clientConfig", "webhookClientConfig"), ("conversionReviewVersions", "conversionReviewVersions")];
    for (now, before) in moved {
        if let Some(value) = conversion.remove(before) {
            conversion.set_path(&["webhook", now], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::to_v1;

    #[test]
    fn what_held_for_all_versions_belongs_to_each() {
        let mut old = value!({
            "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1beta1",
            "spec": {
                "group": "example.com", "version": "v1", "scope": "Namespaced", "preserveUnknownFields": false,
                "validation": {"openAPIV3Schema": {"type": "object"}},
                "additionalPrinterColumns": [{"name": "A", "type": "string", "JSONPath": ".spec.a"}],
                "versions": [{"name": "v1", "served": true, "storage": true}, {"name": "v2", "served": true, "storage": false}],
                "conversion": {
                    "strategy": "Webhook", "conversionReviewVersions": ["v1"],
                    "webhookClientConfig": {"url": "https://example.com"}
                }
            }
        });
        to_v1(&mut old);
        assert_eq!(old.str("apiVersion"), "apiextensions.k8s.io/v1");
        let spec = old.at("spec");
        assert!(!spec.has("version") && !spec.has("validation") && !spec.has("additionalPrinterColumns"));
        for version in spec.list("versions") {
            assert_eq!(version.at_path(&["schema", "openAPIV3Schema"]).str("type"), "object");
            assert_eq!(version.list("additionalPrinterColumns")[0].str("jsonPath"), ".spec.a");
        }
        let webhook = spec.at_path(&["conversion", "webhook"]);
        assert_eq!(webhook.at("clientConfig").str("url"), "https://example.com");
        assert_eq!(webhook.list("conversionReviewVersions").len(), 1);
    }

    #[test]
    fn a_single_version_becomes_the_only_one() {
        let mut old = value!({"spec": {"version": "v1alpha1"}});
        to_v1(&mut old);
        let versions = old.at("spec").list("versions");
        assert_eq!(versions.len(), 1);
        assert_eq!((versions[0].str("name"), versions[0].bool("storage")), ("v1alpha1", true));
        // Then unknown fields were kept unless one said otherwise.
        assert!(old.at("spec").bool("preserveUnknownFields"));
    }
}
