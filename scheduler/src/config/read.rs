//! Reading a KubeSchedulerConfiguration. What is not understood is refused: nothing is silently left out.

use std::time::Duration;

use api::{
    Value,
    node_selector::{Required, Term},
};

use super::{Config, DEFAULT_NAME, Profile};
use crate::{plugins, pod::Spread};

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
/// Plugins that are part of the queue, of preemption and of binding, and always there.
const BUILT_IN: [&str; 4] = ["SchedulingGates", "PrioritySort", "DefaultPreemption", "DefaultBinder"];

pub(super) fn config(text: &Value) -> Result<Config, String> {
    let (version, kind) = (text.str("apiVersion"), text.str("kind"));
    if (version, kind) != (API_VERSION, "KubeSchedulerConfiguration") {
        return Err(format!("no kind {kind:?} is registered for version {version:?}"));
    }
    if !text.list("extenders").is_empty() {
        return Err("extenders: there are none in this scheduler".into());
    }
    let mut config = Config::default();
    let seconds = |name: &str, default: Duration| match text.opt_int(name) {
        None => Ok(default),
        Some(seconds) => u64::try_from(seconds)
            .map(Duration::from_secs)
            .map_err(|_| format!("{name}: Invalid value: {seconds}: must be greater than 0")),
    };
    config.first_backoff = seconds("podInitialBackoffSeconds", config.first_backoff)?;
    config.backoff_max = seconds("podMaxBackoffSeconds", config.backoff_max)?;
    if config.backoff_max < config.first_backoff {
        let most = config.backoff_max.as_secs();
        return Err(format!(
            "podMaxBackoffSeconds: Invalid value: {most}: must be greater than or equal to PodInitialBackoffSeconds"
        ));
    }
    let percent = percent(text, "percentageOfNodesToScore")?;
    if !text.list("profiles").is_empty() {
        config.profiles = Vec::new();
        for (i, profile) in text.list("profiles").iter().enumerate() {
            let at = format!("profiles[{i}]");
            let profile = self::profile(profile, percent).map_err(|why| format!("{at}.{why}"))?;
            if config.profile(&profile.name).is_some() {
                return Err(format!("{at}.schedulerName: Duplicate value: {:?}", profile.name));
            }
            config.profiles.push(profile);
        }
    } else if let Some(only) = config.profiles.first_mut() {
        only.percent_of_nodes = percent;
    }
    Ok(config)
}

fn percent(of: &Value, name: &str) -> Result<usize, String> {
    let percent = of.int(name);
    usize::try_from(percent)
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| format!("{name}: Invalid value: {percent}: not in valid range [0-100]"))
}

fn profile(text: &Value, percent_of_nodes: usize) -> Result<Profile, String> {
    let name = text.opt_str("schedulerName").unwrap_or(DEFAULT_NAME);
    if name.is_empty() {
        return Err("schedulerName: Required value".into());
    }
    let own = if text.has("percentageOfNodesToScore") {
        percent(text, "percentageOfNodesToScore")?
    } else {
        percent_of_nodes
    };
    let mut profile = Profile { name: name.into(), percent_of_nodes: own, ..Profile::default() };
    for (point, set) in text.at("plugins").members() {
        choose(&mut profile, point, set).map_err(|why| format!("plugins.{point}.{why}"))?;
    }
    for (i, config) in text.list("pluginConfig").iter().enumerate() {
        arguments(&mut profile, config.str("name"), config.at("args"))
            .map_err(|why| format!("pluginConfig[{i}].{why}"))?;
    }
    Ok(profile)
}

/// Takes plugins out and puts them in at an extension point. Upstream: `mergePluginSet`.
fn choose(profile: &mut Profile, point: &str, set: &Value) -> Result<(), String> {
    let (filters, scores) = match point {
        "multiPoint" => (true, true),
        "preFilter" | "filter" => (true, false),
        "preScore" | "score" => (false, true),
        "queueSort" | "preEnqueue" | "permit" | "reserve" | "bind" | "preBind" | "postBind" | "postFilter" => {
            (false, false)
        }
        other => return Err(format!("{other}: there is no such extension point")),
    };
    for plugin in set.list("disabled") {
        let name = plugin.str("name");
        let is_meant = |own: &str| name == "*" || name == own;
        if filters {
            profile.filters.retain(|plugin| !is_meant(plugin.name()));
        }
        if scores {
            profile.scores.retain(|(plugin, _)| !is_meant(plugin.name()));
        }
        if is_meant("DefaultPreemption") && matches!(point, "multiPoint" | "postFilter") {
            profile.preempts = false;
        }
    }
    for plugin in set.list("enabled") {
        let name = plugin.str("name");
        if name == "DefaultPreemption" {
            profile.preempts = true;
        }
        if BUILT_IN.contains(&name) {
            continue;
        }
        let Some(found) = plugins::named(name) else { return Err(format!("enabled: there is no plugin {name:?}")) };
        if filters && !profile.filters.iter().any(|p| p.name() == name) {
            profile.filters.push(found);
        }
        if scores {
            let default = plugins::ALL.iter().find(|(p, _)| p.name() == name).map_or(1, |(_, weight)| (*weight).max(1));
            let weight = plugin.opt_int("weight").filter(|weight| *weight != 0).unwrap_or(default);
            profile.scores.retain(|(p, _)| p.name() != name);
            profile.scores.push((found, weight));
        }
    }
    Ok(())
}

fn arguments(profile: &mut Profile, plugin: &str, args: &Value) -> Result<(), String> {
    match plugin {
        "NodeResourcesFit" => fit(profile, args),
        "NodeResourcesBalancedAllocation" => {
            if args.has("resources") {
                profile.balanced = args.list("resources").iter().map(|r| r.str("name").into()).collect();
            }
            Ok(())
        }
        "PodTopologySpread" => spread(profile, args),
        "InterPodAffinity" => {
            profile.hard_affinity_weight = args.opt_int("hardPodAffinityWeight").unwrap_or(1);
            profile.ignores_wishes_of_others = args.bool("ignorePreferredTermsOfExistingPods");
            match profile.hard_affinity_weight {
                0..=100 => Ok(()),
                weight => {
                    Err(format!("args.hardPodAffinityWeight: Invalid value: {weight}: not in valid range [0-100]"))
                }
            }
        }
        "NodeAffinity" => {
            let added = args.at("addedAffinity");
            profile.added_nodes = Required::of_selector(added.at("requiredDuringSchedulingIgnoredDuringExecution"));
            let preferred = added.list("preferredDuringSchedulingIgnoredDuringExecution").iter();
            profile.added_preferred_nodes =
                preferred.filter_map(|t| Some((t.int("weight"), Term::read(t.at("preference"))?))).collect();
            Ok(())
        }
        "DefaultPreemption" => {
            let number = |name: &str, default: usize| {
                args.opt_int(name).map_or(Ok(default), |n| {
                    usize::try_from(n)
                        .map_err(|_| format!("args.{name}: Invalid value: {n}: not in valid range [0, inf)"))
                })
            };
            profile.candidates_percent_min = number("minCandidateNodesPercentage", 10)?;
            profile.candidates_min = number("minCandidateNodesAbsolute", 100)?;
            Ok(())
        }
        other => Err(format!("name: there is no plugin {other:?} that takes arguments")),
    }
}

fn fit(profile: &mut Profile, args: &Value) -> Result<(), String> {
    let names = |list: &str| args.list(list).iter().filter_map(Value::as_str).map(String::from).collect::<Vec<_>>();
    profile.ignored_resources = [names("ignoredResources"), names("ignoredResourceGroups")].concat();
    let strategy = args.at("scoringStrategy");
    if strategy.is_null() {
        return Ok(());
    }
    let resources: Vec<(String, i64)> = strategy
        .list("resources")
        .iter()
        .map(|r| (r.str("name").into(), r.opt_int("weight").filter(|w| *w != 0).unwrap_or(1)))
        .collect();
    if !resources.is_empty() {
        profile.strategy.resources = resources;
    }
    match strategy.str("type") {
        "" | "LeastAllocated" => profile.strategy.is_most = false,
        "MostAllocated" => profile.strategy.is_most = true,
        "RequestedToCapacityRatio" => {
            // Points are given as 0 to 10.
            let shape = strategy.at("requestedToCapacityRatio").list("shape").iter();
            profile.strategy.shape = shape.map(|p| (p.int("utilization"), p.int("score") * 10)).collect();
            if profile.strategy.shape.is_empty() {
                return Err("args.scoringStrategy.requestedToCapacityRatio.shape: Required value".into());
            }
        }
        other => {
            return Err(format!(
                "args.scoringStrategy.type: Unsupported value: {other:?}: supported values: \"LeastAllocated\", \
                 \"MostAllocated\", \"RequestedToCapacityRatio\""
            ));
        }
    }
    Ok(())
}

fn spread(profile: &mut Profile, args: &Value) -> Result<(), String> {
    let own = args.list("defaultConstraints");
    match args.str("defaultingType") {
        "" | "System" if own.is_empty() => Ok(()),
        "System" => {
            Err("args.defaultingType: Invalid value: \"System\": when .defaultConstraints are specified".into())
        }
        "" | "List" => {
            profile.default_spread = own.iter().map(|c| Spread::read(c, Value::NULL)).collect();
            profile.is_spread_by_system = false;
            Ok(())
        }
        other => {
            Err(format!("args.defaultingType: Unsupported value: {other:?}: supported values: \"List\", \"System\""))
        }
    }
}
