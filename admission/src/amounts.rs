//! Amounts of resources by name: a `ResourceList`, and its arithmetic.
//!
//! Upstream: apiserver/pkg/quota/v1/resources.go, component-helpers/resource/helpers.go.

use std::collections::BTreeMap;

use api::{EcoString, Map, Value, quantity::Quantity};

/// `cpu: 100m`, … Equal when names and values are, whatever the notation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<EcoString, Quantity>);

impl From<BTreeMap<EcoString, Quantity>> for Amounts {
    fn from(amounts: BTreeMap<EcoString, Quantity>) -> Amounts {
        Amounts(amounts)
    }
}

impl Amounts {
    /// Reads a member of an object.
    pub fn of(list: &Value) -> Amounts {
        Amounts(list.members().map(|(name, amount)| (name.into(), Quantity::of(amount))).collect())
    }

    pub fn to_value(&self) -> Value {
        let mut map = Map::with_capacity(self.0.len());
        for (name, amount) in &self.0 {
            map.insert(name.clone(), amount.clone());
        }
        Value::Object(Box::new(map))
    }

    pub fn get(&self, name: &str) -> Option<&Quantity> {
        self.0.get(name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn set(&mut self, name: impl Into<EcoString>, amount: Quantity) {
        self.0.insert(name.into(), amount);
    }

    /// Sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), amount))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(EcoString::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn add(&mut self, more: &Amounts) {
        for (name, amount) in &more.0 {
            let sum = self.0.get(name).map(|own| own.add(amount));
            self.0.insert(name.clone(), sum.unwrap_or_else(|| amount.clone()));
        }
    }

    /// Takes of each the greater.
    pub fn raise(&mut self, other: &Amounts) {
        for (name, amount) in &other.0 {
            if self.0.get(name).is_none_or(|own| amount > own) {
                self.0.insert(name.clone(), amount.clone());
            }
        }
    }

    pub fn plus(&self, more: &Amounts) -> Amounts {
        let mut sum = self.clone();
        sum.add(more);
        sum
    }

    /// The difference of each, zero where it would be negative. Upstream: `SubtractWithNonNegativeResult`.
    pub fn minus(&self, less: &Amounts) -> Amounts {
        let mut rest = Amounts::default();
        for (name, amount) in &self.0 {
            let left = less.0.get(name).map_or_else(|| amount.clone(), |l| amount.sub(l));
            rest.set(name.clone(), if left.sign() > 0 { left } else { Quantity::ZERO });
        }
        for name in less.0.keys().filter(|n| !self.0.contains_key(*n)) {
            rest.set(name.clone(), Quantity::ZERO);
        }
        rest
    }

    /// Only those names. Upstream: `Mask`.
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Amounts {
        Amounts(self.0.iter().filter(|(name, _)| wanted(name)).map(|(n, a)| (n.clone(), a.clone())).collect())
    }

    pub fn without_zeros(mut self) -> Amounts {
        self.0.retain(|_, amount| !amount.is_zero());
        self
    }

    /// `cpu=2,memory=1Gi`. Upstream: `prettyPrint`.
    pub fn shown(&self) -> String {
        let parts: Vec<String> = self.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
        parts.join(",")
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    fn amounts(list: Value) -> Amounts {
        Amounts::of(&list)
    }

    #[test]
    fn sums_and_differences_go_by_name() {
        let some = amounts(value!({"cpu": "1500m", "memory": "1Gi"}));
        let more = amounts(value!({"cpu": "500m", "pods": "1"}));
        assert_eq!(some.plus(&more).shown(), "cpu=2,memory=1Gi,pods=1");
        assert_eq!(some.minus(&more).shown(), "cpu=1,memory=1Gi,pods=0");
        assert_eq!(more.minus(&some).without_zeros().shown(), "pods=1");
        let mut raised = more.clone();
        raised.raise(&some);
        assert_eq!(raised.shown(), "cpu=1500m,memory=1Gi,pods=1");
        assert_eq!(some.only(|n| n == "cpu").shown(), "cpu=1500m");
    }

    #[test]
    fn equality_looks_at_values() {
        assert_eq!(amounts(value!({"cpu": "1"})), amounts(value!({"cpu": "1000m"})));
        assert_ne!(amounts(value!({"cpu": "1"})), amounts(value!({"cpu": "1", "memory": "0"})));
    }
}
