//! A plugin on a socket of this machine, spoken to in gRPC.
//!
//! A call waits for a plugin that is not there yet, and ends in time whatever becomes of it; its errors are in the
//! words of upstream's client, which those who look at the server's health know. Upstream:
//! apiserver/pkg/storage/value/encrypt/envelope/kmsv2/grpc_service.go, k8s.io/kms/pkg/util.

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use api::field::quote;
use async_trait::async_trait;
use hyper_util::rt::TokioIo;
use kms::{
    DecryptRequest, EncryptRequest, StatusRequest, key_management_service_client::KeyManagementServiceClient as Client,
};
use tokio::{net::UnixStream, time::Instant};
use tonic::{
    Code, Request, Response, TimeoutExpired,
    transport::{Channel, Endpoint, Uri},
};

use super::{Service, Shut, Status};
use crate::{Failure, Secret, Tally, configuration::Plugin, tally::Kept};

/// In bytes. Go's client takes no longer answer.
const ANSWER_LEN_MAX: usize = 4 << 20;
/// How long one waits before looking again for a socket that nobody listens on.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// What stands in front when tonic will not read an answer that is too long; its length follows.
const TOO_LONG: &str = "Error, decoded message length too large: found ";
const STATUS: &str = "/v2.KeyManagementService/Status";
const ENCRYPT: &str = "/v2.KeyManagementService/Encrypt";
const DECRYPT: &str = "/v2.KeyManagementService/Decrypt";

/// The way to one plugin.
pub struct Socket {
    client: Client<Channel>,
    /// As the file names it.
    name: String,
    /// How long a call may take, with all waiting.
    within: Duration,
    tally: Arc<dyn Tally>,
}

/// Makes connections.
#[derive(Clone)]
struct Dial(Arc<PathBuf>);

/// Nobody listens there.
#[derive(Debug, thiserror::Error)]
#[error("dial unix {path}: connect: {why}")]
struct Unreached {
    path: String,
    why: String,
}

/// gRPC's answer when it is no success.
struct Refused {
    code: Code,
    text: String,
}

// === impl Socket ===

impl Socket {
    /// Connects when it is first asked, and anew when it has to. An error in upstream's words when the plugin's
    /// endpoint is none.
    pub fn new(plugin: &Plugin, tally: Arc<dyn Tally>) -> Result<Socket, String> {
        let dial = Dial(Arc::new(path(&plugin.endpoint)?));
        // Upstream's client names the server so, wherever it is.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(dial);
        let client = Client::new(channel).max_decoding_message_size(ANSWER_LEN_MAX);
        Ok(Socket { client, name: plugin.name.clone(), within: plugin.timeout, tally })
    }

    /// Makes a call until it is answered, or its time is over.
    async fn call<Q: Clone, A, F>(
        &self,
        method: &'static str,
        message: Q,
        once: impl Fn(Client<Channel>, Request<Q>) -> F,
    ) -> Result<A, Failure>
    where
        F: Future<Output = Result<Response<A>, tonic::Status>>,
    {
        let begun = Instant::now();
        let until = begun + self.within;
        let mut unreached = None;
        let answered = loop {
            let mut request = Request::new(message.clone());
            // The plugin knows when nobody waits any more.
            request.set_timeout(until.saturating_duration_since(Instant::now()));
            match tokio::time::timeout_at(until, once(self.client.clone(), request)).await {
                Ok(Ok(answer)) => break Ok(answer.into_inner()),
                Ok(Err(status)) => match why_unreached(&status) {
                    None => break Err(refused(&status)),
                    Some(why) => unreached = Some(why),
                },
                Err(_) => break Err(late(unreached)),
            }
            if tokio::time::timeout_at(until, tokio::time::sleep(AGAIN_AFTER)).await.is_err() {
                break Err(late(unreached));
            }
        };
        let code = answered.as_ref().map_or_else(|refused| word(refused.code), |_| word(Code::Ok));
        let (provider, took) = (self.name.as_str(), begun.elapsed());
        self.tally.kept(&Kept::Called { provider, method, code, took });
        answered
            .map_err(|Refused { text, .. }| Failure { text: format!("rpc error: code = {code} desc = {text}"), code })
    }
}

#[async_trait]
impl Service for Socket {
    async fn status(&self) -> Result<Status, Failure> {
        let once = |mut client: Client<Channel>, request| async move { client.status(request).await };
        let kms::StatusResponse { version, healthz, key_id } = self.call(STATUS, StatusRequest {}, once).await?;
        Ok(Status { version, healthz, key_id })
    }

    async fn encrypt(&self, uid: &str, plain: &Secret) -> Result<Shut, Failure> {
        let message = EncryptRequest { plaintext: plain.bytes().to_vec().into(), uid: uid.into() };
        let once = |mut client: Client<Channel>, request| async move { client.encrypt(request).await };
        let kms::EncryptResponse { ciphertext, key_id, annotations } = self.call(ENCRYPT, message, once).await?;
        Ok(Shut { ciphertext, key_id, annotations })
    }

    async fn decrypt(&self, uid: &str, shut: &Shut) -> Result<Secret, Failure> {
        let Shut { ciphertext, key_id, annotations } = shut.clone();
        let message = DecryptRequest { ciphertext, uid: uid.into(), key_id, annotations };
        let once = |mut client: Client<Channel>, request| async move { client.decrypt(request).await };
        Ok(Secret::new(self.call(DECRYPT, message, once).await?.plaintext.to_vec()))
    }
}

/// Where a plugin listens: `unix:///run/kms.sock`, `unix:///@name` for one that is no file. Upstream: `ParseEndpoint`.
fn path(endpoint: &str) -> Result<PathBuf, String> {
    let rest = endpoint.strip_prefix("unix:").ok_or_else(|| {
        let scheme = endpoint.split_once(':').map_or("", |(scheme, _)| scheme);
        format!("unsupported scheme {} for remote KMS provider", quote(scheme))
    })?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // A host is taken, and means nothing.
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None => rest,
    };
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    Ok(match decoded.strip_prefix("/@") {
        // Names of the kernel's begin with a zero.
        Some(name) => format!("\0{name}").into(),
        None => decoded.into_owned().into(),
    })
}

/// Why there is no connection, where that is what failed.
fn why_unreached(status: &tonic::Status) -> Option<String> {
    because::<Unreached>(status).map(ToString::to_string)
}

/// The first error of a sort behind a call that failed on this side.
fn because<E: Error + 'static>(status: &tonic::Status) -> Option<&E> {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// Go's words for a call whose time is over. Upstream: google.golang.org/grpc/picker_wrapper.go, stream.go.
fn late(unreached: Option<String>) -> Refused {
    let text = match unreached {
        None => "context deadline exceeded".into(),
        Some(why) => {
            let why = quote(&format!("transport: Error while dialing: {why}"));
            format!("latest balancer error: connection error: desc = {why}")
        }
    };
    Refused { code: Code::DeadlineExceeded, text }
}

/// What a call came to: the plugin's own words, or Go's where this side has some of its own.
fn refused(status: &tonic::Status) -> Refused {
    let text = status.message();
    if let Some(len) = text.strip_prefix(TOO_LONG).filter(|_| status.code() == Code::OutOfRange) {
        let len = len.split(' ').next().unwrap_or_default();
        let text = format!("grpc: received message larger than max ({len} vs. {ANSWER_LEN_MAX})");
        return Refused { code: Code::ResourceExhausted, text };
    }
    match status.source() {
        None => Refused { code: status.code(), text: text.into() },
        Some(_) if because::<TimeoutExpired>(status).is_some() => late(None),
        // The connection broke while the plugin was asked.
        Some(_) => Refused { code: Code::Unavailable, text: "error reading from server: EOF".into() },
    }
}

/// gRPC's words as Go writes them.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

// === impl Dial ===

impl tonic::codegen::Service<Uri> for Dial {
    type Response = TokioIo<UnixStream>;
    type Error = Unreached;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<UnixStream>, Unreached>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreached>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move {
            let connected = UnixStream::connect(&*path).await;
            connected.map(TokioIo::new).map_err(|error| {
                // "No such file or directory (os error 2)" is to Go "no such file or directory".
                let text = error.to_string();
                let text = text.split(" (os error").next().unwrap_or_default();
                Unreached { path: path.to_string_lossy().replace('\0', "@"), why: text.to_lowercase() }
            })
        })
    }
}
