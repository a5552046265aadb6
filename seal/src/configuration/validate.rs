//! What is wrong with an EncryptionConfiguration, in upstream's words.
//!
//! Upstream: apiserver/pkg/apis/apiserver/validation/validation_encryption.go.

use std::collections::BTreeSet;

use api::{
    GroupResource, Value,
    field::{Errors, Path, quote},
    value,
};

use super::resource;

const AES_LENGTHS: &[usize] = &[16, 24, 32];
const SECRETBOX_LENGTHS: &[usize] = &[32];
/// Kept in the store, and served nowhere.
const UNSERVED: [&str; 3] = ["apiserveripinfo", "serviceipallocations", "servicenodeportallocations"];

/// With defaults.
pub fn configuration(object: &Value, reloads: bool) -> Errors {
    let root = Path::new("resources");
    let mut errors = Errors::new();
    if object.list("resources").is_empty() {
        errors.required(&root, format!("at least one {} is required", root.as_str()));
        return errors;
    }
    let mut plugins = BTreeSet::new();
    for (i, rule) in object.list("resources").iter().enumerate() {
        let (resources, providers) = (root.index(i).child("resources"), root.index(i).child("providers"));
        if rule.list("resources").is_empty() {
            errors.required(&resources, format!("at least one {} is required", resources.as_str()));
        }
        overlap(rule.at("resources"), &resources, &mut errors);
        names(rule.list("resources"), &resources, &mut errors);
        if rule.list("providers").is_empty() {
            errors.required(&providers, format!("at least one {} is required", providers.as_str()));
        }
        for (j, said) in rule.list("providers").iter().enumerate() {
            provider(said, &providers.index(j), reloads, &mut plugins, &mut errors);
        }
    }
    errors
}

/// Upstream: `validateResourceOverlap`.
fn overlap(list: &Value, at: &Path, errors: &mut Errors) {
    let resources: Vec<GroupResource> = list.items().iter().filter_map(Value::as_str).map(resource).collect();
    let any = GroupResource::new("*", "*");
    let (mut twice, mut overlaps) = (false, false);
    for (i, one) in resources.iter().enumerate() {
        for (_, other) in resources.iter().enumerate().filter(|(j, _)| i != *j) {
            if one == other && !twice {
                twice = true;
            } else {
                let same_group = one.group == other.group && (one.resource == "*" || other.resource == "*");
                overlaps |= *one == any || same_group;
            }
        }
    }
    if twice {
        errors.invalid(at, list.clone(), "the same resource cannot be specified multiple times");
    }
    if overlaps {
        let why = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked";
        errors.invalid(at, list.clone(), why);
    }
}

fn names(list: &[Value], at: &Path, errors: &mut Errors) {
    for (i, text) in list.iter().enumerate() {
        if let Some(why) = wrong_name(text.as_str().unwrap_or_default()) {
            errors.invalid(&at.index(i), text.clone(), why);
        }
    }
}

fn wrong_name(text: &str) -> Option<&'static str> {
    let GroupResource { group, resource } = resource(text);
    if text.to_lowercase() != text {
        return Some("resource name should not contain capital letters");
    }
    if text == "*" {
        return Some("use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources");
    }
    if UNSERVED.contains(&text) {
        return Some("resources which do not have REST API/s cannot be encrypted");
    }
    match group.as_str() {
        "events.k8s.io" => Some(
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file",
        ),
        "extensions" => Some("'extensions' group has been removed and cannot be used for encryption"),
        "*" if resource != "*" => Some("encrypting the same resource across groups is not supported"),
        _ => None,
    }
}

fn provider(said: &Value, at: &Path, reloads: bool, plugins: &mut BTreeSet<String>, errors: &mut Errors) {
    let is_said = |name: &&str| said.at(name).as_object().is_some();
    let found: Vec<&str> = ["kms", "aesgcm", "aescbc", "secretbox", "identity"].into_iter().filter(is_said).collect();
    match found.as_slice() {
        [] => errors.invalid(
            at,
            shown(said),
            "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
        ),
        [_] => {}
        _ => errors.invalid(
            at,
            shown(said),
            "more than one provider specified in a single element, should split into different list elements",
        ),
    }
    let Some(first) = found.first() else { return };
    let (provider, at) = (said.at(first), at.child(first));
    match *first {
        "kms" => plugin(provider, &at, reloads, plugins, errors),
        "secretbox" => keys(provider.list("keys"), &at.child("keys"), SECRETBOX_LENGTHS, errors),
        "identity" => {}
        _ => keys(provider.list("keys"), &at.child("keys"), AES_LENGTHS, errors),
    }
}

/// A provider as Go writes its type without names for JSON; upstream shows the secrets, too.
fn shown(said: &Value) -> Value {
    let keys = |name: &str| match said.at(name).as_object() {
        None => Value::Null,
        Some(_) => {
            let of = |key: &Value| value!({"Name": (key.str("name")), "Secret": "REDACTED"});
            value!({"Keys": (said.at(name).list("keys").iter().map(of).collect::<Value>())})
        }
    };
    let kms = match said.at("kms") {
        kms if kms.as_object().is_none() => Value::Null,
        kms => value!({
            "APIVersion": (kms.str("apiVersion")), "Name": (kms.str("name")), "CacheSize": (kms.at("cachesize").clone()),
            "Endpoint": (kms.str("endpoint")), "Timeout": (kms.str("timeout"))
        }),
    };
    let identity = if said.at("identity").as_object().is_some() { Value::object() } else { Value::Null };
    value!({
        "AESGCM": (keys("aesgcm")), "AESCBC": (keys("aescbc")), "Secretbox": (keys("secretbox")),
        "Identity": (identity), "KMS": (kms)
    })
}

fn keys(keys: &[Value], at: &Path, lengths: &[usize], errors: &mut Errors) {
    if keys.is_empty() {
        errors.required(at, "at least one keys is required");
    }
    for (i, key) in keys.iter().enumerate() {
        let at = at.index(i);
        if key.str("name").is_empty() {
            errors.required(&at.child("name"), "name is a mandatory field for a key");
        }
        secret(key.str("secret"), &at.child("secret"), lengths, errors);
    }
}

fn secret(text: &str, at: &Path, lengths: &[usize], errors: &mut Errors) {
    if text.is_empty() {
        return errors.required(at, "secret is a mandatory field for a key");
    }
    let Some(secret) = super::secret(text) else {
        return errors.invalid(at, "REDACTED", "secrets must be base64 encoded");
    };
    if !lengths.contains(&secret.bytes().len()) {
        let lengths: Vec<String> = lengths.iter().map(ToString::to_string).collect();
        let (len, lengths) = (secret.bytes().len(), lengths.join(" "));
        let why = format!("secret is not of the expected length, got {len}, expected one of [{lengths}]");
        errors.invalid(at, "REDACTED", why);
    }
}

/// Upstream: `validateKMSConfiguration`.
fn plugin(kms: &Value, at: &Path, reloads: bool, plugins: &mut BTreeSet<String>, errors: &mut Errors) {
    let (name, version) = (kms.str("name"), kms.str("apiVersion"));
    let of_name = at.child("name");
    if name.is_empty() {
        errors.required(&of_name, "name is a mandatory field for a provider");
    }
    if version != "v1" && name.contains(':') {
        errors.invalid(&of_name, name, format!("invalid KMS provider name {name}, must not contain ':'"));
    }
    if (reloads || version != "v1") && plugins.contains(name) {
        errors.invalid(&of_name, name, format!("duplicate KMS provider name {name}, names must be unique"));
    }
    plugins.insert(name.into());
    if api::duration::parse(kms.str("timeout")).is_ok_and(|nanos| nanos <= 0) {
        errors.invalid(&at.child("timeout"), kms.str("timeout"), "timeout should be a positive value");
    }
    endpoint(kms.str("endpoint"), &at.child("endpoint"), errors);
    let (of_cache, size) = (at.child("cachesize"), kms.opt_int("cachesize"));
    match (version, size) {
        ("v1", Some(0)) => {
            errors.invalid(&of_cache, 0, "cachesize should be a positive value, or negative to disable");
        }
        ("v1", _) | (_, None) => {}
        (_, Some(size)) => errors.invalid(&of_cache, size, "cachesize is not supported in v2"),
    }
    if !matches!(version, "v1" | "v2") {
        let why = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported";
        errors.invalid(&at.child("apiVersion"), version, why);
    }
}

fn endpoint(text: &str, at: &Path, errors: &mut Errors) {
    if text.is_empty() {
        return errors.invalid(at, "", "endpoint is a mandatory field for a kms");
    }
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    if scheme != "unix" {
        let why = format!("unsupported scheme {} for KMS provider, only unix is supported", quote(scheme));
        errors.invalid(at, text, why);
    }
}
