//! Bootstrap tokens: secrets of kube-system with which machines join a cluster.
//!
//! Upstream: pkg/controller/bootstrap/util.go, cluster-bootstrap/util/secrets.

use api::Value;
use jiff::Timestamp;

use crate::secrets;

pub(crate) const NAMESPACE: &str = "kube-system";

/// When a token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Never,
    At(Timestamp),
    /// It has ended, or nobody can read when it does.
    Past,
}

pub(crate) fn is_token(secret: &Value) -> bool {
    secret.str("type") == "bootstrap.kubernetes.io/token" && api::meta::of(secret).namespace() == NAMESPACE
}

/// Upstream: GetExpiration.
pub(crate) fn end(secret: &Value, now: Timestamp) -> End {
    let text = secrets::data(secret, "expiration");
    if text.is_empty() {
        return End::Never;
    }
    match api::time::parse(&text) {
        Some(at) if at > now => End::At(at),
        _ => End::Past,
    }
}

/// The id and the secret of a token that may sign. Upstream: validateSecretForSigning.
pub(crate) fn for_signing(secret: &Value, now: Timestamp) -> Option<(String, String)> {
    let named = api::meta::of(secret).name().strip_prefix("bootstrap-token-")?;
    let is_id = named.len() == 6 && named.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let (id, text) = (secrets::data(secret, "token-id"), secrets::data(secret, "token-secret"));
    let may = secrets::data(secret, "usage-bootstrap-signing") == "true" && end(secret, now) != End::Past;
    (is_id && id == named && !text.is_empty() && may).then_some((id, text))
}
