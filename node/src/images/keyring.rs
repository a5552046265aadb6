//! Which credentials of a pod's pull secrets are for a registry.
//! Upstream: pkg/credentialprovider/{keyring.go,config.go,secrets}.

use std::{cmp::Reverse, sync::Arc};

use api::Value;
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

use crate::runtime::Credentials;

const DEFAULT_REGISTRY: &str = "index.docker.io";

/// The credentials that fit the repository, those of the longest place first.
pub fn lookup(secrets: &[Arc<Value>], repository: &str) -> Vec<Credentials> {
    let mut all: Vec<(String, Credentials)> = secrets.iter().flat_map(|secret| entries(secret)).collect();
    // Stable: of one place, those that were named first stay first.
    all.sort_by_key(|(place, _)| Reverse(place.clone()));
    let fitting: Vec<_> = all.iter().filter(|(place, _)| fits(place, repository)).map(|(_, own)| own.clone()).collect();
    if fitting.is_empty() && is_default_registry(repository) {
        return all.into_iter().filter(|(place, _)| place == DEFAULT_REGISTRY).map(|(_, own)| own).collect();
    }
    fitting
}

/// Places and credentials of a secret of either kind. One that cannot be read has none.
fn entries(secret: &Value) -> Vec<(String, Credentials)> {
    let datum = |key: &str| STANDARD.decode(secret.at("data").str(key)).ok().and_then(|text| parse(&text));
    let registries = match secret.str("type") {
        "kubernetes.io/dockerconfigjson" => datum(".dockerconfigjson").map(|config| config.at("auths").clone()),
        "kubernetes.io/dockercfg" => datum(".dockercfg"),
        _ => None,
    };
    let registries = registries.unwrap_or_default();
    registries.members().map(|(place, entry)| (place_of(place), credentials(entry))).collect()
}

fn parse(text: &[u8]) -> Option<Value> {
    codec::json::any(text).ok().map(|decoded| decoded.value)
}

/// `auth` is `user:password` and counts before the two.
fn credentials(entry: &Value) -> Credentials {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let lenient = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
    let packed = lenient.decode(entry.str("auth").trim()).ok().and_then(|text| String::from_utf8(text).ok());
    let (username, password) = match packed.as_deref().and_then(|text| text.split_once(':')) {
        Some((username, password)) => (username.to_owned(), password.to_owned()),
        None => (entry.str("username").to_owned(), entry.str("password").to_owned()),
    };
    Credentials { username, password, ..Credentials::default() }
}

/// Without scheme, and without the API's version that Docker's files have at the end.
fn place_of(registry: &str) -> String {
    let rest = registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
    let (host, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let path = if path.starts_with("/v1/") || path.starts_with("/v2/") { &path[3..] } else { path };
    if path == "/" { host.to_owned() } else { format!("{host}{path}") }
}

/// Host parts may have wildcards; the path is a prefix. Upstream: `URLsMatch`.
fn fits(place: &str, repository: &str) -> bool {
    let split = |text: &str| {
        let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let (name, port) = host.split_once(':').unwrap_or((host, ""));
        (name.to_owned(), port.to_owned(), path.to_owned())
    };
    let ((glob, glob_port, prefix), (name, port, path)) = (split(place), split(repository));
    let (globs, parts): (Vec<&str>, Vec<&str>) = (glob.split('.').collect(), name.split('.').collect());
    glob_port == port
        && globs.len() == parts.len()
        && path.starts_with(&prefix)
        && globs.iter().zip(&parts).all(|(glob, part)| matches(glob.as_bytes(), part.as_bytes()))
}

/// `*` is anything, `?` is one character.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    match (glob.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        (Some((b'?', rest)), Some((_, text))) => matches(rest, text),
        (Some((a, rest)), Some((b, text))) if a == b => matches(rest, text),
        _ => false,
    }
}

/// Upstream: `isDefaultRegistryMatch`.
fn is_default_registry(repository: &str) -> bool {
    match repository.split_once('/') {
        None => !repository.is_empty(),
        Some(("", _)) => false,
        Some((first, _)) => matches!(first, "docker.io" | DEFAULT_REGISTRY) || !first.contains(['.', ':']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    fn secret(config: &str) -> Arc<Value> {
        let text = STANDARD.encode(config);
        Arc::new(value!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": text}}))
    }

    fn users(secrets: &[Arc<Value>], repository: &str) -> Vec<String> {
        lookup(secrets, repository).into_iter().map(|own| format!("{}:{}", own.username, own.password)).collect()
    }

    #[test]
    fn the_longest_place_goes_first() {
        let packed = STANDARD.encode("b:2:3");
        let config = format!(
            r#"{{"auths":{{"quay.io":{{"username":"a","password":"1"}},"https://quay.io/v2/team":{{"auth":"{packed}"}}}}}}"#
        );
        let secrets = [secret(&config)];
        assert_eq!(users(&secrets, "quay.io/team/x"), ["b:2:3", "a:1"]);
        assert_eq!(users(&secrets, "quay.io/other"), ["a:1"]);
        assert!(users(&secrets, "gcr.io/team").is_empty());
    }

    #[test]
    fn hosts_may_have_wildcards_but_not_over_dots() {
        assert!(fits("*.example.com", "a.example.com/x") && fits("reg?.io", "reg1.io/x"));
        assert!(!fits("*.example.com", "a.b.example.com/x") && !fits("a.io:5000", "a.io/x"));
        assert!(fits("a.io:5000/t", "a.io:5000/team"));
    }

    #[test]
    fn dockers_own_registry_has_many_names() {
        let secrets = [secret(r#"{"auths":{"https://index.docker.io/v1/":{"username":"a","password":"1"}}}"#)];
        assert_eq!(users(&secrets, "docker.io/library/nginx"), ["a:1"]);
        assert!(users(&secrets, "quay.io/nginx").is_empty());
    }

    #[test]
    fn both_kinds_of_secret_are_read_and_others_are_not() {
        let old = STANDARD.encode(r#"{"r.io":{"username":"o","password":"p"}}"#);
        let old = Arc::new(value!({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": old}}));
        assert_eq!(users(&[old.clone(), secret("no json")], "r.io/x"), ["o:p"]);
        let mut opaque = Value::clone(&old);
        opaque.set("type", "Opaque");
        assert!(users(&[Arc::new(opaque)], "r.io/x").is_empty());
    }
}
