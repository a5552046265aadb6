//! The node's HTTPS API: what `kubectl logs`, `exec`, `port-forward` and scrapers of metrics get to hear.
//!
//! Paths and streams are [`streaming::node`]'s; here is what they lead to: the runtime, its logs, and who may ask.
//! Upstream: pkg/kubelet/kubelet_pods.go, pkg/kubelet/kuberuntime, pkg/kubelet/server.

mod answers;
pub mod certificate;
mod gate;
mod logs;
pub mod stats;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use api::Value;
use certs::{
    Bundle, Names, PrivateKey, UnixSeconds,
    tls::{self, KeyPair, OldestVersion, ServerSettings},
};
use client::Mirror;
use streaming::node::Node;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    certificates::{self, Purpose, Store, exchange::Chance, metrics::Tally, serving::Wanted},
    pods::ground::Ground,
    statics,
};

/// How the API is served.
#[derive(Clone)]
pub struct Serving {
    pub address: SocketAddr,
    /// The cluster is asked for the certificate.
    pub wanted: Option<Wanted>,
    /// Of all certificates that the node asks for.
    pub tally: Arc<Tally>,
    pub tls: Arc<rustls::ServerConfig>,
    /// Whose certificates are taken: `authentication.x509.clientCAFile`.
    pub client_authorities_pem: Option<String>,
    /// `authentication.anonymous.enabled`
    pub anonymous: bool,
    /// What `/logs` shows; none: nothing.
    pub system_logs: Option<PathBuf>,
}

/// Upstream: KubeletPort.
const PORT: u16 = 10250;

/// What serving depends on beside the file.
pub struct Site<'a> {
    /// Where certificates lie.
    pub certificates: &'a Path,
    pub node: &'a str,
    pub ips: &'a [String],
    /// Whose certificates are taken when the file names nobody.
    pub client_authorities_pem: Option<String>,
    /// Somebody gives the node its certificate, and exchanges it.
    pub given: Option<Arc<KeyPair>>,
    pub chance: Chance,
    pub tally: Arc<Tally>,
    pub now: UnixSeconds,
}

impl Serving {
    /// As a KubeletConfiguration says it. A node that was given no certificate, and does not ask the cluster for one
    /// (`serverTLSBootstrap`), makes one of its own. Upstream: InitializeTLS.
    pub fn read(file: &Value, site: Site<'_>) -> Result<Serving, String> {
        let read = |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        let authorities = match file.at_path(&["authentication", "x509"]).opt_str("clientCAFile") {
            Some(path) => Some(read(path)?),
            None => site.client_authorities_pem.clone(),
        };
        let (certificate, wanted) =
            certificate_of(file, &site).map_err(|error| format!("the node's certificate: {error}"))?;
        let config = tls::server_config(ServerSettings {
            certificate,
            client_authorities_pem: authorities.clone().unwrap_or_default(),
            oldest_version: OldestVersion::Tls12,
            http2: true,
        });
        let address = file.opt_str("address").and_then(|text| text.parse().ok());
        let port = file.opt_int("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT);
        let shows_logs = file.get("enableSystemLogHandler").and_then(Value::as_bool).unwrap_or(true);
        Ok(Serving {
            address: SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port),
            wanted,
            tally: site.tally.clone(),
            tls: Arc::new(config.map_err(|error| error.to_string())?),
            client_authorities_pem: authorities,
            anonymous: file.at_path(&["authentication", "anonymous"]).bool("enabled"),
            system_logs: shows_logs.then(|| "/var/log".into()),
        })
    }
}

/// What the node shows, and what it asks for.
fn certificate_of(file: &Value, site: &Site<'_>) -> Result<(Arc<KeyPair>, Option<Wanted>), certificates::Error> {
    let files = match (file.opt_str("tlsCertFile"), file.opt_str("tlsPrivateKeyFile")) {
        (Some(certificate), Some(key)) => Some((PathBuf::from(certificate), PathBuf::from(key))),
        _ => None,
    };
    let names = || std::iter::once(site.node.to_owned()).chain(site.ips.iter().cloned());
    if file.bool("serverTLSBootstrap") {
        let mut wanted = Names::default();
        names().for_each(|name| wanted.add(&name));
        let store = Store::open(site.certificates, Purpose::Serving.prefix(), files)?;
        let wanted = Wanted::open(store, site.node, wanted, site.chance.clone(), site.now)?;
        return Ok((wanted.certificate.clone(), Some(wanted)));
    }
    let certificate = match (files, &site.given) {
        (Some((certificate, key)), _) => {
            let read = |path: &Path| {
                let missing =
                    || certs::Error::Contents { path: path.to_owned(), reason: "there is no such file".into() };
                certs::files::read(path)?.ok_or_else(missing)
            };
            let key = PrivateKey::from_pem(&read(&key)?).map_err(|error| error.in_file(&key))?;
            Arc::new(KeyPair::new(&read(&certificate)?, &key)?)
        }
        (None, Some(given)) => given.clone(),
        (None, None) => certificate::own(site.certificates, site.node, &names().collect::<Vec<_>>(), site.now)?,
    };
    Ok((certificate, None))
}

/// Pods that the node is to run.
pub trait Pods: Send + Sync {
    fn all(&self) -> Vec<Arc<Value>>;
    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Value>>;
}

/// Those that are bound to the node, and those that it has from itself in the place of their mirrors.
pub struct Held {
    pub ground: Arc<Ground>,
    pub mirror: Arc<Mirror>,
}

impl Pods for Held {
    fn all(&self) -> Vec<Arc<Value>> {
        let mut all = self.mirror.all();
        all.retain(|pod| api::meta::of(pod).annotation(statics::MIRROR).is_none());
        all.extend(self.ground.statics.read().values().map(|pod| self.shown(pod)));
        all
    }

    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let own = self.ground.statics.read().get(&(namespace.to_owned(), name.to_owned())).cloned();
        own.map(|pod| self.shown(&pod)).or_else(|| self.mirror.get(namespace, name))
    }
}

impl Held {
    /// With the status that its mirror has: nobody else knows it.
    fn shown(&self, pod: &Arc<Value>) -> Arc<Value> {
        let meta = api::meta::of(pod);
        let Some(mirror) = self.mirror.get(meta.namespace(), meta.name()) else { return pod.clone() };
        let mut shown = Value::clone(pod);
        shown.set("status", mirror.at("status").clone());
        Arc::new(shown)
    }
}

impl Pods for Mirror {
    fn all(&self) -> Vec<Arc<Value>> {
        Mirror::all(self)
    }

    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        Mirror::get(self, namespace, name)
    }
}

/// Serves until it is dropped. A port that is taken is tried again: whoever ran before may still be on its way out.
pub async fn run(ground: Arc<Ground>, pods: Arc<dyn Pods>, serving: Serving) {
    let authorities = serving.client_authorities_pem.as_deref().map(Bundle::from_pem).transpose();
    let authorities = authorities.unwrap_or_else(|error| {
        tracing::error!(%error, "nobody's certificate is taken: the file of authorities cannot be read");
        None
    });
    let gate = gate::Delegated::new(
        ground.client.clone(),
        &ground.settings.node_name,
        authorities,
        serving.anonymous,
        ground.clock.clone(),
    );
    let listener = listen(serving.address).await;
    let (_stop, stopped) = watch::channel(false);
    let tls = serving.tls.clone();
    let api = answers::Answers { ground, pods, serving };
    let node = Arc::new(Node { api: Arc::new(api), gate: Arc::new(gate) });
    streaming::node::serve(node, listener, tls, stopped).await;
}

async fn listen(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => tracing::warn!(%address, %error, "the node's API cannot listen yet"),
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}
