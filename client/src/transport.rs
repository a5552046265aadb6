//! What carries requests.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::{Request, Response};

use crate::Error;

/// A response's body, piece by piece as it comes. Dropping it ends the request.
pub type Frames = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Carries requests to one server as one identity.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends a request, whose URI is a path with a query. A response of any code is `Ok`.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Frames>, Error>;
}
