//! HTTP, and nothing about any kind.
//!
//! [`door::serve`] is the page to read: what happens to a request, step by step. Around it: [`listen`] takes connections,
//! [`attributes`] says what a path wants, [`negotiate`] in which form, [`respond`] turns answers and errors into responses.

pub mod aggregate;
pub mod attributes;
pub mod audited;
pub mod body;
pub mod browsers;
pub mod discovery;
pub mod door;
pub mod fairness;
pub mod flow;
pub mod health;
pub mod issuer;
pub mod limits;
pub mod listen;
pub mod metrics;
pub mod negotiate;
pub mod openapi;
pub mod outgoing;
pub mod respond;
pub mod stream;
pub mod verbs;
pub mod watch;
pub mod work;
pub mod zpages;

use std::sync::Arc;

use api::time::Clock;
use auth::{authenticate::Chain, authorize::Authorizer};
use registry::Registry;

/// A server's parts.
pub struct Server {
    pub registry: Arc<Registry>,
    pub authenticators: Arc<Chain>,
    pub authorizer: Arc<Authorizer>,
    pub clock: Arc<dyn Clock>,
    /// Who is told of requests; none: nobody.
    pub audit: Option<Arc<audit::Audit>>,
    pub health: health::Health,
    pub openapi: openapi::Documents,
    pub metrics: Arc<metrics::Metrics>,
    pub bodies: limits::Bodies,
    pub flow: flow::Flow,
    /// What others verify this server's tokens by.
    pub issuer: Option<issuer::Documents>,
    /// How nodes, pods and services are reached.
    pub ways: stream::Ways,
    /// What is asked of other people's servers.
    pub outgoing: Arc<outgoing::Outgoing>,
    /// Groups and versions that others answer for.
    pub aggregate: aggregate::Aggregate,
    pub browsers: browsers::Browsers,
    /// Who is sent away; nobody, when there is none.
    pub farewell: Option<listen::Farewell>,
    pub config: Config,
}

/// Settings of the door.
#[derive(Clone, Debug)]
pub struct Config {
    /// As `/version` says: `v1.37.1`.
    pub version: api::Value,
    /// `host:port` for clients, as `/api` says.
    pub advertise: String,
    pub limits: limits::Limits,
    pub offer: negotiate::Offer,
    /// Every flag and its value, by name: what `/flagz` says.
    pub flags: Vec<(String, String)>,
    /// When this process began, in seconds since the epoch.
    pub started: i64,
    /// Watches end after at least so long, at most twice that. Upstream: `--min-request-timeout`.
    pub watch_seconds_min: i64,
    /// Requests that go on at a time on one connection of HTTP/2. Upstream: `--http2-max-streams-per-connection`.
    pub streams_max: u32,
    /// Families that `/metrics` leaves out. Upstream: `--disabled-metrics`.
    pub hidden_metrics: Vec<String>,
}
