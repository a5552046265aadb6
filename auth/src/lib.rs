//! Who is asking, and may they.
//!
//! [`authenticate::Chain`] turns what a request shows into a user, or refuses it. [`impersonate`] may put another user
//! in its place. [`authorize::Authorizer`] decides, and is the only one that can make an [`authorize::Authorized`],
//! without which nothing can be written or read. [`escalate`] keeps those who hand out rights from handing out more
//! than they have.
//!
//! Nothing here reads policy, keys or the clock by itself: an index, key sets and the time are handed in. What waits does so for
//! a server that is asked ([`elsewhere`]), and the way to it is handed in too; all else is a plain function.

pub mod authenticate;
pub mod authorize;
pub mod elsewhere;
pub mod escalate;
pub mod impersonate;
pub mod tally;

mod recent;
mod text;

pub use authenticate::{Chain, Credentials, Identity};
pub use authorize::{Authorized, Authorizer};
pub use tally::{Tally, Uncounted};

/// Unix time in seconds.
pub type UnixSeconds = i64;

/// What a future comes to that waits for nobody.
#[cfg(test)]
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    futures::FutureExt::now_or_never(future).expect("nobody has to be waited for")
}
