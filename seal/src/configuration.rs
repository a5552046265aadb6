//! What a file says about encryption: an EncryptionConfiguration of apiserver.config.k8s.io/v1, read strictly.
//!
//! Upstream: encryptionconfig/config.go loadConfig, apis/apiserver/v1/defaults.go.

#[cfg(test)]
mod tests;
mod validate;

use std::{fmt::Write as _, time::Duration};

use api::{GroupResource, Gvk, Value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use crate::Secret;

const GROUP: &str = "apiserver.config.k8s.io";
const KIND: &str = "EncryptionConfiguration";
/// Upstream calls the set of its types by where it is made.
const SCHEME: &str = "pkg/runtime/scheme.go:111";

/// A file that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    pub rules: Vec<Rule>,
    /// `sha256:…` of the file.
    pub hash: String,
}

/// How values of some resources lie in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `*` stands for any.
    pub resources: Vec<GroupResource>,
    /// The first writes, all read.
    pub providers: Vec<Said>,
}

/// A provider as the file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Identity,
    AesCbc(Vec<Key>),
    AesGcm(Vec<Key>),
    Secretbox(Vec<Key>),
    Kms(Plugin),
}

/// A key by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub secret: Secret,
}

/// A plugin that keeps keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    pub name: String,
    /// `unix:///run/kms.sock`
    pub endpoint: String,
    pub timeout: Duration,
}

/// Reads the text of a file; errors are upstream's, but for texts of the file that they would show. With `reloads`, the file
/// is read again when it changes.
pub fn read(text: &[u8], path: &str, reloads: bool) -> Result<Configuration, String> {
    let object = checked(text, path, reloads).map_err(|why| format!("error while parsing file: {why}"))?;
    let rules = object.list("resources").iter().map(rule).collect::<Result<_, _>>()?;
    Ok(Configuration { rules, hash: hash(text) })
}

fn checked(text: &[u8], path: &str, reloads: bool) -> Result<Value, String> {
    let quoted = api::field::quote(path);
    if text.is_empty() {
        return Err(format!("error while loading file: encryption provider configuration file {quoted} is empty"));
    }
    let object =
        decode(text).map_err(|why| format!("error decoding encryption provider configuration file {quoted}: {why}"))?;
    let errors = validate::configuration(&object, reloads);
    if errors.is_empty() { Ok(object) } else { Err(errors.message()) }
}

/// What tells whether a file has changed. Upstream: `computeEncryptionConfigHash`.
pub fn hash(text: &[u8]) -> String {
    let mut hash = "sha256:".to_string();
    for byte in Sha256::digest(text) {
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

fn decode(text: &[u8]) -> Result<Value, String> {
    let (group_version, kind) = codec::yaml::any(text)
        .map(|any| (any.str("apiVersion").to_string(), any.str("kind").to_string()))
        .map_err(|error| error.to_string())?;
    // Upstream shows the whole text here, keys and all.
    if kind.is_empty() {
        return Err("Object 'Kind' is missing".into());
    }
    if group_version.is_empty() {
        return Err("Object 'apiVersion' is missing".into());
    }
    let known = [(format!("{GROUP}/v1"), KIND), ("v1".into(), "EncryptionConfig")];
    if !known.iter().any(|(version, name)| *version == group_version && *name == kind) {
        let (kind, version) = (api::field::quote(&kind), api::field::quote(&group_version));
        return Err(format!(
            "no kind {kind} is registered for version {version} in scheme {}",
            api::field::quote(SCHEME)
        ));
    }
    let schemas = schema::builtin();
    let id = schemas.kind(&Gvk::new(GROUP, "v1", KIND)).ok_or("the facts know no EncryptionConfiguration")?;
    let decoded = codec::yaml::object(text, id, schemas).map_err(|error| error.to_string())?;
    if !decoded.strict.is_empty() {
        return Err(format!("strict decoding error: {}", decoded.strict.join(", ")));
    }
    let mut object = decoded.value;
    default(&mut object);
    Ok(object)
}

/// Upstream: `SetDefaults_KMSConfiguration`.
fn default(object: &mut Value) {
    let rules = object.get_mut("resources").and_then(Value::as_array_mut).into_iter().flatten();
    let providers = rules.filter_map(|rule| rule.get_mut("providers").and_then(Value::as_array_mut)).flatten();
    for kms in providers.filter_map(|provider| provider.get_mut("kms")).filter(|kms| !kms.is_null()) {
        if kms.str("timeout").is_empty() {
            kms.set("timeout", "3s");
        }
        if kms.str("apiVersion").is_empty() {
            kms.set("apiVersion", "v1");
        }
        if kms.str("apiVersion") == "v1" && !kms.has("cachesize") {
            kms.set("cachesize", 1000);
        }
    }
}

fn rule(said: &Value) -> Result<Rule, String> {
    let resources = said.list("resources").iter().filter_map(Value::as_str).map(resource).collect();
    let providers = said.list("providers").iter().map(provider).collect::<Result<_, _>>()?;
    Ok(Rule { resources, providers })
}

/// `deployments.apps`, `*.`, `*.*`. Upstream: `schema.ParseGroupResource`.
fn resource(text: &str) -> GroupResource {
    let (resource, group) = text.split_once('.').unwrap_or((text, ""));
    GroupResource::new(group, resource)
}

fn provider(said: &Value) -> Result<Said, String> {
    let keys = |name: &str| said.at(name).list("keys").iter().map(key).collect::<Result<Vec<Key>, String>>();
    Ok(match ["aesgcm", "aescbc", "secretbox", "kms"].into_iter().find(|name| said.at(name).as_object().is_some()) {
        Some("aesgcm") => Said::AesGcm(keys("aesgcm")?),
        Some("aescbc") => Said::AesCbc(keys("aescbc")?),
        Some("secretbox") => Said::Secretbox(keys("secretbox")?),
        Some(_) => plugin(said.at("kms"))?,
        None => Said::Identity,
    })
}

fn key(said: &Value) -> Result<Key, String> {
    let secret = secret(said.str("secret")).ok_or("a secret is no base64")?;
    Ok(Key { name: said.str("name").into(), secret })
}

/// Go's decoder skips line breaks.
fn secret(text: &str) -> Option<Secret> {
    STANDARD.decode(text.replace(['\r', '\n'], "")).ok().map(Secret::new)
}

fn plugin(said: &Value) -> Result<Said, String> {
    if said.str("apiVersion") == "v1" {
        return Err("error while building transformers: KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature.".into());
    }
    let nanos = api::duration::parse(said.str("timeout"))?;
    Ok(Said::Kms(Plugin {
        name: said.str("name").into(),
        endpoint: said.str("endpoint").into(),
        timeout: Duration::from_nanos(u64::try_from(nanos).unwrap_or_default()),
    }))
}
