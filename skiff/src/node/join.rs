//! How a node gets in: with a kubeconfig that it has, or with a token, a pin and an address.
//!
//! Either way it ends in a kubeconfig that names the files of a certificate, which is exchanged in time; who starts a second
//! time needs no token any more. Upstream: cmd/kubelet/app/server.go buildKubeletClientConfig, cmd/kubeadm join.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use api::{Value, time::Clock as _};
use certs::{
    Names, careless, files,
    kubeconfig::{Credential, Entry},
    pem,
    pin::Pins,
    tls::KeyPair,
};
use clap::Args;
use client::{Client, https::Https, renewing::Renewing};
use node::certificates::{
    self, Manager, Pair, Purpose, Store, bootstrap,
    discovery::{self, Token},
    exchange::{Chance, Expired, Install},
    metrics::Tally,
};

use super::AGENT;
use crate::{
    clock::{Random, Wall},
    controllers::outside::Kubeconfig,
    flags::go::boolean,
};

/// The administrator's, beside a server on this machine.
const OWN: &str = ".skiff/admin.kubeconfig";

/// Flags of a node that joins.
#[derive(Args, Clone)]
pub struct Join {
    /// How to reach the API server, and as whom: .skiff/admin.kubeconfig when left out. Where a node that joins keeps that:
    /// `kubeconfig` in --root-dir when left out.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// The cluster to join: https://host:port. `skiff token create` prints this, the token and the hash.
    #[arg(long, requires = "token")]
    pub server: Option<String>,
    /// The token to join with.
    #[arg(long, requires = "server")]
    pub token: Option<String>,
    /// By which the cluster's authority is known: sha256: and the hash of its key. Several may stand.
    #[arg(long, value_delimiter = ',', requires = "token")]
    pub ca_cert_hash: Vec<String>,
    /// A kubeconfig to ask for a certificate with, when --kubeconfig has none that is good.
    #[arg(long, conflicts_with = "token")]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// Where the node keeps its certificates; `pki` in --root-dir when left out.
    #[arg(long)]
    pub cert_dir: Option<PathBuf>,
    /// Whether the client certificate is exchanged before it ends; a node that joins with a token does.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub rotate_certificates: Option<bool>,
    /// Whether the cluster is asked for the certificate that the node serves with; a node that joins with a token does.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub rotate_server_certificates: Option<bool>,
}

/// A node that is in.
pub struct Entrance {
    pub client: Client,
    pub authority_pem: String,
    pub tally: Arc<Tally>,
    exchange: Option<Exchange>,
}

/// What keeps the client certificate fresh.
struct Exchange {
    manager: Manager,
    current: Pair,
    at_once: bool,
}

// === impl Join ===

impl Join {
    /// What the flags say over a KubeletConfiguration, member by member. Upstream leaves both to kubeadm's file.
    pub fn over(&self, file: &mut Value) {
        let said =
            [("rotateCertificates", self.rotate_certificates), ("serverTLSBootstrap", self.rotate_server_certificates)];
        for (member, said) in said {
            let by_token = (self.token.is_some() && !file.has(member)).then_some(true);
            if let Some(value) = said.or(by_token) {
                file.set(member, value);
            }
        }
    }

    pub fn certificates(&self, root: &Path) -> PathBuf {
        self.cert_dir.clone().unwrap_or_else(|| root.join("pki"))
    }

    fn joins(&self) -> bool {
        self.token.is_some() || self.bootstrap_kubeconfig.is_some()
    }

    fn path(&self, root: &Path) -> PathBuf {
        let default = || if self.joins() { root.join("kubeconfig") } else { OWN.into() };
        self.kubeconfig.clone().unwrap_or_else(default)
    }

    /// With what a certificate is asked for.
    async fn first(&self) -> Result<Kubeconfig> {
        let (Some(server), Some(token)) = (&self.server, &self.token) else {
            let path = self.bootstrap_kubeconfig.as_deref().context("--token is missing")?;
            return Kubeconfig::read(path).context("unable to load bootstrap kubeconfig");
        };
        let token = Token::parse(token).map_err(|why| anyhow::anyhow!("--token: {why}"))?;
        let pins = Pins::parse(&self.ca_cert_hash).map_err(|why| anyhow::anyhow!("--ca-cert-hash: {why}"))?;
        if pins.is_empty() {
            bail!("--ca-cert-hash is missing: nothing else says which cluster this is; `skiff token create` prints it");
        }
        let connect = |authority: Option<&str>| {
            let tls = match authority {
                Some(authority) => certs::tls::client_config(authority, None, true),
                None => careless::client_config(),
            };
            let way = Https::new(server, Arc::new(tls.map_err(|error| error.to_string())?), None);
            Ok(Client::new(Arc::new(way.map_err(|error| error.to_string())?), AGENT))
        };
        let cluster =
            discovery::discover(connect, &token, &pins).await.with_context(|| format!("--server {server}"))?;
        Ok(Kubeconfig::with_token(&cluster.server, &cluster.authority_pem, token.to_string()))
    }
}

// === impl Entrance ===

impl Entrance {
    /// Gets the node in; waits until somebody approves. `file` is the KubeletConfiguration as it counts.
    pub async fn open(flags: &Join, root: &Path, name: &str, file: &Value) -> Result<Entrance> {
        let (path, directory) = (flags.path(root), flags.certificates(root));
        let store = || Store::open(&directory, Purpose::Client.prefix(), None);
        if flags.joins() && !is_still_good(&path) {
            let with = flags.first().await?;
            let (client, store) = (Client::new(with.transport()?, AGENT), store()?);
            bootstrap::obtain(&client, &store, name, &Wall).await.context("no client certificate came")?;
            write(&path, &with, &store)?;
        }
        let kubeconfig = Kubeconfig::read(&path)?;
        let tally = Arc::new(Tally::default());
        if !file.bool("rotateCertificates") {
            let client = Client::new(kubeconfig.transport()?, AGENT);
            return Ok(Entrance { client, authority_pem: kubeconfig.authority_pem, tally, exchange: None });
        }
        let store = store()?;
        let (current, at_once) = current(&store, &kubeconfig)?;
        let way = Arc::new(Renewing::new(transport(&kubeconfig, &current)?));
        let client = Client::new(way.clone(), AGENT);
        let authority_pem = kubeconfig.authority_pem.clone();
        let install: Install = Arc::new(move |pair| {
            let new = transport(&kubeconfig, pair).map_err(|error| certs::Error::Certificate(format!("{error:#}")))?;
            way.replace(new);
            Ok(())
        });
        let manager = Manager {
            purpose: Purpose::Client,
            subject: certificates::subject(name),
            names: Names::default(),
            store,
            client: client.clone(),
            clock: Arc::new(Wall),
            chance: chance(),
            install,
            tally: tally.clone(),
        };
        Ok(Entrance { client, authority_pem, tally, exchange: Some(Exchange { manager, current, at_once }) })
    }

    /// Keeps the client certificate fresh, for as long as that is possible.
    pub fn keep(&mut self) -> impl Future<Output = Expired> + use<> {
        let exchange = self.exchange.take();
        async move {
            match exchange {
                Some(Exchange { manager, current, at_once }) => manager.run(Some(current), at_once).await,
                None => std::future::pending().await,
            }
        }
    }
}

pub fn chance() -> Chance {
    Arc::new(|| Random.chance())
}

/// The pair that counts, and whether it is to be exchanged at once: a kubeconfig's own is somebody else's to renew.
/// Upstream: getCurrentCertificateOrBootstrap.
fn current(store: &Store, kubeconfig: &Kubeconfig) -> Result<(Pair, bool)> {
    let now = Wall.now();
    if let Some(pair) = store.current()?.filter(|pair| !pair.has_expired(now.as_second())) {
        return Ok((pair, false));
    }
    let Some((certificate, key)) = kubeconfig.certificate() else {
        bail!("rotateCertificates: the kubeconfig has no certificate that could be exchanged");
    };
    let pair = Pair::read(certificate, key)?;
    Ok((store.update(&pair.certificate_pem, &pair.key, now)?, true))
}

fn transport(kubeconfig: &Kubeconfig, pair: &Pair) -> Result<Arc<dyn client::Transport>> {
    kubeconfig.transport_as(Arc::new(KeyPair::new(&pair.certificate_pem, &pair.key)?))
}

/// Whether a kubeconfig has a certificate that has not ended. Upstream: isClientConfigStillValid.
fn is_still_good(path: &Path) -> bool {
    if !path.exists() {
        return false;
    }
    let judged = Kubeconfig::read(path).and_then(|kubeconfig| {
        let (certificate, key) = kubeconfig.certificate().context("it has no certificate")?;
        Pair::read(certificate, key)?;
        let now = Wall.now().as_second();
        for der in pem::certificates(certificate)? {
            let said = certs::inspect::certificate(&der).context("its certificate is damaged")?;
            if now > said.not_after {
                bail!("part of the existing bootstrap client certificate is expired");
            }
        }
        Ok(())
    });
    judged.inspect_err(|why| tracing::warn!("{}: {why:#}: the node joins anew", path.display())).is_ok()
}

/// Upstream: writeKubeconfigFromBootstrapping.
fn write(path: &Path, with: &Kubeconfig, store: &Store) -> Result<()> {
    let pair = std::path::absolute(store.current_path())?.display().to_string();
    let text = certs::kubeconfig::write(&Entry {
        name: "default",
        server: &with.server,
        authority_pem: &with.authority_pem,
        credential: Credential::Files { certificate: &pair, key: &pair },
    })?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    Ok(files::write(path, &text)?)
}

#[cfg(test)]
mod tests;
