//! Our controllers beside a stock kube-apiserver: what they do there is what they do here.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use api::{Value, meta, value};
use bytes::Bytes;
use conformance::{
    http::Client,
    skiff::{self, Controllers},
    upstream::{Settings, Upstream},
};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const MERGE: [(&str, &str); 1] = [("content-type", "application/merge-patch+json")];
const NAMESPACES: &str = "/api/v1/namespaces";

/// A namespace's collections.
struct Place {
    client: Client,
    name: String,
}

// === impl Place ===

impl Place {
    /// Makes a namespace and waits until its pods would be let in.
    async fn new(client: &Client, name: &str) -> Result<Place> {
        let place = Place { client: client.clone(), name: name.into() };
        send(client, "POST", NAMESPACES, &value!({"metadata": {"name": name}})).await?;
        client.until(&place.core("serviceaccounts"), "default", |account| account.is_some()).await?;
        Ok(place)
    }

    fn core(&self, plural: &str) -> String {
        format!("{NAMESPACES}/{}/{plural}", self.name)
    }

    fn of(&self, group: &str, plural: &str) -> String {
        format!("/apis/{group}/v1/namespaces/{}/{plural}", self.name)
    }

    async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        send(&self.client, "POST", path, object).await
    }

    /// Deletes an object, and says what is to become of what hangs on it.
    async fn delete(&self, path: &str, propagation: &str) -> Result<()> {
        let options = value!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation});
        send(&self.client, "DELETE", path, &options).await.map(drop)
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let answer = self.client.send("GET", path, &[], Bytes::new()).await?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        Ok(answer.json().list("items").to_vec())
    }

    /// The only object of a collection, by name.
    async fn only(&self, path: &str) -> Result<String> {
        let all = self.list(path).await?;
        ensure!(all.len() == 1, "{path}: {all:?}");
        Ok(meta::of(&all[0]).name().to_owned())
    }
}

async fn send(client: &Client, method: &str, path: &str, object: &Value) -> Result<Value> {
    let answer = client.send(method, path, &JSON, Bytes::from(codec::json::to_string(object))).await?;
    ensure!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    Ok(answer.json())
}

async fn status(client: &Client, path: &str, status: &Value) -> Result<()> {
    let patch = Bytes::from(codec::json::to_string(&value!({"status": (status.clone())})));
    let answer = client.send("PATCH", &format!("{path}/status"), &MERGE, patch).await?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    Ok(())
}

fn deployment(name: &str, replicas: i64) -> Value {
    value!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]}
            }
        }
    })
}

fn start(directory: &Path) -> Result<(Upstream, Controllers)> {
    let settings = Settings::new(&directory.join("upstream"))?;
    let upstream = Upstream::start(&settings)?;
    let key = settings.directory.join("keys/service-account.key");
    let key = format!("--service-account-private-key-file={}", key.display());
    let log = directory.join("controllers.log");
    let controllers = Controllers::start(&skiff::build()?, &upstream.kubeconfig, &log, &[&key])?;
    Ok((upstream, controllers))
}

#[tokio::test(flavor = "multi_thread")]
async fn our_controllers_keep_upstreams_server() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (upstream, _controllers) = start(directory.path())?;
    let client = Client::from_kubeconfig(&upstream.kubeconfig).await?;
    let place = Place::new(&client, "work").await.with_context(|| {
        let log = std::fs::read_to_string(directory.path().join("controllers.log")).unwrap_or_default();
        format!("the controllers said: {log}")
    })?;
    accounts(&place).await.context("accounts")?;
    workloads(&place).await.context("workloads")?;
    endpoints(&place).await.context("endpoints")?;
    quota(&place).await.context("quota")?;
    garbage(&Place::new(&client, "garbage").await?).await.context("garbage")?;
    namespace(&client).await.context("a namespace's end")?;
    Ok(())
}

async fn accounts(place: &Place) -> Result<()> {
    let client = &place.client;
    client
        .until(&place.core("configmaps"), "kube-root-ca.crt", |map| {
            map.is_some_and(|map| map.at("data").str("ca.crt").starts_with("-----BEGIN CERTIFICATE-----"))
        })
        .await?;
    place.create(&place.core("serviceaccounts"), &value!({"metadata": {"name": "robot"}})).await?;
    let secret = value!({
        "metadata": {"name": "robot-token", "annotations": {"kubernetes.io/service-account.name": "robot"}},
        "type": "kubernetes.io/service-account-token"
    });
    place.create(&place.core("secrets"), &secret).await?;
    client
        .until(&place.core("secrets"), "robot-token", |secret| {
            secret.is_some_and(|secret| {
                let data = secret.at("data");
                ["token", "ca.crt", "namespace"].iter().all(|key| !data.str(key).is_empty())
            })
        })
        .await?;
    // The server takes what was signed for it.
    let secret = client.send("GET", &place.core("secrets/robot-token"), &[], Bytes::new()).await?.json();
    let token = {
        use base64::{Engine, engine::general_purpose::STANDARD};
        String::from_utf8(STANDARD.decode(secret.at("data").str("token"))?)?
    };
    let review = value!({"spec": {"token": token}});
    let reviewed = send(client, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", &review).await?;
    let user = reviewed.at("status").at("user").str("username").to_owned();
    ensure!(user == "system:serviceaccount:work:robot", "{reviewed:?}");
    // And the secret goes with its account.
    place.delete(&place.core("serviceaccounts/robot"), "Background").await?;
    client.until(&place.core("secrets"), "robot-token", |secret| secret.is_none()).await
}

/// A Deployment's ReplicaSet and its pods, and their numbers in the status.
async fn workloads(place: &Place) -> Result<()> {
    let client = &place.client;
    let deployments = place.of("apps", "deployments");
    place.create(&deployments, &deployment("web", 2)).await?;
    client
        .until(&deployments, "web", |deployment| {
            deployment.is_some_and(|deployment| {
                let status = deployment.at("status");
                (status.int("replicas"), status.int("observedGeneration")) == (2, 1)
            })
        })
        .await?;
    let set = place.only(&place.of("apps", "replicasets")).await?;
    ensure!(set.starts_with("web-"), "{set}");
    let pods = place.list(&place.core("pods")).await?;
    let of_set = |pod: &Value| meta::of(pod).name().starts_with(&format!("{set}-"));
    ensure!(pods.len() == 2 && pods.iter().all(of_set), "{pods:?}");
    let owner = pods[0].at("metadata").list("ownerReferences")[0].clone();
    ensure!((owner.str("kind"), owner.str("name"), owner.bool("controller")) == ("ReplicaSet", set.as_str(), true));
    // A pod that goes is made again.
    let gone = meta::of(&pods[0]).name().to_owned();
    place.delete(&place.core(&format!("pods/{gone}?gracePeriodSeconds=0")), "Background").await?;
    client
        .until(&place.of("apps", "replicasets"), &set, |set| {
            set.is_some_and(|set| set.at("status").int("replicas") == 2)
        })
        .await?;
    place.delete(&format!("{deployments}/web"), "Foreground").await?;
    client.until(&deployments, "web", |deployment| deployment.is_none()).await?;
    // Foreground: what it owned went first.
    ensure!(place.list(&place.of("apps", "replicasets")).await?.is_empty(), "a set is still there");
    ensure!(place.list(&place.core("pods")).await?.is_empty(), "pods are still there");
    Ok(())
}

/// A pod that is ready stands behind its service, in a slice and in the old form.
async fn endpoints(place: &Place) -> Result<()> {
    let client = &place.client;
    let service = value!({
        "metadata": {"name": "front"},
        "spec": {"selector": {"app": "front"}, "ports": [{"port": 80, "targetPort": 8080}]}
    });
    place.create(&place.core("services"), &service).await?;
    // Of a node that is not there nothing is told.
    send(client, "POST", "/api/v1/nodes", &value!({"metadata": {"name": "somewhere"}})).await?;
    let pod = value!({
        "metadata": {"name": "front", "labels": {"app": "front"}},
        "spec": {"nodeName": "somewhere", "containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]}
    });
    place.create(&place.core("pods"), &pod).await?;
    let running = value!({
        "phase": "Running", "podIP": "10.244.0.7", "podIPs": [{"ip": "10.244.0.7"}],
        "conditions": [{"type": "Ready", "status": "True"}]
    });
    status(client, &place.core("pods/front"), &running).await?;
    let has_it = |addresses: &Value, key: &str| addresses.items().iter().any(|one| one.str(key) == "10.244.0.7");
    client
        .until(&place.core("endpoints"), "front", |endpoints| {
            let subsets = endpoints.map(|endpoints| endpoints.list("subsets").to_vec()).unwrap_or_default();
            subsets
                .iter()
                .any(|subset| has_it(subset.at("addresses"), "ip") && subset.list("ports")[0].int("port") == 8080)
        })
        .await?;
    let slices = place.of("discovery.k8s.io", "endpointslices");
    let select = "labelSelector=kubernetes.io/service-name%3Dfront,endpointslice.kubernetes.io/managed-by%3Dendpointslice-controller.k8s.io";
    let slice = place.only(&format!("{slices}?{select}")).await?;
    client
        .until(&slices, &slice, |slice| {
            let endpoints = slice.map(|slice| slice.list("endpoints").to_vec()).unwrap_or_default();
            endpoints.iter().any(|endpoint| {
                let addresses = endpoint.list("addresses");
                addresses.first().and_then(Value::as_str) == Some("10.244.0.7")
                    && endpoint.at("conditions").bool("ready")
            })
        })
        .await?;
    place.delete(&place.core("services/front"), "Background").await?;
    client.until(&slices, &slice, |slice| slice.is_none()).await?;
    place.delete(&place.core("pods/front?gracePeriodSeconds=0"), "Background").await
}

/// What a quota counts. Upstream's admission plugin looks at quotas with an informer (`quotaAccessor.GetQuotas`,
/// plugin/resourcequota/resource_access.go) and lets in uncounted what comes before that has their status: it refuses a
/// secret, of which the quota allows none, once it has it.
async fn quota(place: &Place) -> Result<()> {
    let quotas = place.core("resourcequotas");
    let hard = value!({"count/configmaps": "7", "secrets": "0"});
    place.create(&quotas, &value!({"metadata": {"name": "few"}, "spec": {"hard": (hard.clone())}})).await?;
    let used = |maps: &'static str| {
        let hard = hard.clone();
        move |quota: Option<&Value>| {
            quota.is_some_and(|quota| {
                let status = quota.at("status");
                status.at("hard") == &hard && status.at("used").str("count/configmaps") == maps
            })
        }
    };
    place.client.until(&quotas, "few", used("1")).await?;
    let (tried, secret) = (place.core("secrets?dryRun=All"), Bytes::from_static(br#"{"metadata":{"name":"tried"}}"#));
    let counted = |status, text: &str| status == 403 && text.contains("exceeded quota: few");
    place.client.until_answers("POST", &tried, &JSON, secret, counted).await?;
    place.create(&place.core("configmaps"), &value!({"metadata": {"name": "counted"}})).await?;
    place.client.until(&quotas, "few", used("2")).await?;
    // What goes is given back by the controller alone.
    place.delete(&place.core("configmaps/counted"), "Background").await?;
    place.client.until(&quotas, "few", used("1")).await
}

/// In the background what hangs on an object goes after it; orphans stay, and forget it.
async fn garbage(place: &Place) -> Result<()> {
    let client = &place.client;
    let (deployments, sets) = (place.of("apps", "deployments"), place.of("apps", "replicasets"));
    place.create(&deployments, &deployment("left", 1)).await?;
    client.until(&deployments, "left", |found| found.is_some_and(|d| d.at("status").int("replicas") == 1)).await?;
    let set = place.only(&sets).await?;
    place.delete(&format!("{deployments}/left"), "Orphan").await?;
    client.until(&deployments, "left", |deployment| deployment.is_none()).await?;
    client
        .until(&sets, &set, |set| set.is_some_and(|set| set.at("metadata").list("ownerReferences").is_empty()))
        .await?;
    let pod = place.only(&place.core("pods")).await?;
    place.delete(&format!("{sets}/{set}"), "Background").await?;
    client.until(&sets, &set, |set| set.is_none()).await?;
    client.until(&place.core("pods"), &pod, |pod| pod.is_none()).await
}

/// All that is in a namespace goes with it, also what waits for a finalizer of somebody else.
async fn namespace(client: &Client) -> Result<()> {
    let place = Place::new(client, "ending").await?;
    place.create(&place.of("apps", "deployments"), &deployment("web", 1)).await?;
    let held = value!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    place.create(&place.core("configmaps"), &held).await?;
    place.delete(&format!("{NAMESPACES}/ending"), "Background").await?;
    client
        .until(NAMESPACES, "ending", |namespace| {
            let conditions = namespace.map(|namespace| namespace.at("status").list("conditions").to_vec());
            conditions.unwrap_or_default().iter().any(|condition| {
                condition.str("type") == "NamespaceFinalizersRemaining" && condition.str("status") == "True"
            })
        })
        .await?;
    let release = Bytes::from_static(br#"{"metadata":{"finalizers":null}}"#);
    let released = client.send("PATCH", &place.core("configmaps/held"), &MERGE, release).await?;
    ensure!(released.status == 200, "{released:?}");
    client.until(NAMESPACES, "ending", |namespace| namespace.is_none()).await
}
