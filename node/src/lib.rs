//! A node: pods become containers, and what becomes of the containers is told to the API server.

pub mod runtime;
