//! Our words as the wire's. No decision is made here.

use crate::runtime::{
    ContainerSpec, Credentials, Device, IdMapping, ImageSpec, Mount, Namespace, Namespaces, PortMapping, Profile,
    Propagation, Protocol, Resources, SandboxSecurity, SandboxSpec, Security, Selinux,
};

mod back;

pub use back::{
    container, container_stats, container_status, filesystem, image, sandbox, sandbox_stats, sandbox_status,
};

pub fn sandbox_config(spec: &SandboxSpec) -> cri::PodSandboxConfig {
    cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: spec.pod.name.clone(),
            uid: spec.pod.uid.clone(),
            namespace: spec.pod.namespace.clone(),
            attempt: spec.attempt,
        }),
        hostname: spec.hostname.clone(),
        log_directory: spec.log_directory.clone(),
        dns_config: spec.dns.as_ref().map(|dns| cri::DnsConfig {
            servers: dns.servers.clone(),
            searches: dns.searches.clone(),
            options: dns.options.clone(),
        }),
        port_mappings: spec.ports.iter().map(port).collect(),
        labels: spec.labels.clone(),
        annotations: spec.annotations.clone(),
        linux: Some(cri::LinuxPodSandboxConfig {
            cgroup_parent: spec.cgroup_parent.clone(),
            security_context: Some(sandbox_security(&spec.security)),
            sysctls: spec.sysctls.clone(),
            overhead: spec.overhead.as_ref().map(resources),
            resources: spec.resources.as_ref().map(resources),
        }),
        windows: None,
    }
}

fn port(port: &PortMapping) -> cri::PortMapping {
    let protocol = match port.protocol {
        Protocol::Tcp => cri::Protocol::Tcp,
        Protocol::Udp => cri::Protocol::Udp,
        Protocol::Sctp => cri::Protocol::Sctp,
    };
    cri::PortMapping {
        protocol: protocol as i32,
        container_port: port.container_port.into(),
        host_port: port.host_port.into(),
        host_ip: port.host_ip.clone(),
    }
}

pub fn container_config(spec: &ContainerSpec) -> cri::ContainerConfig {
    let env = |(key, value): &(String, String)| cri::KeyValue { key: key.clone(), value: value.clone().into_bytes() };
    let device = |d: &Device| cri::Device {
        container_path: d.container_path.clone(),
        host_path: d.host_path.clone(),
        permissions: d.permissions.clone(),
    };
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: spec.name.clone(), attempt: spec.attempt }),
        image: Some(image_spec(&spec.image)),
        command: spec.command.clone(),
        args: spec.args.clone(),
        working_dir: spec.working_dir.clone(),
        envs: spec.env.iter().map(env).collect(),
        mounts: spec.mounts.iter().map(mount).collect(),
        devices: spec.devices.iter().map(device).collect(),
        labels: spec.labels.clone(),
        annotations: spec.annotations.clone(),
        log_path: spec.log_path.clone(),
        stdin: spec.stdin,
        stdin_once: spec.stdin_once,
        tty: spec.tty,
        linux: Some(cri::LinuxContainerConfig {
            resources: Some(resources(&spec.resources)),
            security_context: Some(security(&spec.security)),
        }),
        windows: None,
        cdi_devices: vec![],
        stop_signal: signal(&spec.stop_signal) as i32,
    }
}

fn signal(name: &str) -> cri::Signal {
    cri::Signal::from_str_name(&format!("SIGNAL_{name}")).unwrap_or(cri::Signal::RuntimeDefault)
}

fn mount(mount: &Mount) -> cri::Mount {
    let propagation = match mount.propagation {
        Propagation::Private => cri::MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => cri::MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => cri::MountPropagation::PropagationBidirectional,
    };
    cri::Mount {
        container_path: mount.container_path.clone(),
        host_path: mount.host_path.clone(),
        readonly: mount.readonly,
        selinux_relabel: mount.selinux_relabel,
        propagation: propagation as i32,
        recursive_read_only: mount.recursive_read_only,
        image: mount.image.as_ref().map(image_spec),
        image_sub_path: mount.image_sub_path.clone(),
        ..Default::default()
    }
}

pub fn image_spec(image: &ImageSpec) -> cri::ImageSpec {
    cri::ImageSpec {
        image: image.image.clone(),
        annotations: image.annotations.clone(),
        user_specified_image: image.user_specified.clone(),
        runtime_handler: image.handler.clone(),
        image_ref: String::new(),
    }
}

pub fn credentials(credentials: &Credentials) -> cri::AuthConfig {
    let Credentials { username, password, auth, server_address, identity_token, registry_token } = credentials.clone();
    cri::AuthConfig { username, password, auth, server_address, identity_token, registry_token }
}

pub fn resources(resources: &Resources) -> cri::LinuxContainerResources {
    let page = |(page_size, limit): &(String, u64)| cri::HugepageLimit { page_size: page_size.clone(), limit: *limit };
    cri::LinuxContainerResources {
        cpu_period: resources.cpu_period_us,
        cpu_quota: resources.cpu_quota_us,
        cpu_shares: resources.cpu_shares,
        memory_limit_in_bytes: resources.memory_limit_bytes,
        oom_score_adj: resources.oom_score_adj,
        cpuset_cpus: resources.cpuset_cpus.clone(),
        cpuset_mems: resources.cpuset_mems.clone(),
        hugepage_limits: resources.hugepages.iter().map(page).collect(),
        unified: resources.unified.clone(),
        memory_swap_limit_in_bytes: resources.memory_swap_limit_bytes,
    }
}

fn namespace(namespace: &Namespace) -> (cri::NamespaceMode, String) {
    match namespace {
        Namespace::Pod => (cri::NamespaceMode::Pod, String::new()),
        Namespace::Container => (cri::NamespaceMode::Container, String::new()),
        Namespace::Node => (cri::NamespaceMode::Node, String::new()),
        Namespace::Target(id) => (cri::NamespaceMode::Target, id.clone()),
    }
}

fn namespaces(namespaces: &Namespaces) -> cri::NamespaceOption {
    let id = |m: &IdMapping| cri::IdMapping { host_id: m.host_id, container_id: m.container_id, length: m.length };
    let (pid, target_id) = namespace(&namespaces.pid);
    cri::NamespaceOption {
        network: namespace(&namespaces.network).0 as i32,
        pid: pid as i32,
        ipc: namespace(&namespaces.ipc).0 as i32,
        target_id,
        userns_options: namespaces.users.as_ref().map(|users| cri::UserNamespace {
            mode: cri::NamespaceMode::Pod as i32,
            uids: users.uids.iter().map(id).collect(),
            gids: users.gids.iter().map(id).collect(),
        }),
    }
}

fn profile(profile: &Profile) -> cri::SecurityProfile {
    use cri::security_profile::ProfileType;
    let (kind, localhost_ref) = match profile {
        Profile::RuntimeDefault => (ProfileType::RuntimeDefault, String::new()),
        Profile::Unconfined => (ProfileType::Unconfined, String::new()),
        Profile::Localhost(name) => (ProfileType::Localhost, name.clone()),
    };
    cri::SecurityProfile { profile_type: kind as i32, localhost_ref }
}

fn selinux(options: &Selinux) -> cri::SeLinuxOption {
    let Selinux { user, role, kind, level } = options.clone();
    cri::SeLinuxOption { user, role, r#type: kind, level }
}

fn groups_policy(strict: bool) -> i32 {
    let policy = if strict { cri::SupplementalGroupsPolicy::Strict } else { cri::SupplementalGroupsPolicy::Merge };
    policy as i32
}

fn number(value: Option<i64>) -> Option<cri::Int64Value> {
    value.map(|value| cri::Int64Value { value })
}

fn sandbox_security(security: &SandboxSecurity) -> cri::LinuxSandboxSecurityContext {
    cri::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(&security.namespaces)),
        selinux_options: security.selinux.as_ref().map(selinux),
        run_as_user: number(security.run_as_user),
        run_as_group: number(security.run_as_group),
        readonly_rootfs: security.readonly_rootfs,
        supplemental_groups: security.supplemental_groups.clone(),
        supplemental_groups_policy: groups_policy(security.strict_groups),
        privileged: security.privileged,
        seccomp: security.seccomp.as_ref().map(profile),
        apparmor: security.apparmor.as_ref().map(profile),
        ..Default::default()
    }
}

fn security(security: &Security) -> cri::LinuxContainerSecurityContext {
    cri::LinuxContainerSecurityContext {
        capabilities: Some(cri::Capability {
            add_capabilities: security.add_capabilities.clone(),
            drop_capabilities: security.drop_capabilities.clone(),
            add_ambient_capabilities: vec![],
        }),
        privileged: security.privileged,
        namespace_options: Some(namespaces(&security.namespaces)),
        selinux_options: security.selinux.as_ref().map(selinux),
        run_as_user: number(security.run_as_user),
        run_as_group: number(security.run_as_group),
        run_as_username: security.run_as_username.clone(),
        readonly_rootfs: security.readonly_rootfs,
        supplemental_groups: security.supplemental_groups.clone(),
        supplemental_groups_policy: groups_policy(security.strict_groups),
        no_new_privs: security.no_new_privileges,
        masked_paths: security.masked_paths.clone(),
        readonly_paths: security.readonly_paths.clone(),
        seccomp: security.seccomp.as_ref().map(profile),
        apparmor: security.apparmor.as_ref().map(profile),
        ..Default::default()
    }
}
