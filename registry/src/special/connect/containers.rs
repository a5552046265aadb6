//! exec, attach and port-forward: which container of which pod, and where its node is.

use std::num::{IntErrorKind, ParseIntError};

use api::{Status, Value, field::quote};

use super::{Manner, NodeAddresses, Road, Speaks, Streams, Trust, encode};
use crate::{Ask, Registry, options::Query};

/// The feature by which a node says that it speaks WebSocket itself.
const WEBSOCKETS: &str = "ExtendWebSocketsToKubelet";

/// A node's address.
pub struct Found {
    pub host: String,
    pub port: u16,
    pub speaks: Speaks,
}

pub async fn road(
    registry: &Registry,
    ask: &Ask,
    options: &str,
    query: &Query,
    nodes: &NodeAddresses,
) -> Result<Road, Status> {
    let name = ask.name();
    // The options are read before the pod is looked for.
    let ports = ports(query.all("ports"))?;
    let pod = registry.object(ask, "pods", ask.namespace(), name).await?;
    let is_ports = options == "PodPortForwardOptions";
    let container = match is_ports {
        true => String::new(),
        false => container(query.get("container").unwrap_or(""), &pod)?,
    };
    let node_name = pod.at("spec").str("nodeName");
    if node_name.is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let node = node(registry, ask, node_name, nodes).await?;
    let on = |key: &str| query.boolean(key) == Some(true);
    let streams = Streams { stdin: on("stdin"), stdout: on("stdout"), stderr: on("stderr"), tty: on("tty") };
    let mut pairs = Vec::new();
    for (key, wanted) in
        [("input", streams.stdin), ("output", streams.stdout), ("error", streams.stderr), ("tty", streams.tty)]
    {
        if wanted && !is_ports {
            pairs.push((key, "1".to_owned()));
        }
    }
    let (base, manner) = match options {
        "PodExecOptions" => {
            pairs.extend(query.all("command").map(|word| ("command", word.to_owned())));
            ("exec", Manner::Command(streams, node.speaks))
        }
        "PodAttachOptions" => ("attach", Manner::Command(streams, node.speaks)),
        _ => {
            if !ports.is_empty() {
                pairs.push(("port", ports.join(",")));
            }
            ("portForward", Manner::Ports(node.speaks))
        }
    };
    let mut path = format!("/{base}/{}/{name}", ask.namespace());
    if !is_ports {
        path = format!("{path}/{container}");
    }
    let Found { host, port, .. } = node;
    Ok(Road { tls: true, host, port, path, query: Some(encode(pairs)), trust: Trust::Node, manner })
}

/// Ports may come one by one or with commas. Upstream: `Convert_Slice_string_To_Slice_int32`.
pub fn ports<'a>(said: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Status> {
    said.flat_map(|several| several.split(','))
        .map(|port| Ok(port.parse::<u16>().map_err(|error| wrong_port(port, &error))?.to_string()))
        .collect()
}

fn wrong_port(port: &str, error: &ParseIntError) -> Status {
    let why = match error.kind() {
        IntErrorKind::PosOverflow => "value out of range",
        _ => "invalid syntax",
    };
    Status::bad_request(format!("cannot convert to []int32: strconv.ParseUint: parsing {}: {why}", quote(port)))
}

/// Where a node listens, and what it speaks. Upstream: `GetConnectionInfo`.
pub async fn node(registry: &Registry, ask: &Ask, name: &str, nodes: &NodeAddresses) -> Result<Found, Status> {
    let node = registry.object(ask, "nodes", "", name).await?;
    let status = node.at("status");
    let addresses = status.list("addresses");
    let of = |kind: &String| addresses.iter().find(|address| address.str("type") == kind);
    let Some(address) = nodes.preferred.iter().find_map(of) else {
        let known: Vec<String> =
            addresses.iter().map(|a| format!("{{{} {}}}", a.str("type"), a.str("address"))).collect();
        let why = format!("no preferred addresses found; known addresses: [{}]", known.join(" "));
        return Err(Status::new(500, api::Reason::Unknown, why));
    };
    let said = status.at_path(&["daemonEndpoints", "kubeletEndpoint"]).int("Port");
    let port = u16::try_from(said).ok().filter(|port| *port > 0).unwrap_or(nodes.port);
    let native = status.list("declaredFeatures").iter().any(|feature| feature.as_str() == Some(WEBSOCKETS));
    let speaks = if native { Speaks::WebSocket } else { Speaks::Spdy };
    Ok(Found { host: address.str("address").to_owned(), port, speaks })
}

/// The container that is meant. Upstream: `validateContainer`.
pub fn container(asked: &str, pod: &Value) -> Result<String, Status> {
    let (spec, name) = (pod.at("spec"), pod.at("metadata").str("name"));
    let all = || {
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        lists.into_iter().flat_map(|list| spec.list(list)).map(|container| container.str("name"))
    };
    if !asked.is_empty() {
        return match all().any(|known| known == asked) {
            true => Ok(asked.to_owned()),
            false => Err(Status::bad_request(format!("container {asked} is not valid for pod {name}"))),
        };
    }
    match spec.list("containers") {
        [only] => Ok(only.str("name").to_owned()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {name}"))),
        _ => {
            let names: Vec<&str> = all().collect();
            let why =
                format!("a container name must be specified for pod {name}, choose one of: [{}]", names.join(" "));
            Err(Status::bad_request(why))
        }
    }
}
