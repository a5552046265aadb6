//! What is said to a proxy server that reaches where others do not: konnectivity's packets, the client and the server, made
//! from their declarations.
//!
//! A crate of its own because it is generated. `egress` speaks these words; tests answer them.

#![allow(clippy::all, clippy::disallowed_methods, clippy::unwrap_used)]

// What is generated names them; said here too, where they can be seen.
use bytes as _;
use prost as _;
use tonic_prost as _;

tonic::include_proto!("_");
