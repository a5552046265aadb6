//! The rows of one API group; they follow.

use crate::row::{Row, TypeDefault};

pub const ROWS: &[Row] = &[];
pub const DEFAULTS: &[TypeDefault] = &[];
