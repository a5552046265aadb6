//! The hash of a container's definition, by which a container tells whether it is the one that is wanted.
//!
//! The same number as upstream's, so that either agent takes over what the other has started: FNV-1a over how Go's spew
//! prints the JSON of name and image. Upstream: kubelet/container/helpers.go HashContainer.

use std::fmt::Write;

use api::{Value, value};

/// Of a container of a pod's spec.
pub fn of(container: &Value) -> u64 {
    let picked = value!({"image": container.str("image"), "name": container.str("name")});
    let mut text = String::from("([]uint8)");
    for (place, byte) in codec::json::to_string(&picked).bytes().enumerate() {
        let _ = write!(text, "{}{byte}", if place == 0 { '[' } else { ' ' });
    }
    text.push(']');
    u64::from(fnv(text.as_bytes()))
}

fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
