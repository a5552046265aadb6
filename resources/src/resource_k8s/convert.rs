//! v1beta1, which had the members of `exactly` in the request itself and those of a device in `basic`.
//!
//! Upstream: pkg/apis/resource/v1beta1/conversion.go.

use api::Value;

use crate::row::Convert;

pub const CLAIM: Convert = Convert {
    to_hub: |claim| each(claim, &["spec", "devices", "requests"], request_to_hub),
    from_hub: |claim| each(claim, &["spec", "devices", "requests"], request_from_hub),
};

pub const CLAIM_TEMPLATE: Convert = Convert {
    to_hub: |template| each(template, &["spec", "spec", "devices", "requests"], request_to_hub),
    from_hub: |template| each(template, &["spec", "spec", "devices", "requests"], request_from_hub),
};

pub const SLICE: Convert = Convert { to_hub: slice_to_hub, from_hub: slice_from_hub };

const EXACT: [&str; 8] = [
    "deviceClassName",
    "selectors",
    "allocationMode",
    "count",
    "adminAccess",
    "tolerations",
    "capacity",
    "derivedAttributes",
];

/// Members of a device that upstream's conversion copies one by one, so that an empty one becomes none.
const COPIED: [&str; 4] = ["attributes", "capacity", "consumesCounters", "taints"];

fn each(object: &mut Value, path: &[&str], change: fn(&mut Value)) {
    let items = object.path_mut(path).and_then(Value::as_array_mut);
    items.into_iter().flatten().for_each(change);
}

/// Moves what is set into `exactly`. An empty class name or a count of 0 is nothing.
fn request_to_hub(request: &mut Value) {
    let mut exactly = Value::object();
    for member in EXACT {
        let Some(value) = request.remove(member) else { continue };
        let nothing = match member {
            "deviceClassName" | "allocationMode" | "count" => value.is_empty(),
            _ => value.is_null(),
        };
        if !nothing {
            exactly.set(member, value);
        }
    }
    // This version leaves open how many devices are wanted of no class, and nothing is filled in later.
    if !exactly.is_empty() && !exactly.has("deviceClassName") {
        exactly.default("allocationMode", "");
        exactly.default("count", 0);
    }
    if !exactly.is_empty() {
        request.set("exactly", exactly);
    }
}

/// Moves the members of `exactly` up.
fn request_from_hub(request: &mut Value) {
    let Some(mut exactly) = request.remove("exactly") else { return };
    for member in EXACT {
        if let Some(value) = exactly.remove(member)
            && (member != "tolerations" || !value.is_empty())
        {
            request.set(member, value);
        }
    }
}

fn slice_to_hub(slice: &mut Value) {
    drop_zeros(slice);
    each(slice, &["spec", "devices"], |device| {
        let Some(mut basic) = device.remove("basic") else { return };
        for (member, value) in std::mem::take(basic.make_object()) {
            device.set(&member, value);
        }
    });
}

fn slice_from_hub(slice: &mut Value) {
    drop_zeros(slice);
    each(slice, &["spec", "devices"], |device| {
        let mut basic = std::mem::take(device.make_object());
        let name = basic.remove("name").unwrap_or_else(|| "".into());
        for member in COPIED {
            if basic.get(member).is_some_and(Value::is_empty) {
                basic.remove(member);
            }
        }
        device.set("name", name);
        device.set("basic", basic);
    });
}

/// `nodeName` and `allNodes` are pointers in the hub and were none before: what is zero is not there.
fn drop_zeros(slice: &mut Value) {
    let Some(spec) = slice.get_mut("spec") else { return };
    for member in ["nodeName", "allNodes"] {
        if spec.at(member).is_empty() {
            spec.remove(member);
        }
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn claims_come_and_go() {
        let beta = value!({"spec": {"devices": {"requests": [
            {"name": "a", "deviceClassName": "c", "allocationMode": "ExactCount", "count": 1},
            {"name": "b", "firstAvailable": [{"name": "x"}]}
        ]}}});
        let hub = value!({"spec": {"devices": {"requests": [
            {"name": "a", "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}},
            {"name": "b", "firstAvailable": [{"name": "x"}]}
        ]}}});
        let mut object = beta.clone();
        (CLAIM.to_hub)(&mut object);
        assert_eq!(object, hub);
        (CLAIM.from_hub)(&mut object);
        assert_eq!(object, beta);
    }

    #[test]
    fn slices_come_and_go() {
        let beta =
            value!({"spec": {"driver": "d", "devices": [{"name": "a", "basic": {"attributes": {"x": {"int": 1}}}}]}});
        let hub = value!({"spec": {"driver": "d", "devices": [{"name": "a", "attributes": {"x": {"int": 1}}}]}});
        let mut object = beta.clone();
        object.set_path(&["spec", "nodeName"], "");
        (SLICE.to_hub)(&mut object);
        assert_eq!(object, hub);
        (SLICE.from_hub)(&mut object);
        assert_eq!(object, beta);
    }
}
