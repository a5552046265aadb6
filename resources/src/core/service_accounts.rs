//! ServiceAccounts. Upstream: pkg/registry/core/serviceaccount.

use api::{Value, value};

use crate::{
    row::{AGE, Context, NAME, Row, Rules, Subresource, Version},
    strategy::stored,
};

const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

pub const SERVICE_ACCOUNT: Row = Row {
    kind: "ServiceAccount",
    finalizers_before_names: true,
    plural: "serviceaccounts",
    short_names: &["sa"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.ServiceAccount")],
    stored: stored("", "v1", "serviceaccounts"),
    subresources: &[Subresource::Create {
        name: "token",
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenRequest",
        schema: "io.k8s.api.authentication.v1.TokenRequest",
    }],
    columns: &[NAME, AGE],
    rules: Rules {
        prepare_create: |new, _| only_names(new),
        prepare_update: |new, _, _: &Context<'_>| only_names(new),
        warn,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

/// Of the secrets it lists only the names are kept. Upstream: `cleanSecretReferences`.
fn only_names(account: &mut Value) {
    for secret in account.get_mut("secrets").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = secret.str("name").to_string();
        *secret = if name.is_empty() { Value::object() } else { value!({"name": name}) };
    }
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let has = |account: &Value| api::meta::of(account).annotation(ENFORCE_MOUNTABLE).is_some();
    if !has(new) || old.is_some_and(has) {
        return Vec::new();
    }
    vec![format!(
        "metadata.annotations[{ENFORCE_MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_secrets_are_kept() {
        let mut account = value!({"secrets": [{"name": "a", "namespace": "b"}, {"kind": "Secret"}]});
        only_names(&mut account);
        assert_eq!(account, value!({"secrets": [{"name": "a"}, {}]}));
    }

    #[test]
    fn the_old_annotation_warns_once() {
        let account = value!({"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}});
        assert_eq!(warn(&account, None).len(), 1);
        assert!(warn(&account, Some(&account)).is_empty());
        assert!(warn(&value!({}), None).is_empty());
    }
}
