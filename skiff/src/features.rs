//! Feature gates: upstream's names, stages and defaults, and what was said about them.
//!
//! Upstream: component-base/featuregate.

use std::collections::BTreeMap;

use api::Value;
use schema::constraints::{self, Constraints};

static FACTS: &str = include_str!("../../schema/facts/features.json");

/// Gates that make a difference here, with those that each depends on. The others are known, and stay as they are.
/// Upstream: `defaultKubernetesFeatureGateDependencies` of pkg/features.
const BUILT: [(&str, &[&str]); 5] = [
    (CBOR, &[]),
    ("CompositePodGroup", &["GenericWorkload", "TopologyAwareWorkloadScheduling"]),
    ("EvictionRequestAPI", &[]),
    ("GenericWorkload", &[]),
    ("TopologyAwareWorkloadScheduling", &["GenericWorkload"]),
];
pub const CBOR: &str = "CBORServingAndStorage";

/// Every gate, on or off.
#[derive(Clone, Debug)]
pub struct Features(BTreeMap<String, Gate>);

#[derive(Clone, Debug)]
struct Gate {
    on: bool,
    default: bool,
    locked: bool,
    stage: String,
}

// === impl Features ===

impl Features {
    /// Upstream's defaults.
    pub fn new() -> Features {
        let facts = codec::json::any(FACTS.as_bytes()).map(|d| d.value).unwrap_or(Value::Null);
        let gate = |fact: &Value| {
            let default = fact.bool("default");
            Gate { on: default, default, locked: fact.bool("locked"), stage: fact.str("stage").into() }
        };
        Features(facts.list("features").iter().map(|fact| (fact.str("name").to_string(), gate(fact))).collect())
    }

    /// Defaults changed by `A=true,B=false`. The error is upstream's.
    pub fn parse(texts: &[String]) -> Result<Features, String> {
        let mut features = Features::new();
        let mut said = BTreeMap::new();
        for text in texts.iter().flat_map(|t| t.split(',')).map(str::trim).filter(|t| !t.is_empty()) {
            let (name, value) = text.split_once('=').ok_or_else(|| format!("missing bool value for {text}"))?;
            let on = go_bool(value.trim()).ok_or_else(|| {
                let quoted = api::field::quote(value.trim());
                format!("invalid value of {name}={value}, err: strconv.ParseBool: parsing {quoted}: invalid syntax")
            })?;
            said.insert(name.trim().to_string(), on);
        }
        for (name, on) in &said {
            let gate = features.0.get_mut(name).ok_or_else(|| format!("unrecognized feature gate: {name}"))?;
            if gate.locked && gate.default != *on {
                return Err(format!("cannot set feature gate {name} to {on}, feature is locked to {}", gate.default));
            }
            gate.on = *on;
        }
        for (all, stage) in [("AllAlpha", "ALPHA"), ("AllBeta", "BETA")] {
            let Some(on) = said.get(all) else { continue };
            let of_stage =
                features.0.iter_mut().filter(|(name, gate)| gate.stage == stage && !said.contains_key(*name));
            of_stage.filter(|(_, gate)| !gate.locked).for_each(|(_, gate)| gate.on = *on);
        }
        for (name, needs) in BUILT.iter().filter(|(name, _)| features.is_on(name)) {
            let off: Vec<&str> = needs.iter().copied().filter(|need| !features.is_on(need)).collect();
            if !off.is_empty() {
                return Err(format!(
                    "{name} is enabled, but depends on features that are disabled: [{}]",
                    off.join(" ")
                ));
            }
        }
        Ok(features)
    }

    /// What the types declare, where that is not what they declare by default.
    pub fn constraints(&self) -> Option<Constraints> {
        let differs = self.0.iter().any(|(name, gate)| is_built(name) && gate.on != gate.default);
        differs.then(|| {
            Constraints::new(schema::builtin(), &|gate| match is_built(gate) {
                true => self.is_on(gate),
                false => constraints::is_on_by_default(gate),
            })
        })
    }

    pub fn is_on(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|gate| gate.on)
    }

    /// Gates that were set otherwise than they are by default and change nothing here.
    pub fn without_effect(&self) -> Vec<&str> {
        let changed = self.0.iter().filter(|(name, gate)| gate.on != gate.default && !is_built(name));
        changed.map(|(name, _)| name.as_str()).collect()
    }

    /// Name, stage as upstream's metrics say it, and whether it is on.
    pub fn each(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let stage = |gate: &'_ Gate| gate.stage != "GA";
        self.0
            .iter()
            .map(move |(name, gate)| (name.as_str(), if stage(gate) { gate.stage.as_str() } else { "" }, gate.on))
    }
}

fn is_built(gate: &str) -> bool {
    BUILT.iter().any(|(name, _)| *name == gate)
}

/// Go's `strconv.ParseBool`.
pub fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Features, String> {
        Features::parse(&[text.to_string()])
    }

    #[test]
    fn gates_are_upstreams() {
        assert!(!Features::new().is_on(CBOR));
        assert!(parse("CBORServingAndStorage=true").is_ok_and(|f| f.is_on(CBOR) && f.without_effect().is_empty()));
        assert!(parse("AllAlpha=true,AllBeta=true").is_ok_and(|f| f.is_on(CBOR)));
        assert!(parse("AllAlpha=true,AllBeta=true,CBORServingAndStorage=false").is_ok_and(|f| !f.is_on(CBOR)));
        assert!(parse("WatchList=false").is_ok_and(|f| f.without_effect() == ["WatchList"]));
    }

    #[test]
    fn refusals_are_in_upstreams_words() {
        let cases = [
            ("Foo=true", "unrecognized feature gate: Foo"),
            ("CBORServingAndStorage", "missing bool value for CBORServingAndStorage"),
            (
                "CBORServingAndStorage=maybe",
                "invalid value of CBORServingAndStorage=maybe, err: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                "AllAlpha=true",
                "CompositePodGroup is enabled, but depends on features that are disabled: [GenericWorkload]",
            ),
            (
                "CompositePodGroup=true",
                "CompositePodGroup is enabled, but depends on features that are disabled: [GenericWorkload TopologyAwareWorkloadScheduling]",
            ),
            (
                "AllowOverwriteTerminationGracePeriodSeconds=true",
                "cannot set feature gate AllowOverwriteTerminationGracePeriodSeconds to true, feature is locked to false",
            ),
        ];
        for (text, words) in cases {
            assert_eq!(parse(text).expect_err("it is refused"), words);
        }
    }
}
