//! Keys and certificates: authorities, issuing, rotation, TLS settings, kubeconfig text.
//!
//! Read in this order: [`pki::Pki`] is everything one server keeps in its directory, [`authority::Authority`] signs,
//! [`verify::Bundle`] judges clients, [`tls`] turns the result into settings for a listener, [`kubeconfig`] writes what a user needs to connect.
//!
//! The crate knows no API object: a certificate request reaches it as bytes. It reads no clock either; whoever calls
//! hands in `now` as Unix seconds, so that rotation can be tested at any date.

pub mod authority;
pub mod careless;
pub mod error;
pub mod files;
pub mod inspect;
pub mod jws;
pub mod key;
pub mod kubeconfig;
pub mod named;
pub mod names;
pub mod pem;
pub mod pin;
pub mod pinned;
pub mod pki;
pub mod proof;
pub mod request;
pub mod tls;
pub mod verify;

mod encode;

pub use authority::{Authority, Issued, Profile, Subject, Usage};
pub use error::Error;
pub use key::{PrivateKey, PublicKey};
pub use names::Names;
pub use pki::Pki;
pub use request::{Policy, Request};
pub use verify::Bundle;

/// Unix time in seconds.
pub type UnixSeconds = i64;
