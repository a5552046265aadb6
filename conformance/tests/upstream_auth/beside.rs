//! The server of the test that both servers ask: an issuer's documents, and webhooks that answer by rows, all over HTTPS.

use std::{convert::Infallible, sync::Arc};

use anyhow::Result;
use api::Value;
use bytes::Bytes;
use certs::tls;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{issuer::Signers, sides::Keys};

/// A server that runs as long as the test.
pub struct Beside {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    signers: Arc<Signers>,
    /// Rows of a scenario: the first whose place and word fit counts.
    answers: Mutex<Vec<Value>>,
    asked: Mutex<Vec<String>>,
}

/// What is shown of a question: where, in which form, as whom, and what.
const SHOWN: [header::HeaderName; 3] = [header::CONTENT_TYPE, header::ACCEPT, header::AUTHORIZATION];
const ISSUERS: [&str; 2] = ["/oidc", "/other"];

// === impl Beside ===

impl Beside {
    pub async fn start(keys: &Keys, signers: Arc<Signers>) -> Result<Beside> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        let config = tls::server_config(tls::ServerSettings {
            certificate: Arc::new(keys.serving()?),
            client_authorities_pem: keys.authority.bundle_pem().to_owned(),
            oldest_version: tls::OldestVersion::Tls12,
            http2: false,
        })?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shared = Arc::new(Shared { url: url.clone(), signers, answers: Mutex::default(), asked: Mutex::default() });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else { return };
                    let answer = service_fn(move |request| answer(shared.clone(), request));
                    // A connection that is closed without an answer ends with an error, which is what was wanted.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Beside { url, shared })
    }

    pub fn answers(&self, rows: Vec<Value>) {
        *self.shared.answers.lock() = rows;
    }

    /// What was asked since the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.asked.lock())
    }
}

/// Closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("closed")]
struct Closed;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Closed> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if parts.method == http::Method::GET {
        return Ok(document(&shared, &path).unwrap_or_else(|never| match never {}));
    }
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    let shown: Vec<String> = SHOWN
        .iter()
        .map(|name| format!("{name}: {}", parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()))
        .collect();
    shared.asked.lock().push(format!("{} {} {body}", parts.uri, shown.join(", ")));
    let fits = |row: &&Value| row.str("at") == path && body.contains(row.str("when"));
    let row = shared.answers.lock().iter().find(fits).cloned();
    let Some(row) = row else { return Ok(said(404, "nobody knows", Value::NULL)) };
    if row.bool("hang") {
        std::future::pending::<()>().await;
    }
    if row.bool("close") {
        return Err(Closed);
    }
    let code = row.opt_int("code").and_then(|code| u16::try_from(code).ok()).unwrap_or(200);
    if row.at("status").is_null() {
        return Ok(said(code, row.str("body"), row.at("headers")));
    }
    let asked = codec::json::any(body.as_bytes()).map_err(|_| Closed)?.value;
    let version = row.opt_str("apiVersion").unwrap_or(asked.str("apiVersion"));
    let review =
        api::value!({"kind": (asked.str("kind")), "apiVersion": (version), "status": (row.at("status").clone())});
    Ok(said(code, &codec::json::to_string(&review), row.at("headers")))
}

/// What an issuer publishes.
fn document(shared: &Shared, path: &str) -> Result<Response<Full<Bytes>>, Infallible> {
    let found = ISSUERS.iter().find_map(|issuer| {
        let url = format!("{}{issuer}", shared.url);
        match path.strip_prefix(issuer)? {
            "/.well-known/openid-configuration" => {
                Some(api::value!({"issuer": (url.as_str()), "jwks_uri": (format!("{url}/keys"))}))
            }
            "/keys" => Some(shared.signers.published()),
            _ => None,
        }
    });
    Ok(match found {
        Some(found) => said(200, &codec::json::to_string(&found), Value::NULL),
        None => said(404, "no", Value::NULL),
    })
}

fn said(code: u16, body: &str, headers: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(code);
    if headers.at("content-type").is_null() {
        response = response.header(header::CONTENT_TYPE, "application/json");
    }
    for (name, value) in headers.members() {
        response = response.header(name, value.as_str().unwrap_or_default());
    }
    response.body(Full::new(Bytes::from(body.to_owned()))).expect("rows hold good headers")
}
