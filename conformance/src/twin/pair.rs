//! Both servers, started for a run or running already, with several connections to each.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result};
use bytes::Bytes;

use super::case::{Case, Live};
use crate::{
    http::{Client, Response},
    skiff::Skiff,
    upstream::{Settings, Upstream},
};

/// Skiff and upstream.
pub struct Pair {
    pub ours: Side,
    pub theirs: Side,
    // Dropping them ends their processes.
    _servers: Option<(Skiff, Upstream)>,
}

/// One of them.
pub struct Side {
    clients: Vec<Client>,
    next: AtomicUsize,
}

/// All versions of all groups: what is off by default is compared too.
pub const ALL_VERSIONS: &str = "--runtime-config=api/all=true";
/// And the gates without which some of them are not served.
pub const GATES: &str = "--feature-gates=GenericWorkload=true,TopologyAwareWorkloadScheduling=true,CompositePodGroup=true,EvictionRequestAPI=true";
const CONNECTIONS: usize = 4;
const AGENT: &str = "twin/1";

// === impl Pair ===

impl Pair {
    /// Starts both on free ports with all that they keep in `directory`.
    pub async fn start(program: &Path, directory: &Path) -> Result<Pair> {
        let mut settings = Settings::new(&directory.join("upstream"))?;
        settings.server_flags.extend([ALL_VERSIONS, GATES].map(Into::into));
        let upstream = Upstream::start(&settings)?;
        let skiff = start_skiff(program, &directory.join("skiff"))?;
        let (ours, theirs) = (Side::connect(&skiff.kubeconfig).await?, Side::connect(&upstream.kubeconfig).await?);
        skiff.wait_until_ready(ours.client()).await?;
        Ok(Pair { ours, theirs, _servers: Some((skiff, upstream)) })
    }

    /// Uses servers that run already.
    pub async fn of(ours: &Path, theirs: &Path) -> Result<Pair> {
        Ok(Pair { ours: Side::connect(ours).await?, theirs: Side::connect(theirs).await?, _servers: None })
    }

    pub fn sides(&self) -> [&Side; 2] {
        [&self.ours, &self.theirs]
    }
}

/// Skiff's API server with the flags that upstream's has.
pub fn start_skiff(program: &Path, directory: &Path) -> Result<Skiff> {
    let range = format!("--service-cluster-ip-range={}", crate::upstream::SERVICE_RANGE);
    Skiff::start_apiserver(program, directory, &[&range, ALL_VERSIONS, GATES, "--authorization-mode=Node,RBAC"])
}

// === impl Side ===

impl Side {
    pub async fn connect(kubeconfig: &Path) -> Result<Side> {
        let mut clients = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            clients.push(Client::from_kubeconfig(kubeconfig).await?);
        }
        Ok(Side { clients, next: AtomicUsize::new(0) })
    }

    /// One of the connections, by turns.
    pub fn client(&self) -> &Client {
        &self.clients[self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len()]
    }

    pub async fn send(&self, case: &Case, live: &Live) -> Result<Response> {
        let Some(first) = case.of_etag() else { return self.send_as_it_is(case, live).await };
        let told = self.send_as_it_is(&first, live).await?;
        let etag = told.headers.get("etag").and_then(|etag| etag.to_str().ok()).unwrap_or("none").to_owned();
        self.send_as_it_is(case, &Live { etag, ..live.clone() }).await
    }

    async fn send_as_it_is(&self, case: &Case, live: &Live) -> Result<Response> {
        let body = case.bytes(live, schema::builtin());
        let mut headers = vec![("user-agent", AGENT)];
        for (name, value) in [("accept", &case.accept), ("content-type", &case.content_type)] {
            if !value.is_empty() {
                headers.push((name, value.as_str()));
            }
        }
        let more: Vec<_> = case.headers.iter().map(|(name, value)| (*name, live.fill(value))).collect();
        headers.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
        let answer = self.client().send(case.method, &live.fill(&case.path), &headers, body).await;
        answer.with_context(|| format!("{} {}", case.method, case.path))
    }

    /// A request that is part of the set-up, in JSON.
    pub async fn set_up(&self, method: &str, path: &str, content_type: &str, body: &str) -> Result<Response> {
        let headers = [("user-agent", AGENT), ("content-type", content_type)];
        let headers = if body.is_empty() { &headers[..1] } else { &headers[..] };
        let answer = self.client().send(method, path, headers, Bytes::from(body.to_owned())).await;
        answer.with_context(|| format!("{method} {path}"))
    }
}
