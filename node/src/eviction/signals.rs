//! What is measured, and how thresholds of it are written. Upstream: eviction/api/types.go, helpers.go ParseThresholdConfig.

use std::collections::BTreeMap;

use api::{Value, quantity::Quantity};
use jiff::SignedDuration;

use super::{Amount, Policy, Threshold};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    Memory,
    /// Of what all pods together may have.
    AllocatableMemory,
    NodeFs,
    NodeFsInodes,
    ImageFs,
    ImageFsInodes,
    Pids,
}

/// A signal's name, the node's condition when it is short, and the resource that is.
struct Row {
    signal: Signal,
    name: &'static str,
    condition: &'static str,
    resource: &'static str,
}

const ROWS: [Row; 7] = [
    row(Signal::Memory, "memory.available", "MemoryPressure", "memory"),
    row(Signal::AllocatableMemory, "allocatableMemory.available", "MemoryPressure", "memory"),
    row(Signal::NodeFs, "nodefs.available", "DiskPressure", "ephemeral-storage"),
    row(Signal::NodeFsInodes, "nodefs.inodesFree", "DiskPressure", "inodes"),
    row(Signal::ImageFs, "imagefs.available", "DiskPressure", "ephemeral-storage"),
    row(Signal::ImageFsInodes, "imagefs.inodesFree", "DiskPressure", "inodes"),
    row(Signal::Pids, "pid.available", "PIDPressure", "pids"),
];

/// Upstream: eviction/defaults_linux.go.
const DEFAULTS: [(&str, &str); 5] = [
    ("memory.available", "100Mi"),
    ("nodefs.available", "10%"),
    ("nodefs.inodesFree", "5%"),
    ("imagefs.available", "15%"),
    ("imagefs.inodesFree", "5%"),
];

/// The writable layers' own filesystem is that of the images or of the node, whose thresholds count for it.
const IGNORED: [&str; 2] = ["containerfs.available", "containerfs.inodesFree"];

const fn row(signal: Signal, name: &'static str, condition: &'static str, resource: &'static str) -> Row {
    Row { signal, name, condition, resource }
}

impl Signal {
    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.signal == self).expect("every signal has a row")
    }

    fn of(name: &str) -> Result<Option<Signal>, String> {
        match ROWS.iter().find(|row| row.name == name) {
            Some(row) => Ok(Some(row.signal)),
            None if IGNORED.contains(&name) => Ok(None),
            None => Err(format!("unsupported eviction signal {name}")),
        }
    }

    pub fn condition(self) -> &'static str {
        self.row().condition
    }

    pub fn resource(self) -> &'static str {
        self.row().resource
    }

    pub fn is_memory(self) -> bool {
        matches!(self, Signal::Memory | Signal::AllocatableMemory)
    }

    pub fn is_disk(self) -> bool {
        self.condition() == "DiskPressure"
    }
}

impl Policy {
    /// As a KubeletConfiguration says it.
    pub fn read(said: &Value) -> Result<Policy, String> {
        let mut hard: BTreeMap<&str, &str> = BTreeMap::new();
        if said.at("evictionHard").is_null() || said.bool("mergeDefaultEvictionSettings") {
            hard.extend(DEFAULTS);
        }
        hard.extend(said.strings("evictionHard"));
        let mut thresholds = Vec::new();
        for (name, text) in hard {
            thresholds.extend(threshold(name, text)?);
        }
        for (name, text) in said.strings("evictionSoft") {
            let grace = said.at("evictionSoftGracePeriod").opt_str(name);
            let missing = || format!("grace period must be specified for the soft eviction threshold {name}");
            let grace = SignedDuration::from_nanos(api::duration::parse(grace.ok_or_else(missing)?)?);
            if grace.is_negative() {
                let said = said.at("evictionSoftGracePeriod").str(name);
                return Err(format!("invalid eviction grace period specified: {said}, must be a positive value"));
            }
            thresholds.extend(threshold(name, text)?.map(|threshold| Threshold { grace, ..threshold }));
        }
        for (name, text) in said.strings("evictionMinimumReclaim") {
            let Some(signal) = Signal::of(name)? else { continue };
            let more = amount(name, text)?;
            for threshold in thresholds.iter_mut().filter(|threshold| threshold.signal == signal) {
                threshold.reclaim = Some(more.clone());
            }
        }
        let bounds_pods = said.list("enforceNodeAllocatable").iter().any(|what| what.as_str() == Some("pods"));
        if bounds_pods {
            let hard = thresholds.iter().find(|t: &&Threshold| t.signal == Signal::Memory && t.is_hard()).cloned();
            thresholds.extend(hard.map(|hard| Threshold { signal: Signal::AllocatableMemory, ..hard }));
        }
        let transition = api::duration::parse(said.str("evictionPressureTransitionPeriod"))?;
        Ok(Policy {
            thresholds,
            transition: SignedDuration::from_nanos(transition),
            grace_seconds_max: said.int("evictionMaxPodGracePeriod"),
            isolates_storage: said.bool("localStorageCapacityIsolation"),
        })
    }
}

/// None where it is switched off.
fn threshold(name: &str, text: &str) -> Result<Option<Threshold>, String> {
    let signal = Signal::of(name)?;
    if matches!(text, "0%" | "100%") {
        return Ok(None);
    }
    let value = amount(name, text)?;
    match &value {
        Amount::Share(share) if *share > 1.0 => {
            return Err(format!("eviction percentage threshold {name} must be <= 100%: {text}"));
        }
        Amount::Quantity(quantity) if quantity.sign() <= 0 => {
            return Err(format!("eviction threshold {name} must be positive: {quantity}"));
        }
        _ => {}
    }
    let of = |signal| Threshold { signal, value, grace: SignedDuration::ZERO, reclaim: None };
    Ok(signal.map(of))
}

fn amount(name: &str, text: &str) -> Result<Amount, String> {
    let Some(percent) = text.strip_suffix('%') else {
        return Quantity::parse(text).map(Amount::Quantity).map_err(|error| format!("{name}: {error}"));
    };
    let percent: f32 = percent.parse().map_err(|_| format!("{name}: {text:?} is no percentage"))?;
    match percent < 0.0 {
        true => Err(format!("eviction percentage threshold {name} must be >= 0%: {text}")),
        false => Ok(Amount::Share(percent / 100.0)),
    }
}
