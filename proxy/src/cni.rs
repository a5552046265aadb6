//! How pods of a node get their network where nobody has said so: a bridge with the node's own network of pods.
//!
//! containerd calls the standard plugins by what lies in `/etc/cni/net.d`. Here because the network of pods is known to
//! whoever follows the own Node object, and because these pods' traffic is what the rules beside this speak of; the node
//! agent neither reads nor writes such files. Upstream leaves this to kubenet's successors; the shape is that of
//! containerd's own script/setup/install-cni.

use std::{io, path::Path};

use api::{Value, names::ip::Cidr, value};

/// The file's name: early in the order, so that what is put there later has to be meant to come before it.
pub const FILE: &str = "10-skiff.conflist";
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
                "ipMasq": true,
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

/// Writes a configuration where there is none, or ours says something else; answers whether it did. What others put
/// there is never touched.
pub fn write(folder: &Path, text: &str) -> io::Result<bool> {
    std::fs::create_dir_all(folder)?;
    let own = folder.join(FILE);
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_configuration =
            path.extension().is_some_and(|e| ["conf", "conflist", "json"].iter().any(|known| e == *known));
        if is_configuration && path != own {
            return Ok(false);
        }
    }
    if std::fs::read_to_string(&own).is_ok_and(|known| known == text) {
        return Ok(false);
    }
    // Whoever reads it meanwhile finds all or nothing.
    let draft = folder.join(format!(".{FILE}"));
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, &own)?;
    Ok(true)
}
