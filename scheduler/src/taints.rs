//! Taints of nodes, by what they say: most nodes have the same ones, so that a pod's tolerations are held against each sort
//! once and not against each node.

use std::collections::HashMap;

use api::{Value, taint};

/// The effects that keep a pod off a node. Upstream: `DoNotScheduleTaintsFilterFunc`.
pub const HARD: [&str; 2] = [taint::NO_SCHEDULE, taint::NO_EXECUTE];

/// All sorts; the first is that of nodes without any.
#[derive(Debug)]
pub struct Sorts {
    numbers: HashMap<String, u32>,
    all: Vec<Vec<Value>>,
}

impl Default for Sorts {
    fn default() -> Sorts {
        Sorts { numbers: HashMap::from([(String::new(), 0)]), all: vec![Vec::new()] }
    }
}

// === impl Sorts ===

impl Sorts {
    /// The number of these taints: 0 when there are none.
    pub fn number(&mut self, taints: &[Value]) -> u32 {
        let text: String = taints.iter().map(said).collect();
        if let Some(number) = self.numbers.get(&text) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).expect("there are fewer sorts than nodes");
        self.all.push(taints.to_vec());
        self.numbers.insert(text, number);
        number
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether each sort keeps a pod away that tolerates these.
    pub fn kept_away(&self, tolerations: &[Value]) -> Vec<bool> {
        self.all.iter().map(|taints| taint::untolerated(taints, tolerations, &HARD).is_some()).collect()
    }

    /// How many taints of each sort a pod that tolerates these would rather avoid.
    pub fn avoided(&self, tolerations: &[Value]) -> Vec<i64> {
        let is_avoided =
            |t: &&Value| t.str("effect") == taint::PREFER_NO_SCHEDULE && !taint::is_tolerated(t, tolerations);
        let count = |taints: &Vec<Value>| taints.iter().filter(is_avoided).count();
        self.all.iter().map(|taints| i64::try_from(count(taints)).unwrap_or(i64::MAX)).collect()
    }
}

/// What a taint says, without when it was added. No part of it has a line break.
fn said(taint: &Value) -> String {
    ["key", "value", "effect"].map(|member| taint.str(member)).join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn taints_that_say_the_same_are_one_sort() {
        let mut sorts = Sorts::default();
        let taint = |key: &str, effect: &str, at: &str| value!({"key": key, "effect": effect, "timeAdded": at});
        let (hard, soft) = (taint("a", "NoSchedule", "1"), taint("a", "PreferNoSchedule", "1"));
        assert_eq!(sorts.number(&[]), 0);
        assert_eq!(sorts.number(std::slice::from_ref(&hard)), 1);
        assert_eq!(sorts.number(&[taint("a", "NoSchedule", "2")]), 1, "the time says nothing");
        assert_eq!(sorts.number(&[hard, soft]), 2);
        assert_eq!(sorts.kept_away(&[]), [false, true, true]);
        assert_eq!(sorts.avoided(&[]), [0, 0, 1]);
        let tolerated = [value!({"key": "a", "operator": "Exists", "effect": "NoSchedule"})];
        assert_eq!(sorts.kept_away(&tolerated), [false, false, false]);
        assert_eq!(sorts.avoided(&tolerated), [0, 0, 1]);
    }
}
