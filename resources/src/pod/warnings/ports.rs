//! Ports of containers that get in each other's way.

use std::collections::BTreeMap;

use api::{
    Value,
    field::{Path, quote},
};

use crate::pod::containers;

pub fn warnings(spec: &Value, at: &Path, out: &mut Vec<String>) {
    let containers = containers(spec, at);
    let all = || {
        containers.iter().flat_map(|(container, at)| {
            let at = at.child("ports");
            container.list("ports").iter().enumerate().map(move |(i, port)| (port, at.index(i)))
        })
    };
    let mut others: BTreeMap<(i64, &str), Vec<(&Value, Path)>> = BTreeMap::new();
    for (port, at) in all() {
        if !port.str("hostIP").is_empty() && port.int("hostPort") == 0 {
            out.push(format!("{at}: hostIP set without hostPort: {}", shown(port)));
        }
        let same = others.entry((port.int("containerPort"), port.str("protocol"))).or_default();
        for (other, other_at) in same.iter() {
            if let Some(what) = conflict(port, other) {
                out.push(format!("{at}: {what} port definition with {other_at}"));
            }
        }
        same.push((port, at));
    }
    let mut taken: BTreeMap<&str, Path> = BTreeMap::new();
    for (port, at) in all().filter(|(port, _)| !port.str("name").is_empty()) {
        let name = port.str("name");
        match taken.get(name) {
            Some(first) => out.push(format!(
                "{at}: duplicate port name {} with {first}, services and probes that select ports by name will use {first}",
                quote(name)
            )),
            None => drop(taken.insert(name, at)),
        }
    }
}

/// How two definitions of the same port of a container agree.
fn conflict(port: &Value, other: &Value) -> Option<&'static str> {
    let (host, other_host) = (port.int("hostPort"), other.int("hostPort"));
    let (ip, other_ip) = (port.str("hostIP"), other.str("hostIP"));
    if ip == other_ip && host == other_host {
        Some("duplicate")
    } else if host == 0 || other_host == 0 {
        Some("overlapping")
    } else if host == other_host && ip.is_empty() != other_ip.is_empty() {
        Some("dangerously ambiguous")
    } else {
        None
    }
}

/// As Go's `%+v` shows a ContainerPort.
fn shown(port: &Value) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        port.str("name"),
        port.int("hostPort"),
        port.int("containerPort"),
        port.str("protocol"),
        port.str("hostIP")
    )
}
