//! How pods of a node get their network where nobody has said so: a bridge with the node's own network of pods.
//!
//! containerd calls the standard plugins by what lies in `/etc/cni/net.d`. Here because the network of pods is known to
//! whoever follows the own Node object, and because these pods' traffic is what the rules beside this speak of; the node
//! agent neither reads nor writes such files. Upstream leaves this to kubenet's successors; the shape is that of
//! containerd's own script/setup/install-cni.

use std::{io, path::Path};

use api::{Value, names::ip::Cidr, value};

use crate::snapshot::Family;

/// The file's name: early in the order, so that what is put there later has to be meant to come before it.
pub const FILE: &str = "10-skiff.conflist";
/// The table of what leaves the cluster.
pub const TABLE: &str = "skiff-pods";
/// The bridge on the node.
pub const BRIDGE: &str = "skiff0";

/// A list of plugins that gives pods addresses of these networks, one of each family.
pub fn configuration(pod_cidrs: &[Cidr]) -> Value {
    let ranges: Vec<Value> = pod_cidrs.iter().map(|cidr| value!([{"subnet": cidr.canonical()}])).collect();
    let everything = pod_cidrs.iter().map(|cidr| if cidr.ip().is_ipv4() { "0.0.0.0/0" } else { "::/0" });
    let routes: Vec<Value> = everything.map(|dst| value!({"dst": dst})).collect();
    value!({
        "cniVersion": "1.0.0",
        "name": "skiff",
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": true,
                // See `masquerade`: the plugin's own would hide pods from those of other nodes, and needs iptables.
                "ipMasq": false,
                // A pod may reach itself by its service's address.
                "hairpinMode": true,
                "ipam": {"type": "host-local", "ranges": ranges, "routes": routes},
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

/// The file's text.
pub fn text(pod_cidrs: &[Cidr]) -> String {
    let json = serde_json::to_string_pretty(&configuration(pod_cidrs)).expect("a tree of texts always serialises");
    json + "\n"
}

/// A table in which packets of this node's pods that leave the cluster get the node's address. `cluster_cidrs` are the
/// networks of all pods, within which they keep their own.
pub fn masquerade(family: Family, pod_cidrs: &[Cidr], cluster_cidrs: &[Cidr]) -> Option<String> {
    let list = |cidrs: &[Cidr]| {
        let cidrs = cidrs.iter().filter(|cidr| family.has(cidr.ip())).map(|cidr| cidr.canonical());
        let cidrs: Vec<String> = cidrs.collect();
        (!cidrs.is_empty()).then(|| cidrs.join(", "))
    };
    let own = list(pod_cidrs)?;
    let all = list(cluster_cidrs).unwrap_or_else(|| own.clone());
    let (ip, table) = (family.nft(), format!("{} {TABLE}", family.nft()));
    Some(format!(
        "add table {table}\ndelete table {table}\nadd table {table} {{ comment \"the way of pods to the world\" ; }}\n\
         add chain {table} postrouting {{ type nat hook postrouting priority 100 ; }}\n\
         add rule {table} postrouting oifname != \"{BRIDGE}\" {ip} saddr {{ {own} }} {ip} daddr != {{ {all} }} \
         masquerade fully-random\n"
    ))
}

/// Writes a configuration where there is none, or ours says something else; answers whether it did. What others put
/// there is never touched.
pub fn write(folder: &Path, text: &str) -> io::Result<bool> {
    std::fs::create_dir_all(folder)?;
    let own = folder.join(FILE);
    if has_others(folder) || std::fs::read_to_string(&own).is_ok_and(|known| known == text) {
        return Ok(false);
    }
    // Whoever reads it meanwhile finds all or nothing.
    let draft = folder.join(format!(".{FILE}"));
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, &own)?;
    Ok(true)
}

/// Whether what was written is what counts.
pub fn is_ours(folder: &Path) -> bool {
    folder.join(FILE).exists() && !has_others(folder)
}

fn has_others(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let is_configuration =
        |path: &Path| path.extension().is_some_and(|e| ["conf", "conflist", "json"].iter().any(|known| e == *known));
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths.any(|path| is_configuration(&path) && !path.ends_with(FILE))
}

#[cfg(test)]
mod tests;
