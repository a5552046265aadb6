//! Files that are right, and what is said of those that are not: as kube-apiserver 1.37.1 says it.

use super::*;

/// What comes of `{name, connection}` as the only selection.
fn of(name: &str, connection: Value) -> Result<Vec<Selection>, String> {
    several(&[(name, connection)])
}

fn several(selections: &[(&str, Value)]) -> Result<Vec<Selection>, String> {
    let selections =
        selections.iter().map(|(name, connection)| value!({"name": (*name), "connection": (connection.clone())}));
    let tree = value!({"egressSelections": (selections.collect::<Value>())});
    let said = read(&tree, &|path| path.starts_with("there"));
    said.map(Option::unwrap_or_default).map_err(|errors| errors.message())
}

fn connect(transport: Value) -> Value {
    value!({"proxyProtocol": "HTTPConnect", "transport": (transport)})
}

#[test]
fn each_network_has_its_way() {
    let said = several(&[
        ("Cluster", value!({"proxyProtocol": "GRPC", "transport": {"uds": {"udsName": "/g"}}})),
        ("master", connect(value!({"uds": {"udsName": "/c"}}))),
        ("etcd", value!({"proxyProtocol": "Direct"})),
    ]);
    let of = |network, connection| Selection { network, connection };
    assert_eq!(
        said,
        Ok(vec![
            of(Network::Cluster, Connection::Grpc("/g".into())),
            of(Network::ControlPlane, Connection::ConnectUnix("/c".into())),
            of(Network::Etcd, Connection::Direct),
        ])
    );
    let tls =
        value!({"caBundle": "there/ca", "clientCert": "there/c", "clientKey": "there/k", "tlsServerName": "proxy"});
    let said = self::of("cluster", connect(value!({"tcp": {"url": "https://127.0.0.1:8131", "tlsConfig": (tls)}})));
    let files = Files {
        authorities: "there/ca".into(),
        certificate: "there/c".into(),
        key: "there/k".into(),
        name: "proxy".into(),
    };
    let connection = Connection::Connect { url: "https://127.0.0.1:8131".into(), tls: Some(files) };
    assert_eq!(said, Ok(vec![of(Network::Cluster, connection)]));
    assert_eq!(read(&value!({}), &|_| true), Ok(None), "nothing is selected");
    assert_eq!(read(&value!({"egressSelections": []}), &|_| true), Ok(Some(vec![])));
}

#[test]
fn what_makes_no_sense_is_refused_in_upstreams_words() {
    let tcp = |url: &str| connect(value!({"tcp": {"url": (url)}}));
    let secured = |tls: Value| connect(value!({"tcp": {"url": "https://p:1", "tlsConfig": (tls)}}));
    let direct = value!({"proxyProtocol": "Direct"});
    for (connection, words) in [
        (
            value!({"proxyProtocol": "Direct", "transport": {}}),
            "service.connection.transport: Invalid value: \"direct\": config must be absent for direct connect",
        ),
        (
            value!({}),
            "service.connection.protocol: Unsupported value: \"\": supported values: \"Direct\", \"HTTPConnect\", \"GRPC\"",
        ),
        (
            value!({"proxyProtocol": "HTTPConnect"}),
            "service.connection.transport: Required value: transport must be set for HTTPConnect",
        ),
        (
            value!({"proxyProtocol": "GRPC"}),
            "service.connection.transport: Required value: transport must be set for GRPC",
        ),
        (
            value!({"proxyProtocol": "GRPC", "transport": {"tcp": {"url": "http://p:1"}}}),
            "service.connection.uds: Required value: UDS must be set with GRPC",
        ),
        (
            value!({"proxyProtocol": "GRPC", "transport": {"uds": {}}}),
            "service.connection.udsName: Invalid value: \"nil\": must be present for UDS connections",
        ),
        (connect(value!({})), "service.connection.tcp: Required value: One of TCP or UDS must be set"),
        (
            connect(value!({"tcp": {"url": "http://p:1"}, "uds": {"udsName": "/s"}})),
            "service.connection.tcp: Invalid value: {\"URL\":\"http://p:1\",\"TLSConfig\":null}: TCP and UDS cannot both be set",
        ),
        (
            tcp("p:1"),
            "service.connection.url: Invalid value: \"p:1\": supported connection protocols are http:// and https://",
        ),
        (
            tcp("https://p:1"),
            "service.connection.tlsConfig: Required value: TLSConfig must be present when using HTTPS",
        ),
        (
            connect(value!({"tcp": {"url": "http://p:1", "tlsConfig": {}}})),
            "service.connection.tlsConfig: Invalid value: \"nil\": config must not be present when using HTTP",
        ),
        (
            secured(value!({})),
            "[service.connection.tlsConfig.clientCert: Invalid value: \"nil\": Using TLS requires clientCert, service.connection.tlsConfig.clientKey: Invalid value: \"nil\": Using TLS requires requires clientKey]",
        ),
        (
            secured(value!({"caBundle": "a", "clientCert": "b", "clientKey": "there"})),
            "[service.connection.tlsConfig.caBundle: Invalid value: \"a\": TLS config ca bundle does not exist, service.connection.tlsConfig.clientCert: Invalid value: \"b\": TLS client cert does not exist]",
        ),
        (
            secured(value!({"clientCert": "there", "clientKey": "c"})),
            "service.connection.tlsConfig.clientKey: Invalid value: \"c\": TLS client key does not exist",
        ),
    ] {
        assert_eq!(of("cluster", connection), Err(words.to_owned()));
    }
    let words = "service.connection: Unsupported value: \"elsewhere\": supported values: \"cluster\", \"controlplane\", \"etcd\"";
    assert_eq!(of("Elsewhere", direct.clone()), Err(words.to_owned()));
    let twice = several(&[("cluster", direct.clone()), ("Cluster", direct)]);
    assert_eq!(twice, Err("service.connection[1]: Duplicate value: \"cluster\"".to_owned()));
}
