//! Where streams and proxies lead: from a pod's, a node's or a service's name to an address, a path and how much the other
//! side is trusted. The addresses are looked at again when they are dialled.
//!
//! Upstream: pkg/registry/core/pod/strategy.go, pod/rest, node/strategy.go, service/storage/storage.go,
//! pkg/kubelet/client/kubelet_client.go.

mod containers;
mod logs;
mod places;
#[cfg(test)]
mod tests;

use admission::Operation;
use api::{GroupResource, Status, Value, value};

use crate::{Ask, Registry, create::admission_request, options::Query};

/// How nodes are reached. Upstream: `KubeletClientConfig`.
#[derive(Clone, Debug)]
pub struct NodeAddresses {
    /// Which sorts of a node's addresses are tried, in order. Upstream: `--kubelet-preferred-address-types`.
    pub preferred: Vec<String>,
    /// Where a node listens that does not say so itself.
    pub port: u16,
}

/// Where a request leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Road {
    pub tls: bool,
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    pub port: u16,
    /// Not yet escaped; empty for a proxy's root without a slash.
    pub path: String,
    /// The query that is asked with; none where it is the client's own.
    pub query: Option<String>,
    pub trust: Trust,
    pub manner: Manner,
}

/// What proves that the other side is who it should be, and what proves to it who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Certificates both ways, as for every node.
    Node,
    /// The same, but the client said that the node's certificate does not matter.
    NodeUnverified,
    /// Nothing: what runs in a cluster has the certificates that it has, and gets none of ours.
    Anybody,
}

/// What happens on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A log is read.
    Log,
    /// A command's streams; the connection has to be upgraded.
    Command(Streams, Speaks),
    /// Connections to ports; the connection has to be upgraded.
    Ports(Speaks),
    /// Everything is passed on.
    Proxy,
}

/// Which streams of a command are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// What a node understands by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// SPDY alone: newer forms are translated on the way to it.
    Spdy,
    /// WebSockets of version 5, and those that carry SPDY. Upstream: the node feature `ExtendWebSocketsToKubelet`.
    WebSocket,
}

impl Registry {
    /// The way to what the request is about. `rest` is the path behind the subresource, as it was sent.
    pub async fn connect(
        &self,
        ask: &Ask,
        options: &'static str,
        query: &Query,
        rest: &str,
        nodes: &NodeAddresses,
    ) -> Result<Road, Status> {
        // A log is read, not connected to.
        if options == "PodLogOptions" {
            return logs::road(self, ask, query, nodes).await;
        }
        self.admit_connect(ask, options, query, rest).await?;
        match options {
            "PodExecOptions" | "PodAttachOptions" | "PodPortForwardOptions" => {
                self.may_create(ask).await?;
                containers::road(self, ask, options, query, nodes).await
            }
            "PodProxyOptions" => places::pod(self, ask, rest).await,
            "NodeProxyOptions" => places::node(self, ask, rest, nodes).await,
            "ServiceProxyOptions" => places::service(self, ask, rest).await,
            _ => Err(Status::no_such_resource()),
        }
    }

    /// A browser can only GET, and who may only get may not run commands. Upstream: `ensureAuthorizedForVerb`, behind
    /// AuthorizePodWebsocketUpgradeCreatePermission.
    async fn may_create(&self, ask: &Ask) -> Result<(), Status> {
        if ask.attributes.verb == "create" || ask.also(&self.authorizer, "create").await.is_ok() {
            return Ok(());
        }
        let attributes = api::Attributes { verb: "create".into(), ..api::Attributes::clone(&ask.attributes) };
        let why = self.authorizer.decide(&ask.user, &attributes).await.reason;
        let target = GroupResource::new(ask.attributes.group.as_str(), ask.attributes.resource.as_str());
        Err(Status::forbidden(&target, ask.name(), why))
    }

    /// Admission sees what is asked for as an object.
    async fn admit_connect(&self, ask: &Ask, options: &str, query: &Query, rest: &str) -> Result<(), Status> {
        let object = options_object(options, query, rest);
        let mut request = admission_request(ask, Operation::Connect, object, Value::NULL, false, Value::NULL);
        self.chain.mutate(&mut request, &self.cluster).await?;
        let outcome = self.chain.validate(&request, &self.cluster).await;
        ask.hear(&request.said);
        outcome
    }

    /// An object as it is now, or that there is none: upstream says so of the resource that the request is about, whatever
    /// was looked for.
    async fn object(&self, ask: &Ask, plural: &str, namespace: &str, name: &str) -> Result<Value, Status> {
        let resource = GroupResource::new("", plural);
        let found = match self.store.is_shared() {
            true => self.cluster.look.get_live(&resource, namespace, name).await?,
            false => self.cluster.look.get(&resource, namespace, name),
        };
        found.ok_or_else(|| Status::not_found(&ask.definition.resource, name))
    }
}

/// A query as the object of its kind.
fn options_object(kind: &str, query: &Query, rest: &str) -> Value {
    let mut object = value!({"kind": kind, "apiVersion": "v1"});
    if kind.ends_with("ProxyOptions") {
        if !rest.is_empty() {
            object.set("path", rest);
        }
        return object;
    }
    for flag in ["stdin", "stdout", "stderr", "tty"] {
        if query.boolean(flag) == Some(true) {
            object.set(flag, true);
        }
    }
    if let Some(container) = query.get("container") {
        object.set("container", container);
    }
    let command: Vec<&str> = query.all("command").collect();
    if !command.is_empty() {
        object.set("command", command);
    }
    let ports: Vec<i64> =
        query.all("ports").flat_map(|several| several.split(',')).filter_map(|port| port.parse().ok()).collect();
    if !ports.is_empty() {
        object.set("ports", ports);
    }
    object
}

/// Pairs as Go's `url.Values.Encode` writes them: sorted by their keys.
fn encode(mut pairs: Vec<(&str, String)>) -> String {
    pairs.sort_by_key(|(key, _)| *key);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
