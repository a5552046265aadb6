//! What is said on a container runtime's socket: the messages and the clients of CRI v1, made from their declarations.
//!
//! A crate of its own because it is generated and never changes while the node is worked on. Nothing in the product outside
//! `node::runtime::cri` speaks these words; what measures a runtime alone does.

#![allow(clippy::all, clippy::disallowed_methods, clippy::unwrap_used)]

// What is generated names them; said here too, where they can be seen.
use prost as _;
use tonic_prost as _;

tonic::include_proto!("runtime.v1");
