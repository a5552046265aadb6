//! Files that are refused, in upstream's words.

use super::*;

/// What comes of a file with this text.
fn opened(text: &str) -> Result<Egress, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("egress.yaml");
    std::fs::write(&path, text).expect("it can be written");
    let shown = path.display().to_string();
    open(Some(&path), &Metrics::default()).map_err(|why| why.to_string().replace(&shown, "FILE"))
}

const HEAD: &str = "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\n";

#[test]
fn files_that_are_none_are_refused_in_upstreams_words() {
    for (text, words) in [
        ("{}", "failed to read egress selector config: Object 'Kind' is missing in '{}'"),
        (
            "apiVersion: apiserver.k8s.io/v1\nkind: EgressSelectorConfiguration",
            "failed to read egress selector config: no kind \"EgressSelectorConfiguration\" is registered for version \"apiserver.k8s.io/v1\" in scheme \"pkg/runtime/scheme.go:111\"",
        ),
        (
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: []",
            "failed to read egress selector config: unexpected config type: apiserver.config.k8s.io/v1, Kind=EncryptionConfiguration",
        ),
        (
            &format!("{HEAD}egressSelections: [{{name: cluster, connect: {{}}}}]"),
            "failed to read egress selector config: strict decoding error: unknown field \"egressSelections[0].connect\"",
        ),
        (
            &format!("{HEAD}egressSelections: [{{name: cluster, connection: {{proxyProtocol: GRPC}}}}]"),
            "failed to validate egress selector configuration: service.connection.transport: Required value: transport must be set for GRPC",
        ),
        (
            &format!(
                "{HEAD}egressSelections: [{{name: etcd, connection: {{proxyProtocol: HTTPConnect, transport: {{tcp: {{url: 'http://proxy'}}}}}}}}]"
            ),
            "failed to setup egress selector with config FILE: failed to create dialer for egressSelection \"etcd\": address proxy: missing port in address",
        ),
    ] {
        assert_eq!(opened(text).map(|_| ()), Err(words.to_owned()));
    }
    let nowhere = Path::new("nowhere.yaml");
    let words = "egress-selector-config-file nowhere.yaml does not exist";
    assert_eq!(check(Some(nowhere)), Some(words.to_owned()));
    assert_eq!(check(None), None);
}

#[test]
fn what_is_not_selected_leaves_straight() {
    let none = opened(HEAD).expect("it selects nothing");
    assert!(none.selected().is_none(), "as if there were no file");
    let alpha = HEAD.replace("v1beta1", "v1alpha1");
    let old = opened(&format!("{alpha}egressSelections: [{{name: master, connection: {{proxyProtocol: Direct}}}}]"));
    let networks = old.expect("an old name").selected().map(|ways| ways.keys().copied().collect::<Vec<_>>());
    assert_eq!(networks, Some(vec![streaming::egress::Network::ControlPlane]));
}
