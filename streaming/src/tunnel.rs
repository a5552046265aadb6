//! A request that is to become another connection, passed on: bytes in both directions once the backend has agreed, and
//! nothing of the backend's connection left when it has not.
//!
//! A backend that answers anything but 101 is hung up on (CVE-2018-1002105), and where it redirects to is nobody's
//! business (CVE-2020-8559). Upstream: apimachinery util/proxy/upgradeaware.go tryUpgrade.

use std::{error::Error, time::Duration};

use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use hyper::{
    body::{Body, Incoming},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use crate::{BoxedIo, dial};

#[cfg(test)]
mod tests;

/// What became of the request.
pub enum Answer {
    /// The backend agreed: with this head the client is told, then bytes go both ways.
    Switched(Box<http::response::Parts>, BoxedIo),
    /// The backend says no, and why: that is for the client to read. Its connection ends with the body.
    Refused(Response<Incoming>),
}

/// How long the last bytes of one side may take once the other has ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// Headers that are about a connection and not about what is asked on it. Go: `httputil.hopHeaders`.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

/// Asks a backend to upgrade. Errors are texts for the client, as upstream words them.
pub async fn ask<B>(io: BoxedIo, request: Request<B>) -> Result<Answer, String>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let response = dial::call(io, request).await.map_err(|error| format!("error sending request: {error}"))?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {
            let (parts, body) = response.into_parts();
            let on = hyper::upgrade::on(Response::from_parts(parts.clone(), body));
            let upgraded = on.await.map_err(|error| error.to_string())?;
            Ok(Answer::Switched(Box::new(parts), Box::new(TokioIo::new(upgraded))))
        }
        code if code.as_u16() < 400 => Err(format!("invalid upgrade response: status code {}", code.as_u16())),
        _ => Ok(Answer::Refused(response)),
    }
}

/// Passes bytes in both directions from when the client's connection has changed until either side ends; then both end.
pub async fn run(client: OnUpgrade, backend: BoxedIo) {
    match client.await {
        Ok(client) => join(Box::new(TokioIo::new(client)), backend).await,
        Err(error) => tracing::debug!(%error, "a client did not wait for its upgrade"),
    }
}

/// Passes bytes in both directions until either side ends; then both end.
pub async fn join(client: BoxedIo, backend: BoxedIo) {
    let (mut client_reads, mut client_writes) = tokio::io::split(client);
    let (mut backend_reads, mut backend_writes) = tokio::io::split(backend);
    let ended = tokio::select! {
        ended = tokio::io::copy(&mut client_reads, &mut backend_writes) => ended,
        ended = tokio::io::copy(&mut backend_reads, &mut client_writes) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a tunnel broke");
    }
    let farewell = async { tokio::join!(client_writes.shutdown(), backend_writes.shutdown()) };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// Takes away what is about a connection alone, as a proxy has to; `Te: trailers` is kept.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let trailers = headers.get_all(header::TE).iter().any(|te| te.to_str().is_ok_and(|te| te.contains("trailers")));
    for name in named.iter().chain(&HOP_BY_HOP).chain([&header::UPGRADE]) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, http::HeaderValue::from_static("trailers"));
    }
}
