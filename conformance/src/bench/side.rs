//! A server that is measured: Skiff, upstream, or the ceiling; its processes taken together.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use bytes::Bytes;

use super::{Plan, process};
use crate::{
    bound::Program,
    http::Client,
    ports,
    upstream::{Settings, Upstream},
};

/// Whom the figures are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Skiff,
    /// etcd and kube-apiserver, with the controllers where a figure asks for them.
    Upstream,
    Ceiling,
}

/// What of a control plane runs: the same on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The API server and its store.
    Server,
    /// … and the controllers.
    Controllers,
    /// … and the scheduler.
    Whole,
    /// … and so many simulated nodes, in the same process: Skiff alone has that.
    Crowd(u32),
}

/// A server's processes. Dropping it ends them.
pub struct Side {
    pub who: Who,
    pub parts: Parts,
    kubeconfig: PathBuf,
    runs: Runs,
}

/// The wall time and the server's CPU that something took.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub wall_seconds: f64,
    /// Of the server.
    pub cpu_seconds: f64,
    /// Of this program, which makes the load.
    pub client_cpu_seconds: f64,
}

enum Runs {
    Program(Program),
    Upstream(Box<(Upstream, Settings)>),
}

/// What upstream runs when a figure asks for controllers: all that are on by default, as Skiff does.
const CONTROLLERS: &str = "*";
/// A busy machine is slow; one that takes longer than this is broken.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(2);

static SERIAL: AtomicUsize = AtomicUsize::new(0);

// === impl Who ===

impl Who {
    pub const ALL: [Who; 3] = [Who::Skiff, Who::Upstream, Who::Ceiling];

    pub fn name(self) -> &'static str {
        match self {
            Who::Skiff => "skiff",
            Who::Upstream => "upstream",
            Who::Ceiling => "ceiling",
        }
    }
}

// === impl Side ===

impl Side {
    /// Starts a server in a fresh directory and returns at once.
    pub fn launch(plan: &Plan, who: Who, parts: Parts) -> Result<Side> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let directory = plan.directory.path().join(format!("{}-{serial}", who.name()));
        Side::launch_in(plan, who, parts, &directory)
    }

    /// Starts a server on a directory that another may have used before.
    pub fn launch_in(plan: &Plan, who: Who, parts: Parts, directory: &Path) -> Result<Side> {
        let kubeconfig = directory.join("admin.kubeconfig");
        let log = directory.with_extension("log");
        let (kubeconfig, runs) = match who {
            Who::Skiff => {
                let names = match parts {
                    Parts::Server => "apiserver",
                    Parts::Controllers => "apiserver,controllers",
                    Parts::Whole | Parts::Crowd(_) => "apiserver,controllers,scheduler",
                };
                let nodes = if let Parts::Crowd(nodes) = parts { nodes } else { 0 };
                let mut command = Command::new(&plan.skiff);
                let port = ports::on_loopback()?.to_string();
                command.args(["up", "--parts", names, "--secure-port", &port]);
                command.arg(format!("--simulated-nodes={nodes}")).arg("--data-dir");
                (kubeconfig, Runs::Program(Program::start(command.arg(directory), &log)?))
            }
            Who::Ceiling => {
                let mut command = Command::new(&plan.ceiling);
                command.arg(directory).arg(ports::on_loopback()?.to_string());
                (kubeconfig, Runs::Program(Program::start(&command, &log)?))
            }
            Who::Upstream => {
                ensure!(!matches!(parts, Parts::Crowd(_)), "upstream has no simulated nodes in one process");
                let settings = Settings {
                    durable: true,
                    controllers: controllers(parts),
                    scheduler: parts == Parts::Whole,
                    ..Settings::new(directory)?
                };
                let upstream = Upstream::begin(&settings)?;
                (upstream.kubeconfig.clone(), Runs::Upstream(Box::new((upstream, settings))))
            }
        };
        Ok(Side { who, parts, kubeconfig, runs })
    }

    /// Waits until `/readyz` says so; then upstream's controllers start too.
    pub async fn ready(&mut self) -> Result<()> {
        self.until("/readyz").await?;
        if let Runs::Upstream(whole) = &mut self.runs {
            let (upstream, settings) = whole.as_mut();
            upstream.join(settings)?;
        }
        Ok(())
    }

    /// Waits until what was asked for runs: the API server says that it is ready, and where there are controllers, they have
    /// made the first service account.
    pub async fn starts(&mut self) -> Result<()> {
        self.ready().await?;
        match self.parts {
            Parts::Server => Ok(()),
            Parts::Controllers | Parts::Whole | Parts::Crowd(_) => {
                self.until("/api/v1/namespaces/default/serviceaccounts/default").await
            }
        }
    }

    /// Waits until a GET of `path` is answered with 200.
    pub async fn until(&mut self, path: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let answered = match self.client().await {
                Ok(client) => client.send("GET", path, &[], Bytes::new()).await.map(|response| response.status).ok(),
                Err(_) => None,
            };
            // The ceiling knows no health; that it answers is all it has to say.
            if answered.is_some_and(|status| status == 200 || self.who == Who::Ceiling) {
                return Ok(());
            }
            if let Runs::Program(program) = &mut self.runs {
                let ended = program.ended()?;
                ensure!(ended.is_none(), "{} ended at once ({ended:?})", self.who.name());
            }
            ensure!(begun.elapsed() < STARTS_WITHIN, "{}: no {path} within {STARTS_WITHIN:?}", self.who.name());
            tokio::time::sleep(POLL).await;
        }
    }

    /// An administrator's.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A connection of its own, as administrator.
    pub async fn client(&self) -> Result<Client> {
        Client::from_kubeconfig(&self.kubeconfig).await
    }

    pub async fn clients(&self, count: usize) -> Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(self.client().await?);
        }
        Ok(clients)
    }

    /// CPU seconds of all its processes since they started.
    pub fn cpu_seconds(&self) -> Result<f64> {
        self.pids().into_iter().map(process::cpu_seconds).sum()
    }

    /// Memory of all its processes.
    pub fn pss_bytes(&self) -> Result<f64> {
        self.pids().into_iter().map(process::pss_bytes).sum()
    }

    /// What `work` takes of the wall clock and of this server.
    pub async fn measure<T>(&self, work: impl Future<Output = Result<T>>) -> Result<(T, Used)> {
        let own = || process::cpu_seconds(std::process::id());
        let (begun, before, own_before) = (Instant::now(), self.cpu_seconds()?, own()?);
        let outcome = work.await?;
        let used = Used {
            wall_seconds: begun.elapsed().as_secs_f64(),
            cpu_seconds: self.cpu_seconds()? - before,
            client_cpu_seconds: own()? - own_before,
        };
        Ok((outcome, used))
    }

    pub fn pids(&self) -> Vec<u32> {
        match &self.runs {
            Runs::Program(program) => vec![program.pid()],
            Runs::Upstream(whole) => {
                let upstream = &whole.0;
                ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
                    .into_iter()
                    .filter_map(|p| upstream.pid(p))
                    .collect()
            }
        }
    }
}

// === impl Used ===

impl Used {
    pub fn per_second(self, count: u64) -> f64 {
        count as f64 / self.wall_seconds
    }

    /// CPU seconds of the server per 1,000 operations.
    pub fn cpu_per_thousand(self, count: u64) -> f64 {
        self.cpu_seconds * 1000.0 / count as f64
    }

    /// How much of the CPU that both took went into making the load, in per cent: not a number when nobody took any.
    pub fn load_percent(self) -> f64 {
        100.0 * self.client_cpu_seconds / (self.client_cpu_seconds + self.cpu_seconds)
    }
}

fn controllers(parts: Parts) -> Option<String> {
    match parts {
        Parts::Server => None,
        Parts::Controllers | Parts::Whole | Parts::Crowd(_) => Some(CONTROLLERS.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_generator_has_its_share_of_what_both_took() {
        let used = Used { wall_seconds: 2.0, cpu_seconds: 3.0, client_cpu_seconds: 1.0 };
        assert_eq!((used.load_percent(), used.per_second(4), used.cpu_per_thousand(1_500)), (25.0, 2.0, 2.0));
    }
}
