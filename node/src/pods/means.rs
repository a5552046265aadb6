//! What a real node has for its pods beside a runtime: volumes, images, probes, control groups, configuration.
//!
//! A simulated node has none of it: its containers are never anywhere. Upstream: kubelet.go NewMainKubelet.

use std::{path::PathBuf, sync::Arc};

use api::{Value, time::Clock};
use client::{Client, Form, Mirror, Resource};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::ground::Settings;
use crate::{
    cgroups::{Cgroups, Driver, Layout},
    configuration::Configuration,
    dns_config,
    events::Events,
    images::{self, Images},
    objects::Served,
    probes::Prober,
    qos, runtime, security,
    volumes::{Volumes, certificate, mounter},
};

/// All of it.
pub struct Means {
    pub objects: Arc<Served>,
    pub volumes: Volumes,
    pub images: Images,
    pub prober: Prober,
    pub cgroups: Option<Cgroups>,
    pub services: Mirror,
    pub security: security::Host,
    pub machine: qos::Machine,
    /// Known once the node is registered.
    pub node_uid: Arc<Mutex<String>>,
    dns: dns_config::Config,
}

// === impl Means ===

impl Means {
    /// `changed` is sent the uids of pods of which probes say something else.
    pub fn new(
        (settings, configuration): (&Settings, &Configuration),
        client: &Client,
        runtime: runtime::Shared,
        clock: Arc<dyn Clock>,
        events: &Events,
        changed: mpsc::Sender<String>,
    ) -> Means {
        let objects = Served::new(client.clone());
        let tell = Arc::new(events.clone());
        let node_uid = Arc::new(Mutex::new(String::new()));
        let node = certificate::Node { name: settings.node_name.clone(), uid: node_uid.clone() };
        let mounter = Arc::new(mounter::Kernel);
        let config = images::Config {
            parallel: configuration.pulls.parallel,
            per_second: configuration.pulls.per_second,
            burst: configuration.pulls.burst,
            records: settings.root.join("image_manager"),
        };
        let layout = std::fs::read_to_string("/proc/self/mountinfo").ok().and_then(|text| Layout::detect(&text));
        let hugepage_sizes = hugepage_sizes();
        Means {
            volumes: Volumes::new(settings.root.clone(), objects.clone(), clock.clone(), mounter, node),
            images: Images::new(runtime.clone(), objects.clone(), clock.clone(), tell.clone(), config),
            prober: Prober::new(runtime, clock, tell, changed),
            services: Mirror::new(Resource::new("", "v1", "services"), Form::Whole, &[]),
            security: security::Host {
                seccomp_root: settings.root.join("seccomp"),
                seccomp_default: configuration.pods.seccomp_default,
                masked_paths: security::MASKED_PATHS.iter().map(ToString::to_string).collect(),
            },
            machine: qos::Machine {
                memory_bytes: i64::try_from(settings.memory_bytes).unwrap_or(i64::MAX),
                hugepage_sizes: hugepage_sizes.clone(),
                cgroup_v2: layout.as_ref().is_some_and(Layout::is_unified),
                limits_swap: false,
                enforces_quota: configuration.pods.enforces_quota,
                quota_period_us: configuration.pods.quota_period_us,
                kills_single_processes: layout.as_ref().is_none_or(|l| !l.is_unified()),
                oom_score_min: settings.oom_score_min,
            },
            cgroups: layout.map(|layout| Cgroups::new(layout, Driver::Cgroupfs, &settings.cgroup_root, hugepage_sizes)),
            dns: dns_config::Config {
                cluster_servers: settings.cluster_dns.clone(),
                cluster_domain: settings.cluster_domain.clone(),
                node_file: None,
                node_ips: vec![],
            },
            node_uid,
            objects,
        }
    }

    /// What pods' resolver configuration depends on now: the node's own file may have changed.
    pub fn dns(&self, settings: &Settings, node_ips: &[String]) -> dns_config::Config {
        let node_file = (settings.resolv_conf != PathBuf::new())
            .then(|| std::fs::read_to_string(&settings.resolv_conf).unwrap_or_default());
        dns_config::Config { node_file, node_ips: node_ips.to_vec(), ..self.dns.clone() }
    }

    /// All services of the cluster, once they have been read.
    pub fn services(&self) -> Option<Vec<Arc<Value>>> {
        self.services.is_synced().then(|| self.services.all())
    }

    /// Lets go of what a pod needed to run. What its containers left to be read goes only when it is `gone`.
    pub async fn release(&self, uid: &str, gone: bool) -> std::io::Result<()> {
        self.prober.forget(uid);
        self.images.forget(uid);
        if let Some(cgroups) = &self.cgroups {
            cgroups.remove_pod(uid)?;
        }
        // The directory goes last: by it a pod is known that was left half way.
        match gone {
            true => self.volumes.release(uid).await,
            false => self.volumes.unmount(uid).await,
        }
    }
}

/// Sizes of huge pages that the kernel has, as `2MB`.
fn hugepage_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return vec![] };
    let size = |entry: std::fs::DirEntry| -> Option<i64> {
        entry.file_name().to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()
    };
    let mut sizes: Vec<i64> = entries.filter_map(|entry| size(entry.ok()?)).collect();
    sizes.sort_unstable();
    sizes.into_iter().map(|kilobytes| qos::page_size_name(kilobytes * 1024)).collect()
}
