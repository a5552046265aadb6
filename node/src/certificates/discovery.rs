//! What a machine that has a token and a pin finds out about a cluster before it trusts it.
//!
//! Anybody may read the cluster's card, a config map with its address and authority. It is signed with the token, which
//! proves that whoever gave it knows the token, and the authority's key is pinned, which proves that it is the cluster's.
//! Upstream: cmd/kubeadm/app/discovery/token/token.go, cluster-bootstrap/token.

use std::{future::Future, time::Duration};

use api::Value;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use certs::{jws, pem, pin::Pins};
use client::{Client, Resource};
use tokio::time;

pub const NAMESPACE: &str = "kube-public";
pub const MAP: &str = "cluster-info";
const KUBECONFIG: &str = "kubeconfig";
const SIGNATURE: &str = "jws-kubeconfig-";
const PATTERN: &str = r"\A([a-z0-9]{6})\.([a-z0-9]{16})\z";
const ID_LEN: usize = 6;
const SECRET_LEN: usize = 16;

/// The signature may come a little later than the token. Upstream: DiscoveryRetryInterval, and the default of a join's.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);
const WITHIN: Duration = Duration::from_secs(300);

/// A bootstrap token: `id.secret`. `Debug` shows the id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub id: String,
    pub secret: String,
}

/// Where a cluster is, and who signs for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// `https://host:port`
    pub server: String,
    pub authority_pem: String,
}

/// Why a cluster is not trusted. The texts are upstream's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to request the cluster-info ConfigMap: {0}")]
    Request(#[source] client::Error),
    #[error("could not find a JWS signature in the cluster-info ConfigMap for token ID {0:?}")]
    NotSigned(String),
    #[error(
        "there is no {KUBECONFIG} key in the {MAP} ConfigMap. This API Server isn't set up for token bootstrapping, can't connect"
    )]
    NoKubeconfig,
    #[error("failed to verify JWS signature of received cluster info object, can't trust this API Server")]
    Forged,
    #[error("malformed kubeconfig in the {MAP} ConfigMap: {0}")]
    Malformed(String),
    #[error("cluster CA found in {MAP} ConfigMap is invalid: {0}")]
    NotPinned(String),
    #[error("the second kubeconfig from the {MAP} ConfigMap (using validated TLS) was different from the first")]
    Different,
    #[error("{0}")]
    Connect(String),
}

// === impl Token ===

impl Token {
    /// The error is upstream's. Upstream: NewBootstrapTokenString.
    pub fn parse(text: &str) -> Result<Token, String> {
        let parts = text.split_once('.').filter(|(id, secret)| is_id(id) && is_drawn(secret, SECRET_LEN));
        match parts {
            Some((id, secret)) => Ok(Token { id: id.to_owned(), secret: secret.to_owned() }),
            None => Err(format!("the bootstrap token {text:?} was not of the form {PATTERN:?}")),
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.id, self.secret)
    }
}

/// Whether it is a token's id. Upstream: IsValidBootstrapTokenID.
pub fn is_id(text: &str) -> bool {
    is_drawn(text, ID_LEN)
}

fn is_drawn(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The cluster behind an address. `connect` gives a way there that trusts this authority, or, at first, anybody: what such
/// a one says is proved before it is believed. Upstream: retrieveValidatedConfigInfo.
pub async fn discover(
    connect: impl Fn(Option<&str>) -> Result<Client, String>,
    token: &Token,
    pins: &Pins,
) -> Result<Cluster, Error> {
    let stranger = connect(None).map_err(Error::Connect)?;
    let first = within(WITHIN, || card(&stranger, token)).await?;
    let kubeconfig = proved(&first, token)?;
    let cluster = Cluster::read(kubeconfig)?;
    cluster.check(pins)?;
    let known = connect(Some(&cluster.authority_pem)).map_err(Error::Connect)?;
    let second = within(WITHIN, || card(&known, token)).await?;
    match second.at("data").str(KUBECONFIG) == kubeconfig {
        true => Ok(cluster),
        false => Err(Error::Different),
    }
}

/// Asks again until there is an answer, or for so long; the error is the last one.
async fn within<T, F: Future<Output = Result<T, Error>>>(all: Duration, ask: impl Fn() -> F) -> Result<T, Error> {
    let until = time::Instant::now() + all;
    let mut wait = RETRY;
    loop {
        match ask().await {
            Err(error) if time::Instant::now() + wait < until => tracing::info!(%error, "the cluster is asked again"),
            other => return other,
        }
        time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// The card, once it is signed with the token. Upstream: getClusterInfo.
async fn card(client: &Client, token: &Token) -> Result<Value, Error> {
    let maps = Resource::new("", "v1", "configmaps");
    let map = client.get(maps.named(NAMESPACE, MAP)).await.map_err(Error::Request)?;
    match map.at("data").has(&format!("{SIGNATURE}{}", token.id)) {
        true => Ok(map),
        false => Err(Error::NotSigned(token.id.clone())),
    }
}

/// What the card says, when its signature is the token's. Upstream: validateClusterInfoToken.
fn proved<'a>(map: &'a Value, token: &Token) -> Result<&'a str, Error> {
    let data = map.at("data");
    let kubeconfig = data.str(KUBECONFIG);
    if kubeconfig.is_empty() {
        return Err(Error::NoKubeconfig);
    }
    let signature = data.str(&format!("{SIGNATURE}{}", token.id));
    match jws::is_valid(signature, kubeconfig, &token.id, &token.secret) {
        true => Ok(kubeconfig),
        false => Err(Error::Forged),
    }
}

// === impl Cluster ===

impl Cluster {
    /// The only cluster of a kubeconfig, or the one without a name. Upstream: GetClusterFromKubeConfig.
    pub fn read(kubeconfig: &str) -> Result<Cluster, Error> {
        let wrong = |why: &str| Error::Malformed(why.to_owned());
        let config = codec::yaml::any(kubeconfig.as_bytes()).map_err(|error| wrong(&error.to_string()))?;
        let clusters = config.list("clusters");
        let unnamed = clusters.iter().find(|cluster| cluster.str("name").is_empty());
        let cluster = unnamed.or(clusters.first()).ok_or_else(|| wrong("it names no cluster"))?.at("cluster");
        let authority = STANDARD.decode(cluster.str("certificate-authority-data")).ok();
        let authority_pem = authority.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|pem| !pem.is_empty());
        let authority_pem = authority_pem.ok_or_else(|| wrong("it names no authority"))?;
        Ok(Cluster { server: cluster.str("server").to_owned(), authority_pem })
    }

    /// Upstream: validateClusterCA.
    fn check(&self, pins: &Pins) -> Result<(), Error> {
        let authorities =
            pem::certificates(&self.authority_pem).map_err(|error| Error::NotPinned(error.to_string()))?;
        pins.check_any(&authorities).map_err(Error::NotPinned)
    }
}

#[cfg(test)]
mod tests;
