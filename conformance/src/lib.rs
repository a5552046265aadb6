//! The outside view: what a client of the API can see, and upstream's programs to compare it with.

pub mod bench;
pub mod bound;
pub mod clock;
pub mod etcd;
pub mod events;
pub mod fake_node;
pub mod handover;
pub mod http;
pub mod images;
pub mod kms;
pub mod machine;
pub mod machines;
pub mod node;
pub mod nodes;
pub mod place;
pub mod ports;
pub mod services;
pub mod skiff;
pub mod suite;
pub mod tour;
pub mod twin;
pub mod upstream;
pub mod webhook;
