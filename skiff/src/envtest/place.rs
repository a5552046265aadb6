//! Where the etcd that stands in keeps objects: what it says, and how a server of Skiff's asks it.
//!
//! etcd answers 404 for the path, so a server can ask whatever is there and goes on with what it finds.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use api::{Value, value};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::flags::{Apiserver, Kept};

/// Where it is asked.
pub const PATH: &str = "/skiff";
/// It is on this machine, and has nothing to think about.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const BODY_LEN_MAX: usize = 64 << 10;

/// The answer to the question.
pub fn describe(directory: &str, durable: bool) -> Value {
    value!({"directory": (directory), "durable": (durable)})
}

/// What is different for a server that envtest starts: it has a directory for certificates, which is its own from then on,
/// and an etcd, which may be the one that stands in.
pub async fn settle(flags: &mut Apiserver) -> Result<()> {
    if let Some(directory) = &flags.cert_dir {
        flags.data_dir = directory.join("skiff");
    }
    let [server] = flags.etcd_servers.as_slice() else { return Ok(()) };
    let Ok(Some(answer)) = tokio::time::timeout(ANSWERS_WITHIN, ask(server)).await else { return Ok(()) };
    let directory = answer.str("directory");
    if directory.is_empty() {
        bail!("--etcd-servers {server}: what stands in for etcd there is of another version of Skiff");
    }
    flags.kept = Some(Kept::In { directory: PathBuf::from(directory), durable: answer.bool("durable") });
    flags.etcd_servers.clear();
    Ok(())
}

/// What stands in for etcd there says; none where nothing does.
async fn ask(server: &str) -> Option<Value> {
    let uri: Uri = server.parse().ok()?;
    if uri.scheme_str() != Some("http") {
        return None;
    }
    let (host, port) = (uri.host()?, uri.port_u16().unwrap_or(2379));
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request =
        Request::get(PATH).header(header::HOST, uri.authority()?.as_str()).body(Empty::<Bytes>::new()).ok()?;
    let exchange = async {
        let response = sender.send_request(request).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let body = Limited::new(response.into_body(), BODY_LEN_MAX).collect().await.ok()?;
        Some(codec::json::any(&body.to_bytes()).ok()?.value)
    };
    tokio::select! {
        answer = exchange => answer,
        _ = connection => None,
    }
}
