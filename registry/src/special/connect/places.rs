//! Proxies: from `scheme:name:port` and a path to where they lead.

use api::{GroupResource, Status, Value, field::quote};

use super::{Manner, NodeAddresses, Road, Trust, containers};
use crate::{Ask, Registry};

/// A name with the scheme and the port that may stand around it. Upstream: `SplitSchemeNamePort`.
struct Named<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

pub async fn pod(registry: &Registry, ask: &Ask, rest: &str) -> Result<Road, Status> {
    let said = Named::read(ask.name(), "pod")?;
    let pod = registry.object(ask, "pods", ask.namespace(), said.name).await?;
    let first = || {
        let mut containers = pod.at("spec").list("containers").iter();
        let port = containers.find_map(|container| container.list("ports").first());
        port.map(|port| port.int("containerPort").to_string())
    };
    let port = match said.port {
        "" => first().unwrap_or_default(),
        port => port.to_owned(),
    };
    let address = pod.at("status").list("podIPs").first().map_or("", |ip| ip.str("ip"));
    if address.is_empty() {
        return Err(not_allowed());
    }
    outside(said.scheme, address, &port, rest)
}

pub async fn node(registry: &Registry, ask: &Ask, rest: &str, nodes: &NodeAddresses) -> Result<Road, Status> {
    let said = Named::read(ask.name(), "node")?;
    let found = containers::node(registry, ask, said.name, nodes).await?;
    let own = said.port.is_empty() || said.port == found.port.to_string();
    if !own {
        return outside(said.scheme, &found.host, said.port, rest);
    }
    let path = join(rest);
    let containers::Found { host, port, .. } = found;
    Ok(Road { tls: true, host, port, path, query: None, trust: Trust::Node, manner: Manner::Proxy })
}

pub async fn service(registry: &Registry, ask: &Ask, rest: &str) -> Result<Road, Status> {
    let said = Named::read(ask.name(), "service")?;
    let (namespace, name) = (ask.namespace(), said.name);
    let mut port = said.port.to_owned();
    if let Ok(number) = said.port.parse::<i64>() {
        let service = registry.object(ask, "services", namespace, name).await?;
        let declared = service.at("spec").list("ports").iter().find(|p| p.int("port") == number);
        let Some(declared) = declared else {
            let why = format!("no service port {number} found for service {}", quote(name));
            return Err(Status::service_unavailable(why));
        };
        port = declared.str("name").to_owned();
    }
    let slices = slices(registry, namespace, name);
    let Some((address, number)) = endpoint(registry, namespace, &slices, &port) else {
        return Err(Status::service_unavailable(format!("no endpoints available for service {}", quote(name))));
    };
    outside(said.scheme, &address, &number.to_string(), rest)
}

/// The endpoint slices of a service; those of the cluster's first family lead, in an order by chance.
fn slices(registry: &Registry, namespace: &str, name: &str) -> Vec<Value> {
    let resource = GroupResource::new("discovery.k8s.io", "endpointslices");
    let mut slices: Vec<Value> = registry.cluster.look.list(&resource, namespace);
    slices.retain(|slice| slice.at_path(&["metadata", "labels"]).str("kubernetes.io/service-name") == name);
    if slices.len() > 1 {
        let start = usize::try_from(registry.draw(slices.len() as u64)).unwrap_or_default();
        slices.rotate_left(start);
        let first = registry.config.service_families().first().copied().unwrap_or("IPv4");
        slices.sort_by_key(|slice| slice.str("addressType") != first);
    }
    slices
}

/// A ready endpoint that has the port, and is a pod. Upstream: `proxy.RandomEndpoint`, `isValidAddress`.
fn endpoint(registry: &Registry, namespace: &str, slices: &[Value], port_name: &str) -> Option<(String, i64)> {
    slices.iter().find_map(|slice| {
        let has_it = |port: &&Value| port.get("name").is_some() && port.str("name") == port_name;
        let port = slice.list("ports").iter().filter(has_it).find_map(|port| port.opt_int("port"))?;
        let endpoints = slice.list("endpoints");
        let start = usize::try_from(registry.draw(endpoints.len() as u64)).unwrap_or_default();
        let in_turn = endpoints.iter().cycle().skip(start).take(endpoints.len());
        let mut fit = in_turn.filter(|endpoint| {
            let not_ready = endpoint.at("conditions").get("ready").is_some_and(|ready| ready.as_bool() == Some(false));
            !not_ready && is_pod(registry, namespace, endpoint)
        });
        let address = fit.next()?.list("addresses").first()?.as_str()?.to_owned();
        Some((address, port))
    })
}

/// Whether an endpoint's first address is that of the pod which it names.
fn is_pod(registry: &Registry, namespace: &str, endpoint: &Value) -> bool {
    let target = endpoint.at("targetRef");
    let address = endpoint.list("addresses").first().and_then(Value::as_str).unwrap_or_default();
    if target.str("namespace") != namespace || address.is_empty() {
        return false;
    }
    let pods = GroupResource::new("", "pods");
    let pod = registry.cluster.look.get(&pods, namespace, target.str("name"));
    pod.is_some_and(|pod| pod.at("status").list("podIPs").iter().any(|ip| ip.str("ip") == address))
}

impl Named<'_> {
    fn read<'a>(id: &'a str, kind: &str) -> Result<Named<'a>, Status> {
        let parts: Vec<&str> = id.split(':').collect();
        let named = match parts.as_slice() {
            [name] => Named { scheme: "", name, port: "" },
            [name, port] => Named { scheme: "", name, port },
            [scheme, name, port] => Named { scheme, name, port },
            _ => Named { scheme: "", name: "", port: "" },
        };
        match !named.name.is_empty() && matches!(named.scheme, "" | "http" | "https") {
            true => Ok(named),
            false => Err(Status::bad_request(format!("invalid {kind} request {}", quote(id)))),
        }
    }
}

/// The way to something that is no node's own API.
fn outside(scheme: &str, host: &str, port: &str, rest: &str) -> Result<Road, Status> {
    let tls = scheme == "https";
    let port = match port {
        "" if tls => 443,
        "" => 80,
        "http" => 80,
        "https" => 443,
        port => port.parse().map_err(|_| {
            Status::service_unavailable(format!(
                "error trying to reach service: dial tcp: lookup tcp/{port}: unknown port"
            ))
        })?,
    };
    let host = host.to_owned();
    Ok(Road { tls, host, port, path: join(rest), query: None, trust: Trust::Anybody, manner: Manner::Proxy })
}

/// Upstream: `JoinPreservingTrailingSlash("", path)`, whose `path.Join` takes dots and double slashes away.
fn join(rest: &str) -> String {
    if rest.is_empty() {
        return String::new();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let joined = format!("/{}", parts.join("/"));
    match rest.ends_with('/') && !joined.ends_with('/') {
        true => joined + "/",
        false => joined,
    }
}

/// Upstream's answer to an address that nobody may be sent to.
pub fn not_allowed() -> Status {
    Status::bad_request("address not allowed")
}
