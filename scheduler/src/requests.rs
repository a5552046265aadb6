//! Amounts as the scheduler adds them up: whole numbers by name.
//!
//! Upstream: pkg/scheduler/framework/types.go Resource.

use api::{
    EcoString, Value,
    pod_resources::{self, Amounts, Basis},
    quantity::{Format, Quantity},
};

/// A container that asks for nothing is taken to ask for so much when nodes are compared.
/// Upstream: pkg/scheduler/util/pod_resources.go.
const CPU_UNSTATED_MILLI: i64 = 100;
const MEMORY_UNSTATED: i64 = 200 << 20;

/// CPU in thousandths, memory and storage in bytes, all else in its own unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    pub milli_cpu: i64,
    pub memory: i64,
    pub storage: i64,
    /// By name, ordered.
    pub others: Vec<(EcoString, i64)>,
}

// === impl Requests ===

impl Requests {
    /// What a pod asks for. `with_status` also counts what a running pod holds while it is resized.
    pub fn of_pod(pod: &Value, with_status: bool) -> Requests {
        Requests::from(&pod_resources::requests(pod, Basis { with_status, ..Basis::default() }))
    }

    /// CPU and memory with something for containers that state nothing, for comparing nodes.
    pub fn weighed(pod: &Value) -> (i64, i64) {
        let unstated = Amounts::from([
            ("cpu".into(), Quantity::from_milli(CPU_UNSTATED_MILLI, Format::DecimalSi)),
            ("memory".into(), Quantity::new(MEMORY_UNSTATED, Format::BinarySi)),
        ]);
        let basis = Basis { with_status: true, unless_stated: Some(&unstated), ..Basis::default() };
        let all = Requests::from(&pod_resources::requests(pod, basis));
        (all.milli_cpu, all.memory)
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.milli_cpu == 0 && self.memory == 0 && self.storage == 0 && self.others.is_empty()
    }

    /// The amount of an extended resource; 0 when there is none.
    pub fn other(&self, name: &str) -> i64 {
        self.others.iter().find(|(n, _)| n == name).map_or(0, |(_, amount)| *amount)
    }

    /// By its name, in the unit in which it is held.
    pub fn named(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.milli_cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.storage,
            other => self.other(other),
        }
    }

    pub fn add(&mut self, more: &Requests) {
        self.change(more, 1);
    }

    pub fn remove(&mut self, less: &Requests) {
        self.change(less, -1);
    }

    fn change(&mut self, by: &Requests, sign: i64) {
        self.milli_cpu += sign * by.milli_cpu;
        self.memory += sign * by.memory;
        self.storage += sign * by.storage;
        for (name, amount) in &by.others {
            match self.others.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(i) => self.others[i].1 += sign * amount,
                Err(i) => self.others.insert(i, (name.clone(), sign * amount)),
            }
        }
    }
}

impl From<&Amounts> for Requests {
    /// `pods` is counted apart, and names without a domain that are not known are left out.
    fn from(amounts: &Amounts) -> Requests {
        let mut all = Requests::default();
        for (name, amount) in amounts {
            match name.as_str() {
                "cpu" => all.milli_cpu = amount.milli_value(),
                "memory" => all.memory = amount.value(),
                "ephemeral-storage" => all.storage = amount.value(),
                scalar if scalar.contains('/') || scalar.starts_with("hugepages-") => {
                    all.others.push((name.clone(), amount.value()));
                }
                _ => {}
            }
        }
        all
    }
}
