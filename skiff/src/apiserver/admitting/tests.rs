//! Files that are read, and files that are refused in upstream's words.

use super::*;

const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n";
const RUNNING: [&str; 4] = ["PodSecurity", "PodNodeSelector", "ImagePolicyWebhook", "ResourceQuota"];

/// What comes of a file with this text, beside which there is another.
fn read_as(text: &str, running: &[&str]) -> Result<BTreeMap<String, Value>, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("admission.yaml");
    std::fs::write(&path, text).expect("it can be written");
    std::fs::write(directory.path().join("beside.yaml"), "podNodeSelectorPluginConfig: {ns: a=b}").expect("as well");
    let shown = directory.path().display().to_string();
    configurations(Some(&path), running).map_err(|why| why.to_string().replace(&shown, "DIR"))
}

/// What a plugin alone is told by this text.
fn told(plugin: &str, configuration: &str) -> Result<Value, String> {
    let text = format!("{HEAD}plugins: [{{name: {plugin}, configuration: {configuration}}}]");
    read_as(&text, &[plugin]).map(|mut found| found.remove(plugin).unwrap_or_default())
}

#[test]
fn each_plugin_that_runs_gets_what_is_its_own() {
    let text = format!(
        "{HEAD}plugins:\n- name: PodNodeSelector\n  path: beside.yaml\n- name: PodNodeSelector\n  path: second.yaml\n\
         - name: AlwaysAdmit\n  path: nowhere.yaml\n- name: ResourceQuota\n"
    );
    let found = read_as(&text, &RUNNING).expect("it is right");
    assert_eq!(found.keys().collect::<Vec<_>>(), ["PodNodeSelector"]);
    assert_eq!(found["PodNodeSelector"].at("podNodeSelectorPluginConfig").str("ns"), "a=b");
    assert!(read_as(&text, &["Priority"]).expect("it is right").is_empty(), "who does not run is told nothing");
    assert!(configurations(None, &RUNNING).expect("nothing is said").is_empty());
    let legacy = text.replace("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1");
    assert_eq!(read_as(&legacy, &RUNNING).expect("as it was at first").len(), 1);
}

#[test]
fn the_whole_file_may_be_a_plugins() {
    let found = read_as("podNodeSelectorPluginConfig: {ns: c=d}", &RUNNING).expect("as before there were versions");
    assert_eq!(found.keys().collect::<Vec<_>>(), ["ImagePolicyWebhook", "PodNodeSelector"]);
    assert!(read_as("imagePolicy: {}", &RUNNING).is_ok());
    assert!(read_as("other: {}", &RUNNING).is_err());
}

#[test]
fn every_kind_of_configuration_is_read() {
    for (plugin, configuration, member) in [
        (
            "PodSecurity",
            "{apiVersion: pod-security.admission.config.k8s.io/v1beta1, kind: PodSecurityConfiguration, defaults: {enforce: baseline}}",
            "defaults",
        ),
        (
            "EventRateLimit",
            "{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: [{type: Server, qps: 1, burst: 1}], more: 1}",
            "limits",
        ),
        (
            "PodTolerationRestriction",
            "{apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1, kind: Configuration, whitelist: [{key: a}]}",
            "whitelist",
        ),
        (
            "ResourceQuota",
            "{apiVersion: resourcequota.admission.k8s.io/v1beta1, kind: Configuration, limitedResources: [{resource: pods}]}",
            "limitedResources",
        ),
        (
            "ResourceQuota",
            "{apiVersion: apiserver.config.k8s.io/v1, kind: ResourceQuotaConfiguration, limitedResources: [{resource: pods}]}",
            "limitedResources",
        ),
        (
            "MutatingAdmissionWebhook",
            "{apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: /f}",
            "kubeConfigFile",
        ),
        ("ImagePolicyWebhook", "{imagePolicy: {allowTTL: 1}}", "imagePolicy"),
    ] {
        let told = told(plugin, configuration).expect(plugin);
        assert!(!told.at(member).is_null(), "{plugin}: {told:?}");
    }
}

#[test]
fn what_is_wrong_is_said_in_upstreams_words() {
    for (text, words) in [
        ("{}", "failed to read plugin config: Object 'Kind' is missing in '{}'"),
        (
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: []",
            "failed to read plugin config: unexpected type: *apiserver.EncryptionConfiguration",
        ),
        (
            "apiVersion: apiserver.config.k8s.io/v7\nkind: AdmissionConfiguration",
            "failed to read plugin config: no kind \"AdmissionConfiguration\" is registered for version \"apiserver.config.k8s.io/v7\" in scheme \"pkg/runtime/scheme.go:111\"",
        ),
        (
            &format!("{HEAD}plugins: [{{name: PodSecurity, file: x}}]"),
            "failed to read plugin config: strict decoding error: unknown field \"plugins[0].file\"",
        ),
        (
            &format!("{HEAD}plugins: [{{name: PodSecurity, path: nowhere.yaml}}]"),
            "Couldn't open admission plugin configuration DIR/nowhere.yaml: no such file or directory",
        ),
    ] {
        assert_eq!(read_as(text, &RUNNING).err().as_deref(), Some(words));
    }
    let nowhere = configurations(Some(Path::new("/nowhere.yaml")), &RUNNING).expect_err("there is none").to_string();
    let words = "failed to read plugin config: unable to read admission control configuration from \"/nowhere.yaml\" [open /nowhere.yaml: no such file or directory]";
    assert_eq!(nowhere, words);
    let webhooks = "apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration";
    for (plugin, configuration, words) in [
        ("PodSecurity", "{}".to_owned(), "Object 'Kind' is missing in '{}'"),
        (
            "PodSecurity",
            "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, default: {}}".to_owned(),
            "strict decoding error: unknown field \"default\"",
        ),
        (
            "ValidatingAdmissionWebhook",
            format!("{{{webhooks}, kubeConfigFile: f}}"),
            "kubeConfigFile: Invalid value: \"f\": must be an absolute file path",
        ),
        (
            "ValidatingAdmissionWebhook",
            format!("{{{webhooks}, staticManifestsDir: /d}}"),
            "staticManifestsDir: Forbidden: what admission does is not read from manifests here",
        ),
        (
            "PodTolerationRestriction",
            "{apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1, kind: Configuration, default: [{key: a, operator: Equal, value: b, effect: Never}]}".to_owned(),
            "invalid config: [podtolerationrestriction.default[0].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"]",
        ),
        (
            "ValidatingAdmissionPolicy",
            "{apiVersion: apiserver.config.k8s.io/v1, kind: MutatingAdmissionPolicyConfiguration}".to_owned(),
            "unexpected type: *policyconfig.MutatingAdmissionPolicyConfiguration",
        ),
    ] {
        let words = format!("couldn't init admission plugin {}: {words}", quote(plugin));
        assert_eq!(told(plugin, &configuration), Err(words));
    }
}
