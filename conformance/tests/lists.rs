//! Lists of what works, kept by tests; README.md is written from them.
//!
//! A list is text: `# ` and its title, then `STATE<tab>NAME[<tab>REASON]` a line. `cargo xtask fix` writes
//! those of this file (through `examples/lists.rs`), and the pages that are made of the kept figures; the test fails when they
//! are out of date.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use conformance::bench::record::{KEPT, Record};
use serde_json::Value;

/// A file, from the workspace's directory, and what it should say.
pub type List = (&'static str, String);

/// Every list, and what `make bench` writes of the figures that are kept.
fn lists() -> Result<Vec<List>> {
    let mut lists = vec![
        (
            "conformance/lists/controllers.tsv",
            parts("Controllers of kube-controller-manager", CONTROLLERS, &controllers())?,
        ),
        ("conformance/lists/flags.tsv", flags()?),
        ("conformance/lists/resources.tsv", resources()?),
        ("conformance/lists/scheduler.tsv", parts("Plugins of kube-scheduler", PLUGINS, &plugins())?),
    ];
    lists.extend(Record::read(&root().join(KEPT))?.files()?);
    Ok(lists)
}

const DISCOVERY: &str = include_str!("../../schema/facts/discovery.json");

/// Upstream: cmd/kube-controller-manager/names/controller_names.go, without those of clouds.
const CONTROLLERS: &str = "
    bootstrap-signer-controller certificatesigningrequest-approving-controller certificatesigningrequest-cleaner-controller
    certificatesigningrequest-signing-controller clusterrole-aggregation-controller cronjob-controller daemonset-controller
    deployment-controller device-taint-eviction-controller disruption-controller endpoints-controller
    endpointslice-controller endpointslice-mirroring-controller ephemeral-volume-controller garbage-collector-controller
    horizontal-pod-autoscaler-controller job-controller kube-apiserver-serving-clustertrustbundle-publisher-controller
    legacy-serviceaccount-token-cleaner-controller namespace-controller node-ipam-controller node-lifecycle-controller
    persistentvolume-attach-detach-controller persistentvolume-binder-controller persistentvolume-expander-controller
    persistentvolume-protection-controller persistentvolumeclaim-protection-controller pod-garbage-collector-controller
    podcertificaterequest-cleaner-controller podgroup-protection-controller replicaset-controller
    replicationcontroller-controller resourceclaim-controller resourcepoolstatusrequest-controller resourcequota-controller
    root-ca-certificate-publisher-controller selinux-warning-controller service-cidr-controller serviceaccount-controller
    serviceaccount-token-controller statefulset-controller storage-version-migrator-controller
    storageversion-garbage-collector-controller taint-eviction-controller token-cleaner-controller ttl-after-finished-controller
    ttl-controller validatingadmissionpolicy-status-controller volumeattributesclass-protection-controller
";

/// Upstream: pkg/scheduler/framework/plugins/names/names.go.
const PLUGINS: &str = "
    DefaultBinder DefaultPreemption DeferredPodScheduling DynamicResources GangScheduling ImageLocality InterPodAffinity
    NodeAffinity NodeDeclaredFeatures NodeName NodePorts NodeResourcesBalancedAllocation NodeResourcesFit NodeUnschedulable
    NodeVolumeLimits PodGroupPodsCount PodTopologySpread PrioritySort SchedulingGates TaintToleration
    TopologyPlacementGenerator VolumeBinding VolumeRestrictions VolumeZone
";

/// What the scheduler does without a plugin: its queue, its last step, and what it does when nothing fits.
const WITHOUT_PLUGIN: [&str; 4] = ["DefaultBinder", "DefaultPreemption", "PrioritySort", "SchedulingGates"];

fn controllers() -> BTreeSet<&'static str> {
    controllers::ALL.iter().map(|spec| spec.name).collect()
}

fn plugins() -> BTreeSet<&'static str> {
    scheduler::plugins::ALL.iter().map(|(plugin, _)| plugin.name()).chain(WITHOUT_PLUGIN).collect()
}

/// Parts of upstream's by name: `works` where there is one here.
fn parts(title: &str, upstreams: &str, ours: &BTreeSet<&str>) -> Result<String> {
    let mut text = format!("# {title}\n");
    for name in upstreams.split_whitespace() {
        let state = if ours.contains(name) { "works" } else { "missing" };
        writeln!(text, "{state}\t{name}")?;
    }
    Ok(text)
}

/// What of upstream's flags is refused by name.
fn flags() -> Result<String> {
    let mut text = "# Flags of kube-apiserver that `skiff apiserver` does not take\n".to_owned();
    for (flag, why) in skiff::flags::upstreams::REFUSED {
        writeln!(text, "refused\t--{flag}\t{why}")?;
    }
    Ok(text)
}

/// Every resource and version that upstream can serve: `served` when there is a row for it with that version.
fn resources() -> Result<String> {
    let facts: Value = serde_json::from_str(DISCOVERY).context("schema/facts/discovery.json")?;
    let ours = served();
    let mut text = "# Resources, each with its versions\n".to_owned();
    for group in items(&facts["groups"]) {
        for version in items(&group["versions"]) {
            for resource in items(&version["resources"]) {
                let of = |value: &Value, member: &str| value[member].as_str().unwrap_or_default().to_owned();
                let key = (of(group, "name"), of(version, "version"), of(resource, "plural"));
                let state = if ours.contains(&key) { "served" } else { "missing" };
                writeln!(text, "{state}\t{}", shown(&key))?;
            }
        }
    }
    Ok(text)
}

/// Group, version and plural of all rows.
fn served() -> BTreeSet<(String, String, String)> {
    let versions = resources::all().flat_map(|row| row.versions.iter().map(move |version| (row, version)));
    versions.map(|(row, version)| (row.group.to_owned(), version.name.to_owned(), row.plural.to_owned())).collect()
}

fn shown((group, version, plural): &(String, String, String)) -> String {
    if group.is_empty() { format!("{version} {plural}") } else { format!("{group}/{version} {plural}") }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Writes every list.
pub fn write() -> Result<()> {
    for (path, text) in lists()? {
        std::fs::write(root().join(path), text).context(path)?;
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_lists_are_up_to_date() {
    for (path, text) in lists().expect("they can be made") {
        let written = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        assert!(text == written, "`cargo xtask lists` writes {path}");
    }
}
