//! A runtime on a socket of this machine, spoken to in CRI v1.
//!
//! Every call has a limit: a runtime that hangs is one that fails, so that the node can say so. Upstream:
//! cri-client/pkg/remote_runtime.go, remote_image.go.

mod calls;
mod words;

use std::time::Duration;

use cri::{image_service_client::ImageServiceClient, runtime_service_client::RuntimeServiceClient};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

use super::Error;

/// Answers with thousands of containers are long. Upstream: maxMsgSize.
const MESSAGE_LEN_MAX: usize = 16 << 20;

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of a call that does something. Upstream: `--runtime-request-timeout`.
    pub call: Duration,
    /// Of making or stopping a sandbox, which waits for the network.
    pub sandbox: Duration,
    /// Of a pull; CRI leaves it to the runtime to end one that makes no progress.
    pub pull: Duration,
}

/// The way to one runtime.
pub struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    limits: Limits,
}

impl Default for Limits {
    /// Upstream: defaultRuntimeRequestTimeout; getting a sandbox may take twice that.
    fn default() -> Limits {
        Limits {
            call: Duration::from_secs(120),
            sandbox: Duration::from_secs(240),
            pull: Duration::from_secs(60 * 60 * 24),
        }
    }
}

impl Cri {
    /// `address` is `unix:///run/containerd/containerd.sock`. Nothing is sent before the first call; a connection that
    /// breaks is made again.
    pub fn new(address: &str, limits: Limits) -> Result<Cri, Error> {
        let endpoint = Endpoint::from_shared(address.to_string()).map_err(|e| Error::Unavailable(e.to_string()))?;
        let channel = endpoint.connect_lazy();
        let runtime = RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MESSAGE_LEN_MAX);
        let images = ImageServiceClient::new(channel).max_decoding_message_size(MESSAGE_LEN_MAX);
        Ok(Cri { runtime, images, limits })
    }

    fn runtime(&self) -> RuntimeServiceClient<Channel> {
        self.runtime.clone()
    }

    fn image_service(&self) -> ImageServiceClient<Channel> {
        self.images.clone()
    }

    fn ask<T>(&self, message: T) -> Request<T> {
        within(message, self.limits.call)
    }
}

/// A request that the runtime, too, knows the limit of.
fn within<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

/// What a failed call says. Upstream tells its users gRPC's own words.
fn refused(status: Status) -> Error {
    let message = status.message().to_string();
    match status.code() {
        Code::NotFound => Error::NotFound(message),
        Code::DeadlineExceeded | Code::Cancelled => Error::Timeout(message),
        Code::Unavailable => Error::Unavailable(message),
        Code::Unimplemented => Error::Unsupported(message),
        code => Error::Refused { code: word(code), message },
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
