//! The parts beside the API server, and how to find out whether they are well.
//!
//! Upstream asks on the ports that its parts have by default. What runs in this process needs no asking.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use registry::special::components::{Component, Health, Probe};
use store::Store;

use super::probe;
use crate::parts::Beside;

/// Upstream: `probeTimeOut`.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Upstream: `ports.KubeControllerManagerPort`, `DefaultKubeSchedulerPort`.
const CONTROLLERS: u16 = 10257;
const SCHEDULER: u16 = 10259;

/// Another program on this machine, asked over HTTPS.
struct Program(u16);
/// A part of this process.
struct Inside;
struct Database(Arc<dyn Store>);

/// All of them. What runs beside the server is in this process.
pub fn all(store: &Arc<dyn Store>, beside: &Beside) -> Vec<Component> {
    let of = |runs_here: bool, port| -> Arc<dyn Probe> {
        if runs_here { Arc::new(Inside) } else { Arc::new(Program(port)) }
    };
    vec![
        Component { name: "controller-manager", probe: of(beside.controllers.is_some(), CONTROLLERS) },
        Component { name: "scheduler", probe: of(beside.scheduler.is_some(), SCHEDULER) },
        Component { name: "etcd-0", probe: Arc::new(Database(store.clone())) },
    ]
}

fn well(message: &str) -> Health {
    Health { well: Some(true), message: message.into(), error: String::new() }
}

#[async_trait]
impl Probe for Inside {
    async fn ask(&self) -> Health {
        well("ok")
    }
}

#[async_trait]
impl Probe for Database {
    async fn ask(&self) -> Health {
        match tokio::time::timeout(TIMEOUT, self.0.revision()).await {
            Ok(Ok(_)) => well("ok"),
            Ok(Err(error)) => Health { well: Some(false), message: String::new(), error: error.to_string() },
            Err(_) => Health { well: Some(false), message: String::new(), error: "context deadline exceeded".into() },
        }
    }
}

#[async_trait]
impl Probe for Program {
    async fn ask(&self) -> Health {
        let port = self.0;
        let asked = tokio::time::timeout(TIMEOUT, probe::get(port, "/healthz")).await;
        let asked = asked.unwrap_or_else(|_| {
            Err("context deadline exceeded (Client.Timeout exceeded while awaiting headers)".into())
        });
        let url = format!("https://127.0.0.1:{port}/healthz");
        match asked {
            Ok((code, body)) if (200..400).contains(&code) => well(&body),
            Ok((code, _)) => Health {
                well: Some(false),
                message: format!("HTTP probe failed with statuscode: {code}"),
                error: String::new(),
            },
            Err(why) => Health {
                well: Some(false),
                message: format!("Get {}: {why}", api::field::quote(&url)),
                error: String::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_does_not_run_is_not_well_in_upstreams_words() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let expected =
            format!("Get \"https://127.0.0.1:{port}/healthz\": dial tcp 127.0.0.1:{port}: connect: connection refused");
        let found = Program(port).ask().await;
        assert_eq!((found.well, found.message), (Some(false), expected));
    }
}
