//! Texts as pods: named after the node, with a uid that follows from what they say.

use std::{collections::BTreeMap, fs, io, io::Read as _, path::Path, sync::Arc};

use api::{Value, pod_secrets, value};

use super::{HASH, LEN_MAX, Reader, SEEN, SOURCE};

/// Gives a pod its defaults, and says what is wrong with it.
pub type Whole = Arc<dyn Fn(&mut Value) -> Result<(), String> + Send + Sync>;

/// Texts by their files' names.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What lies at a path. Nothing there is no error: no pods are wanted. Upstream: sourceFile.listConfig.
pub fn files(path: &Path) -> io::Result<Files> {
    let mut found = Files::new();
    let kind = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        kind => kind?,
    };
    if kind.is_file() {
        found.insert(path.display().to_string(), read(path)?);
        return Ok(found);
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') || !path.is_file() {
            continue;
        }
        match read(&path) {
            Ok(text) => drop(found.insert(path.display().to_string(), text)),
            Err(error) => tracing::warn!(path = %path.display(), %error, "a file of pods cannot be read"),
        }
    }
    Ok(found)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(LEN_MAX).read_to_end(&mut text)?;
    Ok(text)
}

impl Reader {
    /// The pods of files; a file that is none is told and left out.
    pub fn files(&self, files: &Files) -> Vec<Arc<Value>> {
        let mut pods = Vec::new();
        for (name, text) in files {
            let read = codec::yaml::any(text).map_err(|error| error.to_string());
            match read.and_then(|pod| self.pod(pod, "file", name)) {
                Ok(pod) => pods.push(Arc::new(pod)),
                Err(error) => tracing::warn!(file = name, error, "a file is no pod"),
            }
        }
        pods
    }

    /// The pods of an answer, when it is another than before. Upstream: sourceURL.extractFromURL.
    pub fn answer(&self, url: &str, text: &str, known: &mut String) -> Result<Option<Vec<Arc<Value>>>, String> {
        if text.is_empty() {
            return Ok(Some(vec![]));
        }
        if text == known {
            return Ok(None);
        }
        text.clone_into(known);
        let read = codec::yaml::any(text.as_bytes()).map_err(|error| error.to_string())?;
        let items = match read.str("kind") {
            "PodList" => read.list("items").to_vec(),
            _ => vec![read],
        };
        let pods = items.into_iter().map(|pod| {
            let mut pod = pod;
            pod.default("kind", "Pod");
            pod.default("apiVersion", "v1");
            self.pod(pod, "http", url).map(Arc::new)
        });
        pods.collect::<Result<_, _>>().map(Some)
    }

    /// Upstream: config/common.go applyDefaults, tryDecodeSinglePod.
    fn pod(&self, mut pod: Value, source: &str, place: &str) -> Result<Value, String> {
        if (pod.str("kind"), pod.str("apiVersion")) != ("Pod", "v1") {
            return Err(format!("{place}: couldn't parse as pod, please check config file"));
        }
        let name = api::meta::of(&pod).name().to_owned();
        if name.is_empty() {
            return Err("invalid pod: name is needed for the pod".into());
        }
        if api::meta::of(&pod).uid().is_empty() {
            pod.set_path(&["metadata", "uid"], uid(&pod, source, place, &self.node_name));
        }
        pod.set_path(&["metadata", "name"], format!("{name}-{}", self.node_name.to_lowercase()));
        pod.entry_path(&["metadata"]).default("namespace", "default");
        pod.set_path(&["spec", "nodeName"], self.node_name.as_str());
        let uid = api::meta::of(&pod).uid().to_owned();
        pod.set_path(&["metadata", "annotations", HASH], uid);
        if source == "file" {
            tolerate_all(&mut pod);
        }
        pod.set("status", value!({"phase": "Pending"}));
        (self.whole)(&mut pod).map_err(|error| format!("invalid pod: {error}"))?;
        if let Some(what) = reference(&pod) {
            return Err(format!("static pods may not reference {what}"));
        }
        pod.set_path(&["metadata", "annotations", SOURCE], source);
        pod.set_path(&["metadata", "annotations", SEEN], api::time::micros(self.clock.now()));
        Ok(pod)
    }
}

/// So that it stays when the node is in trouble.
fn tolerate_all(pod: &mut Value) {
    let toleration = value!({"operator": "Exists", "effect": "NoExecute"});
    let tolerations = pod.entry_path(&["spec", "tolerations"]).make_array();
    if !tolerations.iter().any(|known| known.is_same(&toleration)) {
        tolerations.push(toleration);
    }
}

/// A pod that says something else is another pod.
fn uid(pod: &Value, source: &str, place: &str, node: &str) -> String {
    let mut text = codec::json::to_string(pod);
    match source {
        "file" => text.push_str(&format!("host:{node}file:{place}")),
        _ => text.push_str(&format!("url:{place}")),
    }
    // FNV-1a of 128 bits, as upstream has it.
    let hash = text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    format!("{hash:032x}")
}

/// What of the API server a pod needs; such pods must not. Upstream: api/pod/util.go HasAPIObjectReference.
fn reference(pod: &Value) -> Option<&'static str> {
    const VOLUMES: [(&str, &str); 8] = [
        ("configMap", "configmaps (via configmap volumes)"),
        ("secret", "secrets (via secret volumes)"),
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
        ("azureFile", "secrets (via azureFile volumes)"),
        ("projected", ""),
    ];
    const SOURCES: [(&str, &str); 5] = [
        ("configMap", "configmaps (via projected volumes)"),
        ("secret", "secrets (via projected volumes)"),
        ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    let spec = pod.at("spec");
    if !spec.str("serviceAccountName").is_empty() {
        return Some("serviceaccounts");
    }
    if pod_secrets::any(pod, |_| true) {
        return Some("secrets");
    }
    let containers = ["containers", "initContainers"].into_iter().flat_map(|list| spec.list(list));
    let names_config_map = |container: &Value| {
        container.list("envFrom").iter().any(|from| from.has("configMapRef"))
            || container.list("env").iter().any(|env| env.at("valueFrom").has("configMapKeyRef"))
    };
    if containers.into_iter().any(names_config_map) {
        return Some("configmaps");
    }
    if !spec.list("resourceClaims").is_empty() {
        return Some("resourceclaims");
    }
    let found = |of: &Value, rows: &[(&str, &'static str)]| rows.iter().find(|(m, _)| of.has(m)).map(|(_, what)| *what);
    spec.list("volumes").iter().find_map(|volume| match found(volume, &VOLUMES) {
        Some("") => volume.at("projected").list("sources").iter().find_map(|source| found(source, &SOURCES)),
        other => other,
    })
}
