//! What a pod's sandbox and containers are to be, in the runtime's words.
//!
//! Upstream: kuberuntime_sandbox.go generatePodSandboxConfig, kuberuntime_container.go generateContainerConfig.

use api::Value;

use super::{ground::Ground, hash};
use crate::runtime::{
    ContainerSpec, ImageSpec, Namespace, Namespaces, PodName, PortMapping, Profile, Protocol, SandboxSecurity,
    SandboxSpec, Words, labels,
};

/// Whose it is.
pub fn pod_name(pod: &Value) -> PodName {
    let meta = api::meta::of(pod);
    PodName { namespace: meta.namespace().into(), name: meta.name().into(), uid: meta.uid().into() }
}

/// Where a pod's logs are.
pub fn log_directory(ground: &Ground, pod: &PodName) -> std::path::PathBuf {
    ground.settings.pod_logs.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
}

/// What the pod's sandbox is to be.
pub fn sandbox(ground: &Ground, pod: &Value, attempt: u32) -> SandboxSpec {
    let spec = pod.at("spec");
    let name = pod_name(pod);
    let mut words: Words = strings(api::meta::of(pod).labels());
    words.extend(pod_words(&name));
    let on_host = spec.bool("hostNetwork");
    SandboxSpec {
        log_directory: log_directory(ground, &name).display().to_string(),
        attempt,
        hostname: if on_host { String::new() } else { hostname(pod) },
        dns: None,
        ports: spec.list("containers").iter().flat_map(|c| c.list("ports")).filter_map(port).collect(),
        labels: words,
        annotations: strings(pod.at("metadata").at("annotations")),
        cgroup_parent: ground.settings.cgroup_root.clone(),
        security: SandboxSecurity {
            namespaces: namespaces(pod),
            seccomp: Some(Profile::RuntimeDefault),
            ..SandboxSecurity::default()
        },
        pod: name,
        ..SandboxSpec::default()
    }
}

/// Upstream: kubelet_pods.go GeneratePodHostNameAndDomain.
fn hostname(pod: &Value) -> String {
    let spec = pod.at("spec");
    let name = spec.opt_str("hostname").filter(|h| !h.is_empty()).unwrap_or(api::meta::of(pod).name());
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).into()
}

fn port(port: &Value) -> Option<PortMapping> {
    let number = |member: &str| u16::try_from(port.int(member)).ok();
    let host_port = number("hostPort").filter(|p| *p > 0)?;
    let protocol = match port.str("protocol") {
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    Some(PortMapping {
        protocol,
        container_port: number("containerPort")?,
        host_port,
        host_ip: port.str("hostIP").into(),
    })
}

/// Which namespaces the pod shares with the host.
pub fn namespaces(pod: &Value) -> Namespaces {
    let spec = pod.at("spec");
    let host = |member: &str, otherwise: Namespace| if spec.bool(member) { Namespace::Node } else { otherwise };
    let alone = if spec.bool("shareProcessNamespace") { Namespace::Pod } else { Namespace::Container };
    Namespaces {
        network: host("hostNetwork", Namespace::Pod),
        pid: host("hostPID", alone),
        ipc: host("hostIPC", Namespace::Pod),
        users: None,
    }
}

fn pod_words(pod: &PodName) -> Words {
    let words = [(labels::POD_NAME, &pod.name), (labels::POD_NAMESPACE, &pod.namespace), (labels::POD_UID, &pod.uid)];
    words.into_iter().map(|(key, word)| (key.to_string(), word.clone())).collect()
}

/// By what a container is known again.
pub fn container_words(pod: &Value, container: &Value, restarts: i64) -> (Words, Words) {
    let mut words = pod_words(&pod_name(pod));
    words.insert(labels::CONTAINER_NAME.into(), container.str("name").into());
    let mut notes = Words::new();
    let mut note = |key: &str, word: String| notes.insert(key.into(), word);
    note(labels::HASH, format!("{:x}", hash::of(container)));
    note(labels::RESTART_COUNT, restarts.to_string());
    note(labels::TERMINATION_MESSAGE_PATH, container.str("terminationMessagePath").into());
    note(labels::TERMINATION_MESSAGE_POLICY, container.str("terminationMessagePolicy").into());
    if let Some(seconds) = pod.at("metadata").opt_int("deletionGracePeriodSeconds") {
        note(labels::POD_DELETION_GRACE_PERIOD, seconds.to_string());
    }
    if let Some(seconds) = pod.at("spec").opt_int("terminationGracePeriodSeconds") {
        note(labels::POD_TERMINATION_GRACE_PERIOD, seconds.to_string());
    }
    let pre_stop = container.at("lifecycle").at("preStop");
    if !pre_stop.is_null() {
        note(labels::PRE_STOP, codec::json::to_string(pre_stop));
    }
    if !container.list("ports").is_empty() {
        note(labels::PORTS, codec::json::to_string(container.at("ports")));
    }
    (words, notes)
}

/// What a container is to be. `image` is what its image was resolved to.
pub fn container(pod: &Value, container: &Value, image: &str, restarts: i64) -> ContainerSpec {
    let (labels, annotations) = container_words(pod, container, restarts);
    let texts = |member: &str| container.list(member).iter().filter_map(Value::as_str).map(str::to_string).collect();
    let name = container.str("name");
    ContainerSpec {
        name: name.into(),
        attempt: u32::try_from(restarts).unwrap_or(u32::MAX),
        image: ImageSpec { image: image.into(), user_specified: container.str("image").into(), ..ImageSpec::default() },
        command: texts("command"),
        args: texts("args"),
        working_dir: container.str("workingDir").into(),
        labels,
        annotations,
        log_path: format!("{name}/{restarts}.log"),
        stdin: container.bool("stdin"),
        stdin_once: container.bool("stdinOnce"),
        tty: container.bool("tty"),
        security: crate::runtime::Security { namespaces: namespaces(pod), ..Default::default() },
        stop_signal: container.at("lifecycle").str("stopSignal").into(),
        ..ContainerSpec::default()
    }
}

fn strings(map: &Value) -> Words {
    map.members().filter_map(|(key, word)| Some((key.to_string(), word.as_str()?.to_string()))).collect()
}
