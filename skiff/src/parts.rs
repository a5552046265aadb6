//! What runs beside a server of this process.

use std::sync::Arc;

use anyhow::Result;
use certs::Pki;
use server::Server;
use tokio::task::JoinSet;

use crate::{controllers, dns, flags, node, proxy, scheduler, up::images::Images};

/// Parts with their settings; those that are left out do not run.
#[derive(Default)]
pub struct Beside {
    pub controllers: Option<Box<flags::Controllers>>,
    pub scheduler: Option<Box<scheduler::Scheduler>>,
    pub proxy: Option<Box<proxy::Proxy>>,
    pub dns: Option<Box<dns::Dns>>,
    pub node: Option<Box<node::Node>>,
    pub crowd: Option<node::crowd::Crowd>,
    /// What the node's runtime is given before its first pod.
    pub images: Images,
    /// What the person at the terminal is told once requests are answered.
    pub greeting: Option<String>,
}

// === impl Beside ===

impl Beside {
    /// Starts them; dropping the answer ends them. They sign as this server does.
    pub async fn start(self, server: &Arc<Server>, pki: &Pki) -> Result<JoinSet<()>> {
        let mut running = JoinSet::new();
        if let Some(flags) = &self.controllers {
            controllers::beside(server, flags, pki, &mut running).await?;
        }
        if let Some(flags) = &self.scheduler {
            scheduler::beside(server, flags, &mut running)?;
        }
        if let Some(flags) = &self.proxy {
            proxy::beside(server, flags, &mut running).await?;
        }
        if let Some(flags) = &self.dns {
            dns::beside(server, flags, &mut running).await?;
        }
        if let Some(flags) = &self.node {
            node::beside(server, flags, self.images, pki, &mut running)?;
        }
        if let Some(crowd) = &self.crowd {
            crowd.start(server, &mut running)?;
        }
        Ok(running)
    }
}
