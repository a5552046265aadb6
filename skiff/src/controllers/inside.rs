//! Requests into the door of a server in this process.

use std::sync::Arc;

use api::User;
use async_trait::async_trait;
use bytes::Bytes;
use client::{Error, Frames, Transport};
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use server::{Server, door};

/// The door, for one identity.
pub struct Inside {
    server: Arc<Server>,
    user: Arc<User>,
}

// === impl Inside ===

impl Inside {
    pub fn new(server: &Arc<Server>, user: User) -> Inside {
        Inside { server: server.clone(), user: Arc::new(user) }
    }
}

#[async_trait]
impl Transport for Inside {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Frames>, Error> {
        // A task of its own: a request that panics or whose sender goes away is as it were with a connection.
        let serving = tokio::spawn(door::serve_as(self.server.clone(), self.user.clone(), request));
        let response = serving.await.map_err(|_| Error::Unreachable("the request panicked".into()))?;
        Ok(response.map(|body| -> Frames {
            Box::pin(body.into_data_stream().map(|piece| piece.map_err(|error| Error::Unreachable(error.to_string()))))
        }))
    }
}
