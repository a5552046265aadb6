//! A node with the API of a real one and no runtime: its commands are processes of this machine, its ports this machine's.
//!
//! What stands behind the API server can thus be looked at with stock clients where no container can run.

use std::{io, net::SocketAddr, process::Stdio, sync::Arc};

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use certs::{Authority, Bundle, Names, Profile, tls};
use http::HeaderMap;
use rustls::pki_types::CertificateDer;
use streaming::{
    BoxedIo,
    channels::Input,
    forward::Ports,
    node::{Backend, Caller, Failure, Gate, LogOptions, Metrics, Node, NodeApi, Pod},
    remote::{Outcome, Output, Session, Streams},
    runtime,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{mpsc, watch},
};

/// A node that runs; dropping it ends it.
pub struct FakeNode {
    pub address: SocketAddr,
    _stop: watch::Sender<bool>,
}

/// What the node knows.
struct Machine;

/// Lets in who has a certificate of the cluster's administrators, as the API server has.
struct Administrators {
    authorities: Bundle,
    now: i64,
}

impl FakeNode {
    /// Listens on loopback, for clients whose certificates are of the authority in `client_authority_pem`. Its own is
    /// nobody's but its own, and for no name.
    pub async fn start(client_authority_pem: &str, now: i64) -> Result<FakeNode> {
        let authority = Authority::generate("a node of its own", now)?;
        FakeNode::of(&authority, Names::default(), client_authority_pem, now).await
    }

    /// With a certificate of an authority for these names.
    pub async fn of(authority: &Authority, names: Names, client_authority_pem: &str, now: i64) -> Result<FakeNode> {
        let issued = authority.issue(&Profile::server("system:node:fake", names), now)?;
        let certificate = Arc::new(tls::KeyPair::new(&issued.certificate_pem, &issued.key)?);
        let config = tls::server_config(tls::ServerSettings {
            certificate,
            client_authorities_pem: client_authority_pem.into(),
            oldest_version: tls::OldestVersion::Tls12,
            http2: true,
        })?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let gate = Administrators { authorities: Bundle::from_pem(client_authority_pem)?, now };
        let node = Arc::new(Node { api: Arc::new(Machine), gate: Arc::new(gate) });
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(streaming::node::serve(node, listener, Arc::new(config), stopped));
        Ok(FakeNode { address, _stop: stop })
    }
}

#[async_trait]
impl Gate for Administrators {
    async fn authenticate(&self, chain: &[CertificateDer<'static>], _: &HeaderMap) -> Result<Option<Caller>, String> {
        if chain.is_empty() {
            return Ok(None);
        }
        let client = self.authorities.verify_client(chain, self.now).map_err(|error| error.to_string())?;
        let name = client.subject.common_name.clone();
        Ok(Some(Caller { name, groups: client.subject.organizations.clone(), ..Caller::default() }))
    }

    async fn authorize(&self, caller: &Caller, _: &str, _: &str, _: &str) -> Result<bool, String> {
        Ok(caller.groups.iter().any(|group| group == "system:masters"))
    }
}

#[async_trait]
impl NodeApi for Machine {
    fn pods(&self) -> Bytes {
        Bytes::from_static(b"{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[]}\n")
    }

    async fn running_pods(&self) -> Result<Bytes, String> {
        Ok(self.pods())
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<Pod> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        // The API server has said that there is such a pod.
        Some(Pod { namespace, name, uid: String::new(), containers: vec!["one".into(), "two".into()] })
    }

    async fn logs(
        &self,
        pod: &Pod,
        container: &str,
        options: &LogOptions,
    ) -> Result<mpsc::Receiver<io::Result<Bytes>>, String> {
        if options.previous {
            return Err(format!("previous terminated container {container:?} in pod {:?} not found", pod.name));
        }
        let count = 5;
        let skipped = options.tail_lines.map_or(0, |lines| (count - lines).max(0));
        let lines: Vec<String> = (skipped..count).map(|n| format!("{container} says {n}\n")).collect();
        let (sender, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            for line in lines {
                if sender.send(Ok(line.into())).await.is_err() {
                    return;
                }
            }
        });
        Ok(pieces)
    }

    async fn exec(&self, _: &Pod, _: &str, command: &[String], streams: Streams) -> Result<Backend, Failure> {
        let command = command.to_vec();
        Ok(runtime::command(streams, Box::new(move |session| Box::pin(run(session, command)))))
    }

    async fn attach(&self, _: &Pod, _: &str, streams: Streams) -> Result<Backend, Failure> {
        let command = vec!["sed".to_owned(), "s/^/heard: /".to_owned()];
        Ok(runtime::command(streams, Box::new(move |session| Box::pin(run(session, command)))))
    }

    async fn port_forward(&self, _: &Pod, _: &[u16]) -> Result<Backend, Failure> {
        Ok(runtime::ports(Arc::new(Machine)))
    }

    async fn run(&self, _: &Pod, _: &str, command: &[String]) -> Result<Bytes, String> {
        let (program, arguments) = command.split_first().ok_or("no command")?;
        let done = Command::new(program).args(arguments).output().await.map_err(|error| error.to_string())?;
        Ok(done.stdout.into())
    }

    async fn stats(&self, _: bool) -> Result<Bytes, String> {
        Ok(Bytes::from_static(b"{\"node\":{\"nodeName\":\"fake\"},\"pods\":[]}"))
    }

    async fn metrics(&self, _: Metrics) -> Result<String, String> {
        Ok(String::new())
    }

    fn configz(&self) -> Bytes {
        Bytes::from_static(b"{\"maxPods\":110}")
    }

    fn checks(&self) -> Vec<(&'static str, Option<String>)> {
        vec![("syncloop", None)]
    }

    fn system_logs(&self) -> Option<&std::path::Path> {
        None
    }
}

#[async_trait]
impl Ports for Machine {
    async fn connect(&self, port: u16) -> Result<BoxedIo, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
        Ok(Box::new(stream))
    }
}

/// Runs a process with a session's streams.
async fn run(mut session: Session, command: Vec<String>) {
    let outcome = match start(&mut session, &command) {
        Ok(running) => running.await,
        Err(error) => Outcome::Failed(format!("{command:?}: {error}")),
    };
    let _ = session.end(&outcome).await;
}

fn start(session: &mut Session, command: &[String]) -> io::Result<impl Future<Output = Outcome> + use<>> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let said = (session.stdout.clone(), session.stderr.clone());
    let heard = (session.stdin.take(), session.resize.take());
    Ok(async move {
        let hearing = tokio::spawn(feed(heard, stdin));
        tokio::join!(speak(stdout, said.0), speak(stderr, said.1));
        let outcome = match child.wait().await {
            Ok(status) if status.success() => Outcome::Success,
            Ok(status) => Outcome::Exit(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255)),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        hearing.abort();
        outcome
    })
}

/// What the client sends; the sizes of its terminal come as lines before the rest.
async fn feed((stdin, resize): (Option<Input>, Option<Input>), to: Option<impl tokio::io::AsyncWrite + Unpin>) {
    let Some(mut to) = to else { return };
    if let Some(size) = async { resize?.recv().await }.await {
        let _ = to.write_all(&size).await;
    }
    let Some(mut stdin) = stdin else { return };
    while let Some(piece) = stdin.recv().await {
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}

async fn speak(from: Option<impl AsyncRead + Unpin>, to: Option<Output>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 32 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if let Some(to) = &to
            && to.send(Bytes::copy_from_slice(&buffer[..len])).await.is_err()
        {
            return;
        }
    }
}
