//! Turns the name of a PriorityClass into a number, and keeps one default class at most.
//!
//! Upstream: plugin/pkg/admission/priority/admission.go.

use api::{GroupResource, Status, Value, meta};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct Priority {
    /// The gate GenericWorkload: pod groups have a priority too.
    pub pod_groups: bool,
    /// The gate CompositePodGroup: so have groups of them.
    pub composites: bool,
}

const GROUP: &str = "scheduling.k8s.io";

/// What a class comes to.
struct Resolved {
    class: String,
    priority: i64,
    preemption: Option<String>,
}

#[async_trait]
impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        match request.operation {
            Operation::Create if request.is_for("", "pods") => admit_pod(request, cluster),
            Operation::Update if request.is_for("", "pods") => {
                keep(request);
                Ok(())
            }
            Operation::Create if self.pod_groups && request.is_for(GROUP, "podgroups") => {
                admit_group(request, cluster, "pod group")
            }
            Operation::Create if self.composites && request.is_for(GROUP, "compositepodgroups") => {
                admit_group(request, cluster, "composite pod group")
            }
            _ => Ok(()),
        }
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let written = matches!(request.operation, Operation::Create | Operation::Update);
        if !written || !request.is_for(GROUP, "priorityclasses") || !request.object.bool("globalDefault") {
            return Ok(());
        }
        let Some(default) = default_class(cluster) else { return Ok(()) };
        let name = meta::of(&default).name();
        if request.operation == Operation::Update && name == meta::of(&request.object).name() {
            return Ok(());
        }
        Err(request.forbid(format!("PriorityClass {name} is already marked as default. Only one default can exist")))
    }
}

/// An update that leaves out what was resolved means no change to it.
fn keep(request: &mut Request<'_>) {
    for field in ["priority", "preemptionPolicy"] {
        let before = request.old.at("spec").at(field);
        if !before.is_null() && !request.object.at("spec").has(field) {
            request.object.set_path(&["spec", field], before);
        }
    }
}

fn admit_pod(request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
    let found = resolve(request, cluster)?;
    let spec = request.object.at("spec");
    let priority = found.priority;
    if let Some(given) = spec.opt_int("priority").filter(|given| *given != priority) {
        return Err(request.forbid(format!("the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name")));
    }
    if let (Some(given), Some(policy)) = (spec.opt_str("preemptionPolicy"), &found.preemption)
        && given != policy
    {
        return Err(request.forbid(format!("the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name")));
    }
    set(&mut request.object, found);
    Ok(())
}

/// Its preemption policy stays as it is while the gate PodGroupPreemptionPolicy is off.
fn admit_group(request: &mut Request<'_>, cluster: &Cluster, what: &str) -> Result<(), Status> {
    let found = resolve(request, cluster)?;
    let priority = found.priority;
    if let Some(given) = request.object.at("spec").opt_int("priority").filter(|given| *given != priority) {
        return Err(request.forbid(format!("priority set in the {what} ({given}) must match the priority computed ({priority}) based on the priority class set in the spec")));
    }
    set(&mut request.object, Resolved { preemption: None, ..found });
    Ok(())
}

fn set(object: &mut Value, found: Resolved) {
    let spec = object.entry("spec");
    if !found.class.is_empty() {
        spec.set("priorityClassName", found.class);
    }
    spec.set("priority", found.priority);
    if let Some(policy) = found.preemption {
        spec.set("preemptionPolicy", policy);
    }
}

/// Upstream: `establishPriority`.
fn resolve(request: &Request<'_>, cluster: &Cluster) -> Result<Resolved, Status> {
    let name = request.object.at("spec").str("priorityClassName");
    let class = match name {
        "" => default_class(cluster),
        _ => match cluster.get(GROUP, "priorityclasses", "", name) {
            None => return Err(request.forbid(format!("no PriorityClass with name {name} was found"))),
            found => found,
        },
    };
    Ok(match class {
        Some(class) => Resolved {
            class: meta::of(&class).name().into(),
            priority: class.int("value"),
            preemption: class.opt_str("preemptionPolicy").map(Into::into),
        },
        None => Resolved { class: String::new(), priority: 0, preemption: Some("PreemptLowerPriority".into()) },
    })
}

/// Of several, which only a race can make, that with the lowest value. Upstream: `getDefaultPriorityClass`.
fn default_class(cluster: &Cluster) -> Option<Value> {
    // Every pod without a class asks, and there are some that are no default.
    let resource = GroupResource::new("scheduling.k8s.io", "priorityclasses");
    let classes = cluster.look.list_saying(&resource, "", "\"globalDefault\":true");
    classes.into_iter().filter(|c| c.bool("globalDefault")).min_by_key(|c| c.int("value"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::value;

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden, create_pod, pod};

    const PLUGIN: Priority = Priority { pod_groups: true, composites: true };
    const CLASSES: &str = "priorityclasses.scheduling.k8s.io";

    fn class(name: &str, value: i64, default: bool) -> Value {
        value!({"metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": "Never"})
    }

    fn world() -> Arc<World> {
        World::new().with(CLASSES, class("high", 1000, false))
    }

    fn resolved(object: &Value) -> (String, i64, String) {
        let spec = object.at("spec");
        (spec.str("priorityClassName").into(), spec.int("priority"), spec.str("preemptionPolicy").into())
    }

    #[test]
    fn a_pod_gets_the_number_of_its_class() {
        let cases = [
            (value!({}), ("".into(), 0, "PreemptLowerPriority".into())),
            (value!({"priorityClassName": "high"}), ("high".into(), 1000, "Never".into())),
            (value!({"priorityClassName": "high", "priority": 1000}), ("high".into(), 1000, "Never".into())),
        ];
        for (spec, expected) in cases {
            let object = create_pod(spec).mutate(&PLUGIN, &world()).expect("the class is there");
            assert!(object.at("spec").has("priority"));
            assert_eq!(resolved(&object), expected);
        }
        let world = world().with(CLASSES, class("low", 10, true)).with(CLASSES, class("mid", 20, true));
        let object = create_pod(value!({})).mutate(&PLUGIN, &world).expect("there is a default");
        assert_eq!(resolved(&object), ("low".into(), 10, "Never".into()));
    }

    #[test]
    fn contradictions_are_refused() {
        let cases = [
            (value!({"priorityClassName": "none"}), "no PriorityClass with name none was found"),
            (
                value!({"priority": 7}),
                "the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name",
            ),
            (
                value!({"priorityClassName": "high", "preemptionPolicy": "PreemptLowerPriority"}),
                "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name",
            ),
        ];
        for (spec, why) in cases {
            assert_forbidden(create_pod(spec).mutate(&PLUGIN, &world()), why);
        }
    }

    #[test]
    fn an_update_keeps_what_was_resolved() {
        let old = pod(value!({"priority": 5, "preemptionPolicy": "Never"}));
        let object =
            Ask::update("pods", "Pod", pod(value!({})), old).mutate(&PLUGIN, &world()).expect("nothing is refused");
        assert_eq!(resolved(&object), ("".into(), 5, "Never".into()));
    }

    #[test]
    fn pod_groups_have_a_priority_behind_their_gate() {
        let group = |spec| {
            Ask::create(
                "podgroups.scheduling.k8s.io",
                "PodGroup",
                value!({"metadata": {"name": "p", "namespace": "ns"}, "spec": (spec)}),
            )
        };
        let ask = group(value!({"priorityClassName": "high"}));
        let object = ask.mutate(&PLUGIN, &world()).expect("the class is there");
        assert_eq!(resolved(&object), ("high".into(), 1000, "".into()));
        assert_eq!(ask.mutate(&Priority { pod_groups: false, ..PLUGIN }, &world()), Ok(ask.object.clone()));
        let error = group(value!({"priority": 3})).mutate(&PLUGIN, &world());
        assert_forbidden(
            error,
            "priority set in the pod group (3) must match the priority computed (0) based on the priority class set in the spec",
        );
        let composite = |priority: i64| {
            let object = value!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"priority": priority}});
            Ask::create("compositepodgroups.scheduling.k8s.io", "CompositePodGroup", object)
        };
        assert_forbidden(
            composite(3).mutate(&PLUGIN, &world()),
            "priority set in the composite pod group (3) must match the priority computed (0) based on the priority class set in the spec",
        );
        let closed = Priority { composites: false, ..PLUGIN };
        assert_eq!(composite(3).mutate(&closed, &world()), Ok(composite(3).object));
    }

    #[test]
    fn there_is_one_default_at_most() {
        let world = World::new().with(CLASSES, class("low", 10, true));
        let why = "PriorityClass low is already marked as default. Only one default can exist";
        let create = Ask::create(CLASSES, "PriorityClass", class("other", 1, true));
        assert_forbidden(create.validate(&PLUGIN, &world), why);
        let update = Ask::update(CLASSES, "PriorityClass", class("other", 1, true), class("other", 1, false));
        assert_forbidden(update.validate(&PLUGIN, &world), why);
        let same = Ask::update(CLASSES, "PriorityClass", class("low", 10, true), class("low", 10, true));
        assert_eq!(same.validate(&PLUGIN, &world), Ok(()));
        assert_eq!(Ask::create(CLASSES, "PriorityClass", class("other", 1, false)).validate(&PLUGIN, &world), Ok(()));
    }
}
