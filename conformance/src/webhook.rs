//! A webhook in this process, which says yes or no to what it is shown: objects of reviews of admission, or images.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::Result;
use api::{Value, value};
use bytes::Bytes;
use certs::{Authority, Names, Profile, tls};
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::clock::now;

/// A webhook that listens on loopback; dropping it ends it.
pub struct Webhook {
    pub address: SocketAddr,
    /// The authority of its certificate, as PEM.
    pub authority: String,
    heard: Heard,
    serving: JoinHandle<()>,
}

/// What stood in the Authorization of those who asked.
type Heard = Arc<Mutex<Vec<String>>>;

/// Whether an object may be.
type Judge = Arc<dyn Fn(&Value) -> bool + Send + Sync>;

impl Webhook {
    /// Its certificate is for `name`; what it refuses, it refuses with these words.
    pub async fn start(
        name: &str,
        words: &'static str,
        allows: impl Fn(&Value) -> bool + Send + Sync + 'static,
    ) -> Result<Webhook> {
        let authority = Authority::generate("a webhook", now()?)?;
        let mut names = Names::default();
        names.add(name);
        let issued = authority.issue(&Profile::server("webhook", names), now()?)?;
        let config = tls::server_config(tls::ServerSettings {
            certificate: Arc::new(tls::KeyPair::new(&issued.certificate_pem, &issued.key)?),
            client_authorities_pem: authority.bundle_pem().to_owned(),
            oldest_version: tls::OldestVersion::Tls12,
            http2: false,
        })?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (allows, heard): (Judge, Heard) = (Arc::new(allows), Heard::default());
        let hears = heard.clone();
        let serving = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, allows, hears) = (acceptor.clone(), allows.clone(), hears.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else { return };
                    let answer = service_fn(move |request: Request<Incoming>| {
                        let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                        hears.lock().push(shown.unwrap_or_default().to_owned());
                        review(request, allows.clone(), words)
                    });
                    // Who asks closes connections as he likes.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Ok(Webhook { address, authority: authority.bundle_pem().to_owned(), heard, serving })
    }

    /// How those showed who they are that asked since the last time.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock())
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn review(
    request: Request<Incoming>,
    allows: Judge,
    words: &'static str,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked = codec::json::any(&body).map(|decoded| decoded.value).unwrap_or_default();
    let answer = if asked.str("kind") == "ImageReview" {
        let status = value!({"allowed": (allows(asked.at("spec"))), "reason": words});
        value!({"apiVersion": (asked.str("apiVersion")), "kind": "ImageReview", "status": (status)})
    } else {
        let asked = asked.at("request");
        let allowed = allows(asked.at("object"));
        value!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": (asked.str("uid")), "allowed": (allowed), "status": {"message": (words)}}
        })
    };
    let mut response = Response::new(Full::from(codec::json::to_string(&answer)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}
