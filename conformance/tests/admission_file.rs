//! An AdmissionConfiguration, in which each plugin is told something that one can see.

use std::path::Path;

use anyhow::{Result, ensure};
use api::{Value, value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use conformance::{http::Client, webhook::Webhook};
use skiff_test::Cluster;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const MORE: &str = "EventRateLimit,PodNodeSelector,PodTolerationRestriction,ImagePolicyWebhook";

/// The code of an answer to a new object, and the object or what was said.
async fn created(client: &Client, path: &str, object: &Value) -> Result<(u16, Value)> {
    let answer = client.send("POST", path, JSON, Bytes::from(codec::json::to_string(object))).await?;
    Ok((answer.status, answer.json()))
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = value!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "good"}]}
    });
    for (member, value) in spec.members() {
        pod.set_path(&["spec", member], value.clone());
    }
    pod
}

async fn namespace(client: &Client, name: &str) -> Result<()> {
    let object = value!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let made = created(client, "/api/v1/namespaces", &object).await?;
    ensure!(made.0 == 201, "{made:?}");
    Ok(())
}

/// A kubeconfig by which the webhook is found, and as whom.
fn kubeconfig(hook: &Webhook, user: &str, token: &str) -> String {
    let (authority, address) = (STANDARD.encode(&hook.authority), hook.address);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: hook, cluster: {{server: \"https://{address}/images\", certificate-authority-data: {authority}}}}}]\n\
         contexts: [{{name: here, context: {{cluster: hook, user: \"{user}\"}}}}]\n\
         users: [{{name: \"{user}\", user: {{token: {token}}}}}]\n"
    )
}

/// The configuration of every plugin that has one, two of them in files of their own.
fn write(directory: &Path, hook: &Webhook) -> Result<String> {
    let file = |name: &str, text: String| std::fs::write(directory.join(name), text);
    let shown = directory.display();
    file("images.kubeconfig", kubeconfig(hook, "images", "of-images"))?;
    file("hooks.kubeconfig", kubeconfig(hook, &format!("{}", hook.address), "of-hooks"))?;
    file("selectors.yaml", "podNodeSelectorPluginConfig:\n  clusterDefaultNodeSelector: env=dev\n".into())?;
    file(
        "images.yaml",
        format!("imagePolicy: {{kubeConfigFile: \"{shown}/images.kubeconfig\", allowTTL: 60, denyTTL: -1}}\n"),
    )?;
    file(
        "admission.yaml",
        format!(
            "apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {{enforce: baseline, enforce-version: latest}}
    exemptions: {{namespaces: [exempt]}}
- name: EventRateLimit
  configuration:
    apiVersion: eventratelimit.admission.k8s.io/v1alpha1
    kind: Configuration
    limits: [{{type: Namespace, qps: 1, burst: 2}}]
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources: [{{resource: persistentvolumeclaims, matchContains: [persistentvolumeclaims]}}]
- name: PodTolerationRestriction
  configuration:
    apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1
    kind: Configuration
    default: [{{key: told, operator: Exists}}]
- name: PodNodeSelector
  path: selectors.yaml
- name: ImagePolicyWebhook
  path: images.yaml
- name: ValidatingAdmissionWebhook
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    kubeConfigFile: {shown}/hooks.kubeconfig
"
        ),
    )?;
    Ok(format!("--admission-control-config-file={shown}/admission.yaml"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_plugin_is_told_what_the_file_says() -> Result<()> {
    let hook = Webhook::start("127.0.0.1", "not this one", |shown| {
        let images = shown.list("containers").iter().map(|container| container.str("image"));
        images.into_iter().all(|image| image != "bad") && shown.at("metadata").str("name") != "refused"
    });
    let (hook, directory) = (hook.await?, tempfile::tempdir()?);
    let flag = write(directory.path(), &hook)?;
    let cluster = Cluster::builder().flag(flag).flag(format!("--enable-admission-plugins={MORE}")).start()?;
    let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    for name in ["strict", "exempt"] {
        namespace(&client, name).await?;
    }

    // PodSecurity, its default and whom it exempts.
    let (strict, exempt) = ("/api/v1/namespaces/strict/pods", "/api/v1/namespaces/exempt/pods");
    let privileged = value!({"hostNetwork": true});
    let (code, said) = created(&client, strict, &pod("p", privileged.clone())).await?;
    ensure!(code == 403 && said.str("message").contains("violates PodSecurity \"baseline:latest\""), "{said:?}");
    let (code, made) = created(&client, exempt, &pod("p", privileged)).await?;
    ensure!(code == 201, "{made:?}");

    // PodNodeSelector and PodTolerationRestriction.
    let (code, made) = created(&client, strict, &pod("q", Value::Null)).await?;
    ensure!(code == 201 && made.at("spec").at("nodeSelector").str("env") == "dev", "{made:?}");
    let tolerated = made.at("spec").list("tolerations").iter().any(|one| one.str("key") == "told");
    ensure!(tolerated, "{made:?}");

    // ImagePolicyWebhook, which is asked once for what it allowed.
    ensure!(hook.heard() == ["Bearer of-images"; 2], "of each namespace");
    let bad = value!({"containers": [{"name": "c", "image": "bad"}]});
    let (code, said) = created(&client, strict, &pod("r", bad)).await?;
    let words = "image policy webhook backend denied one or more images: not this one";
    ensure!(code == 403 && said.str("message").ends_with(words), "{said:?}");
    hook.heard();

    // ResourceQuota.
    let claim = value!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    });
    let (code, said) = created(&client, "/api/v1/namespaces/strict/persistentvolumeclaims", &claim).await?;
    let words = "insufficient quota to consume: count/persistentvolumeclaims,persistentvolumeclaims";
    ensure!(code == 403 && said.str("message").contains(words), "{said:?}");

    // EventRateLimit.
    let event = |name: &str| {
        value!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "reason": "Tested", "type": "Normal",
            "involvedObject": {"kind": "Pod", "apiVersion": "v1", "namespace": "strict", "name": "q"}
        })
    };
    let mut codes = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        codes.push(created(&client, "/api/v1/namespaces/strict/events", &event(name)).await?.0);
    }
    ensure!(codes.starts_with(&[201, 201]) && codes.contains(&429), "{codes:?}");

    // ValidatingAdmissionWebhook, which shows itself by the user that is called as the webhook is.
    let rule =
        value!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]});
    let configuration = value!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "hook"},
        "webhooks": [{
            "name": "hook.example.com", "rules": [(rule)], "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "url": (format!("https://{}/", hook.address)), "caBundle": (STANDARD.encode(&hook.authority))
            }
        }]
    });
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let made = created(&client, path, &configuration).await?;
    ensure!(made.0 == 201, "{made:?}");
    let refused = value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "refused"}});
    let (code, said) = created(&client, "/api/v1/namespaces/strict/configmaps", &refused).await?;
    ensure!(code == 403 || code == 400, "{said:?}");
    ensure!(hook.heard() == ["Bearer of-hooks"]);
    Ok(())
}

/// What is wrong with a file is said when the server starts, in upstream's words.
#[tokio::test]
async fn a_wrong_file_is_refused_at_the_start() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("admission.yaml");
    let wrong = |text: &str| -> Result<String> {
        std::fs::write(&path, text)?;
        let started = Cluster::builder().flag(format!("--admission-control-config-file={}", path.display())).start();
        Ok(started.err().map(|error| error.to_string()).unwrap_or_default())
    };
    let said = wrong("{}")?;
    ensure!(said == "failed to read plugin config: Object 'Kind' is missing in '{}'", "{said}");
    let said = wrong(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n\
         plugins: [{name: PodSecurity, configuration: {apiVersion: pod-security.admission.config.k8s.io/v1, \
         kind: PodSecurityConfiguration, defaults: {enforce: mild}}}]",
    )?;
    ensure!(said.starts_with("couldn't init admission plugin \"PodSecurity\": "), "{said}");
    Ok(())
}
