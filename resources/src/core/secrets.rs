//! Secrets and their types. Upstream: `ValidateSecret`, pkg/registry/core/secret.

mod json;
mod pem;

use api::{
    Value,
    field::{Errors, Path},
    names,
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::config::{DATA_BYTES_MAX, kept_immutable, len};
use crate::{
    checks,
    row::{AGE, Context, NAME, Row, Rules, Selectable, TypeDefault, Version, column},
    strategy::{keep, stored, text},
};

const REDACTED: &str = "<secret contents redacted>";
const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

pub const SECRET: Row = Row {
    kind: "Secret",
    finalizers_before_names: true,
    plural: "secrets",
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.Secret")],
    stored: stored("", "v1", "secrets"),
    columns: &[
        NAME,
        column("Type", "string", |o, _| text(o, &["type"])),
        column("Data", "string", |o, _| len(o.at("data")).into()),
        AGE,
    ],
    selectable: &[Selectable { label: "type", value: |o| o.str("type").into() }],
    rules: Rules { prepare_update, validate, validate_update, warn: |new, _| warn(new), ..Rules::NONE },
    ..Row::NAMESPACED
};

pub const DEFAULT: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.Secret", run: default };

/// The length of base64 text, decoded.
pub fn byte_len(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("");
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// A missing type, and the plain strings that a client may write instead of base64: they win over `data` and are not kept.
/// Upstream: `SetDefaults_Secret`, `Convert_v1_Secret_To_core_Secret`.
fn default(secret: &mut Value) {
    if secret.str("type").is_empty() {
        secret.set("type", "Opaque");
    }
    let Some(plain) = secret.remove("stringData") else { return };
    for (key, text) in plain.members() {
        let encoded = STANDARD.encode(text.as_str().unwrap_or(""));
        secret.entry("data").set(key, encoded);
    }
    if let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) {
        data.sort();
    }
}

fn prepare_update(new: &mut Value, old: &Value, _context: &Context<'_>) {
    if new.str("type").is_empty() {
        keep(new, old, "type");
    }
}

fn validate(secret: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (data, at) = (secret.at("data"), Path::new("data"));
    let mut bytes = 0;
    for (key, value) in data.members() {
        checks::messages(&mut errs, &at.key(key), key, names::config_map_key(key));
        bytes += byte_len(value);
    }
    if bytes > DATA_BYTES_MAX {
        errs.too_long(&at, DATA_BYTES_MAX as i64);
    }
    let required = |keys: &[&str], errs: &mut Errors| {
        for key in keys.iter().filter(|key| data.get(key).is_none()) {
            errs.required(&at.key(key), "");
        }
    };
    match secret.str("type") {
        "kubernetes.io/service-account-token" => named_account(secret, &mut errs),
        "kubernetes.io/dockercfg" => json_member(data, ".dockercfg", &mut errs),
        "kubernetes.io/dockerconfigjson" => json_member(data, ".dockerconfigjson", &mut errs),
        "kubernetes.io/basic-auth" => {
            let keys = ["username", "password"];
            if keys.iter().all(|key| data.get(key).is_none()) {
                required(&keys, &mut errs);
            }
        }
        "kubernetes.io/ssh-auth" if data.str("ssh-privatekey").is_empty() => {
            errs.required(&at.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => required(&["tls.crt", "tls.key"], &mut errs),
        _ => {}
    }
    errs
}

fn named_account(secret: &Value, errs: &mut Errors) {
    if api::meta::of(secret).annotation(SERVICE_ACCOUNT_NAME).unwrap_or("").is_empty() {
        errs.required(&Path::new("metadata").child("annotations").key(SERVICE_ACCOUNT_NAME), "");
    }
}

fn json_member(data: &Value, key: &str, errs: &mut Errors) {
    let at = Path::new("data").key(key);
    if data.get(key).is_none() {
        errs.required(&at, "");
    } else if let Err(wrong) = json::object(&decoded(data, key)) {
        errs.invalid(&at, REDACTED, wrong);
    }
}

fn decoded(data: &Value, key: &str) -> Vec<u8> {
    STANDARD.decode(data.str(key)).unwrap_or_default()
}

fn validate_update(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    if new.str("type") != old.str("type") {
        errs.invalid(&Path::new("type"), new.str("type"), checks::IMMUTABLE);
    }
    kept_immutable(new, old, &["data"], &mut errs);
    errs.extend(validate(new, context));
    errs
}

/// What is wrong with a key pair. Upstream: `warningsForSecret`.
fn warn(secret: &Value) -> Vec<String> {
    if secret.str("type") != "kubernetes.io/tls" {
        return Vec::new();
    }
    let data = secret.at("data");
    pem::key_pair(&decoded(data, "tls.crt"), &decoded(data, "tls.key")).err().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    fn of(secret: Value) -> Vec<String> {
        texts(&validate(&secret, &context()))
    }

    #[test]
    fn plain_strings_become_data() {
        let mut secret = value!({"stringData": {"b": "x", "a": "new"}, "data": {"a": "b2xk"}});
        default(&mut secret);
        assert_eq!(secret, value!({"type": "Opaque", "data": {"a": "bmV3", "b": "eA=="}}));
        assert_eq!(byte_len(&"eA==".into()), 1);
        assert_eq!(byte_len(&"bmV3".into()), 3);
    }

    #[test]
    fn types_have_their_members() {
        assert!(of(value!({"type": "Opaque", "data": {"a": ""}})).is_empty());
        assert_eq!(
            of(value!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}})),
            ["data[tls.key]: Required value"]
        );
        assert_eq!(of(value!({"type": "kubernetes.io/basic-auth"})).len(), 2);
        assert_eq!(of(value!({"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}})).len(), 1);
        assert_eq!(
            of(value!({"type": "kubernetes.io/service-account-token"})),
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"]
        );
        assert_eq!(
            of(value!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30"}})),
            ["data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": unexpected end of JSON input"]
        );
        assert!(of(value!({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "e30="}})).is_empty());
    }

    #[test]
    fn a_type_stays() {
        let old = value!({"type": "Opaque"});
        let mut new = value!({});
        prepare_update(&mut new, &old, &context());
        assert!(validate_update(&new, &old, &context()).is_empty());
        assert_eq!(
            texts(&validate_update(&value!({"type": "a"}), &old, &context())),
            ["type: Invalid value: \"a\": field is immutable"]
        );
    }

    #[test]
    fn a_pair_that_is_none_warns() {
        let secret = value!({"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}});
        assert_eq!(warn(&secret), ["tls: failed to find any PEM data in certificate input"]);
    }
}
