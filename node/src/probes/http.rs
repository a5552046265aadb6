//! GET requests of probes and hooks. Upstream: pkg/probe/http.
//!
//! What is at the other end is the pod's own affair: its certificate is not checked, and no connection is kept.

mod request;
#[cfg(test)]
mod tests;

pub use request::{Request, port};

use std::{io, time::Duration};

use api::field::quote;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

const BODY_LEN_MAX: usize = 10 * 1024;
const REDIRECTS_MAX: usize = 10;

/// An answer: its code, and the beginning of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: u16,
    pub body: String,
}

/// No answer came; the words are as Go's client says them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub message: String,
    /// The other end does not speak TLS.
    pub is_plain: bool,
}

/// Asks, and follows redirects as long as they stay on the host. The timeout is for all of it; zero is none.
pub async fn get(request: &Request, timeout: Duration) -> Result<Answer, Failure> {
    get_up_to(request, timeout, BODY_LEN_MAX).await
}

/// The same, with another bound on what of the body is read.
pub async fn get_up_to(request: &Request, timeout: Duration, len_max: usize) -> Result<Answer, Failure> {
    let asked = follow(request, len_max);
    if timeout.is_zero() {
        return asked.await;
    }
    tokio::time::timeout(timeout, asked).await.unwrap_or_else(|_| {
        let what = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        Err(failed(request, what))
    })
}

async fn follow(first: &Request, len_max: usize) -> Result<Answer, Failure> {
    let mut request = first.clone();
    for _ in 0..=REDIRECTS_MAX {
        let response = once(&request).await?;
        let code = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let next = location.filter(|_| matches!(code, 301 | 302 | 303 | 307 | 308)).and_then(|to| request.moved(to));
        match next.filter(|next| next.host == first.host) {
            Some(next) => request = next,
            None => {
                let body = read(response.into_body(), len_max).await.map_err(|error| failed(&request, &error))?;
                return Ok(Answer { code, body });
            }
        }
    }
    Err(failed(&request, "stopped after 10 redirects"))
}

async fn once(request: &Request) -> Result<hyper::Response<Incoming>, Failure> {
    let address = request.address();
    let stream = TcpStream::connect(&address).await.map_err(|error| failed(request, &dial(&address, &error)))?;
    if !request.is_https {
        return exchange(request, stream).await;
    }
    let secured = secured(request, stream).await.map_err(|error| {
        let is_plain = error.to_string().contains("corrupt message");
        let message = match is_plain {
            true => "http: server gave HTTP response to HTTPS client".to_owned(),
            false => error.to_string(),
        };
        Failure { is_plain, ..failed(request, &message) }
    })?;
    exchange(request, secured).await
}

async fn secured(
    request: &Request,
    stream: TcpStream,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    let config = certs::careless::client_config().map_err(io::Error::other)?;
    let name = request.host.trim_matches(['[', ']']).to_owned();
    let name = rustls::pki_types::ServerName::try_from(name).map_err(io::Error::other)?;
    tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await
}

async fn exchange<S>(request: &Request, stream: S) -> Result<hyper::Response<Incoming>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| {
        let what = if error.is_incomplete_message() { "EOF".to_owned() } else { error.to_string() };
        failed(request, &what)
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with the answer's body, or when that is dropped.
    tokio::spawn(connection);
    let mut message = hyper::Request::get(request.target.as_str());
    for (name, value) in &request.headers {
        message = message.header(name.as_str(), value.as_str());
    }
    let message = message.header(header::CONNECTION, "close").body(Empty::<Bytes>::new());
    let message = message.map_err(|error| failed(request, &error.to_string()))?;
    sender.send_request(message).await.map_err(broken)
}

async fn read(mut body: Incoming, len_max: usize) -> Result<String, String> {
    let mut read = Vec::new();
    while read.len() < len_max {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => read.extend(frame.into_data().unwrap_or_default()),
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
    read.truncate(len_max);
    Ok(String::from_utf8_lossy(&read).into_owned())
}

fn failed(request: &Request, what: &str) -> Failure {
    Failure { message: format!("Get {}: {what}", quote(&request.url())), is_plain: false }
}

/// A connection that could not be made, in Go's words.
pub fn dial(address: &str, error: &io::Error) -> String {
    let what = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {what}")
}
