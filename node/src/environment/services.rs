//! The variables that tell a container where services are. Upstream: pkg/kubelet/envvars/envvars.go.

use api::Value;

/// Names and values for one service that has an address of the cluster.
pub fn variables(service: &Value) -> Vec<(String, String)> {
    let (spec, prefix) = (service.at("spec"), prefix_of(service.at("metadata").str("name")));
    let address = spec.str("clusterIP");
    let ports = spec.list("ports");
    let Some(first) = ports.first() else { return Vec::new() };
    let port_name = format!("{prefix}_SERVICE_PORT");
    let mut all = vec![
        (format!("{prefix}_SERVICE_HOST"), address.to_owned()),
        (port_name.clone(), first.int("port").to_string()),
    ];
    for port in ports.iter().filter(|port| !port.str("name").is_empty()) {
        all.push((format!("{port_name}_{}", prefix_of(port.str("name"))), port.int("port").to_string()));
    }
    for (i, port) in ports.iter().enumerate() {
        links(&mut all, &prefix, address, port, i == 0);
    }
    all
}

/// Whether the service has an address at all. Upstream: `IsServiceIPSet`.
pub fn has_address(service: &Value) -> bool {
    !matches!(service.at("spec").str("clusterIP"), "" | "None")
}

/// The variables that Docker's links had.
fn links(all: &mut Vec<(String, String)>, prefix: &str, address: &str, port: &Value, is_first: bool) {
    let protocol = match port.str("protocol") {
        "" => "TCP",
        said => said,
    };
    let scheme = protocol.to_lowercase();
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let number = port.int("port");
    let url = format!("{scheme}://{host}:{number}");
    if is_first {
        all.push((format!("{prefix}_PORT"), url.clone()));
    }
    let prefix = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
    all.push((prefix.clone(), url));
    all.push((format!("{prefix}_PROTO"), scheme));
    all.push((format!("{prefix}_PORT"), number.to_string()));
    all.push((format!("{prefix}_ADDR"), address.to_owned()));
}

fn prefix_of(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}
