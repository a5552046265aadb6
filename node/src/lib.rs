//! A node: pods become containers, and what becomes of the containers is told to the API server.
//!
//! [`run`] is all of it: it registers the node and keeps its Lease, follows the pods that are bound to it, and gives each
//! a worker. Containers are the runtime's and run on when this ends; whoever comes next takes them up again.

mod capacity;
pub mod cgroups;
mod conditions;
pub mod dns_config;
pub mod downward;
pub mod environment;
mod events;
pub mod garbage;
pub mod hooks;
pub mod hosts_file;
pub mod images;
mod lease;
mod node_status;
pub mod objects;
pub mod pods;
pub mod probes;
pub mod qos;
mod registration;
pub mod resize;
pub mod runtime;
#[cfg(test)]
mod scripted;
pub mod security;
pub mod serve;
pub mod tell;
pub mod volumes;

use std::sync::Arc;

use api::{Value, time::Clock};
use client::{Client, Form, Mirror, Resource};
use parking_lot::RwLock;

pub use capacity::{Machine, Reserved};
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
    pub taints: Vec<Value>,
    pub reserved: Reserved,
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
}

/// So many pods of which probes say something else may wait.
const PROBED_MAX: usize = 1024;

/// Runs the node until it is dropped. Containers are left as they are.
pub async fn run(config: Config, parts: Parts) {
    let Parts { client, runtime, clock, machine, simulated, serving } = parts;
    let (events, teller) = events::channel(client.clone(), clock.clone(), &config.name);
    let (ears, hearing) = pods::ears();
    let runtime_name = name_of(&*runtime).await;
    let node = NodeView { ips: config.ips.clone(), ..NodeView::default() };
    let (changed, probed) = tokio::sync::mpsc::channel(PROBED_MAX);
    let settings = Settings { memory_bytes: machine.memory_bytes, ..config.settings.clone() };
    let means = (!simulated).then(|| Means::new(&settings, &client, runtime.clone(), clock.clone(), &events, changed));
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
        means,
        node: RwLock::new(node),
    });
    let fields = format!("spec.nodeName={}", config.name);
    let mirror = Arc::new(Mirror::new(Resource::new("", "v1", "pods"), Form::Whole, &[]).select_fields(&fields));
    let serving = async {
        match serving {
            Some(serving) => serve::run(ground.clone(), mirror.clone(), serving).await,
            None => std::future::pending().await,
        }
    };
    let services = async {
        match &ground.means {
            Some(means) => means.services.follow(&client, &ears).await,
            None => std::future::pending().await,
        }
    };
    futures::join!(
        services,
        serving,
        ears.pass_on(probed),
        teller.run(),
        garbage::containers(ground.clone()),
        lease::keep(client.clone(), clock, config.name.clone()),
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
