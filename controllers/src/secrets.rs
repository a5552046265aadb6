//! Secrets as controllers read them: their data, and which of them a pod names.

use api::Value;
use base64::{Engine as _, engine::general_purpose::STANDARD};

pub(crate) const SECRETS: &str = "v1/secrets";
pub(crate) const ACCOUNTS: &str = "v1/serviceaccounts";
pub(crate) const TOKEN: &str = "kubernetes.io/service-account-token";
pub(crate) const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
pub(crate) const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// What stands under a key; nothing when that is no text. Upstream: cluster-bootstrap GetData.
pub(crate) fn data(secret: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(secret.at("data").str(key)).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

pub(crate) fn set_data(secret: &mut Value, key: &str, text: &str) {
    secret.set_path(&["data", key], STANDARD.encode(text));
}

/// Whether a service account lists a secret of this name.
pub(crate) fn lists(account: &Value, name: &str) -> bool {
    account.list("secrets").iter().any(|s| s.str("name") == name)
}
