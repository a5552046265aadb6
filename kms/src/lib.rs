//! What is said on the socket of a plugin that guards keys, KMS v2, and how a value lies in the store under such a
//! key: messages, the client and the server, made from their declarations.
//!
//! A crate of its own because it is generated. `seal::envelope` speaks these words to plugins; tests answer them.

#![allow(clippy::all, clippy::disallowed_methods, clippy::unwrap_used)]

use std::fmt;

// What is generated names them; said here too, where they can be seen.
use bytes as _;
use prost as _;
use tonic_prost as _;

tonic::include_proto!("v2");

// Two messages hold keys in the clear; they say that there is one, and no more.

impl fmt::Debug for EncryptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptRequest").field("uid", &self.uid).finish_non_exhaustive()
    }
}

impl fmt::Debug for DecryptResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptResponse").finish_non_exhaustive()
    }
}
