//! Pods on a real node, one after the other: how long each takes from its bind until it runs, and how long the node's
//! runtime takes for the same when nobody else asks it for anything.
//!
//! In the hub ([`machines::enter`]), so in a process of its own. The control plane is Skiff's on both sides: what differs
//! is the node agent.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use cri::runtime_service_client::RuntimeServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::{
    Who,
    latency::Latencies,
    load::{self, Request},
    process,
};
use crate::{
    http::Client,
    images,
    machines::{self, Agents, HUB, Machine},
    place::Place,
    skiff::Skiff,
    suite::{cluster, node},
    upstream,
};

/// What is measured of one side.
pub struct Asked<'a> {
    pub skiff: &'a Path,
    /// Whose node agent it is.
    pub who: Who,
    /// Where archives of images are, or will be.
    pub images: &'a Path,
    pub pods: usize,
}

const IMAGE: &str = "registry.k8s.io/pause:3.10.2";
const ARCHIVE: &str = "pause";
const PODS: &str = "/api/v1/namespaces/default/pods";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const NODES: &str = "/api/v1/nodes";
const JSON: &str = "application/json";
const MEDIAN: f64 = 0.5;
/// Of the node that nobody's agent runs on.
const RANGE: &str = "10.244.200.0/24";
/// Container runtimes judge by it whether a process ends with the pod's.
const EACH_CONTAINER: i32 = 1;

/// What was found, a line for each: a word, a blank, a number.
pub async fn measure(asked: &Asked<'_>) -> Result<String> {
    let place = Place::make(&std::env::temp_dir())?;
    let data = place.path().join("skiff");
    std::fs::create_dir_all(&data)?;
    let skiff = Skiff::start_at(asked.skiff, HUB, &data, &["--parts", "apiserver,controllers"])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let control = cluster::control(&skiff, &data)?;
    let images = images::build(asked.images, &upstream::programs(), &[ARCHIVE])?;

    let alone = Machine::start(1, place.path(), &control, &images, &Agents::Nobody)?;
    alone.write_network(RANGE)?;
    let mut runtime = without_agent(&alone, asked.pods).await?;
    drop(alone);

    let agents = match asked.who {
        Who::Upstream => Agents::Stock,
        _ => Agents::Skiff(asked.skiff.to_owned()),
    };
    let mut machine = [Machine::start(2, place.path(), &control, &images, &agents)?];
    machines::connect(&mut machine, &|words| cluster::kubectl(&skiff.kubeconfig, words))?;
    let [machine] = &machine;
    let is_free = |node: &api::Value| node::is_ready(node) && node.at("spec").list("taints").is_empty();
    client.until(NODES, &machine.name, |node| node.is_some_and(is_free)).await?;
    client.until(ACCOUNTS, "default", |account| account.is_some()).await?;
    // The first pod finds caches empty.
    start(&client, &machine.name, "first").await?;
    let agent = machine.agent().context("the node has no agent")?;
    let before = process::cpu_seconds(agent)?;
    let mut started = Latencies::default();
    for number in 0..asked.pods {
        started.add(start(&client, &machine.name, &format!("pod-{number}")).await?);
    }
    let cpu_ms = (process::cpu_seconds(agent)? - before) * 1e3 / asked.pods as f64;
    let memory = process::pss_bytes(agent)? / 1e6;
    let (runtime, started) = (runtime.millis_at(MEDIAN), started.millis_at(MEDIAN));
    Ok(format!("runtime {runtime} \nstart {started} \ncpu {cpu_ms} \nmemory {memory} \n"))
}

/// A pod that is bound as it is made.
async fn start(client: &Client, node: &str, name: &str) -> Result<Duration> {
    let body = format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}"}},"spec":{{"nodeName":"{node}","containers":[{{"name":"c","image":"{IMAGE}","imagePullPolicy":"Never"}}]}}}}"#
    );
    let begun = Instant::now();
    load::send(client, Request { method: "POST", path: PODS.into(), content_type: JSON, body: body.into() }).await?;
    let runs = |pod: &api::Value| pod.at("status").str("phase") == "Running";
    client.until(PODS, name, |pod| pod.is_some_and(runs)).await?;
    Ok(begun.elapsed())
}

async fn without_agent(machine: &Machine, count: usize) -> Result<Latencies> {
    let channel = Endpoint::from_shared(format!("unix://{}", machine.socket().display()))?.connect().await?;
    let mut runtime = RuntimeServiceClient::new(channel);
    let logs = machine.logs();
    once(&mut runtime, machine, &logs, "first").await?;
    let mut all = Latencies::default();
    for number in 0..count {
        all.add(once(&mut runtime, machine, &logs, &format!("pod-{number}")).await?);
    }
    Ok(all)
}

async fn once(
    runtime: &mut RuntimeServiceClient<Channel>,
    machine: &Machine,
    logs: &Path,
    name: &str,
) -> Result<Duration> {
    let directory = logs.join(name);
    std::fs::create_dir_all(&directory)?;
    let config = cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: name.into(),
            uid: name.into(),
            namespace: "default".into(),
            ..cri::PodSandboxMetadata::default()
        }),
        hostname: name.into(),
        log_directory: directory.display().to_string(),
        linux: Some(cri::LinuxPodSandboxConfig {
            cgroup_parent: format!("/{}", machine.cgroup()),
            ..cri::LinuxPodSandboxConfig::default()
        }),
        ..cri::PodSandboxConfig::default()
    };
    let namespaces = cri::NamespaceOption { pid: EACH_CONTAINER, ..cri::NamespaceOption::default() };
    let security = cri::LinuxContainerSecurityContext {
        namespace_options: Some(namespaces),
        ..cri::LinuxContainerSecurityContext::default()
    };
    let container = cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: "c".into(), attempt: 0 }),
        image: Some(cri::ImageSpec { image: IMAGE.into(), ..cri::ImageSpec::default() }),
        log_path: "c.log".into(),
        linux: Some(cri::LinuxContainerConfig {
            security_context: Some(security),
            ..cri::LinuxContainerConfig::default()
        }),
        ..cri::ContainerConfig::default()
    };
    let begun = Instant::now();
    let sandbox = cri::RunPodSandboxRequest { config: Some(config.clone()), ..cri::RunPodSandboxRequest::default() };
    let sandbox = runtime.run_pod_sandbox(sandbox).await?.into_inner().pod_sandbox_id;
    let made = cri::CreateContainerRequest {
        pod_sandbox_id: sandbox.clone(),
        config: Some(container),
        sandbox_config: Some(config),
    };
    let container_id = runtime.create_container(made).await?.into_inner().container_id;
    runtime.start_container(cri::StartContainerRequest { container_id }).await?;
    let taken = begun.elapsed();
    runtime.stop_pod_sandbox(cri::StopPodSandboxRequest { pod_sandbox_id: sandbox.clone() }).await?;
    runtime.remove_pod_sandbox(cri::RemovePodSandboxRequest { pod_sandbox_id: sandbox }).await?;
    Ok(taken)
}
