//! Merging keeps what is there.

use super::*;

const ENTRY: Entry<'static> = Entry {
    name: "skiff",
    server: "https://127.0.0.1:6443",
    authority_pem: "CA",
    credential: Credential::Certificate { certificate_pem: "CERT", key_pem: "KEY" },
};

const ALONE: &str = "\
apiVersion: v1
kind: Config
clusters:
- name: skiff
  cluster:
    certificate-authority-data: Q0E=
    server: https://127.0.0.1:6443
users:
- name: skiff
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
contexts:
- name: skiff
  context:
    cluster: skiff
    user: skiff
current-context: skiff
";

#[test]
fn one_entry_alone() {
    assert_eq!(write(&ENTRY).expect("written"), ALONE);
    assert_eq!(merge("# nothing yet\n", &ENTRY).expect("merged"), ALONE);
}

#[test]
fn merging_twice_changes_nothing() {
    assert_eq!(merge(ALONE, &ENTRY).expect("merged"), ALONE);
}

#[test]
fn everything_else_is_kept() {
    let existing = "\
apiVersion: v1
kind: Config
current-context: work
preferences:
  colors: true
future-field: {a: [1, 2.5, null, 'yes']}
clusters:
- name: work
  cluster:
    server: https://work.example
    proxy-url: http://proxy.example
- name: skiff
  note: mine
  cluster:
    server: https://old.example
    insecure-skip-tls-verify: true
contexts:
- name: work
  context: {cluster: work, user: work, namespace: team}
- name: skiff
  context: {cluster: skiff, user: skiff, namespace: chosen}
users:
- name: work
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: login
      args: ['--really', '0123', 'on']
";
    let merged: Value = yaml_serde::from_str(&merge(existing, &ENTRY).expect("merged")).expect("YAML");
    let before: Value = yaml_serde::from_str(existing).expect("YAML");
    for kept in ["current-context", "preferences", "future-field"] {
        assert_eq!(merged[kept], before[kept]);
    }
    assert_eq!(merged["clusters"][0], before["clusters"][0]);
    assert_eq!(merged["contexts"][0], before["contexts"][0]);
    assert_eq!(merged["users"][0], before["users"][0]);
    assert_eq!(merged["clusters"][1]["note"], Value::from("mine"));
    assert_eq!(merged["clusters"][1]["cluster"]["server"], Value::from("https://127.0.0.1:6443"));
    assert!(merged["clusters"][1]["cluster"].get("insecure-skip-tls-verify").is_none());
    assert_eq!(merged["contexts"][1]["context"]["namespace"], Value::from("chosen"));
    assert_eq!(merged["users"][1]["user"]["client-key-data"], Value::from("S0VZ"));
}

#[test]
fn empty_members_are_filled() {
    let existing = "apiVersion: v1\nkind: Config\nclusters: null\nusers: []\ncontexts:\ncurrent-context: ''\n";
    let merged: Value = yaml_serde::from_str(&merge(existing, &ENTRY).expect("merged")).expect("YAML");
    assert_eq!(merged["current-context"], Value::from("skiff"));
    assert_eq!(merged["clusters"].as_sequence().map(Vec::len), Some(1));
}

#[test]
fn json_is_yaml_too() {
    let merged = merge(r#"{"apiVersion":"v1","kind":"Config","current-context":"x"}"#, &ENTRY).expect("merged");
    assert!(merged.contains("current-context: x\n"));
}

#[test]
fn what_is_no_kubeconfig_is_refused() {
    for text in ["- a list", "kind: Pod", "a: [", "clusters: {a: 1}", "a: 1\n---\nb: 2"] {
        assert!(matches!(merge(text, &ENTRY), Err(Error::Kubeconfig(_))), "{text}");
    }
}

#[test]
fn a_token_is_a_credential_too() {
    let text = write(&Entry { credential: Credential::Token("secret"), ..ENTRY }).expect("written");
    assert!(text.contains("  user:\n    token: secret\n"), "{text}");
}
