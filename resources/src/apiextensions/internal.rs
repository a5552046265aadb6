//! The form in which upstream judges a definition: what all versions share stands at the top, once.
//!
//! Errors name the places of this form (`spec.validation.openAPIV3Schema…`), so rules read it. Upstream:
//! pkg/apis/apiextensions/v1/conversion.go.

use api::Value;

use crate::checks;

const SHARED: [(&str, &str); 4] = [
    ("subresources", "subresources"),
    ("schema", "validation"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// The spec in that form: `version` and what is alike in all versions at the top, conversion taken apart.
pub fn spec(v1: &Value) -> Value {
    let mut spec = v1.clone();
    conversion(&mut spec);
    let Some(first) = v1.list("versions").first() else { return spec };
    spec.set("version", first.at("name"));
    for (member, top) in SHARED {
        if !v1.list("versions").iter().all(|v| checks::same(v.at(member), first.at(member))) {
            continue;
        }
        if first.has(member) {
            spec.set(top, first.at(member));
        }
        for version in spec.entry("versions").make_array() {
            version.remove(member);
        }
    }
    spec
}

fn conversion(spec: &mut Value) {
    let Some(webhook) = spec.get_mut("conversion").and_then(|c| c.remove("webhook")) else { return };
    let conversion = spec.entry("conversion");
    for (member, name) in
        [("clientConfig", "webhookClientConfig"), ("conversionReviewVersions", "conversionReviewVersions")]
    {
        if webhook.has(member) {
            conversion.set(name, webhook.at(member));
        }
    }
}
