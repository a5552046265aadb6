//! The patches that need no schema: JSON patch and JSON merge patch.

pub mod json_patch;
pub mod merge_patch;
