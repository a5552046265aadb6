//! PodGroups, CompositePodGroups and Workloads: pods that are placed together. Off unless asked for.
//!
//! Upstream: pkg/apis/scheduling/validation, pkg/registry/scheduling/{podgroup,compositepodgroup,workload}.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Bad, Errors, Kind, Path},
};

use crate::{
    cells, checks,
    row::{AGE, Column, Context, NAME, NAME_AND_AGE, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{drop_status, drop_unless_used, keep_spec_and_metadata, keep_status, stored},
};

const GROUP: &str = "scheduling.k8s.io";
const DEPTH_MAX: usize = 4;
const COMPOSITES: &str = "compositePodGroupTemplates";
const COMPOSITE: &str = "CompositePodGroup";

pub const POD_GROUP: Row = Row {
    status_tables: false,
    gate: "GenericWorkload",
    group: GROUP,
    kind: "PodGroup",
    plural: "podgroups",
    versions: &[
        Version { lifecycle: (37, 40, 43), ..Version::off("v1beta1", "io.k8s.api.scheduling.v1beta1.PodGroup") },
        Version::off("v1alpha3", "io.k8s.api.scheduling.v1alpha3.PodGroup"),
    ],
    stored: stored(GROUP, "v1beta1", "podgroups"),
    name_on_update: false,
    subresources: &[Subresource::Status(StatusRules {
        prepare: prepare_status,
        validate: validate_status,
        ..StatusRules::STATUS_ONLY
    })],
    reset: &["status"],
    unconditional_update: false,
    columns: POD_GROUP_COLUMNS,
    rules: Rules {
        prepare_create: |new, context| {
            drop_status(new, context);
            drop_disabled(new, None, context);
        },
        prepare_update: |new, old, context| {
            keep_status(new, old, context);
            drop_disabled(new, Some(old), context);
        },
        validate,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

pub const COMPOSITE_POD_GROUP: Row = Row {
    status_tables: false,
    gate: COMPOSITE,
    kind: "CompositePodGroup",
    plural: "compositepodgroups",
    versions: &[Version::off("v1alpha3", "io.k8s.api.scheduling.v1alpha3.CompositePodGroup")],
    stored: stored(GROUP, "v1alpha3", "compositepodgroups"),
    subresources: &[Subresource::Status(StatusRules { validate: validate_conditions, ..StatusRules::STATUS_ONLY })],
    columns: &[NAME, POLICY, WORKLOAD_NAME, AGE],
    rules: Rules {
        prepare_create: |new, context| {
            drop_status(new, context);
            drop_unless_used(new, None, &["spec", "preemptionPolicy"]);
        },
        prepare_update: |new, old, context| {
            keep_status(new, old, context);
            drop_unless_used(new, Some(old), &["spec", "preemptionPolicy"]);
        },
        ..Rules::NONE
    },
    ..POD_GROUP
};

pub const WORKLOAD: Row = Row {
    gate: "GenericWorkload",
    kind: "Workload",
    plural: "workloads",
    versions: &[
        Version { lifecycle: (37, 40, 43), ..Version::off("v1beta1", "io.k8s.api.scheduling.v1beta1.Workload") },
        Version::off("v1alpha3", "io.k8s.api.scheduling.v1alpha3.Workload"),
    ],
    stored: stored(GROUP, "v1beta1", "workloads"),
    subresources: &[],
    reset: &[],
    columns: NAME_AND_AGE,
    rules: Rules {
        prepare_create: |new, context| drop_in_templates(new.entry("spec"), Value::NULL, context),
        prepare_update: |new, old, context| drop_in_templates(new.entry("spec"), old.at("spec"), context),
        validate: |new, _| validate_workload(new),
        validate_update: |new, _, _| validate_workload(new),
        ..Rules::NONE
    },
    ..POD_GROUP
};

const POD_GROUP_COLUMNS: &[Column] = &[NAME, POLICY, WORKLOAD_NAME, column("Status", "string", |g, _| state(g)), AGE];
const POLICY: Column = column("Policy", "string", |g, _| {
    if g.at_path(&["spec", "schedulingPolicy"]).has("gang") { "Gang".into() } else { "Basic".into() }
});
const WORKLOAD_NAME: Column = column("Workload", "string", |g, _| {
    let reference = g.at_path(&["spec", "workloadRef"]);
    if reference.is_null() { cells::NONE.into() } else { reference.str("workloadName").into() }
});

fn state(group: &Value) -> Value {
    let condition = |kind: &str| group.at("status").list("conditions").iter().rfind(|c| c.str("type") == kind);
    if let Some(disrupted) = condition("DisruptionTarget") {
        return disrupted.str("reason").into();
    }
    match condition("PodGroupInitiallyScheduled").map(|c| c.str("status")) {
        Some("True") => "Scheduled".into(),
        Some(_) => "Unschedulable".into(),
        None => "Pending".into(),
    }
}

/// Members of a group or of the template of one, each with its gate.
const GATED: [(&str, &str); 4] = [
    ("schedulingConstraints", "TopologyAwareWorkloadScheduling"),
    ("resourceClaims", "DRAWorkloadResourceClaims"),
    ("preemptionPolicy", "PodGroupPreemptionPolicy"),
    ("parentCompositePodGroupName", COMPOSITE),
];

/// What belongs to features that are off.
fn drop_disabled(new: &mut Value, old: Option<&Value>, context: &Context<'_>) {
    for (member, _) in GATED.iter().filter(|(_, gate)| !(context.gate)(gate)) {
        drop_unless_used(new, old, &["spec", member]);
    }
}

fn prepare_status(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_spec_and_metadata(new, old, context);
    if old.at_path(&["spec", "resourceClaims"]).is_empty() {
        new.remove_path(&["status", "resourceClaimStatuses"]);
    }
}

/// The same in the templates of a workload, on every level.
fn drop_in_templates(new: &mut Value, old: &Value, context: &Context<'_>) {
    if old.list(COMPOSITES).is_empty() && !(context.gate)(COMPOSITE) {
        new.remove(COMPOSITES);
    }
    for (i, template) in items_mut(new, "podGroupTemplates").iter_mut().enumerate() {
        for (member, _) in GATED.iter().filter(|(_, gate)| !(context.gate)(gate)) {
            drop_unless_used(template, old.list("podGroupTemplates").get(i), &[member]);
        }
    }
    for template in items_mut(new, COMPOSITES) {
        let same = old.list(COMPOSITES).iter().find(|o| o.str("name") == template.str("name"));
        drop_unless_used(template, same, &["preemptionPolicy"]);
        drop_in_templates(template, same.unwrap_or(Value::NULL), context);
    }
}

fn items_mut<'a>(of: &'a mut Value, member: &str) -> &'a mut [Value] {
    of.get_mut(member).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

fn validate(group: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    if group.at("spec").has("parentCompositePodGroupName") && !group.at("spec").has("workloadRef") {
        let at = Path::new("spec").child("workloadRef");
        errs.required(&at, "must be set when parentCompositePodGroupName is set");
    }
    errs
}

fn validate_conditions(new: &Value, _old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status").child("conditions");
    checks::conditions(new.at("status").list("conditions"), &at, &mut errs);
    errs
}

fn validate_status(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = validate_conditions(new, old, context);
    let claims = new.at("spec").list("resourceClaims");
    for (i, status) in new.at("status").list("resourceClaimStatuses").iter().enumerate() {
        let name = status.str("name");
        if !claims.iter().any(|c| c.str("name") == name) {
            let at = Path::new("status").child("resourceClaimStatuses").index(i).child("name");
            errs.invalid(&at, name, "must match the name of an entry in `spec.resourceClaims`");
        }
    }
    errs
}

/// Upstream: `ValidateWorkloadSpec`.
fn validate_workload(workload: &Value) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (workload.at("spec"), Path::new("spec"));
    let mut names: BTreeSet<&str> = spec.list("podGroupTemplates").iter().map(|t| t.str("name")).collect();
    unique_names(spec.list(COMPOSITES), &at, &mut names, &mut errs);
    for (i, template) in spec.list(COMPOSITES).iter().enumerate() {
        if depth(template) >= DEPTH_MAX {
            let text = format!("maximum template hierarchy depth is {DEPTH_MAX}");
            errs.invalid(&at.child(COMPOSITES).index(i), template.at(COMPOSITES), text);
        }
    }
    one_priority(spec, &at, &mut errs);
    for (i, template) in spec.list(COMPOSITES).iter().enumerate() {
        has_child(template, &at.child(COMPOSITES).index(i), &mut errs);
    }
    errs
}

/// Names are unique over all lists; duplicates within one list are a declared fact.
fn unique_names<'a>(templates: &'a [Value], at: &Path, names: &mut BTreeSet<&'a str>, errs: &mut Errors) {
    let list = |templates: &'a [Value], at: &Path, names: &mut BTreeSet<&'a str>, errs: &mut Errors| {
        for (i, name) in templates.iter().map(|t| t.str("name")).enumerate() {
            if names.contains(name) {
                errs.duplicate(&at.index(i).child("name"), name);
            }
        }
        names.extend(templates.iter().map(|t| t.str("name")));
    };
    list(templates, &at.child(COMPOSITES), names, errs);
    for (i, template) in templates.iter().enumerate() {
        let at = at.child(COMPOSITES).index(i);
        list(template.list("podGroupTemplates"), &at.child("podGroupTemplates"), names, errs);
        unique_names(template.list(COMPOSITES), &at, names, errs);
    }
}

fn depth(template: &Value) -> usize {
    1 + template.list(COMPOSITES).iter().map(depth).max().unwrap_or(0)
}

/// Every template of a workload has the same priority and class.
fn one_priority(spec: &Value, at: &Path, errs: &mut Errors) {
    let priority = |t: &Value| (t.str("priorityClassName").to_string(), t.opt_int("priority"));
    let flat: Vec<_> = spec.list("podGroupTemplates").iter().map(priority).collect();
    let mut nested = Vec::new();
    let mut open: Vec<&Value> = spec.list(COMPOSITES).iter().collect();
    while let Some(template) = open.pop() {
        nested.push(priority(template));
        nested.extend(template.list("podGroupTemplates").iter().map(priority));
        open.extend(template.list(COMPOSITES));
    }
    let first = flat.first().or(nested.first());
    let null = || Bad::Value(Value::Null);
    if flat.iter().any(|p| Some(p) != first) {
        errs.push(Kind::Invalid, at, null(), "detected multiple priority configurations");
    } else if nested.iter().any(|p| Some(p) != first) {
        let text = "all priority and priorityClassName values must be identical, detected multiple values";
        errs.push(Kind::Invalid, at, null(), text);
    }
}

fn has_child(template: &Value, at: &Path, errs: &mut Errors) {
    if template.list("podGroupTemplates").is_empty() && template.list(COMPOSITES).is_empty() {
        let text = "must have at least one child PodGroupTemplate or CompositePodGroupTemplate";
        errs.invalid(at, template.str("name"), text);
    }
    for (i, child) in template.list(COMPOSITES).iter().enumerate() {
        has_child(child, &at.child(COMPOSITES).index(i), errs);
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn templates_have_names_of_their_own_one_priority_and_children() {
        let workload = value!({"spec": {
            "podGroupTemplates": [{"name": "a", "priority": 1}],
            "compositePodGroupTemplates": [{"name": "b", "priority": 1, "podGroupTemplates": [{"name": "a", "priority": 2}]}, {"name": "c", "priority": 1}]
        }});
        assert_eq!(
            texts(&validate_workload(&workload)),
            [
                "spec.compositePodGroupTemplates[0].podGroupTemplates[0].name: Duplicate value: \"a\"",
                "spec: Invalid value: null: all priority and priorityClassName values must be identical, detected multiple values",
                "spec.compositePodGroupTemplates[1]: Invalid value: \"c\": must have at least one child PodGroupTemplate or CompositePodGroupTemplate",
            ]
        );
    }

    #[test]
    fn what_is_off_is_dropped_unless_it_was_there() {
        let old = value!({"spec": {"resourceClaims": [{"name": "a"}]}});
        let mut new = value!({"spec": {"resourceClaims": [{"name": "b"}], "preemptionPolicy": "Never"}});
        drop_disabled(&mut new, Some(&old), &context());
        assert_eq!(new, value!({"spec": {"resourceClaims": [{"name": "b"}]}}));
    }

    #[test]
    fn what_a_gate_opens_is_kept() {
        let on = |gate: &str| ["TopologyAwareWorkloadScheduling", COMPOSITE].contains(&gate);
        let context = Context { gate: &on, ..context() };
        let spec = value!({
            "schedulingConstraints": {"topology": [{"key": "zone"}]}, "parentCompositePodGroupName": "p", "preemptionPolicy": "Never"
        });
        let mut new = value!({"spec": spec});
        drop_disabled(&mut new, None, &context);
        let kept: Vec<&str> = new.at("spec").members().map(|(name, _)| name).collect();
        assert_eq!(kept, ["schedulingConstraints", "parentCompositePodGroupName"]);
        let mut workload = value!({"compositePodGroupTemplates": [{"name": "a", "preemptionPolicy": "Never"}]});
        drop_in_templates(&mut workload, Value::NULL, &context);
        assert_eq!(workload, value!({"compositePodGroupTemplates": [{"name": "a"}]}));
    }

    #[test]
    fn a_group_says_how_it_fares() {
        assert_eq!(state(&value!({})), "Pending".into());
        let group = value!({"status": {"conditions": [{"type": "PodGroupInitiallyScheduled", "status": "False"}]}});
        assert_eq!(state(&group), "Unschedulable".into());
    }
}
