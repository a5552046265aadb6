//! Why a pod goes, in upstream's words. Upstream: helpers.go evictionMessage.

use api::{
    Value,
    quantity::{Format, Quantity},
};

use super::{Observations, Policy, signals::Signal, usage::Usage};

/// About a pod that goes because of thresholds that are due, of which the first is acted on.
pub fn of(pod: &Value, usage: Option<&Usage>, policy: &Policy, due: &[usize], observations: &Observations) -> String {
    let Some(signal) = due.first().map(|place| policy.thresholds[*place].signal) else { return String::new() };
    let resource = signal.resource();
    let mut message = format!("The node was low on resource: {resource}. ");
    message.push_str(&threshold(resource, policy, due, observations));
    let Some(usage) = usage else { return message };
    message.push_str(&whole(pod, usage, resource));
    let spec = pod.at("spec");
    for of in &usage.containers {
        let mut all = spec.list("containers").iter().chain(spec.list("initContainers"));
        let Some(container) = all.find(|container| container.str("name") == of.name) else { continue };
        let used = match signal.resource() {
            "memory" => of.memory,
            "ephemeral-storage" => of.rootfs.zip(of.logs).map(|(rootfs, logs)| rootfs + logs),
            _ => None,
        };
        let Some(used) = used.map(|used| Quantity::new(used, Format::BinarySi)) else { continue };
        let asked = quantity(container.at_path(&["resources", "requests", resource]));
        if used > asked {
            let name = &of.name;
            message.push_str(&format!(
                "Container {name} was using {used}, request is {asked}, has larger consumption of {resource}. "
            ));
        }
    }
    message
}

fn threshold(resource: &str, policy: &Policy, due: &[usize], observations: &Observations) -> String {
    let mut of_it = due.iter().map(|place| &policy.thresholds[*place]).filter(|t| t.signal.resource() == resource);
    let found = of_it.find_map(|threshold| Some((threshold, observations.get(&threshold.signal)?)));
    let Some((threshold, observed)) = found else { return String::new() };
    let least = threshold.value.of(observed.capacity);
    let is_bytes =
        matches!(threshold.signal, Signal::Memory | Signal::AllocatableMemory | Signal::NodeFs | Signal::ImageFs);
    let format = if is_bytes { Format::BinarySi } else { Format::DecimalSi };
    format!("Threshold quantity: {least}, available: {}. ", Quantity::new(observed.available, format))
}

/// Of a pod that asks for memory as a whole.
fn whole(pod: &Value, usage: &Usage, resource: &str) -> String {
    let asked = pod.at_path(&["spec", "resources", "requests", resource]);
    if resource != "memory" || asked.is_null() {
        return String::new();
    }
    let (name, used) = (api::meta::of(pod).name(), Quantity::new(usage.memory, Format::BinarySi));
    format!("Pod {name} was using {used}, request is {}, has larger consumption of {resource}. ", quantity(asked))
}

fn quantity(said: &Value) -> Quantity {
    if said.is_null() { Quantity::ZERO } else { Quantity::of(said) }
}
