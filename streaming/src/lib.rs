//! Streams between a client, an API server, a node and the runtime of a container: what is said on them, and nothing of
//! what they are about. No object of Kubernetes is known here.
//!
//! [`upgrade`] tells what a request wants to become. From there a connection is [`websocket`] frames that carry
//! [`channels`], [`spdy`] streams, or plain bytes through a [`tunnel`]. [`remote`] is a command's five streams on either,
//! [`messages`] what is only read, [`translate`] puts one form behind the other, [`forward`] is ports. [`node`] is the HTTPS
//! API of a node. Requests that stay requests go over connections of a [`pool`]. All that leaves is [`dial`]led, by the way
//! that [`egress`] has for its network.

pub mod channels;
pub mod dial;
pub mod egress;
pub mod forward;
pub mod messages;
pub mod node;
pub mod pool;
pub mod remote;
pub mod runtime;
pub mod spdy;
pub mod translate;
pub mod tunnel;
pub mod upgrade;
pub mod websocket;

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection, whatever it runs over.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection in a box.
pub type BoxedIo = Box<dyn Io>;
