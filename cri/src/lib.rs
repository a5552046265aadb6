//! What is said on a container runtime's socket: the messages and the clients of CRI v1, made from their declarations.
//!
//! A crate of its own because it is generated and never changes while the node is worked on. Nothing outside
//! `node::runtime::cri` speaks these words.

#![allow(clippy::all, clippy::disallowed_methods, clippy::unwrap_used)]

tonic::include_proto!("runtime.v1");
