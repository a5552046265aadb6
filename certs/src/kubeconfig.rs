//! kubeconfig text: one of our own, and ours merged into a user's.
//!
//! Merging touches three entries, all named `skiff` (or as the caller says), and nothing else: what it does not know
//! is kept, in its order, and `current-context` is set only where there is none. Text that is not a kubeconfig is
//! refused, never overwritten. As with `kubectl config`, comments are lost: they are not part of the tree.

use base64::Engine as _;
use yaml_serde::{Mapping, Value};

use crate::Error;

mod yaml;

/// A cluster, a user of it, and the context that joins them; all three bear one name.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub name: &'a str,
    /// `https://host:port`
    pub server: &'a str,
    /// The authorities to trust.
    pub authority_pem: &'a str,
    pub credential: Credential<'a>,
}

/// How the user shows who it is.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    Certificate {
        certificate_pem: &'a str,
        key_pem: &'a str,
    },
    Token(&'a str),
    /// Paths of files that are read anew each time.
    Files {
        certificate: &'a str,
        key: &'a str,
    },
}

/// A kubeconfig that says where a cluster is and who signs for it, and nothing about who asks. Upstream: the cluster of
/// cluster-info, which has no name.
pub fn card(server: &str, authority_pem: &str) -> Result<String, Error> {
    let cluster = mapping([("certificate-authority-data", encode(authority_pem).into()), ("server", server.into())]);
    let cluster = mapping([("cluster", cluster.into()), ("name", "".into())]);
    let none = Value::Null;
    yaml::write(&mapping([
        ("apiVersion", "v1".into()),
        ("clusters", Value::Sequence(vec![cluster.into()])),
        ("contexts", none.clone()),
        ("current-context", "".into()),
        ("kind", "Config".into()),
        ("users", none),
    ]))
}

/// A kubeconfig with this entry alone, as its current context.
pub fn write(entry: &Entry<'_>) -> Result<String, Error> {
    merge("", entry)
}

/// `existing` (which may be empty) with this entry added, or put in place of the one of its name.
pub fn merge(existing: &str, entry: &Entry<'_>) -> Result<String, Error> {
    let mut config = read(existing)?;
    default(&mut config, "apiVersion", "v1");
    default(&mut config, "kind", "Config");
    put(&mut config, "clusters", "cluster", entry.name, cluster(entry))?;
    put(&mut config, "users", "user", entry.name, user(entry))?;
    put(&mut config, "contexts", "context", entry.name, context(entry))?;
    default(&mut config, "current-context", entry.name);
    yaml::write(&config)
}

fn read(existing: &str) -> Result<Mapping, Error> {
    let config = match yaml_serde::from_str(existing).map_err(unreadable)? {
        Value::Null => Mapping::new(),
        Value::Mapping(config) => config,
        _ => return Err(Error::Kubeconfig("it is not a mapping".to_owned())),
    };
    match config.get("kind") {
        None | Some(Value::Null) => Ok(config),
        Some(Value::String(kind)) if kind == "Config" || kind.is_empty() => Ok(config),
        Some(_) => Err(Error::Kubeconfig("its kind is not Config".to_owned())),
    }
}

/// Sets `key` where it is missing or empty.
fn default(config: &mut Mapping, key: &str, value: &str) {
    let absent = match config.get(key) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if absent {
        config.insert(key.into(), value.into());
    }
}

/// Sets `{name, [member]: value}` in the list `list`. Other members of an entry of that name stay as they are, and so
/// do those members of its value that a context may have of its own, such as the namespace the user chose.
fn put(config: &mut Mapping, list: &str, member: &str, name: &str, value: Mapping) -> Result<(), Error> {
    let entries = config.entry(list.into()).or_insert(Value::Null);
    if entries.is_null() {
        *entries = Value::Sequence(Vec::new());
    }
    let Value::Sequence(entries) = entries else {
        return Err(Error::Kubeconfig(format!("its {list} is not a list")));
    };
    let found = entries.iter_mut().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
    match found {
        Some(Value::Mapping(entry)) => {
            let kept = entry.get(member).and_then(|old| old.get("namespace")).cloned();
            let mut value = value;
            if let Some(namespace) = kept.filter(|_| member == "context") {
                value.insert("namespace".into(), namespace);
            }
            entry.insert(member.into(), value.into());
        }
        _ => entries.push(mapping([("name", name.into()), (member, value.into())]).into()),
    }
    Ok(())
}

fn cluster(entry: &Entry<'_>) -> Mapping {
    let authority = encode(entry.authority_pem);
    mapping([("certificate-authority-data", authority.into()), ("server", entry.server.into())])
}

fn user(entry: &Entry<'_>) -> Mapping {
    match entry.credential {
        Credential::Files { certificate, key } => {
            mapping([("client-certificate", certificate.into()), ("client-key", key.into())])
        }
        Credential::Token(token) => mapping([("token", token.into())]),
        Credential::Certificate { certificate_pem, key_pem } => mapping([
            ("client-certificate-data", encode(certificate_pem).into()),
            ("client-key-data", encode(key_pem).into()),
        ]),
    }
}

fn context(entry: &Entry<'_>) -> Mapping {
    mapping([("cluster", entry.name.into()), ("user", entry.name.into())])
}

fn mapping<const N: usize>(members: [(&str, Value); N]) -> Mapping {
    members.into_iter().map(|(key, value)| (Value::from(key), value)).collect()
}

fn encode(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn unreadable(error: yaml_serde::Error) -> Error {
    Error::Kubeconfig(error.to_string())
}

#[cfg(test)]
mod tests;
