//! What runs containers, in our words: sandboxes, containers, images.
//!
//! A sandbox is what the containers of one pod share (network, cgroup, perhaps more). Everything here is one call that
//! the runtime answers; nothing remembers. What the node has to know again after its own restart stands in labels and
//! annotations of what it made ([`labels`]), and what lacks them is not the node's. Upstream: cri-api/pkg/apis/services.go.

pub mod cri;
pub mod fake;
pub mod labels;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

/// Labels and annotations.
pub type Words = BTreeMap<String, String>;

/// A runtime as everybody holds it.
pub type Shared = Arc<dyn Runtime>;

/// A call to the runtime failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What was asked for is not there.
    #[error("rpc error: code = NotFound desc = {0}")]
    NotFound(String),
    /// The call took longer than it may.
    #[error("rpc error: code = DeadlineExceeded desc = {0}")]
    Timeout(String),
    /// The runtime does not answer at all.
    #[error("rpc error: code = Unavailable desc = {0}")]
    Unavailable(String),
    /// The runtime does not know how.
    #[error("rpc error: code = Unimplemented desc = {0}")]
    Unsupported(String),
    /// The runtime said no; `code` is gRPC's word.
    #[error("rpc error: code = {code} desc = {message}")]
    Refused { code: &'static str, message: String },
}

/// Who the runtime is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// `containerd`.
    pub name: String,
    /// `v2.4.2`.
    pub version: String,
    /// `v1`: of the wire.
    pub api: String,
}

/// How the runtime is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub conditions: Vec<Condition>,
    pub handlers: Vec<Handler>,
    /// Whether `supplementalGroupsPolicy` is obeyed.
    pub supplemental_groups_policy: bool,
}

/// `RuntimeReady` or `NetworkReady`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    pub kind: String,
    pub status: bool,
    pub reason: String,
    pub message: String,
}

/// A runtime handler that a RuntimeClass may name; the default one's name is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    pub name: String,
    pub recursive_read_only_mounts: bool,
    pub user_namespaces: bool,
}

/// What a sandbox is to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SandboxSpec {
    pub pod: PodName,
    /// How many sandboxes the pod had before.
    pub attempt: u32,
    pub hostname: String,
    /// Where the containers' logs are: an absolute directory.
    pub log_directory: String,
    /// None: the runtime's own, which is the host's.
    pub dns: Option<Dns>,
    pub ports: Vec<PortMapping>,
    pub labels: Words,
    pub annotations: Words,
    /// A path in the cgroup tree; empty for the runtime's own choice.
    pub cgroup_parent: String,
    pub sysctls: Words,
    pub security: SandboxSecurity,
    pub overhead: Option<Resources>,
    pub resources: Option<Resources>,
    /// Of the pod's RuntimeClass; empty for the default.
    pub handler: String,
}

/// Whose sandbox it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodName {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// What `/etc/resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

/// A port of the host that leads into the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortMapping {
    pub protocol: Protocol,
    pub container_port: u16,
    pub host_port: u16,
    pub host_ip: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

/// Whom something is shared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Namespace {
    /// With the pod's other containers.
    #[default]
    Pod,
    /// With nobody.
    Container,
    /// With the host.
    Node,
    /// With the container of this id.
    Target(String),
}

/// Which namespaces are whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces {
    pub network: Namespace,
    pub pid: Namespace,
    pub ipc: Namespace,
    /// Users of the container are others on the host; none: they are the same.
    pub users: Option<UserNamespace>,
}

/// How a container's users are mapped to the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserNamespace {
    pub uids: Vec<IdMapping>,
    pub gids: Vec<IdMapping>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdMapping {
    pub host_id: u32,
    pub container_id: u32,
    pub length: u32,
}

/// A seccomp or AppArmor profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    #[default]
    RuntimeDefault,
    Unconfined,
    /// A path (seccomp) or a name (AppArmor) on the node.
    Localhost(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selinux {
    pub user: String,
    pub role: String,
    pub kind: String,
    pub level: String,
}

/// What the sandbox itself may do, which is what the containers may at most share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SandboxSecurity {
    pub namespaces: Namespaces,
    pub selinux: Option<Selinux>,
    pub run_as_user: Option<i64>,
    pub run_as_group: Option<i64>,
    pub readonly_rootfs: bool,
    pub supplemental_groups: Vec<i64>,
    /// `supplementalGroupsPolicy: Strict`.
    pub strict_groups: bool,
    pub privileged: bool,
    pub seccomp: Option<Profile>,
    pub apparmor: Option<Profile>,
}

/// What a container may do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Security {
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub privileged: bool,
    pub namespaces: Namespaces,
    pub selinux: Option<Selinux>,
    pub run_as_user: Option<i64>,
    /// Only where there is no `run_as_user`: the image's user, by name.
    pub run_as_username: String,
    pub run_as_group: Option<i64>,
    pub readonly_rootfs: bool,
    pub supplemental_groups: Vec<i64>,
    /// `supplementalGroupsPolicy: Strict`.
    pub strict_groups: bool,
    pub no_new_privileges: bool,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    pub seccomp: Option<Profile>,
    pub apparmor: Option<Profile>,
}

/// What a container may use. 0 and empty are "not said".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu_period_us: i64,
    pub cpu_quota_us: i64,
    pub cpu_shares: i64,
    pub memory_limit_bytes: i64,
    pub memory_swap_limit_bytes: i64,
    pub oom_score_adj: i64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    /// Page size as `2MB`, and how many bytes.
    pub hugepages: Vec<(String, u64)>,
    /// Files of cgroup v2 and what is written to them.
    pub unified: Words,
}

/// How mounts that are made later are seen on the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    #[default]
    Private,
    HostToContainer,
    Bidirectional,
}

/// A place on the host, or an image, that is seen in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    pub container_path: String,
    pub host_path: String,
    pub readonly: bool,
    pub recursive_read_only: bool,
    pub selinux_relabel: bool,
    pub propagation: Propagation,
    /// Instead of `host_path`.
    pub image: Option<ImageSpec>,
    pub image_sub_path: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub container_path: String,
    pub host_path: String,
    /// Of `r`, `w`, `m`.
    pub permissions: String,
}

/// What a container is to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerSpec {
    pub name: String,
    /// How often it was started before.
    pub attempt: u32,
    /// `image` is what the runtime resolved it to ([`Image::id`]).
    pub image: ImageSpec,
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub working_dir: String,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    pub devices: Vec<Device>,
    pub labels: Words,
    pub annotations: Words,
    /// Relative to the sandbox's log directory.
    pub log_path: String,
    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
    pub resources: Resources,
    pub security: Security,
    /// `SIGTERM`; empty for the image's own.
    pub stop_signal: String,
}

/// How an image is named to the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageSpec {
    /// A reference with tag or digest, or an image's id.
    pub image: String,
    /// As the pod's author wrote it.
    pub user_specified: String,
    pub handler: String,
    pub annotations: Words,
}

/// A sandbox that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub id: String,
    pub pod: PodName,
    pub attempt: u32,
    pub ready: bool,
    pub created_at: Timestamp,
    pub labels: Words,
    pub annotations: Words,
    pub handler: String,
}

/// What only a question about one sandbox tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxStatus {
    pub sandbox: Sandbox,
    /// The first is the primary one; none when the pod is on the host's network.
    pub ips: Vec<String>,
    pub network: Namespace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Created,
    Running,
    Exited,
    Unknown,
}

/// A container that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub sandbox_id: String,
    pub name: String,
    pub attempt: u32,
    /// As it was asked for.
    pub image: ImageSpec,
    /// What it was resolved to.
    pub image_ref: String,
    pub image_id: String,
    pub state: State,
    pub created_at: Timestamp,
    pub labels: Words,
    pub annotations: Words,
}

/// What only a question about one container tells.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerStatus {
    pub container: Container,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, …: the runtime's word.
    pub reason: String,
    pub message: String,
    pub log_path: String,
    pub mounts: Vec<Mount>,
    pub resources: Option<Resources>,
    pub user: Option<ContainerUser>,
    pub stop_signal: String,
}

/// Whom a container's first process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerUser {
    pub uid: i64,
    pub gid: i64,
    pub supplemental_groups: Vec<i64>,
}

/// What a command in a container came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit_code: i32,
}

/// What is to be connected to the caller's terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// An image that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub id: String,
    pub tags: Vec<String>,
    pub digests: Vec<String>,
    pub size_bytes: u64,
    /// The user that the image says, when it is a number …
    pub uid: Option<i64>,
    /// … and when it is a name.
    pub username: String,
    pub pinned: bool,
}

/// Who pulls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    pub auth: String,
    pub server_address: String,
    pub identity_token: String,
    pub registry_token: String,
}

/// What a filesystem holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesystemUsage {
    pub at: Timestamp,
    pub mountpoint: String,
    pub used_bytes: u64,
    pub inodes_used: u64,
}

/// What a container uses. None: the runtime does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerStats {
    pub id: String,
    pub name: String,
    pub labels: Words,
    pub at: Timestamp,
    pub cpu_nanos: Option<u64>,
    pub cpu_nano_cores: Option<u64>,
    pub memory_working_set_bytes: Option<u64>,
    pub memory_available_bytes: Option<u64>,
    pub memory_usage_bytes: Option<u64>,
    pub memory_rss_bytes: Option<u64>,
    pub page_faults: Option<u64>,
    pub major_page_faults: Option<u64>,
    pub writable_layer: Option<FilesystemUsage>,
}

/// What a sandbox's network interface carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStats {
    pub name: String,
    pub rx_bytes: u64,
    pub rx_errors: u64,
    pub tx_bytes: u64,
    pub tx_errors: u64,
}

/// What a sandbox and its containers use.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxStats {
    pub id: String,
    pub pod: PodName,
    pub labels: Words,
    pub at: Timestamp,
    pub cpu_nanos: Option<u64>,
    pub cpu_nano_cores: Option<u64>,
    pub memory_working_set_bytes: Option<u64>,
    pub memory_available_bytes: Option<u64>,
    pub memory_usage_bytes: Option<u64>,
    pub memory_rss_bytes: Option<u64>,
    pub processes: Option<u64>,
    /// The default one first.
    pub interfaces: Vec<InterfaceStats>,
    pub containers: Vec<ContainerStats>,
}

/// What runs containers.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    async fn version(&self) -> Result<Version, Error>;
    async fn health(&self) -> Result<Health, Error>;
    /// Tells the runtime which addresses the node's pods have; some write their network's configuration from it.
    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), Error>;

    /// Makes and starts a sandbox; answers its id.
    async fn run_sandbox(&self, spec: &SandboxSpec) -> Result<String, Error>;
    /// Ends what is left in it and takes its network away. It is no error that it is gone.
    async fn stop_sandbox(&self, id: &str) -> Result<(), Error>;
    async fn remove_sandbox(&self, id: &str) -> Result<(), Error>;
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, Error>;
    async fn sandbox(&self, id: &str) -> Result<SandboxStatus, Error>;

    /// Makes a container in a sandbox that was made of `sandbox`; answers its id.
    async fn create_container(
        &self,
        sandbox_id: &str,
        spec: &ContainerSpec,
        sandbox: &SandboxSpec,
    ) -> Result<String, Error>;
    async fn start_container(&self, id: &str) -> Result<(), Error>;
    /// Asks it to end, and ends it after `grace`. It is no error that it is gone or has ended.
    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Error>;
    async fn remove_container(&self, id: &str) -> Result<(), Error>;
    async fn containers(&self) -> Result<Vec<Container>, Error>;
    async fn container(&self, id: &str) -> Result<ContainerStatus, Error>;
    async fn update_resources(&self, id: &str, resources: &Resources) -> Result<(), Error>;
    /// Goes on in a new file where the log's was moved away.
    async fn reopen_log(&self, id: &str) -> Result<(), Error>;

    /// Runs a command and waits for it; [`Error::Timeout`] when it takes longer. A zero timeout is none.
    async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> Result<Output, Error>;
    /// The URL where the runtime serves a command's streams.
    async fn exec(&self, id: &str, command: &[String], streams: Streams) -> Result<String, Error>;
    async fn attach(&self, id: &str, streams: Streams) -> Result<String, Error>;
    async fn port_forward(&self, sandbox_id: &str, ports: &[u16]) -> Result<String, Error>;

    async fn images(&self) -> Result<Vec<Image>, Error>;
    /// None when it is not there.
    async fn image(&self, image: &ImageSpec) -> Result<Option<Image>, Error>;
    /// Fetches an image for a sandbox; answers its reference.
    async fn pull_image(
        &self,
        image: &ImageSpec,
        credentials: Option<&Credentials>,
        sandbox: &SandboxSpec,
    ) -> Result<String, Error>;
    async fn remove_image(&self, image: &ImageSpec) -> Result<(), Error>;
    async fn image_filesystem(&self) -> Result<Option<FilesystemUsage>, Error>;

    async fn container_stats(&self) -> Result<Vec<ContainerStats>, Error>;
    async fn sandbox_stats(&self) -> Result<Vec<SandboxStats>, Error>;
}

// === impl Error ===

impl Error {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::NotFound(_))
    }
}

// === impl Namespaces ===

impl Default for Namespaces {
    /// As a pod is that says nothing: one network and IPC for all, processes for each.
    fn default() -> Namespaces {
        Namespaces { network: Namespace::Pod, pid: Namespace::Container, ipc: Namespace::Pod, users: None }
    }
}
