//! What a pod's sandbox and containers are to be, in the runtime's words.
//!
//! Upstream: kuberuntime_sandbox.go generatePodSandboxConfig, kuberuntime_container.go generateContainerConfig.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use api::Value;

use super::{ground::Ground, hash, means::Means};
use crate::{
    environment::{self, ConfigError},
    hosts_file::{self, PodHost},
    qos,
    runtime::{ContainerSpec, ImageSpec, Mount, PodName, PortMapping, Protocol, SandboxSpec, Words, labels},
    security::{self, ImageUser},
    tell::Tell as _,
    volumes::{self, Mounted, mounts},
};

/// What a container is made of beside its pod.
pub struct Material<'a> {
    /// What the runtime calls its image.
    pub image: String,
    pub image_user: ImageUser,
    pub restarts: i64,
    pub pod_ips: &'a [String],
    pub mounted: &'a Mounted,
    /// By the volume's name.
    pub image_volumes: BTreeMap<String, ImageSpec>,
    /// The container that one which came to debug is to see.
    pub target: Option<String>,
}

/// Whose it is.
pub fn pod_name(pod: &Value) -> PodName {
    let meta = api::meta::of(pod);
    PodName { namespace: meta.namespace().into(), name: meta.name().into(), uid: meta.uid().into() }
}

/// Where a pod's logs are.
pub fn log_directory(ground: &Ground, pod: &PodName) -> PathBuf {
    ground.settings.pod_logs.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
}

/// What the pod's sandbox is to be. `handler` is its RuntimeClass's.
pub fn sandbox(ground: &Ground, pod: &Value, attempt: u32, handler: &str) -> Result<SandboxSpec, ConfigError> {
    let spec = pod.at("spec");
    let name = pod_name(pod);
    let mut words: Words = strings(api::meta::of(pod).labels());
    words.extend(pod_words(&name));
    let mut sandbox = SandboxSpec {
        log_directory: log_directory(ground, &name).display().to_string(),
        attempt,
        ports: spec.list("containers").iter().flat_map(|c| c.list("ports")).filter_map(port).collect(),
        labels: words,
        annotations: strings(pod.at("metadata").at("annotations")),
        security: security::of_sandbox(pod, None)?,
        sysctls: dotted(security::sysctls(pod)),
        handler: handler.into(),
        pod: name,
        ..SandboxSpec::default()
    };
    if !spec.bool("hostNetwork") {
        let host = PodHost::of(pod, &ground.settings.cluster_domain)?;
        sandbox.hostname = host.for_kernel(pod)?;
    }
    if let Some(means) = &ground.means {
        let (dns, tellings) = crate::dns_config::of(pod, &means.dns(&ground.settings, &ground.node.read().ips));
        tellings.into_iter().for_each(|telling| ground.events.tell(pod, None, telling));
        sandbox.dns = Some(dns);
        sandbox.cgroup_parent = means.cgroups.as_ref().map(|c| c.parent_of(pod)).unwrap_or_default();
        sandbox.resources = Some(qos::sandbox_resources(pod, &means.machine));
        sandbox.overhead = Some(qos::overhead_resources(pod, &means.machine));
    }
    Ok(sandbox)
}

/// The runtime takes names with dots only. Upstream: ConvertPodSysctlsVariableToDotsSeparator.
fn dotted(named: Words) -> Words {
    named.into_iter().map(|(name, word)| (api::names::dotted_sysctl(&name), word)).collect()
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

fn pod_words(pod: &PodName) -> Words {
    let words = [(labels::POD_NAME, &pod.name), (labels::POD_NAMESPACE, &pod.namespace), (labels::POD_UID, &pod.uid)];
    words.into_iter().map(|(key, word)| (key.to_string(), word.clone())).collect()
}

/// By what a container is known again.
fn container_words(pod: &Value, container: &Value, restarts: i64) -> (Words, Words) {
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

/// What a container is to be.
pub async fn container(
    ground: &Ground,
    pod: &Value,
    container: &Value,
    material: Material<'_>,
) -> Result<ContainerSpec, ConfigError> {
    let (labels, annotations) = container_words(pod, container, material.restarts);
    let name = container.str("name");
    let image = ImageSpec {
        image: material.image.clone(),
        user_specified: container.str("image").into(),
        ..ImageSpec::default()
    };
    let mut spec = ContainerSpec {
        name: name.into(),
        attempt: u32::try_from(material.restarts).unwrap_or(u32::MAX),
        image,
        working_dir: container.str("workingDir").into(),
        labels,
        annotations,
        log_path: format!("{name}/{}.log", material.restarts),
        stdin: container.bool("stdin"),
        stdin_once: container.bool("stdinOnce"),
        tty: container.bool("tty"),
        stop_signal: container.at("lifecycle").str("stopSignal").into(),
        ..ContainerSpec::default()
    };
    if let Some(means) = &ground.means {
        spec.env = variables(ground, means, pod, container, &material).await?;
        spec.mounts = all_mounts(ground, means, pod, container, &material, &spec.env)?;
        spec.resources = qos::container_resources(pod, container, &means.machine);
        security::verify_non_root(pod, container, &material.image_user)?;
        let target = material.target.as_deref();
        spec.security = security::of_container(pod, container, &material.image_user, &means.security, None, target)?;
    }
    let texts = |member: &str| -> Vec<String> {
        let texts = container.list(member).iter().filter_map(Value::as_str);
        texts.map(|text| environment::expanded(text, &spec.env)).collect()
    };
    (spec.command, spec.args) = (texts("command"), texts("args"));
    Ok(spec)
}

async fn variables(
    ground: &Ground,
    means: &Means,
    pod: &Value,
    container: &Value,
    material: &Material<'_>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let namespace = api::meta::of(pod).namespace();
    let sources = environment::Sources::gather(&*means.objects, namespace, container).await;
    let services = means.services();
    let node = ground.node.read().clone();
    let on_host = pod.at("spec").bool("hostNetwork");
    environment::of(
        pod,
        container,
        &environment::Context {
            sources: &sources,
            services: services.as_deref(),
            pod_ips: if on_host { &node.ips } else { material.pod_ips },
            host_ips: &node.ips,
            allocatable: &node.allocatable,
            volumes: &volumes::paths(material.mounted),
        },
    )
}

/// The container's own mounts, `/etc/hosts`, and where it may say why it ended.
fn all_mounts(
    ground: &Ground,
    means: &Means,
    pod: &Value,
    container: &Value,
    material: &Material<'_>,
    variables: &[(String, String)],
) -> Result<Vec<Mount>, ConfigError> {
    let context = mounts::Context {
        variables,
        recursive_read_only: ground.node.read().recursive_read_only,
        images: &material.image_volumes,
        selinux: false,
    };
    let mut all = mounts::of(&means.volumes, pod, container, material.mounted, &context)?;
    let directory = means.volumes.pod_dir(api::meta::of(pod).uid());
    let host = PodHost::of(pod, &ground.settings.cluster_domain)?;
    let failed = |error: std::io::Error| ConfigError(error.to_string());
    let hosts = hosts_file::mount(&directory, pod, container, &host, material.pod_ips, Path::new("/etc/hosts"));
    all.extend(hosts.map_err(failed)?);
    all.extend(termination_log(&directory, container, material.restarts).map_err(failed)?);
    Ok(all)
}

/// Upstream: kuberuntime_container.go makeMounts.
fn termination_log(directory: &Path, container: &Value, restarts: i64) -> std::io::Result<Option<Mount>> {
    use std::os::unix::fs::PermissionsExt as _;
    let at = container.str("terminationMessagePath");
    if at.is_empty() {
        return Ok(None);
    }
    let folder = directory.join("containers").join(container.str("name"));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{restarts:08x}"));
    std::fs::File::create(&file)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666))?;
    Ok(Some(Mount { container_path: at.into(), host_path: file.display().to_string(), ..Mount::default() }))
}

fn strings(map: &Value) -> Words {
    map.members().filter_map(|(key, word)| Some((key.to_string(), word.as_str()?.to_string()))).collect()
}
