//! The families of this server: names, labels, buckets and texts as upstream's `/metrics` says them.

mod admission;
mod flow;

use super::{Kind, Row};

pub use admission::{ALL as OF_ADMISSION, *};
pub use flow::{ALL as OF_FLOWS, *};

pub const fn row(
    name: &'static str,
    kind: Kind,
    stability: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Row {
    Row { name, kind, stability, help, labels }
}

use Kind::{Counter, Gauge, Histogram, Timing};

pub const REQUEST_TOTAL: Row = row(
    "apiserver_request_total",
    Counter,
    "STABLE",
    &["code", "component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"],
    "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
);
pub const REQUEST_DURATION: Row = row(
    "apiserver_request_duration_seconds",
    Histogram,
    "STABLE",
    &["component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"],
    "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
);
pub const REQUEST_SLI: Row = row(
    "apiserver_request_sli_duration_seconds",
    Histogram,
    "ALPHA",
    OF_REQUEST,
    "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds for each verb, group, version, resource, subresource, scope and component.",
);
pub const RESPONSE_SIZES: Row = row(
    "apiserver_response_sizes",
    Histogram,
    "STABLE",
    OF_REQUEST,
    "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
);
pub const LONG_RUNNING: Row = row(
    "apiserver_longrunning_requests",
    Gauge,
    "STABLE",
    OF_REQUEST,
    "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.",
);
pub const STREAMS: Row = row(
    "apiserver_websocket_streaming_requests_total",
    Counter,
    "ALPHA",
    &["proxy_type", "subresource"],
    "Total number of WebSocket streaming requests (exec/attach/portforward) routed by the API server, labeled by subresource and proxy_type. proxy_type is proxied_to_kubelet when the kubelet handles the request directly; otherwise translated_at_apiserver.",
);
pub const TRANSLATED: Row = row(
    "apiserver_stream_translator_requests_total",
    Counter,
    "ALPHA",
    &["code"],
    "Total number of requests that were handled by the StreamTranslatorProxy, which processes streaming RemoteCommand/V5",
);
pub const TUNNELED: Row = row(
    "apiserver_stream_tunnel_requests_total",
    Counter,
    "ALPHA",
    &["code"],
    "Total number of requests that were handled by the StreamTunnelProxy, which processes streaming PortForward/V2",
);
pub const TERMINATIONS: Row = row(
    "apiserver_request_terminations_total",
    Counter,
    "ALPHA",
    &["code", "component", "group", "resource", "scope", "subresource", "verb", "version"],
    "Number of requests which apiserver terminated in self-defense.",
);
pub const SELF_REQUESTS: Row = row(
    "apiserver_selfrequest_total",
    Counter,
    "ALPHA",
    &["group", "resource", "subresource", "verb"],
    "Counter of apiserver self-requests broken out for each verb, API resource and subresource.",
);
pub const DEPRECATED: Row = row(
    "apiserver_requested_deprecated_apis",
    Gauge,
    "STABLE",
    &["group", "removed_release", "resource", "subresource", "version"],
    "Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, and removed_release.",
);
pub const INFLIGHT: Row = row(
    "apiserver_current_inflight_requests",
    Gauge,
    "STABLE",
    &["request_kind"],
    "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
);
pub const INQUEUE: Row = row(
    "apiserver_current_inqueue_requests",
    Gauge,
    "ALPHA",
    &["request_kind"],
    "Maximal number of queued requests in this apiserver per request kind in last second.",
);
pub const BODY_SIZES: Row = row(
    "apiserver_request_body_size_bytes",
    Histogram,
    "ALPHA",
    &["group", "resource", "verb"],
    "Apiserver request body size in bytes broken out by resource and verb.",
);
pub const WATCH_EVENTS: Row = row(
    "apiserver_watch_events_total",
    Counter,
    "BETA",
    &["group", "resource", "version"],
    "Number of events sent in watch clients",
);
pub const WATCH_SIZES: Row = row(
    "apiserver_watch_events_sizes",
    Histogram,
    "BETA",
    &["group", "resource", "version"],
    "Watch event size distribution in bytes",
);
pub const WATCH_LISTS: Row = row(
    "apiserver_watch_list_duration_seconds",
    Histogram,
    "BETA",
    &["group", "resource", "scope", "version"],
    "Response latency distribution in seconds for watch list requests broken by group, version, resource and scope.",
);
pub const STORE_EVENTS: Row = row(
    "apiserver_storage_events_received_total",
    Counter,
    "BETA",
    &["group", "resource"],
    "Number of etcd events received split by kind.",
);
pub const RESOURCE_OBJECTS: Row = row(
    "apiserver_resource_objects",
    Gauge,
    "ALPHA",
    &["group", "resource"],
    "Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
);
pub const RESOURCE_BYTES: Row = row(
    "apiserver_resource_size_estimate_bytes",
    Gauge,
    "ALPHA",
    &["group", "resource"],
    "Estimated size of stored objects in database. Estimate is based on sum of last observed sizes of serialized objects. In case of a fetching error, the value will be -1.",
);
pub const STORE_ERRORS: Row = row(
    "etcd_request_errors_total",
    Counter,
    "ALPHA",
    &["group", "operation", "resource"],
    "Etcd failed request counts for each operation and object type.",
);
pub const STORE_DURATION: Row = row(
    "etcd_request_duration_seconds",
    Histogram,
    "ALPHA",
    &["group", "operation", "resource"],
    "Etcd request latency in seconds for each operation and object type.",
);
pub const STORE_TOTAL: Row = row(
    "etcd_requests_total",
    Counter,
    "ALPHA",
    &["group", "operation", "resource"],
    "Etcd request counts for each operation and object type.",
);
pub const STORE_SIZE: Row = row(
    "apiserver_storage_size_bytes",
    Gauge,
    "STABLE",
    &["storage_cluster_id"],
    "Size of the storage database file physically allocated in bytes.",
);
pub const USERS: Row = row(
    "authenticated_user_requests",
    Counter,
    "ALPHA",
    &["username"],
    "Counter of authenticated requests broken out by username.",
);
pub const AUTHENTICATIONS: Row =
    row("authentication_attempts", Counter, "ALPHA", &["result"], "Counter of authenticated attempts.");
pub const AUTHENTICATION_DURATION: Row = row(
    "authentication_duration_seconds",
    Histogram,
    "ALPHA",
    &["result"],
    "Authentication duration in seconds broken out by result.",
);
pub const AUTHORIZATIONS: Row = row(
    "authorization_attempts_total",
    Counter,
    "ALPHA",
    &["result"],
    "Counter of authorization attempts broken down by result. It can be either 'allowed', 'denied', 'no-opinion' or 'error'.",
);
pub const AUTHORIZATION_DURATION: Row = row(
    "authorization_duration_seconds",
    Histogram,
    "ALPHA",
    &["result"],
    "Authorization duration in seconds broken out by result.",
);
pub const BUILD: Row = row(
    "kubernetes_build_info",
    Gauge,
    "BETA",
    &[
        "build_date",
        "compiler",
        "git_commit",
        "git_tree_state",
        "git_version",
        "go_version",
        "major",
        "minor",
        "platform",
    ],
    "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
);
pub const VERSION: Row = row(
    "version_info",
    Gauge,
    "ALPHA",
    &["binary", "component", "emulation", "min_compat"],
    "Provides the compatibility version info of the component. The component label is the name of the component, usually kube, but is relevant for aggregated-apiservers.",
);
pub const FEATURE: Row = row(
    "kubernetes_feature_enabled",
    Gauge,
    "BETA",
    &["name", "stage"],
    "This metric records the data about the stage and enablement of a k8s feature.",
);
pub const HIDDEN: Row = row("hidden_metrics_total", Counter, "BETA", &[], "The count of hidden metrics.");
pub const DISABLED: Row = row("disabled_metrics_total", Counter, "BETA", &[], "The count of disabled metrics.");
pub const REGISTERED: Row = row(
    "registered_metrics_total",
    Counter,
    "BETA",
    &["deprecated_version", "stability_level"],
    "The count of registered metrics broken by stability level and deprecation version.",
);
pub const HEALTH: Row = row(
    "kubernetes_healthcheck",
    Gauge,
    "STABLE",
    &["name", "type"],
    "This metric records the result of a single healthcheck.",
);
pub const HEALTH_TOTAL: Row = row(
    "kubernetes_healthchecks_total",
    Counter,
    "STABLE",
    &["name", "status", "type"],
    "This metric records the results of all healthcheck.",
);
pub const HANDSHAKES_FAILED: Row = row(
    "apiserver_tls_handshake_errors_total",
    Counter,
    "ALPHA",
    &[],
    "Number of requests dropped with 'TLS handshake error from' error",
);
pub const FIELD_VALIDATION: Row = row(
    "field_validation_request_duration_seconds",
    Histogram,
    "ALPHA",
    &["field_validation"],
    "Response latency distribution in seconds for each field validation value",
);
pub const CPU: Row =
    row("process_cpu_seconds_total", Counter, "", &[], "Total user and system CPU time spent in seconds.");
pub const FDS_MAX: Row = row("process_max_fds", Gauge, "", &[], "Maximum number of open file descriptors.");
pub const FDS: Row = row("process_open_fds", Gauge, "", &[], "Number of open file descriptors.");
pub const RESIDENT: Row = row("process_resident_memory_bytes", Gauge, "", &[], "Resident memory size in bytes.");
pub const STARTED: Row =
    row("process_start_time_seconds", Gauge, "", &[], "Start time of the process since unix epoch in seconds.");
pub const VIRTUAL: Row = row("process_virtual_memory_bytes", Gauge, "", &[], "Virtual memory size in bytes.");
pub const VIRTUAL_MAX: Row =
    row("process_virtual_memory_max_bytes", Gauge, "", &[], "Maximum amount of virtual memory available in bytes.");

/// All of them.
pub const ALL: &[&Row] = &[
    &REQUEST_TOTAL,
    &REQUEST_DURATION,
    &REQUEST_SLI,
    &RESPONSE_SIZES,
    &LONG_RUNNING,
    &STREAMS,
    &TRANSLATED,
    &TUNNELED,
    &TERMINATIONS,
    &SELF_REQUESTS,
    &DEPRECATED,
    &INFLIGHT,
    &INQUEUE,
    &BODY_SIZES,
    &WATCH_EVENTS,
    &WATCH_SIZES,
    &WATCH_LISTS,
    &STORE_EVENTS,
    &RESOURCE_OBJECTS,
    &RESOURCE_BYTES,
    &STORE_ERRORS,
    &STORE_DURATION,
    &STORE_TOTAL,
    &STORE_SIZE,
    &USERS,
    &AUTHENTICATIONS,
    &AUTHENTICATION_DURATION,
    &AUTHORIZATIONS,
    &AUTHORIZATION_DURATION,
    &BUILD,
    &VERSION,
    &FEATURE,
    &HIDDEN,
    &DISABLED,
    &REGISTERED,
    &HEALTH,
    &HEALTH_TOTAL,
    &HANDSHAKES_FAILED,
    &FIELD_VALIDATION,
    &CPU,
    &FDS_MAX,
    &FDS,
    &RESIDENT,
    &STARTED,
    &VIRTUAL,
    &VIRTUAL_MAX,
];

/// All families that this crate counts.
pub fn all() -> impl Iterator<Item = &'static Row> {
    let others = [super::auth::ROWS, super::conversion::ROWS, super::resources::ROWS];
    [ALL, OF_ADMISSION, OF_FLOWS].into_iter().chain(others).flatten().copied()
}

const OF_REQUEST: &[&str] = &["component", "group", "resource", "scope", "subresource", "verb", "version"];

/// Buckets of durations of requests, and of the store's.
pub static SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
pub static SLI_SECONDS: [f64; 21] =
    [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];
pub static SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
pub static WATCH_EVENT_SIZES: [f64; 8] = [1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0];
pub static AUTH_SECONDS: [f64; 15] =
    [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384];
pub static BODY_BYTES: [f64; 31] = [
    5e4, 1.5e5, 2.5e5, 3.5e5, 4.5e5, 5.5e5, 6.5e5, 7.5e5, 8.5e5, 9.5e5, 1.05e6, 1.15e6, 1.25e6, 1.35e6, 1.45e6, 1.55e6,
    1.65e6, 1.75e6, 1.85e6, 1.95e6, 2.05e6, 2.15e6, 2.25e6, 2.35e6, 2.45e6, 2.55e6, 2.65e6, 2.75e6, 2.85e6, 2.95e6,
    3.05e6,
];
pub static WATCH_LIST_SECONDS: [f64; 25] = [
    0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
    90.0, 120.0, 180.0, 300.0,
];
