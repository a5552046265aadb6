//! A cluster of a test's own, in the test's process: the API server on a port of loopback, with all objects in memory.
//!
//! ```no_run
//! let cluster = skiff_test::Cluster::start()?;
//! // kube::Config::from_custom_kubeconfig(serde_yaml::from_str(cluster.kubeconfig())?, &Default::default())
//! // or a program with KUBECONFIG=cluster.kubeconfig_path()
//! # Ok::<(), skiff_test::Error>(())
//! ```
//!
//! A server has threads of its own, so that a test may be asynchronous or not, and blocks nobody by what it does meanwhile.
//! Each test can have one: nothing is shared, and dropping it takes everything along. Certificates and the kubeconfig lie in a
//! temporary directory; the administrator's rights are in the kubeconfig.

use std::{
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::mpsc,
    thread::JoinHandle,
};

use clap::Parser as _;
use skiff::{
    apiserver,
    flags::{Command, Kept, Skiff, Told},
    parts::Beside,
};
use tempfile::TempDir;
use tokio::{
    runtime::{self, Runtime},
    sync::oneshot,
};

/// A cluster that runs; dropping it ends it.
pub struct Cluster {
    kubeconfig: String,
    url: String,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a cluster is to have beside an API server.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    controllers: Option<Vec<String>>,
    scheduler: bool,
    flags: Vec<String>,
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gave no port, directory or thread.
    #[error("{what}: {source}")]
    System { what: &'static str, source: io::Error },
    /// A flag is none, or has a value that it cannot have; the server's own words.
    #[error("{0}")]
    Flags(String),
    /// The server did not start; its own words.
    #[error("{0}")]
    Server(String),
}

// === impl Cluster ===

impl Cluster {
    /// Starts an API server alone: what envtest has. It answers when this returns.
    pub fn start() -> Result<Cluster, Error> {
        Cluster::builder().start()
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A kubeconfig of the administrator, as YAML.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// The same as a file, which goes with the cluster.
    pub fn kubeconfig_path(&self) -> PathBuf {
        kubeconfig_in(self.directory.path())
    }

    /// `https://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has panicked, or is done; either way there is nothing left to end.
            let _ = thread.join();
        }
    }
}

// === impl Builder ===

impl Builder {
    /// With all controllers.
    pub fn controllers(self) -> Builder {
        self.only_controllers(["*"])
    }

    /// With these controllers, in the words of kube-controller-manager's `--controllers`: names, `*`, `-name`.
    pub fn only_controllers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Builder {
        self.controllers = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// With a scheduler.
    pub fn scheduler(mut self) -> Builder {
        self.scheduler = true;
        self
    }

    /// With a flag of kube-apiserver: `--feature-gates=A=true`. Of one that is given twice the last counts.
    pub fn flag(mut self, flag: impl Into<String>) -> Builder {
        self.flags.push(flag.into());
        self
    }

    /// Starts it. It answers when this returns.
    pub fn start(self) -> Result<Cluster, Error> {
        let system = |what| move |source| Error::System { what, source };
        let directory = tempfile::tempdir().map_err(system("a temporary directory"))?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(system("a port of loopback"))?;
        listener.set_nonblocking(true).map_err(system("a port of loopback"))?;
        let port = listener.local_addr().map_err(system("a port of loopback"))?.port();
        let planned = self.plan(directory.path(), port)?;
        // Deep objects are walked by recursion, within the codec's bound on depth.
        let runtime = runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build();
        let runtime = runtime.map_err(system("threads"))?;
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("skiff-test".into())
            .spawn(move || run(&runtime, planned, listener, &ready, stopped))
            .map_err(system("a thread"))?;
        let mut cluster = Cluster {
            kubeconfig: String::new(),
            url: format!("https://127.0.0.1:{port}"),
            directory,
            stop: Some(stop),
            thread: Some(thread),
        };
        started.recv().map_err(|_| Error::Server("the server panicked".into()))?.map_err(Error::Server)?;
        cluster.kubeconfig = fs::read_to_string(cluster.kubeconfig_path()).map_err(system("the kubeconfig"))?;
        Ok(cluster)
    }

    /// Everything that is decided before anything starts.
    fn plan(&self, directory: &Path, port: u16) -> Result<Planned, Error> {
        let data = directory.to_str().ok_or_else(|| Error::Flags("the temporary directory has to be UTF-8".into()))?;
        let mut arguments =
            ["skiff", "apiserver", "--bind-address=127.0.0.1", "--authorization-mode=RBAC"].map(str::to_owned).to_vec();
        if self.controllers.is_none() {
            // Nobody makes service accounts, and without one no pod would be let in.
            arguments.push("--disable-admission-plugins=ServiceAccount".into());
        }
        arguments.extend(self.flags.iter().cloned());
        arguments.extend([format!("--data-dir={data}"), format!("--secure-port={port}")]);
        let Command::Apiserver(mut server) = parse(&arguments)? else { return Err(not_understood()) };
        server.kept = Some(Kept::InMemory);
        let mut beside = Beside::default();
        if let Some(names) = &self.controllers {
            let words = ["skiff".to_owned(), "controllers".to_owned(), format!("--controllers={}", names.join(","))];
            let Command::Controllers(controllers) = parse(&words)? else { return Err(not_understood()) };
            beside.controllers = Some(controllers);
        }
        if self.scheduler {
            let Command::Scheduler(scheduler) = parse(&["skiff".to_owned(), "scheduler".to_owned()])? else {
                return Err(not_understood());
            };
            beside.scheduler = Some(scheduler);
        }
        Ok(Planned { server, told: Told::of(arguments), beside })
    }
}

/// What is to run.
struct Planned {
    server: Box<skiff::flags::Apiserver>,
    told: Told,
    beside: Beside,
}

fn parse(arguments: &[String]) -> Result<Command, Error> {
    Skiff::try_parse_from(arguments).map(|parsed| parsed.command).map_err(|error| {
        let words = skiff::flags::go::words(&error, "skiff apiserver");
        Error::Flags(words.unwrap_or_else(|| error.to_string()))
    })
}

fn not_understood() -> Error {
    Error::Flags("another command was read".into())
}

/// The life of the server, from start to end.
fn run(
    runtime: &Runtime,
    planned: Planned,
    listener: TcpListener,
    ready: &mpsc::SyncSender<Result<(), String>>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        let Planned { server, told, beside } = planned;
        let started = async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            apiserver::start(*server, told, beside, Some(listener)).await
        };
        let mut running = match started.await {
            Ok(running) => running,
            Err(error) => return drop(ready.send(Err(format!("{error:#}")))),
        };
        // Whoever waits for this may have gone; then `stopped` says so at once.
        let _ = ready.send(Ok(()));
        tokio::select! {
            _ = stopped => drop(running.stop().await),
            _ = running.ended() => {}
        }
    });
}

fn kubeconfig_in(directory: &Path) -> PathBuf {
    directory.join("admin.kubeconfig")
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn flags_are_refused_in_the_servers_words() {
        let refused = |flag: &str| Cluster::builder().flag(flag).start().err().map(|error| error.to_string());
        assert_eq!(refused("--nosuch"), Some("unknown flag: --nosuch".into()));
        assert_eq!(refused("--request-timeout=-1s"), Some("--request-timeout can not be negative value".into()));
    }

    #[test]
    fn nothing_is_left_of_a_cluster() -> Result<(), Error> {
        let cluster = Cluster::start()?;
        let (kubeconfig, url) = (cluster.kubeconfig_path(), cluster.url().to_owned());
        assert!(cluster.kubeconfig().contains(&format!("server: {url}")), "{}", cluster.kubeconfig());
        let address = url.trim_start_matches("https://");
        assert!(TcpStream::connect(address).is_ok(), "it listens");
        drop(cluster);
        assert!(TcpStream::connect(address).is_err(), "it listens no more");
        assert!(!kubeconfig.exists(), "its directory is gone");
        Ok(())
    }
}
