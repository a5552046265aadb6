//! The vocabulary: objects, kinds, metadata, selectors, quantities, patches, errors.
//!
//! Everything else speaks in these words. No I/O, no clock, no async: the whole crate can be fuzzed. Objects are one
//! ordered tree ([`Value`]); what a kind's fields mean is not known here.

// `value!` pushes, one by one, what it was given.
#![allow(clippy::vec_init_then_push)]

pub mod attributes;
pub mod cron;
pub mod duration;
pub mod field;
pub mod field_selector;
pub mod gvk;
pub mod host_ports;
pub mod image;
pub mod intstr;
pub mod meta;
pub mod names;
pub mod node_selector;
pub mod patch;
pub mod pod_fields;
pub mod pod_resources;
pub mod pod_secrets;
pub mod quantity;
pub mod selector;
pub mod status;
pub mod taint;
pub mod time;
pub mod user;
pub mod value;

pub use attributes::Attributes;
pub use ecow::EcoString;
pub use gvk::{GroupResource, GroupVersion, Gvk};
pub use status::{Reason, Status};
pub use user::User;
pub use value::{Map, Value};
