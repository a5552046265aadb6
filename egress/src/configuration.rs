//! What a file says about the ways to networks: an EgressSelectorConfiguration, judged in upstream's words.
//!
//! Upstream: apiserver/pkg/server/egressselector/config.go, apis/apiserver/v1beta1/conversion.go.

#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Errors, Path},
    value,
};
use streaming::egress::Network;

/// A network, and how connections to it are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub network: Network,
    pub connection: Connection,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    Direct,
    /// HTTP CONNECT to a proxy by its URL, which begins with `https://` when there are files.
    Connect {
        url: String,
        tls: Option<Files>,
    },
    /// The same on a socket.
    ConnectUnix(String),
    /// konnectivity's packets on a socket.
    Grpc(String),
}

/// Files that connections to a proxy are secured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Empty for the authorities that this machine believes.
    pub authorities: String,
    pub certificate: String,
    pub key: String,
    /// Whom the proxy's certificate has to be for; empty for the URL's host.
    pub name: String,
}

const PROTOCOLS: [&str; 3] = ["Direct", "HTTPConnect", "GRPC"];

/// What is found out while a file is judged.
struct Judge<'a> {
    errors: Errors,
    at: Path,
    exists: &'a dyn Fn(&str) -> bool,
}

/// Reads a configuration of any of its versions; none, where it selects nothing. `exists` tells whether there is such a file.
pub fn read(tree: &Value, exists: &dyn Fn(&str) -> bool) -> Result<Option<Vec<Selection>>, Errors> {
    if tree.at("egressSelections").is_null() {
        return Ok(None);
    }
    let selections = tree.list("egressSelections");
    // Upstream names all of them alike, whichever they are.
    let mut judge = Judge { errors: Errors::new(), at: Path::new("service").child("connection"), exists };
    for selection in selections {
        judge.connection(selection.at("connection"));
    }
    let networks = judge.networks(selections);
    if !judge.errors.is_empty() {
        return Err(judge.errors);
    }
    let connections = selections.iter().map(|selection| connection(selection.at("connection")));
    Ok(Some(
        networks.into_iter().zip(connections).map(|(network, connection)| Selection { network, connection }).collect(),
    ))
}

/// A connection that was found to be right.
fn connection(said: &Value) -> Connection {
    let transport = said.at("transport");
    let (tcp, uds) = (transport.at("tcp"), transport.at("uds").str("udsName").to_owned());
    match said.str("proxyProtocol") {
        "GRPC" => Connection::Grpc(uds),
        "HTTPConnect" if tcp.is_null() => Connection::ConnectUnix(uds),
        "HTTPConnect" => {
            let (url, tls) = (tcp.str("url").to_owned(), tcp.at("tlsConfig"));
            let text = |name: &str| tls.str(name).to_owned();
            let files = || Files {
                authorities: text("caBundle"),
                certificate: text("clientCert"),
                key: text("clientKey"),
                name: text("tlsServerName"),
            };
            Connection::Connect { url, tls: (!tls.is_null()).then(files) }
        }
        _ => Connection::Direct,
    }
}

// === impl Judge ===

impl Judge<'_> {
    fn connection(&mut self, said: &Value) {
        let transport = said.at("transport");
        match said.str("proxyProtocol") {
            "Direct" if !transport.is_null() => {
                let words = "config must be absent for direct connect";
                self.errors.invalid(&self.at.child("transport"), "direct", words);
            }
            "Direct" => {}
            protocol @ ("HTTPConnect" | "GRPC") if transport.is_null() => {
                let words = format!("transport must be set for {protocol}");
                self.errors.required(&self.at.child("transport"), words);
            }
            "HTTPConnect" => self.http_connect(transport),
            "GRPC" if transport.at("uds").is_null() => {
                self.errors.required(&self.at.child("uds"), "UDS must be set with GRPC");
            }
            "GRPC" => self.uds(transport.at("uds")),
            unknown => self.errors.not_supported(&self.at.child("protocol"), unknown, &PROTOCOLS),
        }
    }

    fn http_connect(&mut self, transport: &Value) {
        let (tcp, uds) = (transport.at("tcp"), transport.at("uds"));
        let at = self.at.child("tcp");
        match (tcp.is_null(), uds.is_null()) {
            (false, false) => self.errors.invalid(&at, shown(tcp), "TCP and UDS cannot both be set"),
            (true, true) => self.errors.required(&at, "One of TCP or UDS must be set"),
            (false, true) => self.tcp(tcp),
            (true, false) => self.uds(uds),
        }
    }

    fn uds(&mut self, uds: &Value) {
        if uds.str("udsName").is_empty() {
            self.errors.invalid(&self.at.child("udsName"), "nil", "must be present for UDS connections");
        }
    }

    fn tcp(&mut self, tcp: &Value) {
        let (url, tls) = (tcp.str("url"), tcp.at("tlsConfig"));
        if url.starts_with("https://") {
            return self.tls(tls);
        }
        if !url.starts_with("http://") {
            let words = "supported connection protocols are http:// and https://";
            self.errors.invalid(&self.at.child("url"), url, words);
        } else if !tls.is_null() {
            let words = "config must not be present when using HTTP";
            self.errors.invalid(&self.at.child("tlsConfig"), "nil", words);
        }
    }

    fn tls(&mut self, tls: &Value) {
        let at = self.at.child("tlsConfig");
        if tls.is_null() {
            return self.errors.required(&at, "TLSConfig must be present when using HTTPS");
        }
        // Words for what has to be said, and for what is said and not there.
        for (name, unsaid, missing) in [
            ("caBundle", None, "TLS config ca bundle does not exist"),
            ("clientCert", Some("Using TLS requires clientCert"), "TLS client cert does not exist"),
            ("clientKey", Some("Using TLS requires requires clientKey"), "TLS client key does not exist"),
        ] {
            match (tls.str(name), unsaid) {
                ("", None) => {}
                ("", Some(unsaid)) => self.errors.invalid(&at.child(name), "nil", unsaid),
                (path, _) if (self.exists)(path) => {}
                (path, _) => self.errors.invalid(&at.child(name), path, missing),
            }
        }
    }

    /// The networks of all selections, when they are right.
    fn networks(&mut self, selections: &[Value]) -> Vec<Network> {
        let mut seen: Vec<String> = Vec::new();
        let mut networks = Vec::new();
        for (i, selection) in selections.iter().enumerate() {
            let name = match selection.str("name") {
                // As it was called in the versions that are still read.
                "master" => "controlplane".to_owned(),
                name => name.to_lowercase(),
            };
            if seen.contains(&name) {
                self.errors.duplicate(&self.at.index(i), name);
                continue;
            }
            match Network::ALL.into_iter().find(|network| network.word() == name) {
                Some(network) => networks.push(network),
                None => self.errors.not_supported(&self.at, name.as_str(), &Network::ALL.map(Network::word)),
            }
            seen.push(name);
        }
        networks
    }
}

/// A way over TCP as Go's JSON has it.
fn shown(tcp: &Value) -> Value {
    let tls = tcp.at("tlsConfig");
    let tls = match tls.is_null() {
        true => Value::Null,
        false => value!({
            "CABundle": (tls.str("caBundle")), "ClientKey": (tls.str("clientKey")), "ClientCert": (tls.str("clientCert")),
            "TLSServerName": (tls.str("tlsServerName"))
        }),
    };
    value!({"URL": (tcp.str("url")), "TLSConfig": (tls)})
}
