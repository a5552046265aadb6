//! CSIStorageCapacities. Upstream: pkg/apis/storage/validation, pkg/registry/storage/csistoragecapacity.

use api::{
    Value,
    field::{Errors, Path},
};

use super::GROUP;
use crate::{
    cells, checks, names, node_labels,
    row::{Context, Row, Rules, Version},
    strategy::stored,
};

pub const ROW: Row = Row {
    group: GROUP,
    kind: "CSIStorageCapacity",
    name_on_update: true,
    plural: "csistoragecapacities",
    versions: &[Version::stable("v1", "io.k8s.api.storage.v1.CSIStorageCapacity")],
    stored: stored(GROUP, "v1", "csistoragecapacities"),
    unconditional_update: false,
    columns: cells::NAME_AND_CREATED,
    rules: Rules {
        validate: |new, _| check(new, checks::SelectorOptions::default()),
        validate_update,
        warn: |new, _| node_labels::selector_warnings(new.at("nodeTopology"), &Path::new("nodeTopology")),
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

/// Upstream: `ValidateCSIStorageCapacity`.
fn check(capacity: &Value, options: checks::SelectorOptions) -> Errors {
    let mut errs = Errors::new();
    checks::label_selector(capacity.at("nodeTopology"), options, &Path::new("nodeTopology"), &mut errs);
    let class = capacity.str("storageClassName");
    checks::messages(&mut errs, &Path::new("storageClassName"), class, names::dns_subdomain(class, false));
    let amount = capacity.str("capacity");
    if amount.starts_with('-') {
        errs.invalid(&Path::new("capacity"), amount, checks::NEGATIVE);
    }
    errs
}

fn validate_update(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let invalid_values = checks::selector_is_invalid(old.at("nodeTopology"));
    let mut errs = check(new, checks::SelectorOptions { invalid_values, ..Default::default() });
    let (topology, class) = (new.at("nodeTopology"), new.at("storageClassName"));
    checks::immutable(topology, old.at("nodeTopology"), &Path::new("nodeTopology"), &mut errs);
    checks::immutable(class, old.at("storageClassName"), &Path::new("storageClassName"), &mut errs);
    errs
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn where_it_is_stays_and_how_much_may_change() {
        let old = value!({"storageClassName": "fast", "capacity": "1Gi"});
        let more = value!({"storageClassName": "fast", "capacity": "2Gi"});
        assert!(validate_update(&more, &old, &context()).is_empty());
        let moved =
            value!({"storageClassName": "slow", "capacity": "-1Gi", "nodeTopology": {"matchLabels": {"a": "b"}}});
        assert_eq!(
            texts(&validate_update(&moved, &old, &context())),
            [
                "capacity: Invalid value: \"-1Gi\": must be greater than or equal to 0",
                "nodeTopology: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: field is immutable",
                "storageClassName: Invalid value: \"slow\": field is immutable",
            ]
        );
    }
}
