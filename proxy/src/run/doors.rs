//! Ports on which balancers ask whether this node has endpoints of a service.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use api::{EcoString, Value, meta};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    health::{Health, ServiceHealth},
    services,
};

type Service = (EcoString, EcoString);

/// The open ones.
pub(super) struct Doors {
    health: Arc<Health>,
    open: BTreeMap<Service, Door>,
}

struct Door {
    port: u16,
    pages: Arc<ServiceHealth>,
    /// Dropping it closes the port.
    _serving: JoinSet<()>,
}

// === impl Doors ===

impl Doors {
    pub fn new(health: Arc<Health>) -> Doors {
        Doors { health, open: BTreeMap::new() }
    }

    /// Opens and closes ports as services have them, and says how many endpoints are here.
    pub async fn keep(&mut self, all: &[Arc<Value>], local: &BTreeMap<Service, usize>) {
        let wanted = all.iter().filter_map(|service| {
            let meta = meta::of(service);
            let name = (meta.namespace().into(), meta.name().into());
            services::health_check_node_port(service).map(|port| (name, port))
        });
        let wanted: BTreeMap<Service, u16> = wanted.collect();
        self.open.retain(|service, door| wanted.get(service) == Some(&door.port));
        for (service, port) in wanted {
            if !self.open.contains_key(&service) {
                match self.door(&service, port).await {
                    Ok(door) => {
                        self.open.insert(service, door);
                    }
                    Err(error) => {
                        tracing::warn!(%error, port, service = %service.1, "a health check port cannot be opened");
                    }
                }
            }
        }
        for (service, door) in &self.open {
            door.pages.local.store(local.get(service).copied().unwrap_or(0), Ordering::Relaxed);
        }
    }

    async fn door(&self, service: &Service, port: u16) -> std::io::Result<Door> {
        // The unspecified address of IPv6 takes both families, where there is IPv6.
        let listener = match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await?,
        };
        let pages = Arc::new(ServiceHealth {
            namespace: service.0.clone(),
            service: service.1.clone(),
            proxy: self.health.clone(),
            local: AtomicUsize::new(0),
        });
        let mut serving = JoinSet::new();
        serving.spawn(pages::serve(listener, pages.clone()));
        Ok(Door { port, pages, _serving: serving })
    }
}
