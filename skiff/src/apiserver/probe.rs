//! One question over HTTPS to a program on this machine, in Go's words when it fails.

use std::{io::ErrorKind, sync::Arc};

use bytes::Bytes;
use client::{Transport, https::Https};
use futures::StreamExt;
use tokio::net::TcpStream;

/// Upstream: `maxRespBodyLength`.
const BODY_LEN_MAX: usize = 10 << 10;

/// The code and the body of `GET https://127.0.0.1:PORT/PATH`. The certificate is not looked at: who could listen here
/// could as well be the program.
pub async fn get(port: u16, path: &str) -> Result<(u16, String), String> {
    let address = format!("127.0.0.1:{port}");
    if let Err(error) = TcpStream::connect(&address).await {
        let why = match error.kind() {
            ErrorKind::ConnectionRefused => "connection refused".to_string(),
            _ => error.to_string(),
        };
        return Err(format!("dial tcp {address}: connect: {why}"));
    }
    let tls = certs::careless::client_config().map_err(|e| e.to_string())?;
    let https = Https::new(&format!("https://{address}"), Arc::new(tls), None).map_err(|e| e.to_string())?;
    let request = http::Request::get(path).body(Bytes::new()).map_err(|e| e.to_string())?;
    let (head, mut frames) = https.send(request).await.map_err(|e| e.to_string())?.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = frames.next().await {
        body.extend_from_slice(&frame.map_err(|e| e.to_string())?);
        if body.len() >= BODY_LEN_MAX {
            body.truncate(BODY_LEN_MAX);
            break;
        }
    }
    Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}
