//! Flags: upstream's names and meanings where upstream has them.

use std::{ffi::OsString, net::IpAddr, path::PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::{
    dns::Dns, envtest::etcd::Etcd, leadership::LeaderElect, log, node::Node, proxy::Proxy, scheduler::Scheduler,
    token::Token,
};

pub mod access;
pub mod go;
pub mod serving;
pub mod upstreams;

use go::{Span, TlsVersion, address, boolean, integer, port};

/// Kubernetes in one binary.
#[derive(Parser)]
// Of a flag that is given twice the last counts, as upstream.
#[command(name = "skiff", version, about, args_override_self = true)]
pub struct Skiff {
    /// Say more in the log; may stand several times.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbosity: u8,
    #[command(subcommand)]
    pub command: Command,
}

/// What parts that stand in for upstream's say of themselves.
const KUBERNETES: &str = "v1.37.1";

#[derive(Subcommand)]
pub enum Command {
    /// Run a whole cluster on this machine until Ctrl-C.
    Up(Up),
    /// Run the API server alone, with upstream's flags.
    #[command(version = KUBERNETES, display_name = "Kubernetes")]
    Apiserver(Box<Apiserver>),
    /// Run the controllers alone, against any API server, with upstream's names of flags.
    #[command(version = KUBERNETES, display_name = "Kubernetes")]
    Controllers(Box<Controllers>),
    /// Run the scheduler alone, against any API server, with upstream's names of flags.
    #[command(version = KUBERNETES, display_name = "Kubernetes")]
    Scheduler(Box<Scheduler>),
    /// Run the service proxy of this machine alone, against any API server, with upstream's flags.
    #[command(version = KUBERNETES, display_name = "Kubernetes")]
    Proxy(Box<Proxy>),
    /// Run cluster DNS alone, against any API server.
    Dns(Box<Dns>),
    /// Run a node alone, against any API server, with the kubelet's flags.
    #[command(version = KUBERNETES, display_name = "Kubernetes")]
    Node(Box<Node>),
    /// Say what this machine lacks, and what to do about it.
    Check(Check),
    /// Print a kubeconfig, or merge it into your own.
    Kubeconfig(Kubeconfig),
    /// Make, list and delete the tokens with which machines join.
    Token(Token),
    /// Write kube-apiserver, etcd and kubectl into a directory that tests with controller-runtime's envtest start them from.
    Envtest(Envtest),
    /// Stand in for etcd where one server of Skiff's is all that asks: its health and its directory.
    #[command(hide = true)]
    EnvtestEtcd(Etcd),
}

impl Skiff {
    /// How much is said in the log, in steps from warnings.
    pub fn log_steps(&self) -> u8 {
        let upstreams = match &self.command {
            Command::Apiserver(flags) => flags.v,
            _ => 0,
        };
        // Upstream says at 2 what operators want to know, and from 5 on what developers do.
        let steps = match upstreams {
            ..=1 => 0,
            2..=4 => 1,
            5..=8 => 2,
            9.. => 3,
        };
        self.verbosity.max(steps)
    }
}

impl Skiff {
    /// How the log is written.
    pub fn log_format(&self) -> log::Format {
        match &self.command {
            Command::Apiserver(flags) => flags.serving.logging_format,
            _ => log::Format::Text,
        }
    }
}

/// The command that was asked for, as its user would write it: `skiff up`.
#[expect(clippy::disallowed_methods, reason = "arguments are read in this program, and nowhere else")]
pub fn command() -> String {
    let named = std::env::args().nth(1).filter(|word| Skiff::command().find_subcommand(word).is_some());
    named.map_or_else(|| "skiff".to_owned(), |word| format!("skiff {word}"))
}

/// Every flag of a command with its value, as it was given or is by default, by name.
#[derive(Clone, Debug, Default)]
pub struct Told(pub Vec<(String, String)>);

impl Told {
    /// Reads the flags of the command that `arguments` name once more; they were found to be right.
    pub fn of(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Told {
        let Ok(matches) = Skiff::command().try_get_matches_from(arguments) else { return Told::default() };
        let Some((_, matches)) = matches.subcommand() else { return Told::default() };
        let value = |name: &str| {
            let given = matches.get_raw(name).into_iter().flatten().map(|text| text.to_string_lossy());
            given.collect::<Vec<_>>().join(",")
        };
        let mut told: Vec<(String, String)> =
            matches.ids().map(|id| (id.as_str().replace('_', "-"), value(id.as_str()))).collect();
        // Sets of flags are told of by the name of their type.
        told.retain(|(name, _)| name != "verbosity" && !name.starts_with(char::is_uppercase));
        told.sort();
        Told(told)
    }
}

#[derive(Args)]
pub struct Up {
    /// Where everything is kept.
    #[arg(long, default_value = ".skiff")]
    pub data_dir: PathBuf,
    /// The port of the API.
    #[arg(long, default_value = "6443", value_parser = port)]
    pub secure_port: u16,
    /// The address to listen on. When left out: loopback; with a node, all, since its pods have to reach the API.
    #[arg(long, value_parser = address)]
    pub bind_address: Option<IpAddr>,
    /// Which parts to run, by comma: apiserver, controllers, scheduler, node, proxy, dns; all that can run on this machine
    /// when left out.
    #[arg(long, value_delimiter = ',')]
    pub parts: Vec<String>,
    /// Where the container runtime listens; where it usually does when left out.
    #[arg(long)]
    pub container_runtime_endpoint: Option<String>,
    /// Approve certificates that nodes are to serve with, when they are for the node that asks and its addresses.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub approve_kubelet_serving: bool,
    /// Take nodes for what they say they are, whoever has signed their certificates.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub kubelet_insecure_tls: bool,
    /// So many nodes more whose containers are nowhere, named simulated-1 and so on: for trying what a large cluster does.
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u32).range(..=32_000))]
    pub simulated_nodes: u32,
}

#[derive(Args)]
pub struct Apiserver {
    /// etcd servers (scheme://ip:port), by comma; a database of its own in --data-dir when left out.
    #[arg(long, value_delimiter = ',')]
    pub etcd_servers: Vec<String>,
    #[arg(long, default_value = "/registry")]
    pub etcd_prefix: String,
    /// How often what is older than one such interval is forgotten; 0s: never.
    #[arg(long, default_value = "5m0s")]
    pub etcd_compaction_interval: String,
    /// How often the store's size is asked for; 0s: never.
    #[arg(long, default_value = "30s", value_parser = Span::parse)]
    pub etcd_db_metric_poll_interval: Span,
    /// The store is well when it answers within this time, and so is whoever asks it.
    #[arg(long, default_value = "2s", value_parser = Span::parse)]
    pub etcd_healthcheck_timeout: Span,
    /// The server is ready when the store answers within this time.
    #[arg(long, default_value = "2s", value_parser = Span::parse)]
    pub etcd_readycheck_timeout: Span,
    #[arg(long)]
    pub etcd_cafile: Option<PathBuf>,
    #[arg(long)]
    pub etcd_certfile: Option<PathBuf>,
    #[arg(long)]
    pub etcd_keyfile: Option<PathBuf>,
    /// Where the server keeps its certificates and, without etcd, its database.
    #[arg(long, default_value = ".skiff")]
    pub data_dir: PathBuf,
    #[arg(long, default_value = "6443", value_parser = integer)]
    pub secure_port: i64,
    #[arg(long, default_value = "0.0.0.0", value_parser = address)]
    pub bind_address: IpAddr,
    #[arg(long, value_parser = address)]
    pub advertise_address: Option<IpAddr>,
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
    /// Where apiserver.crt and apiserver.key are, without --tls-cert-file; Skiff's own are written there when they are not.
    #[arg(long)]
    pub cert_dir: Option<PathBuf>,
    #[arg(long, requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    #[arg(long, requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    #[arg(long, default_value = "10.96.0.0/16")]
    pub service_cluster_ip_range: String,
    #[arg(long, default_value = "30000-32767")]
    pub service_node_port_range: String,
    /// Who makes this server's tokens; may stand several times: the first makes them, all are believed.
    #[arg(long, default_value = "https://kubernetes.default.svc.cluster.local")]
    pub service_account_issuer: Vec<String>,
    #[arg(long)]
    pub service_account_signing_key_file: Option<PathBuf>,
    #[arg(long)]
    pub service_account_key_file: Vec<PathBuf>,
    #[arg(long, value_delimiter = ',')]
    pub api_audiences: Vec<String>,
    #[arg(long)]
    pub token_auth_file: Option<PathBuf>,
    /// Take tokens with which machines join: secrets of type bootstrap.kubernetes.io/token in kube-system.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub enable_bootstrap_token_auth: bool,
    #[arg(long, default_value = "")]
    pub runtime_config: String,
    #[arg(long, default_value = "application/vnd.kubernetes.protobuf")]
    pub storage_media_type: String,
    #[arg(long, value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
    /// Modes in order: Node, RBAC, Webhook, ABAC, AlwaysAllow, AlwaysDeny; AlwaysAllow when left out.
    #[arg(long, value_delimiter = ',')]
    pub authorization_mode: Vec<String>,
    #[command(flatten)]
    pub access: access::Access,
    #[command(flatten)]
    pub serving: serving::Serving,
    #[arg(long, default_value = "1h0m0s", value_parser = Span::parse)]
    pub event_ttl: Span,
    /// Seconds by which the store's leases are longer than what hangs on them, so that many events share one.
    #[arg(long, default_value = "60", value_parser = integer, allow_hyphen_values = true)]
    pub lease_reuse_duration_seconds: i64,
    /// Watches end after so many seconds at least, and after twice as many at most.
    #[arg(long, default_value = "1800", value_parser = integer, allow_hyphen_values = true)]
    pub min_request_timeout: i64,
    /// How long a request may take that does not last by its nature.
    #[arg(long, default_value = "1m0s", value_parser = Span::parse, allow_hyphen_values = true)]
    pub request_timeout: Span,
    /// So many requests that read are served at a time; with fairness, both bounds are one, shared by priority.
    #[arg(long, default_value = "400", value_parser = integer, allow_hyphen_values = true)]
    pub max_requests_inflight: i64,
    #[arg(long, default_value = "200", value_parser = integer, allow_hyphen_values = true)]
    pub max_mutating_requests_inflight: i64,
    /// Share the server among flows by priority instead of counting requests alone.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub enable_priority_and_fairness: bool,
    /// How long the server goes on serving, but is not ready, once it is told to stop.
    #[arg(long, default_value = "0s", value_parser = Span::parse, allow_hyphen_values = true)]
    pub shutdown_delay_duration: Span,
    /// Bytes of bodies of requests that are held at a time; more is told to come back. Skiff's own.
    #[arg(long, default_value = "134217728", value_parser = integer)]
    pub max_body_bytes_inflight: i64,
    /// Gates, as A=true,B=false.
    #[arg(long)]
    pub feature_gates: Vec<String>,
    /// Authorities of proxies that say in headers who asks; Skiff's own when left out.
    #[arg(long)]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names that such a proxy may have; any, when left out.
    #[arg(long, value_delimiter = ',')]
    pub requestheader_allowed_names: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub requestheader_username_headers: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub requestheader_uid_headers: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub requestheader_group_headers: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// By which certificate extension servers know this server as their front proxy; Skiff's own when left out.
    #[arg(long)]
    pub proxy_client_cert_file: Option<PathBuf>,
    #[arg(long)]
    pub proxy_client_key_file: Option<PathBuf>,
    /// Where others find the keys of this server's tokens; at this server when left out.
    #[arg(long)]
    pub service_account_jwks_uri: Option<String>,
    /// By which certificate nodes know this server; Skiff's own when left out.
    #[arg(long, requires = "kubelet_client_key")]
    pub kubelet_client_certificate: Option<PathBuf>,
    #[arg(long, requires = "kubelet_client_certificate")]
    pub kubelet_client_key: Option<PathBuf>,
    /// The authorities of nodes' certificates; Skiff's own when left out.
    #[arg(long)]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Take nodes for what they say they are, whoever has signed their certificates. Skiff's own.
    #[arg(long, conflicts_with = "kubelet_certificate_authority", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub kubelet_insecure_tls: bool,
    /// Which of a node's addresses are tried, by comma, in order.
    #[arg(long, value_delimiter = ',', default_value = "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP")]
    pub kubelet_preferred_address_types: Vec<String>,
    /// A connection to a node is there within this time, or not at all.
    #[arg(long, default_value = "5s", value_parser = Span::parse)]
    pub kubelet_timeout: Span,
    /// Where nodes listen that do not say so themselves.
    #[arg(long, default_value_t = 10250)]
    pub kubelet_port: u16,
    /// The oldest version of TLS: VersionTLS12 or VersionTLS13.
    #[arg(long, default_value = "VersionTLS12", value_parser = TlsVersion::parse)]
    pub tls_min_version: TlsVersion,
    /// Cipher suites of TLS 1.2, by comma; all that are safe when left out.
    #[arg(long, value_delimiter = ',')]
    pub tls_cipher_suites: Vec<String>,
    /// Tokens on request are good for no longer; 0s: for as long as is asked.
    #[arg(long, default_value = "0s", value_parser = Span::parse, allow_hyphen_values = true)]
    pub service_account_max_token_expiration: Span,
    /// How long pods stay on a node that is not ready, when they do not say so.
    #[arg(long, default_value = "300", value_parser = integer, allow_hyphen_values = true)]
    pub default_not_ready_toleration_seconds: i64,
    #[arg(long, default_value = "300", value_parser = integer, allow_hyphen_values = true)]
    pub default_unreachable_toleration_seconds: i64,
    #[command(flatten)]
    pub upstreams: upstreams::Upstreams,
    #[command(flatten)]
    pub audit: crate::apiserver::auditing::AuditFlags,
    #[command(flatten)]
    pub encryption: crate::apiserver::encryption::EncryptionFlags,
    /// Which way connections of this server leave, by the network that they are meant for: an EgressSelectorConfiguration.
    #[arg(long)]
    pub egress_selector_config_file: Option<PathBuf>,
    /// How much is said in the log, as upstream counts: 0 to 10.
    #[arg(long, default_value = "0", value_parser = integer)]
    pub v: i64,
    /// Be what envtest starts as kube-apiserver: keep everything below --cert-dir, and objects with the etcd that stands in.
    #[arg(long, hide = true, conflicts_with = "data_dir")]
    pub envtest: bool,
    /// No flag: where objects are kept, when neither etcd nor the data directory says.
    #[arg(skip)]
    pub kept: Option<Kept>,
}

/// A store that is no flag's to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Gone when the server is.
    InMemory,
    /// In a database of its own there.
    In { directory: PathBuf, durable: bool },
}

impl Apiserver {
    /// The modes that decide, unless a configuration says which.
    pub fn authorization_modes(&self) -> Vec<String> {
        match self.authorization_mode.as_slice() {
            [] => vec!["AlwaysAllow".to_owned()],
            // A list of nothing is none to Go's flags.
            [one] if one.is_empty() => vec!["AlwaysAllow".to_owned()],
            given => given.to_vec(),
        }
    }
}

#[derive(Args)]
pub struct Check {
    /// Where everything would be kept.
    #[arg(long, default_value = ".skiff")]
    pub data_dir: PathBuf,
    /// The port that the API would have.
    #[arg(long, default_value = "6443", value_parser = port)]
    pub secure_port: u16,
    /// Where the container runtime listens; where it usually does when left out.
    #[arg(long)]
    pub container_runtime_endpoint: Option<String>,
}

#[derive(Args)]
pub struct Kubeconfig {
    /// The data directory of the cluster.
    #[arg(long, default_value = ".skiff")]
    pub data_dir: PathBuf,
    /// Put a context `skiff` into your own file (`$KUBECONFIG` or `~/.kube/config`) instead of printing.
    #[arg(long)]
    pub merge: bool,
    /// Make a kubeconfig for this user instead of the administrator.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// … in these groups.
    #[arg(long, requires = "user")]
    pub group: Vec<String>,
}

#[derive(Args)]
pub struct Envtest {
    /// Made when it is not there; what Skiff wrote there before is replaced.
    pub directory: PathBuf,
}

#[derive(Args)]
pub struct Controllers {
    /// How to reach the API server, and as whom.
    #[arg(long, default_value = ".skiff/admin.kubeconfig")]
    pub kubeconfig: PathBuf,
    /// Which controllers run: names, `*` for all, `-name` for all but that one.
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    pub controllers: Vec<String>,
    /// The authorities that pods are told to trust the API server by; the kubeconfig's when left out.
    #[arg(long)]
    pub root_ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub keys: crate::controllers::keys::Keys,
    #[arg(long, default_value = "8760h0m0s")]
    pub legacy_service_account_token_clean_up_period: String,
    #[command(flatten)]
    pub autoscaling: crate::controllers::autoscaling::Autoscaling,
    #[arg(long, default_value_t = 100)]
    pub max_endpoints_per_slice: usize,
    #[arg(long, default_value = "5m0s")]
    pub resource_quota_sync_period: String,
    /// Whether nodes get ranges of pod addresses, out of --cluster-cidr.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub allocate_node_cidrs: bool,
    /// Pod addresses of the cluster: a range, or one of each family. Only with --allocate-node-cidrs.
    #[arg(long, default_value = "")]
    pub cluster_cidr: String,
    /// The services' ranges: nodes get nothing of them. Only with --allocate-node-cidrs.
    #[arg(long, value_delimiter = ',')]
    pub service_cluster_ip_range: Vec<String>,
    /// The length of the prefix of a node's range; 24 for IPv4 and 64 for IPv6 when left out.
    #[arg(long, default_value_t = 0)]
    pub node_cidr_mask_size: u8,
    #[arg(long, default_value_t = 0)]
    pub node_cidr_mask_size_ipv4: u8,
    #[arg(long, default_value_t = 0)]
    pub node_cidr_mask_size_ipv6: u8,
    /// Each controller asks as its own service account instead of as the kubeconfig's user.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub use_service_account_credentials: bool,
    #[command(flatten)]
    pub leader_elect: LeaderElect,
}
