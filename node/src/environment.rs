//! A container's environment: what it declares, what it takes from elsewhere, and the services around it.
//!
//! Two halves: [`Sources::gather`] reads the objects that the container names, [`of`] is a plain function over them.
//! Upstream keeps variables in a map, so that their order differs from start to start; here they stand in the order in
//! which they were declared. Upstream: pkg/kubelet/kubelet_pods.go `makeEnvironmentVariables`.

pub mod expansion;
mod file;
mod services;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{Value, field::quote, pod_fields};
use base64::{Engine, engine::general_purpose::STANDARD};
use client::Error;

use crate::{
    downward,
    objects::{CONFIG_MAP, Kind, Objects, SECRET},
};

/// A container cannot be made as it is declared: `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The objects that a container's environment comes from, by name. Only those that it names are in it.
#[derive(Debug, Default)]
pub struct Sources {
    config_maps: BTreeMap<String, Result<Arc<Value>, Error>>,
    secrets: BTreeMap<String, Result<Arc<Value>, Error>>,
}

/// What a container's environment depends on beside its pod.
pub struct Context<'a> {
    pub sources: &'a Sources,
    /// All services of the cluster; `None` until they have been read once.
    pub services: Option<&'a [Arc<Value>]>,
    pub pod_ips: &'a [String],
    /// The node's addresses, the preferred family first.
    pub host_ips: &'a [String],
    /// The node's `status.allocatable`.
    pub allocatable: &'a Value,
    /// Where the pod's volumes are on the node, by the volume's name.
    pub volumes: &'a BTreeMap<String, PathBuf>,
}

/// Variables in order, each name once.
#[derive(Default)]
struct Variables(Vec<(String, String)>);

impl Sources {
    /// Reads every config map and secret that the container's `env` and `envFrom` name.
    pub async fn gather(objects: &dyn Objects, namespace: &str, container: &Value) -> Sources {
        let mut sources = Sources::default();
        for (kind, name) in named(container) {
            let known = sources.of_kind(kind);
            if !known.contains_key(name) {
                let read = objects.get(kind, namespace, name).await;
                sources.of_kind(kind).insert(name.to_owned(), read);
            }
        }
        sources
    }

    fn of_kind(&mut self, kind: Kind) -> &mut BTreeMap<String, Result<Arc<Value>, Error>> {
        if kind == SECRET { &mut self.secrets } else { &mut self.config_maps }
    }

    /// The object, or `None` when it is not there and need not be.
    fn find(&self, kind: Kind, name: &str, optional: bool) -> Result<Option<&Value>, ConfigError> {
        let known = if kind == SECRET { &self.secrets } else { &self.config_maps };
        match known.get(name) {
            Some(Ok(object)) => Ok(Some(object)),
            Some(Err(error)) if error.is_not_found() && optional => Ok(None),
            Some(Err(error)) => Err(ConfigError(error.to_string())),
            None if optional => Ok(None),
            None => Err(ConfigError(kind.not_found(name).to_string())),
        }
    }
}

fn named(container: &Value) -> impl Iterator<Item = (Kind, &str)> {
    let from = container.list("envFrom").iter();
    let whole = from.flat_map(|from| [(CONFIG_MAP, from.at("configMapRef")), (SECRET, from.at("secretRef"))]);
    let from = container.list("env").iter().map(|variable| variable.at("valueFrom"));
    let single = from.flat_map(|from| [(CONFIG_MAP, from.at("configMapKeyRef")), (SECRET, from.at("secretKeyRef"))]);
    whole.chain(single).filter(|(_, reference)| !reference.is_null()).map(|(kind, r)| (kind, r.str("name")))
}

/// A container's variables, names once each.
pub fn of(pod: &Value, container: &Value, context: &Context<'_>) -> Result<Vec<(String, String)>, ConfigError> {
    let around = services_around(pod, context)?;
    let mut variables = Variables::default();
    for from in container.list("envFrom") {
        take_all(&mut variables, from, context)?;
    }
    for variable in container.list("env") {
        let value = match variable.str("value") {
            "" => taken(pod, container, variable.at("valueFrom"), context)?,
            text => Some(expansion::expand(text, |name| variables.get(name).or_else(|| around.get(name)))),
        };
        if let Some(value) = value {
            variables.set(variable.str("name"), value);
        }
    }
    for (name, value) in around.0 {
        if variables.get(&name).is_none() {
            variables.0.push((name, value));
        }
    }
    Ok(variables.0)
}

/// `text` with the container's variables in it, as its command and arguments have them.
pub fn expanded(text: &str, variables: &[(String, String)]) -> String {
    expansion::expand(text, |name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()))
}

/// A path in a volume, all of whose references have to be known. Upstream: `ExpandContainerVolumeMounts`.
pub fn expanded_path(text: &str, variables: &[(String, String)]) -> Result<String, ConfigError> {
    let missing = RefCell::new(BTreeSet::new());
    let path = expansion::expand(text, |name| {
        let known = variables.iter().find(|(known, value)| known == name && !value.is_empty());
        if known.is_none() {
            missing.borrow_mut().insert(name.to_owned());
        }
        known.map(|(_, value)| value.as_str())
    });
    let missing = missing.into_inner();
    if missing.is_empty() {
        return Ok(path);
    }
    Err(ConfigError(format!("missing value for {}", Vec::from_iter(missing).join(", "))))
}

/// The variables of the services that the pod is to see: those of its namespace where it wants links, and the API server.
fn services_around(pod: &Value, context: &Context<'_>) -> Result<Variables, ConfigError> {
    let Some(links) = pod.at("spec").opt_bool("enableServiceLinks") else {
        return Err(ConfigError("nil pod.spec.enableServiceLinks encountered, cannot construct envvars".into()));
    };
    let source = pod.at_path(&["metadata", "annotations", "kubernetes.io/config.source"]).as_str();
    let is_static = source.is_some_and(|source| source != "api");
    let Some(services) = context.services.or(is_static.then_some(&[])) else {
        return Err(ConfigError("services have not yet been read at least once, cannot construct envvars".into()));
    };
    let namespace = pod.at("metadata").str("namespace");
    let mut chosen: BTreeMap<&str, &Value> = BTreeMap::new();
    for service in services.iter().filter(|service| services::has_address(service)) {
        let meta = service.at("metadata");
        let (name, of) = (meta.str("name"), meta.str("namespace"));
        if of == namespace && links {
            chosen.insert(name, service);
        } else if of == "default" && name == "kubernetes" {
            chosen.entry(name).or_insert(service);
        }
    }
    let mut variables = Variables::default();
    for (name, value) in chosen.into_values().flat_map(services::variables) {
        variables.set(&name, value);
    }
    Ok(variables)
}

/// All members of a config map or secret.
fn take_all(variables: &mut Variables, from: &Value, context: &Context<'_>) -> Result<(), ConfigError> {
    let (kind, reference) = match from.at("configMapRef") {
        Value::Null => (SECRET, from.at("secretRef")),
        reference => (CONFIG_MAP, reference),
    };
    if reference.is_null() {
        return Ok(());
    }
    let Some(object) = context.sources.find(kind, reference.str("name"), reference.bool("optional"))? else {
        return Ok(());
    };
    for (key, _) in object.at("data").members() {
        if let Some(value) = datum(kind, object, key) {
            variables.set(&format!("{}{key}", from.str("prefix")), value);
        }
    }
    Ok(())
}

/// A member of a config map or, decoded, of a secret.
fn datum(kind: Kind, object: &Value, key: &str) -> Option<String> {
    let text = object.at("data").opt_str(key)?;
    if kind != SECRET {
        return Some(text.to_owned());
    }
    STANDARD.decode(text).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A value from elsewhere; `None` when an optional source has none, so that the variable is not set.
fn taken(pod: &Value, own: &Value, from: &Value, context: &Context<'_>) -> Result<Option<String>, ConfigError> {
    let Some((source, reference)) = from.members().find(|(_, reference)| !reference.is_null()) else {
        return Ok(Some(String::new()));
    };
    match source {
        "fieldRef" => field(pod, reference, context).map(Some).map_err(ConfigError),
        "resourceFieldRef" => resource(pod, own, reference, context).map(Some).map_err(ConfigError),
        "configMapKeyRef" => keyed(CONFIG_MAP, "ConfigMap", pod, reference, context),
        "secretKeyRef" => keyed(SECRET, "Secret", pod, reference, context),
        "fileKeyRef" => in_file(reference, context),
        _ => Ok(Some(String::new())),
    }
}

fn keyed(
    kind: Kind,
    word: &str,
    pod: &Value,
    reference: &Value,
    context: &Context<'_>,
) -> Result<Option<String>, ConfigError> {
    let (name, key, optional) = (reference.str("name"), reference.str("key"), reference.bool("optional"));
    let Some(object) = context.sources.find(kind, name, optional)? else { return Ok(None) };
    match datum(kind, object, key) {
        Some(value) => Ok(Some(value)),
        None if optional => Ok(None),
        None => {
            let namespace = pod.at("metadata").str("namespace");
            Err(ConfigError(format!("couldn't find key {key} in {word} {namespace}/{name}")))
        }
    }
}

/// Upstream: `podFieldSelectorRuntimeValue`.
fn field(pod: &Value, reference: &Value, context: &Context<'_>) -> Result<String, String> {
    let version = match reference.str("apiVersion") {
        "" => "v1",
        said => said,
    };
    let path = pod_fields::internal(version, reference.str("fieldPath"))?;
    let first = |ips: &[String]| ips.first().cloned().unwrap_or_default();
    Ok(match path {
        "spec.nodeName" => pod.at("spec").str("nodeName").to_owned(),
        "spec.serviceAccountName" => pod.at("spec").str("serviceAccountName").to_owned(),
        "status.hostIP" => first(context.host_ips),
        "status.hostIPs" => context.host_ips.join(","),
        "status.podIP" => first(&by_family(context.pod_ips, context.host_ips)),
        "status.podIPs" => by_family(context.pod_ips, context.host_ips).join(","),
        path => downward::field(pod, path)?,
    })
}

/// One address of each family, the node's preferred family first. Upstream: `sortPodIPs`.
pub fn by_family(pod_ips: &[String], host_ips: &[String]) -> Vec<String> {
    let is_v6 = |ip: &String| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
    let of = |wanted: bool| pod_ips.iter().find(|ip| is_v6(ip) == wanted).cloned();
    let v6_first = host_ips.first().is_some_and(is_v6);
    [of(v6_first), of(!v6_first)].into_iter().flatten().collect()
}

fn resource(pod: &Value, own: &Value, reference: &Value, context: &Context<'_>) -> Result<String, String> {
    let bounds = downward::bounds_of_pod(pod, context.allocatable);
    match reference.str("containerName") {
        "" => downward::resource(reference, &downward::bounded(own, &bounds)),
        name => {
            let container = downward::container(pod, name)?;
            let is_init = pod.at("spec").list("initContainers").iter().any(|c| c.str("name") == name);
            // Upstream bounds only the pod's containers, not those that run before them.
            let bounds = if is_init { Value::NULL } else { &bounds };
            downward::resource(reference, &downward::bounded(container, bounds))
        }
    }
}

fn in_file(reference: &Value, context: &Context<'_>) -> Result<Option<String>, ConfigError> {
    let (volume, path, key) = (reference.str("volumeName"), reference.str("path"), reference.str("key"));
    let Some(root) = context.volumes.get(volume) else {
        return Err(ConfigError(format!("cannot find the volume {} referenced by FileKeyRef", quote(volume))));
    };
    let value = read_in_root(root, path)
        .map_err(|error| error.to_string())
        .and_then(|text| file::value_of(&text, key))
        .map_err(|error| {
            tracing::error!(%error, volume, path, "an environment file cannot be read");
            ConfigError("couldn't parse env file".into())
        })?;
    if !value.is_empty() {
        return Ok(Some(value));
    }
    if reference.bool("optional") {
        return Ok(None);
    }
    let file = root.join(path);
    let message =
        format!("environment variable key {} not found in file {}", quote(key), quote(&file.to_string_lossy()));
    Err(ConfigError(message))
}

fn read_in_root(root: &Path, path: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    crate::volumes::beneath::open_file(root, path)?.read_to_string(&mut text)?;
    Ok(text)
}

// === impl Variables ===

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}
