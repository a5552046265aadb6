//! events.k8s.io: core's events in their newer form. The rules stand with core's, whose objects they are.

use crate::{
    core,
    row::{Row, TypeDefault},
};

pub const ROWS: &[Row] = &[core::events::EVENTS_EVENT];
pub const DEFAULTS: &[TypeDefault] = &[];
