//! A node: pods become containers, and what becomes of the containers is told to the API server.
//!
//! [`run`] is all of it: it registers the node and keeps its Lease, follows the pods that are bound to it, and gives each
//! a worker. Containers are the runtime's and run on when this ends; whoever comes next takes them up again.

mod capacity;
pub mod certificates;
pub mod cgroups;
mod conditions;
pub mod configuration;
pub mod dns_config;
pub mod downward;
pub mod environment;
mod events;
pub mod eviction;
pub mod garbage;
pub mod hooks;
pub mod hosts_file;
pub mod images;
mod lease;
mod node_status;
pub mod objects;
mod own_node;
pub mod pods;
pub mod probes;
pub mod qos;
mod registration;
pub mod resize;
pub mod rotation;
pub mod runtime;
#[cfg(test)]
mod scripted;
pub mod security;
pub mod serve;
pub mod statics;
pub mod sysctls;
pub mod tell;
pub mod volumes;
mod weigh;

use std::sync::Arc;

use api::{quantity::Quantity, time::Clock};
use client::{Client, Form, Mirror, Resource};
use parking_lot::{Mutex, RwLock};

pub use capacity::{Machine, Reserved};
pub use configuration::Configuration;
pub use pods::ground::Settings;
use pods::{
    Dispatcher,
    ground::{Ground, NodeView},
    means::Means,
    observe::Eyes,
};
use runtime::Runtime;
pub use serve::Serving;

/// What a node is.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub name: String,
    /// The primary address first.
    pub ips: Vec<String>,
    /// Where the node serves what is asked of it.
    pub port: u16,
    /// What the node says it runs: `v1.37.1`.
    pub version: String,
    /// What the node understands that not every node does: `ExtendWebSocketsToKubelet`.
    pub features: Vec<&'static str>,
    pub labels: Vec<(String, String)>,
    pub configuration: Configuration,
    pub settings: Settings,
}

/// What a node needs from outside.
pub struct Parts {
    pub client: Client,
    pub runtime: Arc<dyn Runtime>,
    pub clock: Arc<dyn Clock>,
    pub machine: Machine,
    /// Containers are nowhere: there are no volumes, probes and control groups.
    pub simulated: bool,
    /// How the node's API is served; none: it is not.
    pub serving: Option<Serving>,
    /// Makes a pod of what a file of the node's own says.
    pub whole: statics::Whole,
}

/// So many pods of which probes say something else may wait.
const PROBED_MAX: usize = 1024;

/// Runs the node until it is dropped. Containers are left as they are.
pub async fn run(config: Config, parts: Parts) {
    let Parts { client, runtime, clock, machine, simulated, serving, whole } = parts;
    let configuration = config.configuration.clone();
    let (events, teller) = events::channel(client.clone(), clock.clone(), &config.name);
    let (ears, hearing) = pods::ears();
    let runtime_name = name_of(&*runtime).await;
    let node = NodeView { ips: config.ips.clone(), ..NodeView::default() };
    let (changed, probed) = tokio::sync::mpsc::channel(PROBED_MAX);
    let settings = Settings { memory_bytes: machine.memory_bytes, ..config.settings.clone() };
    let means = (!simulated)
        .then(|| Means::new((&settings, &configuration), &client, runtime.clone(), clock.clone(), &events, changed));
    if let Some(Err(error)) = means.as_ref().and_then(|m| m.cgroups.as_ref()).map(|c| c.prepare()) {
        tracing::error!(%error, "the pods' control groups cannot be made");
    }
    let ground = Arc::new(Ground {
        client: client.clone(),
        eyes: Eyes::new(runtime.clone(), ears.wake()),
        runtime,
        runtime_name,
        clock: clock.clone(),
        events,
        settings,
        configuration: configuration.clone(),
        means,
        node: RwLock::new(node),
        evicted: Mutex::default(),
        statics: RwLock::default(),
        alive_at: RwLock::default(),
    });
    let own = own_node::OwnNode::new(ground.clone());
    let fields = format!("spec.nodeName={}", config.name);
    let mirror = Arc::new(Mirror::new(Resource::new("", "v1", "pods"), Form::Whole, &[]).select_fields(&fields));
    let pods = Arc::new(serve::Held { ground: ground.clone(), mirror: mirror.clone() });
    let certifying = {
        let asking = serving.as_ref().and_then(|serving| Some((serving.wanted.clone()?, serving.tally.clone())));
        let (client, clock) = (client.clone(), clock.clone());
        async move {
            match asking {
                Some((wanted, tally)) => wanted.keep(client, clock, tally).await,
                None => std::future::pending().await,
            }
        }
    };
    let serving = async {
        match serving {
            Some(serving) => serve::run(ground.clone(), pods.clone(), serving).await,
            None => std::future::pending().await,
        }
    };
    let services = async {
        match &ground.means {
            Some(means) => means.services.follow(&client, &ears).await,
            None => std::future::pending().await,
        }
    };
    let sweeper = Arc::new(garbage::Sweeper::new(configuration.images, clock.now()));
    let bounds = configuration.bounds_pods.then(|| capacity::bounds(&machine, &configuration.reserved));
    let evicting = async {
        let watcher = eviction::Watcher {
            ground: ground.clone(),
            pods: pods.clone(),
            policy: configuration.eviction.clone(),
            sweeper: sweeper.clone(),
            bound_bytes: bounds.as_ref().map(|bounds| Quantity::of(bounds.at("memory")).value()),
        };
        match simulated {
            true => std::future::pending().await,
            false => eviction::watch(watcher).await,
        }
    };
    let reader = statics::Reader { node_name: config.name.clone(), clock: clock.clone(), whole };
    futures::join!(
        services,
        certifying,
        serving,
        ears.pass_on(probed),
        teller.run(),
        own.follow(&client),
        sweeper.containers(&ground),
        sweeper.images(&ground),
        rotation::keep(ground.clone(), configuration.logs),
        weigh::keep(ground.clone(), pods.clone(), bounds.clone()),
        evicting,
        statics::follow(configuration.statics.clone(), reader, ears.own()),
        lease::keep(client.clone(), clock, config.name.clone(), configuration.rhythm.lease_seconds),
        registration::keep(ground.clone(), config, machine),
        mirror.follow(&client, &ears),
        Dispatcher::new(ground.clone(), hearing).run(),
    );
}

/// What the runtime is called: containers' ids begin with it. Waits until it answers.
async fn name_of(runtime: &dyn Runtime) -> String {
    let mut wait = std::time::Duration::from_millis(100);
    loop {
        match runtime.version().await {
            Ok(version) => return version.name,
            Err(error) => tracing::info!(%error, "the runtime does not answer"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(std::time::Duration::from_secs(5));
    }
}

#[cfg(test)]
mod tests;
