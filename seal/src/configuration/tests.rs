use super::*;

const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n";

/// What kube-apiserver 1.37.1 said of each of these files.
const REFUSED: &[(&str, &str)] = &[
    ("", "error while loading file: encryption provider configuration file \"enc/bad.yaml\" is empty"),
    (
        "apiVersion: apiserver.config.k8s.io/v1\nkind: Foo\n",
        "error decoding encryption provider configuration file \"enc/bad.yaml\": no kind \"Foo\" is registered for version \"apiserver.config.k8s.io/v1\" in scheme \"pkg/runtime/scheme.go:111\"",
    ),
    (
        "+resources: []\nfoo: bar\n",
        "error decoding encryption provider configuration file \"enc/bad.yaml\": strict decoding error: unknown field \"foo\"",
    ),
    (
        "+resources:\n- resources: 'secrets'\n  providers: [{identity: {}}]\n",
        "error decoding encryption provider configuration file \"enc/bad.yaml\": json: cannot unmarshal string into Go struct field ResourceConfiguration.resources.resources of type []string",
    ),
    ("+", "resources: Required value: at least one resources is required"),
    (
        "+resources:\n- resources: [secrets, secrets, '*.', Foo, '*', x.extensions, a.*, serviceipallocations, events.events.k8s.io]\n  providers: [{identity: {}}]\n",
        "[resources[0].resources: Invalid value: [\"secrets\",\"secrets\",\"*.\",\"Foo\",\"*\",\"x.extensions\",\"a.*\",\"serviceipallocations\",\"events.events.k8s.io\"]: the same resource cannot be specified multiple times, resources[0].resources: Invalid value: [\"secrets\",\"secrets\",\"*.\",\"Foo\",\"*\",\"x.extensions\",\"a.*\",\"serviceipallocations\",\"events.events.k8s.io\"]: using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked, resources[0].resources[3]: Invalid value: \"Foo\": resource name should not contain capital letters, resources[0].resources[4]: Invalid value: \"*\": use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources, resources[0].resources[5]: Invalid value: \"x.extensions\": 'extensions' group has been removed and cannot be used for encryption, resources[0].resources[6]: Invalid value: \"a.*\": encrypting the same resource across groups is not supported, resources[0].resources[7]: Invalid value: \"serviceipallocations\": resources which do not have REST API/s cannot be encrypted, resources[0].resources[8]: Invalid value: \"events.events.k8s.io\": '*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file]",
    ),
    (
        "+resources:\n- resources: [secrets]\n  providers:\n  - {}\n  - aescbc: {keys: [{name: a, secret: abc}, {name: '', secret: ''}, {name: b, secret: YWJj}]}\n  - secretbox: {keys: []}\n",
        "[resources[0].providers[0]: Invalid value: {\"AESGCM\":null,\"AESCBC\":null,\"Secretbox\":null,\"Identity\":null,\"KMS\":null}: provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity, resources[0].providers[1].aescbc.keys[0].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded, resources[0].providers[1].aescbc.keys[1].name: Required value: name is a mandatory field for a key, resources[0].providers[1].aescbc.keys[1].secret: Required value: secret is a mandatory field for a key, resources[0].providers[1].aescbc.keys[2].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 3, expected one of [16 24 32], resources[0].providers[2].secretbox.keys: Required value: at least one keys is required]",
    ),
    (
        "+resources:\n- resources: ['secrets']\n  providers: [{kms: {name: 'a:b', apiVersion: v2, endpoint: 'tcp:///x', timeout: -1s, cachesize: 5}}, {kms: {name: 'a:b', apiVersion: v3}}]\n",
        "[resources[0].providers[0].kms.name: Invalid value: \"a:b\": invalid KMS provider name a:b, must not contain ':', resources[0].providers[0].kms.timeout: Invalid value: \"-1s\": timeout should be a positive value, resources[0].providers[0].kms.endpoint: Invalid value: \"tcp:///x\": unsupported scheme \"tcp\" for KMS provider, only unix is supported, resources[0].providers[0].kms.cachesize: Invalid value: 5: cachesize is not supported in v2, resources[0].providers[1].kms.name: Invalid value: \"a:b\": invalid KMS provider name a:b, must not contain ':', resources[0].providers[1].kms.name: Invalid value: \"a:b\": duplicate KMS provider name a:b, names must be unique, resources[0].providers[1].kms.endpoint: Invalid value: \"\": endpoint is a mandatory field for a kms, resources[0].providers[1].kms.apiVersion: Invalid value: \"v3\": unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported]",
    ),
];

fn text(said: &str) -> String {
    said.strip_prefix('+').map_or(said.into(), |rest| format!("{HEAD}{rest}"))
}

#[test]
fn what_is_wrong_is_said_in_upstreams_words() {
    for (said, words) in REFUSED {
        let refused = read(text(said).as_bytes(), "enc/bad.yaml", false).err();
        assert_eq!(refused.as_deref(), Some(format!("error while parsing file: {words}").as_str()), "{said}");
    }
}

#[test]
fn several_providers_in_one_are_refused_without_their_keys() {
    let said = "+resources:\n- resources: [secrets]\n  providers: [{identity: {}, aescbc: {keys: [{name: a, secret: c2VjcmV0IGlzIHNlY3VyZQ==}]}}]\n";
    let words = read(text(said).as_bytes(), "f", false).expect_err("two in one");
    assert!(words.contains("more than one provider specified in a single element"), "{words}");
    assert!(!words.contains("c2VjcmV0"), "{words}");
}

#[test]
fn a_file_is_read_in_its_order() {
    let said = "+resources:\n- resources: [secrets, '*.apps']\n  providers: [{aesgcm: {keys: [{name: a, secret: c2VjcmV0IGlzIHNlY3VyZQ==}]}}, {identity: {}}]\n- resources: ['*.*']\n  providers: [{identity: {}}]\n";
    let read = read(text(said).as_bytes(), "f", true).expect("it is right");
    let key = Key { name: "a".into(), secret: Secret::new(*b"secret is secure") };
    let first = Rule {
        resources: vec![GroupResource::new("", "secrets"), GroupResource::new("apps", "*")],
        providers: vec![Said::AesGcm(vec![key]), Said::Identity],
    };
    let second = Rule { resources: vec![GroupResource::new("*", "*")], providers: vec![Said::Identity] };
    assert_eq!(read.rules, [first, second]);
}
