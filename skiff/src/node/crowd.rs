//! Nodes whose containers are nowhere, by the thousand, beside a server of this process.
//!
//! Each is a whole node agent with an identity and a client of its own. What it lacks is what a machine has: a runtime,
//! volumes, and an API, so that nobody reads logs there. Upstream: pkg/kubemark/hollow_kubelet.go.

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc};

use anyhow::{Result, bail};
use api::User;
use clap::Parser as _;
use client::Client;
use node::{
    Machine,
    runtime::fake::{Addresses, Fake},
};
use server::Server;
use tokio::task::JoinSet;

use super::{AGENT, Node, file, settled};
use crate::{clock::Wall, controllers::inside::Inside, flags};

/// So many, named `simulated-1` and so on.
pub struct Crowd {
    pub count: u32,
    /// Where they would keep what is theirs.
    pub directory: PathBuf,
}

/// Pods' addresses are those of RFC 6598, which neither pods nor services of this machine have.
const PODS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
/// Nobody serves a node's API there: who asks for it is refused at once, and not by another node.
const DISCARD: u16 = 9;
/// What each says that it has.
const CORES: u64 = 32;
const MEMORY_BYTES: u64 = 256 << 30;

// === impl Crowd ===

impl Crowd {
    /// Starts them; they run for as long as `running` is kept.
    pub fn start(&self, server: &Arc<Server>, running: &mut JoinSet<()>) -> Result<()> {
        let Some(directory) = self.directory.to_str() else { bail!("--data-dir has to be UTF-8") };
        let addresses = Addresses::from(PODS);
        let arguments = ["skiff", "node", "--simulated", "--root-dir", directory];
        let flags::Command::Node(first) = flags::Skiff::try_parse_from(arguments)?.command else {
            bail!("the arguments of simulated nodes are wrong");
        };
        for number in 1..=self.count {
            let flags = Node { hostname_override: Some(format!("simulated-{number}")), ..(*first).clone() };
            let name = super::name(&flags);
            let user = User::new(format!("system:node:{name}"), &[api::user::NODES, api::user::AUTHENTICATED]);
            let client = Client::new(Arc::new(Inside::new(server, user)), AGENT);
            let (mut config, mut parts) = settled(&flags, &file(&flags)?, client, None)?;
            config.port = DISCARD;
            parts.runtime = Fake::among(Arc::new(Wall), addresses.clone());
            parts.machine = machine(parts.machine, &name);
            running.spawn(node::run(config, parts));
        }
        Ok(())
    }
}

/// A machine of its own name, with room.
fn machine(own: Machine, name: &str) -> Machine {
    Machine {
        cores: CORES,
        memory_bytes: MEMORY_BYTES,
        swap_bytes: 0,
        machine_id: name.into(),
        system_uuid: name.into(),
        ..own
    }
}
