//! Both servers, with the same flags, keys and etcd, and how they are asked.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use certs::{
    Authority, Names, PrivateKey, Profile, Subject,
    kubeconfig::{Credential, Entry},
    tls,
};
use conformance::{
    clock::now,
    etcd::Etcd,
    http::Client,
    skiff::{self, Skiff},
    upstream::{SERVICE_RANGE, Settings, Upstream},
};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A folder with all keys that servers and clients have.
pub struct Keys {
    pub folder: PathBuf,
    pub authority: Authority,
}

/// Two servers on one etcd. What goes last is dropped last.
pub struct Sides {
    pub upstream: Side,
    pub ours: Side,
    /// What ours says of itself.
    pub log: PathBuf,
    _ours: Skiff,
    _upstream: Upstream,
    _etcd: Etcd,
}

/// One of them, as clients see it.
#[derive(Clone)]
pub struct Side {
    port: u16,
    keys: PathBuf,
}

/// One request, ready to be sent.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    /// The name of the client's certificate.
    pub certificate: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

const DAY: i64 = 24 * 3600;
/// File, name, groups, uid, days from now until it begins.
type Certified = (&'static str, &'static str, &'static [&'static str], Option<&'static str>, i64);

/// Clients' certificates of the cluster's authority.
const CLIENTS: [Certified; 5] = [
    ("alice", "alice", &["devs", "ops"], None, 0),
    ("alice-uid", "alice", &["devs"], Some("u-1"), 0),
    ("expired", "alice", &["devs"], None, -4000),
    ("future", "alice", &["devs"], None, 2),
    ("nameless", "", &["devs"], None, 0),
];

// === impl Keys ===

impl Keys {
    /// Upstream's of this folder, which are made by its settings, and those of more clients.
    pub fn complete(folder: &Path) -> Result<Keys> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| name.to_owned());
        let authority = Authority::load(&read("ca.crt")?, &read("ca.key")?)?;
        let proxies = Authority::load(&read("front-proxy-ca.crt")?, &read("front-proxy-ca.key")?)?;
        let strangers = Authority::generate("strangers", now()?)?;
        let keys = Keys { folder: folder.to_owned(), authority };
        for (file, name, groups, uid, days) in CLIENTS {
            let subject = Subject { uid: uid.map(str::to_owned), ..Subject::user(name, groups) };
            keys.issue(file, &keys.authority, &Profile::client(subject), now()? + days * DAY)?;
        }
        let alice = Subject::user("alice", &["devs"]);
        keys.issue("stranger", &strangers, &Profile::client(alice.clone()), now()?)?;
        let usage = Profile { subject: alice, ..Profile::server("alice", Names::default()) };
        keys.issue("usage", &keys.authority, &usage, now()?)?;
        let somebody = Profile::client(Subject::user("somebody", &[]));
        keys.issue("front-proxy-other", &proxies, &somebody, now()?)?;
        let own = Authority::generate("alice", now()?)?;
        fs::write(folder.join("self.crt"), own.bundle_pem())?;
        fs::write(folder.join("self.key"), own.key_pem())?;
        Ok(keys)
    }

    fn issue(&self, name: &str, by: &Authority, profile: &Profile, at: i64) -> Result<()> {
        let issued = by.issue(profile, at)?;
        fs::write(self.folder.join(format!("{name}.crt")), &issued.certificate_pem)?;
        Ok(fs::write(self.folder.join(format!("{name}.key")), issued.key.to_pem())?)
    }

    /// A certificate for 127.0.0.1.
    pub fn serving(&self) -> Result<tls::KeyPair> {
        let mut names = Names::default();
        names.add("127.0.0.1");
        let issued = self.authority.issue(&Profile::server("beside", names), now()?)?;
        Ok(tls::KeyPair::new(&issued.certificate_pem, &issued.key)?)
    }
}

// === impl Sides ===

impl Sides {
    /// Starts both; files that flags name are there.
    pub async fn start(directory: &TempDir, settings: Settings, flags: &[String]) -> Result<Sides> {
        let folder = directory.path();
        let etcd = Etcd::start(folder)?;
        let mut settings = settings;
        settings.etcd = Some(etcd.urls.clone());
        settings.server_flags.extend(flags.iter().cloned());
        let keys = settings.directory.join("keys");
        let upstream = Upstream::start(&settings)?;
        let own = [own_flags(&keys, &etcd.urls), flags.to_vec()].concat();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let data = folder.join("skiff");
        let ours = Skiff::start_apiserver(&skiff::build()?, &data, &own).with_context(|| {
            let log = fs::read_to_string(data.with_extension("log")).unwrap_or_default();
            log.lines().rev().take(3).collect::<Vec<_>>().join(" | ")
        })?;
        let side = |port| Side::new(port, keys.clone());
        let (at_upstream, at_ours) = (side(settings.ports.server), side(ours.port));
        let ready =
            Ask { method: "GET".into(), path: "/readyz".into(), certificate: Some("admin".into()), ..Ask::default() };
        while at_ours.send(&ready).await?.status != 200 {}
        Ok(Sides {
            upstream: at_upstream,
            ours: at_ours,
            log: data.with_extension("log"),
            _ours: ours,
            _upstream: upstream,
            _etcd: etcd,
        })
    }
}

/// What `conformance::upstream` says to kube-apiserver, said to ours.
pub fn own_flags(keys: &Path, etcd: &str) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", keys.join(name).display());
    let mut flags: Vec<String> = [
        "--enable-bootstrap-token-auth=true",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
    ]
    .map(str::to_owned)
    .to_vec();
    flags.extend([
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "server.crt"),
        file("tls-private-key-file", "server.key"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        file("service-account-key-file", "service-account.pub"),
        file("service-account-signing-key-file", "service-account.key"),
    ]);
    if !etcd.is_empty() {
        flags.push(format!("--etcd-servers={etcd}"));
    }
    flags
}

// === impl Side ===

impl Side {
    pub fn new(port: u16, keys: PathBuf) -> Side {
        Side { port, keys }
    }

    /// A connection that is kept, as the administrator.
    pub async fn client(&self) -> Result<Client> {
        let read = |name: &str| fs::read_to_string(self.keys.join(name)).with_context(|| name.to_owned());
        let (authority, certificate, key) = (read("ca.crt")?, read("admin.crt")?, read("admin.key")?);
        let entry = Entry {
            name: "side",
            server: &format!("https://127.0.0.1:{}", self.port),
            authority_pem: &authority,
            credential: Credential::Certificate { certificate_pem: &certificate, key_pem: &key },
        };
        let file = self.keys.join(format!("{}.kubeconfig", self.port));
        fs::write(&file, certs::kubeconfig::write(&entry)?)?;
        Client::from_kubeconfig(&file).await
    }

    /// Sends one request over HTTP/1.1, on a connection of its own.
    pub async fn send(&self, ask: &Ask) -> Result<Answer> {
        let read = |name: String| fs::read_to_string(self.keys.join(&name)).with_context(|| name);
        let shown = match &ask.certificate {
            Some(name) => {
                let key = PrivateKey::from_pem(&read(format!("{name}.key"))?)?;
                Some(Arc::new(tls::KeyPair::new(&read(format!("{name}.crt"))?, &key)?))
            }
            None => None,
        };
        let config = tls::client_config(&read("ca.crt".to_owned())?, shown, false)?;
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1")?, tcp).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request =
            Request::builder().method(ask.method.as_str()).uri(ask.path.as_str()).header("host", "127.0.0.1");
        for (name, value) in &ask.headers {
            request = request.header(name.as_str(), value.as_str());
        }
        let body = Bytes::from(ask.body.clone().unwrap_or_default());
        let (parts, body) = sender.send_request(request.body(Full::new(body))?).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}
