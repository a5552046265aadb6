//! storage.k8s.io: classes of volumes, the drivers that make them, and where they are attached.

mod attachment;
mod capacity;
mod class;
mod driver;
mod node;

use crate::row::{Row, TypeDefault};

const GROUP: &str = "storage.k8s.io";

pub const ROWS: &[Row] =
    &[driver::ROW, node::ROW, capacity::ROW, class::STORAGE_CLASS, attachment::ROW, class::VOLUME_ATTRIBUTES_CLASS];

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: "io.k8s.api.storage.v1.StorageClass", run: class::default },
    TypeDefault { schema: "io.k8s.api.storage.v1.CSIDriver", run: driver::default },
];
