//! Objects from and to bytes: JSON, YAML, protobuf and CBOR, driven by schema facts.
//!
//! Decoding checks types and remembers what strict clients want to hear (unknown and duplicate fields); encoding writes
//! what Go would write, byte by byte. Every parser is bounded in depth and in what it builds.

pub mod cbor;
pub mod json;
pub mod proto;
pub mod unstructured;
pub mod yaml;

/// Deeper than this nothing is read. Upstream: `maxNestingDepth` of sigs.k8s.io/json is 10,000 for skipped values;
/// trees that are kept stop earlier, since they are walked by recursion.
pub const DEPTH_MAX: usize = 512;

/// What was read.
#[derive(Debug, Default)]
pub struct Decoded {
    pub value: api::Value,
    /// `unknown field "spec.x"`, `duplicate field "spec.y"`: at most 100, none twice.
    pub strict: Vec<String>,
}

/// Why bytes are no object. The text is what upstream's decoder says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);
