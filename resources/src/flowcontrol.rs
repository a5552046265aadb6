//! flowcontrol.apiserver.k8s.io: which requests share which seats.
//!
//! Upstream: pkg/apis/flowcontrol/validation, pkg/registry/flowcontrol.

mod flow_schema;
mod priority_level;

use api::{
    Value,
    field::{Errors, Path},
};

use crate::row::{Context, Row, TypeDefault};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

pub const ROWS: &[Row] = &[flow_schema::ROW, priority_level::ROW];

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: "io.k8s.api.flowcontrol.v1.FlowSchemaSpec", run: flow_schema::default_spec },
    TypeDefault {
        schema: "io.k8s.api.flowcontrol.v1.ExemptPriorityLevelConfiguration",
        run: priority_level::default_exempt,
    },
    TypeDefault {
        schema: "io.k8s.api.flowcontrol.v1.LimitedPriorityLevelConfiguration",
        run: priority_level::default_limited,
    },
    TypeDefault { schema: "io.k8s.api.flowcontrol.v1.QueuingConfiguration", run: priority_level::default_queuing },
];

/// Conditions of both kinds have a type, and no two the same. Upstream: `ValidateFlowSchemaStatus`.
fn status_errors(object: &Value) -> Errors {
    let mut errs = Errors::new();
    let conditions = object.at("status").list("conditions");
    for (i, condition) in conditions.iter().enumerate() {
        let (kind, at) = (condition.str("type"), Path::new("status").child("conditions").index(i).child("type"));
        if conditions[..i].iter().any(|c| c.str("type") == kind) {
            errs.duplicate(&at, kind);
        }
        if kind.is_empty() {
            errs.required(&at, "");
        }
    }
    errs
}

fn validate_status(new: &Value, _old: &Value, _context: &Context<'_>) -> Errors {
    status_errors(new)
}

/// Go leaves zeros where it has defaults for them, so that 0 is as good as missing.
fn default_for_zero(object: &mut Value, member: &str, value: i64) {
    if object.int(member) == 0 {
        object.set(member, value);
    }
}
