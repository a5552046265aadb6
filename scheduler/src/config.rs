//! Profiles: which plugins take part, with what arguments.
//!
//! Upstream: kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration, pkg/scheduler/apis/config.

mod read;

use std::time::Duration;

use api::{
    EcoString,
    node_selector::{Required, Term},
    selector::Selector,
};

use crate::{
    plugins::{self, Plugin},
    pod::Spread,
};

/// The scheduler's name when a pod names none.
pub const DEFAULT_NAME: &str = "default-scheduler";

/// All settings of a scheduler.
pub struct Config {
    pub profiles: Vec<Profile>,
    pub first_backoff: Duration,
    pub backoff_max: Duration,
}

/// How pods that name one scheduler are placed.
pub struct Profile {
    /// Pods name it in `schedulerName`.
    pub name: EcoString,
    pub filters: Vec<&'static dyn Plugin>,
    /// With their weights.
    pub scores: Vec<(&'static dyn Plugin, i64)>,
    pub preempts: bool,
    /// So many of a hundred nodes are compared; 0: fewer, the more there are.
    pub percent_of_nodes: usize,
    pub strategy: Strategy,
    /// What balanced allocation looks at.
    pub balanced: Vec<String>,
    /// Extended resources, or their groups, that someone else looks after.
    pub ignored_resources: Vec<String>,
    /// For pods without constraints of their own that belong together.
    pub default_spread: Vec<Spread>,
    /// Those defaults are the system's: nodes without the labels still take part.
    pub is_spread_by_system: bool,
    pub hard_affinity_weight: i64,
    pub ignores_wishes_of_others: bool,
    /// What every pod of the profile requires besides.
    pub added_nodes: Required,
    pub added_preferred_nodes: Vec<(i64, Term)>,
    pub candidates_percent_min: usize,
    pub candidates_min: usize,
}

/// How what is left on nodes is compared.
#[derive(Clone, Debug)]
pub struct Strategy {
    /// Fuller nodes are better, not emptier ones.
    pub is_most: bool,
    /// With their weights.
    pub resources: Vec<(String, i64)>,
    /// Use of a hundred to points, ascending; none without a shape.
    pub shape: Vec<(i64, i64)>,
}

// === impl Config ===

impl Config {
    /// Reads a KubeSchedulerConfiguration; the error says what is wrong where.
    pub fn read(text: &api::Value) -> Result<Config, String> {
        read::config(text)
    }

    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            profiles: vec![Profile::default()],
            first_backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(10),
        }
    }
}

// === impl Profile ===

impl Default for Profile {
    /// Upstream: apis/config/v1/default_plugins.go, defaults.go.
    fn default() -> Profile {
        Profile {
            name: DEFAULT_NAME.into(),
            filters: plugins::ALL.iter().map(|(plugin, _)| *plugin).collect(),
            scores: plugins::ALL.iter().filter(|(_, weight)| *weight > 0).copied().collect(),
            preempts: true,
            percent_of_nodes: 0,
            strategy: Strategy {
                is_most: false,
                resources: vec![("cpu".into(), 1), ("memory".into(), 1)],
                shape: Vec::new(),
            },
            balanced: vec!["cpu".into(), "memory".into()],
            ignored_resources: Vec::new(),
            default_spread: system_spread(),
            is_spread_by_system: true,
            hard_affinity_weight: 1,
            ignores_wishes_of_others: false,
            added_nodes: Required::default(),
            added_preferred_nodes: Vec::new(),
            candidates_percent_min: 10,
            candidates_min: 100,
        }
    }
}

/// Upstream: podtopologyspread `systemDefaultConstraints`.
fn system_spread() -> Vec<Spread> {
    let soft = |key: &str, max_skew| Spread {
        max_skew,
        key: key.into(),
        selector: Selector::nothing(),
        min_domains: 1,
        is_hard: false,
        honors_affinity: true,
        honors_taints: false,
    };
    vec![soft("kubernetes.io/hostname", 3), soft("topology.kubernetes.io/zone", 5)]
}
