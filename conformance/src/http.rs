//! A client of one server: HTTP/2 over TLS, as an administrator, nothing assumed about what is said.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use api::Value;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long [`Client::until`] waits on a machine that stalls at times.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long [`Client::until_answered`] waits, for what is looked at each minute, and how often it asks.
const MINUTES: Duration = Duration::from_secs(200);
const ASK_EVERY: Duration = Duration::from_millis(200);

/// A connection to a server.
#[derive(Clone)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

/// The events of a watch, as they come.
pub struct Watching {
    body: Incoming,
    /// What has come of the next event.
    begun: Vec<u8>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    /// Connects as the first user of a kubeconfig.
    pub async fn from_kubeconfig(path: &Path) -> Result<Client> {
        let (stream, authority) = stream(path, true).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Client { sender, authority })
    }

    /// The port at which the server listens.
    pub fn port(&self) -> &str {
        self.authority.rsplit_once(':').map_or("", |(_, port)| port)
    }

    /// Sends one request and waits for its whole answer.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Response> {
        let (parts, body) = self.open(method, path, headers, body).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Sends one request and returns when its answer begins: for watches, and for what is not to be held.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<http::Response<Incoming>> {
        let mut request = Request::builder().method(method).uri(format!("https://{}{path}", self.authority));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.sender.clone();
        Ok(sender.send_request(request.body(Full::new(body))?).await?)
    }

    /// Begins a watch of a path that says so (`…?watch=1`), in JSON.
    pub async fn watch(&self, path: &str) -> Result<Watching> {
        let (parts, body) = self.open("GET", path, &[], Bytes::new()).await?.into_parts();
        ensure!(parts.status == 200, "{path}: {}", parts.status);
        Ok(Watching { body, begun: Vec::new() })
    }
}

impl Client {
    /// Waits until the object of this name in a collection (none, while it is not there) is as it should be. The error says
    /// how it was last.
    pub async fn until(&self, path: &str, name: &str, holds: impl Fn(Option<&Value>) -> bool) -> Result<()> {
        self.until_within(PATIENCE, path, name, holds).await
    }

    /// The same with a patience of its own.
    pub async fn until_within(
        &self,
        patience: Duration,
        path: &str,
        name: &str,
        holds: impl Fn(Option<&Value>) -> bool,
    ) -> Result<()> {
        let select = format!("fieldSelector=metadata.name%3D{name}");
        let mut last = Value::Null;
        let waiting = async {
            loop {
                let list = self.send("GET", &format!("{path}?{select}"), &[], Bytes::new()).await?;
                ensure!(list.status == 200, "{path}: {list:?}");
                let list = list.json();
                last = list.list("items").first().cloned().unwrap_or_default();
                if holds(list.list("items").first()) {
                    return Ok(());
                }
                let from = list.at("metadata").str("resourceVersion").to_owned();
                let mut watch = self.watch(&format!("{path}?watch=1&resourceVersion={from}&{select}")).await?;
                while let Some(event) = watch.next().await? {
                    let object = event.at("object");
                    last = object.clone();
                    match event.str("type") {
                        "ERROR" => break,
                        kind if holds((kind != "DELETED").then_some(object)) => return Ok(()),
                        _ => {}
                    }
                }
            }
        };
        match tokio::time::timeout(patience, waiting).await {
            Ok(done) => done,
            Err(_) => bail!("{path}/{name} is not as it should be: {}", codec::json::to_string(&last)),
        }
    }

    /// Asks until the answer is as it should be, and says what it was: for what changes by the clock, with nothing to
    /// watch.
    pub async fn until_answered(&self, path: &str, holds: impl Fn(u16, &str) -> bool) -> Result<String> {
        self.until_answers("GET", path, &[], Bytes::new(), holds).await
    }

    /// The same of any request: for what a server's own informers have yet to learn, which only its answers tell.
    pub async fn until_answers(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        holds: impl Fn(u16, &str) -> bool,
    ) -> Result<String> {
        let mut last = (0, String::new());
        let asking = async {
            loop {
                let answer = self.send(method, path, headers, body.clone()).await?;
                last = (answer.status, String::from_utf8_lossy(&answer.body).into_owned());
                if holds(last.0, &last.1) {
                    return anyhow::Ok(last.1.clone());
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        match tokio::time::timeout(MINUTES, asking).await {
            Ok(answered) => answered,
            Err(_) => bail!("{method} {path} is answered {} {}", last.0, last.1),
        }
    }
}

// === impl Watching ===

impl Watching {
    /// The next event; none when the server has ended the watch, and an error when it broke off.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.begun.drain(..=end).collect();
                return Ok(Some(codec::json::any(&line)?.value));
            }
            let Some(frame) = self.body.frame().await else {
                ensure!(self.begun.is_empty(), "the watch ended within an event");
                return Ok(None);
            };
            self.begun.extend_from_slice(&frame?.into_data().unwrap_or_default());
        }
    }
}

// === impl Response ===

impl Response {
    /// The body as a tree; null when it is no JSON.
    pub fn json(&self) -> Value {
        codec::json::any(&self.body).map(|d| d.value).unwrap_or_default()
    }
}

/// The bare connection that a kubeconfig stands for, with the server's address; for HTTP/2 or 1.1.
pub async fn stream(path: &Path, http2: bool) -> Result<(TlsStream<TcpStream>, String)> {
    let text = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let config = codec::yaml::any(&text)?;
    let cluster = config.list("clusters").first().context("no cluster")?.at("cluster");
    let user = config.list("users").first().context("no user")?.at("user");
    let authority = text_of(cluster, "certificate-authority")?;
    let certificate = text_of(user, "client-certificate")?;
    let key = certs::PrivateKey::from_pem(&text_of(user, "client-key")?)?;
    let shown = Arc::new(certs::tls::KeyPair::new(&certificate, &key)?);
    let tls = certs::tls::client_config(&authority, Some(shown), http2)?;
    let url = cluster.str("server");
    let address = url.trim_start_matches("https://").trim_end_matches('/').to_string();
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).to_string();
    let tcp = TcpStream::connect(&address).await.with_context(|| format!("{url} cannot be reached"))?;
    tcp.set_nodelay(true)?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from(host)?, tcp).await?;
    Ok((stream, address))
}

/// A member that stands in the file or in another beside it.
fn text_of(object: &Value, key: &str) -> Result<String> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let data = object.str(&format!("{key}-data"));
    if !data.is_empty() {
        return Ok(String::from_utf8(STANDARD.decode(data)?)?);
    }
    let path = object.str(key);
    std::fs::read_to_string(path).with_context(|| format!("{key}: {path:?} cannot be read"))
}
