//! How our components reach a server: the API's verbs over a [`Transport`], and [`Mirror`]s of what the server has.
//!
//! A transport takes a request and gives a response; whether it goes over HTTPS or into the door of a server in the same
//! process is not known above it. There is no other way in: both carry the same requests, with an identity.

pub mod discovery;
pub mod election;
pub mod error;
pub mod https;
pub mod mirror;
pub mod renewing;
pub mod resource;
pub mod transport;
pub mod verbs;
pub mod watch;

use std::sync::Arc;

use http::HeaderValue;

pub use discovery::{Catalog, Found};
pub use error::Error;
pub use mirror::{Change, Follower, Mirror};
pub use resource::{Resource, Target};
pub use transport::{Frames, Transport};
pub use verbs::{DeleteOptions, Form, List, ListOptions, Patch, Propagation};
pub use watch::{Event, Watch, WatchOptions};

/// A way to one server as one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    agent: HeaderValue,
}

impl Client {
    /// `agent` is what the server reads as User-Agent, and what managedFields name when nothing else is said.
    pub fn new(transport: Arc<dyn Transport>, agent: &str) -> Client {
        let agent = HeaderValue::from_str(agent).unwrap_or_else(|_| HeaderValue::from_static("skiff"));
        Client { transport, agent }
    }
}

#[cfg(any(test, feature = "fake"))]
pub mod fake;
