//! WebSocket channels of version 5 towards a client, SPDY of version 4 towards whoever runs the command.
//!
//! Upstream: apiserver pkg/util/proxy/streamtranslator.go, websocket.go.

use std::future::Future;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use tokio::sync::mpsc;

use crate::{
    BoxedIo,
    channels::{self, Input},
    remote::{self, Outcome, Output, Remote, Session, Streams},
    spdy,
    tunnel::{self, Answer},
    upgrade,
};

/// So much is read of why a backend refuses.
const REFUSAL_LEN_MAX: usize = 64 << 10;

/// A connection to whoever runs the command, that has become SPDY in a version.
pub struct Connected {
    pub io: BoxedIo,
    pub version: String,
}

/// Carries a command's streams between a client whose connection has become a WebSocket and what `connect` yields. That it
/// yields nothing is told on the error channel, since the client has been told yes already. Answers how the command ended;
/// none when the client went away before.
pub async fn run(
    client: BoxedIo,
    streams: Streams,
    connect: impl Future<Output = Result<Connected, Outcome>>,
) -> std::io::Result<Option<Outcome>> {
    let mut session = Session::websocket(client, channels::V5, streams).await?;
    let ours = Ours {
        stdin: session.stdin.take(),
        resize: session.resize.take(),
        stdout: session.stdout.clone(),
        stderr: session.stderr.clone(),
    };
    let carrying = async {
        let Connected { io, version } = connect.await?;
        let remote = Remote::open(io, &version, streams).await.map_err(|error| Outcome::Failed(error.to_string()))?;
        Ok(ours.carry(remote, &version).await)
    };
    let outcome = tokio::select! {
        outcome = carrying => outcome.unwrap_or_else(|failed| failed),
        // With the client goes the backend's connection: whoever runs the command sees nobody there.
        () = session.gone() => return Ok(None),
    };
    session.end(&outcome).await?;
    Ok(Some(outcome))
}

/// Asks a backend for SPDY. `path` is its path and query.
pub async fn connect(io: BoxedIo, host: &str, path: &str) -> Result<Connected, Outcome> {
    let failed = |why: String| Outcome::Failed(why);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(|_| failed(format!("{path:?} is no path")))?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(host).map_err(|_| failed(format!("{host:?} is no host")))?);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(upgrade::SPDY));
    for version in remote::VERSIONS {
        headers.append(upgrade::STREAM_PROTOCOL, HeaderValue::from_static(version));
    }
    match tunnel::ask(io, request).await {
        Ok(Answer::Switched(parts, io)) if upgrade::is_spdy(&parts.headers) => {
            let version = upgrade::stream_protocols(&parts.headers).first().map_or("", |v| *v).to_owned();
            Ok(Connected { io, version })
        }
        Ok(Answer::Switched(..)) => Err(failed("unable to upgrade connection: it became something else".into())),
        Ok(Answer::Refused(response)) => Err(refusal(response).await),
        Err(why) => Err(failed(format!("unable to upgrade connection: {why}"))),
    }
}

/// Why a backend refuses. Upstream: `upgradeErrorMessage`.
async fn refusal(response: http::Response<hyper::body::Incoming>) -> Outcome {
    let failed = |why: &str| Outcome::Failed(format!("unable to upgrade connection: {why}"));
    let Ok(body) = Limited::new(response.into_body(), REFUSAL_LEN_MAX).collect().await else {
        return failed("unable to read error from server response");
    };
    let body = body.to_bytes();
    let status: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let said = [status["message"].as_str(), status["error"].as_str(), Some(&text)];
    let said = said.into_iter().flatten().map(str::trim).find(|said| !said.is_empty());
    failed(said.unwrap_or("empty server response"))
}

/// The client's streams.
struct Ours {
    stdin: Option<Input>,
    resize: Option<Input>,
    stdout: Option<Output>,
    stderr: Option<Output>,
}

impl Ours {
    /// Until the command has ended.
    async fn carry(self, remote: Remote, version: &str) -> Outcome {
        let Remote { stdin, resize, stdout, stderr, status, stdin_ended, session } = remote;
        let inputs = async {
            tokio::join!(input(self.stdin, stdin, stdin_ended), input(self.resize, resize, None));
            std::future::pending::<()>().await;
        };
        let outputs = async {
            let (_, _, outcome) = tokio::join!(
                output(stdout, self.stdout.as_ref()),
                output(stderr, self.stderr.as_ref()),
                remote::outcome(status, version)
            );
            outcome
        };
        let outcome = tokio::select! {
            outcome = outputs => outcome,
            () = inputs => Outcome::Success,
        };
        drop(session);
        outcome
    }
}

/// Passes on what the client sends, until it or the other side has had enough.
async fn input(from: Option<Input>, to: Option<spdy::Output>, ended: Option<Input>) {
    let (Some(mut from), Some(to)) = (from, to) else { return };
    let passing = async {
        while let Some(piece) = from.recv().await {
            if to.send(piece).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = passing => {}
        () = until_ended(ended) => {}
    }
    let _ = to.close().await;
}

async fn until_ended(ended: Option<mpsc::Receiver<Bytes>>) {
    let Some(mut ended) = ended else { return std::future::pending().await };
    while ended.recv().await.is_some() {}
}

/// Passes on what the command says. What nobody reads any more is still taken, or the command would wait for ever.
async fn output(from: Option<Input>, to: Option<&Output>) {
    let (Some(mut from), Some(to)) = (from, to) else { return };
    let mut reads = true;
    while let Some(piece) = from.recv().await {
        reads = reads && to.send(piece).await.is_ok();
    }
}
