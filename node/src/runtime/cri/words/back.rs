//! The wire's words as ours.

use jiff::Timestamp;

use crate::runtime::{
    Container, ContainerStats, ContainerStatus, ContainerUser, FilesystemUsage, Image, ImageSpec, InterfaceStats,
    Mount, Namespace, PodName, Resources, Sandbox, SandboxStats, SandboxStatus, State,
};

/// Nanoseconds since the epoch; a time that cannot be is the epoch.
fn time(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanos.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// None: it has not happened yet.
fn happened(nanos: i64) -> Option<Timestamp> {
    (nanos > 0).then(|| time(nanos))
}

fn pod_name(metadata: Option<cri::PodSandboxMetadata>) -> (PodName, u32) {
    let cri::PodSandboxMetadata { name, uid, namespace, attempt } = metadata.unwrap_or_default();
    (PodName { namespace, name, uid }, attempt)
}

pub fn sandbox(from: cri::PodSandbox) -> Sandbox {
    let (pod, attempt) = pod_name(from.metadata);
    Sandbox {
        id: from.id,
        pod,
        attempt,
        ready: from.state == cri::PodSandboxState::SandboxReady as i32,
        created_at: time(from.created_at),
        labels: from.labels,
        annotations: from.annotations,
        handler: from.runtime_handler,
    }
}

pub fn sandbox_status(from: cri::PodSandboxStatus) -> SandboxStatus {
    let options = from.linux.and_then(|l| l.namespaces).and_then(|n| n.options).unwrap_or_default();
    let network = match options.network() {
        cri::NamespaceMode::Node => Namespace::Node,
        _ => Namespace::Pod,
    };
    let ips = from.network.map(|network| {
        let more = network.additional_ips.into_iter().map(|more| more.ip);
        std::iter::once(network.ip).chain(more).filter(|ip| !ip.is_empty()).collect()
    });
    let (pod, attempt) = pod_name(from.metadata);
    SandboxStatus {
        sandbox: Sandbox {
            id: from.id,
            pod,
            attempt,
            ready: from.state == cri::PodSandboxState::SandboxReady as i32,
            created_at: time(from.created_at),
            labels: from.labels,
            annotations: from.annotations,
            handler: from.runtime_handler,
        },
        ips: ips.unwrap_or_default(),
        network,
    }
}

fn state(from: i32) -> State {
    match cri::ContainerState::try_from(from) {
        Ok(cri::ContainerState::ContainerCreated) => State::Created,
        Ok(cri::ContainerState::ContainerRunning) => State::Running,
        Ok(cri::ContainerState::ContainerExited) => State::Exited,
        _ => State::Unknown,
    }
}

fn image_named(from: Option<cri::ImageSpec>) -> ImageSpec {
    let from = from.unwrap_or_default();
    ImageSpec {
        image: from.image,
        user_specified: from.user_specified_image,
        handler: from.runtime_handler,
        annotations: from.annotations,
    }
}

pub fn container(from: cri::Container) -> Container {
    let metadata = from.metadata.unwrap_or_default();
    Container {
        id: from.id,
        sandbox_id: from.pod_sandbox_id,
        name: metadata.name,
        attempt: metadata.attempt,
        image: image_named(from.image),
        image_ref: from.image_ref,
        image_id: from.image_id,
        state: state(from.state),
        created_at: time(from.created_at),
        labels: from.labels,
        annotations: from.annotations,
    }
}

pub fn container_status(from: cri::ContainerStatus) -> ContainerStatus {
    let metadata = from.metadata.unwrap_or_default();
    let mount = |m: cri::Mount| Mount {
        container_path: m.container_path,
        host_path: m.host_path,
        readonly: m.readonly,
        recursive_read_only: m.recursive_read_only,
        image: m.image.map(|image| image_named(Some(image))),
        image_sub_path: m.image_sub_path,
        ..Mount::default()
    };
    let stop_signal = match cri::Signal::try_from(from.stop_signal) {
        Ok(signal) if signal != cri::Signal::RuntimeDefault => signal.as_str_name().trim_start_matches("SIGNAL_"),
        _ => "",
    };
    ContainerStatus {
        container: Container {
            id: from.id,
            // A question about one container does not tell its sandbox: who asked knows it from the list.
            sandbox_id: String::new(),
            name: metadata.name,
            attempt: metadata.attempt,
            image: image_named(from.image),
            image_ref: from.image_ref,
            image_id: from.image_id,
            state: state(from.state),
            created_at: time(from.created_at),
            labels: from.labels,
            annotations: from.annotations,
        },
        started_at: happened(from.started_at),
        finished_at: happened(from.finished_at),
        exit_code: from.exit_code,
        reason: from.reason,
        message: from.message,
        log_path: from.log_path,
        mounts: from.mounts.into_iter().map(mount).collect(),
        resources: from.resources.and_then(|r| r.linux).map(resources),
        user: from.user.and_then(|u| u.linux).map(|user| ContainerUser {
            uid: user.uid,
            gid: user.gid,
            supplemental_groups: user.supplemental_groups,
        }),
        stop_signal: stop_signal.into(),
    }
}

fn resources(from: cri::LinuxContainerResources) -> Resources {
    Resources {
        cpu_period_us: from.cpu_period,
        cpu_quota_us: from.cpu_quota,
        cpu_shares: from.cpu_shares,
        memory_limit_bytes: from.memory_limit_in_bytes,
        memory_swap_limit_bytes: from.memory_swap_limit_in_bytes,
        oom_score_adj: from.oom_score_adj,
        cpuset_cpus: from.cpuset_cpus,
        cpuset_mems: from.cpuset_mems,
        hugepages: from.hugepage_limits.into_iter().map(|h| (h.page_size, h.limit)).collect(),
        unified: from.unified,
    }
}

pub fn image(from: cri::Image) -> Image {
    Image {
        id: from.id,
        tags: from.repo_tags,
        digests: from.repo_digests,
        size_bytes: from.size,
        uid: from.uid.map(|uid| uid.value),
        username: from.username,
        pinned: from.pinned,
    }
}

pub fn filesystem(from: cri::FilesystemUsage) -> FilesystemUsage {
    FilesystemUsage {
        at: time(from.timestamp),
        mountpoint: from.fs_id.map(|id| id.mountpoint).unwrap_or_default(),
        used_bytes: value(from.used_bytes).unwrap_or(0),
        inodes_used: value(from.inodes_used).unwrap_or(0),
    }
}

fn value(from: Option<cri::UInt64Value>) -> Option<u64> {
    from.map(|v| v.value)
}

pub fn container_stats(from: cri::ContainerStats) -> ContainerStats {
    let attributes = from.attributes.unwrap_or_default();
    let (cpu, memory) = (from.cpu.unwrap_or_default(), from.memory.unwrap_or_default());
    ContainerStats {
        id: attributes.id,
        name: attributes.metadata.unwrap_or_default().name,
        labels: attributes.labels,
        at: time(cpu.timestamp),
        cpu_nanos: value(cpu.usage_core_nano_seconds),
        cpu_nano_cores: value(cpu.usage_nano_cores),
        memory_working_set_bytes: value(memory.working_set_bytes),
        memory_available_bytes: value(memory.available_bytes),
        memory_usage_bytes: value(memory.usage_bytes),
        memory_rss_bytes: value(memory.rss_bytes),
        page_faults: value(memory.page_faults),
        major_page_faults: value(memory.major_page_faults),
        writable_layer: from.writable_layer.map(filesystem),
    }
}

pub fn sandbox_stats(from: cri::PodSandboxStats) -> SandboxStats {
    let attributes = from.attributes.unwrap_or_default();
    let linux = from.linux.unwrap_or_default();
    let (cpu, memory) = (linux.cpu.unwrap_or_default(), linux.memory.unwrap_or_default());
    let network = linux.network.unwrap_or_default();
    let interface = |i: cri::NetworkInterfaceUsage| InterfaceStats {
        name: i.name,
        rx_bytes: value(i.rx_bytes).unwrap_or(0),
        rx_errors: value(i.rx_errors).unwrap_or(0),
        tx_bytes: value(i.tx_bytes).unwrap_or(0),
        tx_errors: value(i.tx_errors).unwrap_or(0),
    };
    SandboxStats {
        id: attributes.id,
        pod: pod_name(attributes.metadata).0,
        labels: attributes.labels,
        at: time(cpu.timestamp),
        cpu_nanos: value(cpu.usage_core_nano_seconds),
        cpu_nano_cores: value(cpu.usage_nano_cores),
        memory_working_set_bytes: value(memory.working_set_bytes),
        memory_available_bytes: value(memory.available_bytes),
        memory_usage_bytes: value(memory.usage_bytes),
        memory_rss_bytes: value(memory.rss_bytes),
        processes: linux.process.and_then(|p| value(p.process_count)),
        interfaces: network.default_interface.into_iter().chain(network.interfaces).map(interface).collect(),
        containers: linux.containers.into_iter().map(container_stats).collect(),
    }
}
