//! Upstream's control plane on loopback ports: etcd and kube-apiserver, and on demand the controller manager and the
//! scheduler.
//!
//! Programs come from `cargo xtask reference`. One directory holds all that a running control plane needs: keys, data,
//! logs, `admin.kubeconfig`. Whoever starts one again on the same directory goes on with its data.
//!
//! Three traps: the API server refuses a loopback `--advertise-address`, so it gets one that is set aside for
//! documentation and that nobody calls; it listens before it is ready, so being ready means that `/readyz` said so;
//! and it needs three ports of etcd's and its own that are free at once ([`Ports::free`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use keys::Keys;

use crate::{bound::bound, ports};

mod keys;

/// What to start, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Upstream's programs.
    pub programs: PathBuf,
    /// Where this control plane keeps everything.
    pub directory: PathBuf,
    pub ports: Ports,
    /// An etcd that runs already, instead of one of our own: `http://127.0.0.1:2379`.
    pub etcd: Option<String>,
    /// Whether etcd syncs to disk. Measurements need it; a comparison of answers does not, and is faster without.
    pub durable: bool,
    /// More flags for kube-apiserver; of one that is given twice the last counts.
    pub server_flags: Vec<String>,
    /// kube-controller-manager with this value of `--controllers`.
    pub controllers: Option<String>,
    pub scheduler: bool,
    /// The processes go on when this program has ended.
    pub outlives: bool,
}

/// Ports on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub server: u16,
    pub etcd: u16,
    pub etcd_peer: u16,
    pub controllers: u16,
    pub scheduler: u16,
}

/// A control plane that runs. Dropping it stops its processes and keeps its directory.
#[derive(Debug)]
pub struct Upstream {
    /// `https://127.0.0.1:PORT`
    pub url: String,
    pub etcd_url: String,
    pub kubeconfig: PathBuf,
    /// PEM: the authority of the server's certificate and of every client's.
    pub authority: String,
    /// PEM: a certificate of `system:masters`, and its key.
    pub admin_certificate: String,
    pub admin_key: String,
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

pub const SERVICE_RANGE: &str = "10.96.0.0/16";
/// Of TEST-NET-1: it belongs to nobody, and nobody calls it.
const ADVERTISED: &str = "192.0.2.1";
/// A cold start takes 4 to 6 s on an idle machine of two cores, several times that on a busy one.
const START_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// Where `cargo xtask reference` puts upstream's programs, unless `SKIFF_REFERENCE_BIN` names another place.
#[expect(clippy::disallowed_methods, reason = "where others' programs are no configuration of ours can say")]
pub fn programs() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || set("HOME").unwrap_or_default().join(".cache");
    let built = || set("XDG_CACHE_HOME").unwrap_or_else(home).join("skiff/reference/bin");
    set("SKIFF_REFERENCE_BIN").unwrap_or_else(built)
}

// === impl Settings ===

impl Settings {
    /// etcd and kube-apiserver with upstream's defaults, on free ports, as fast as can be.
    pub fn new(directory: &Path) -> Result<Settings> {
        Ok(Settings {
            programs: programs(),
            directory: directory.to_owned(),
            ports: Ports::free()?,
            etcd: None,
            durable: false,
            server_flags: Vec::new(),
            controllers: None,
            scheduler: false,
            outlives: false,
        })
    }

    /// Makes the keys that the servers will have, unless they are there, and says where.
    pub fn lay_out_keys(&self) -> Result<PathBuf> {
        let folder = self.directory.join("keys");
        fs::create_dir_all(&self.directory)?;
        Keys::lay_out(&folder, self.ports.server)?;
        Ok(folder)
    }

    fn command(&self, program: &str) -> Result<Command> {
        let path = self.programs.join(program);
        ensure!(path.is_file(), "there is no {}: `cargo xtask reference` builds it", path.display());
        Ok(if self.outlives { Command::new(path) } else { bound(path) })
    }

    fn etcd_url(&self) -> String {
        self.etcd.clone().unwrap_or_else(|| format!("http://127.0.0.1:{}", self.ports.etcd))
    }
}

// === impl Ports ===

impl Ports {
    /// Ports that nobody else gets while this process lives.
    pub fn free() -> Result<Ports> {
        let [server, etcd, etcd_peer, controllers, scheduler] = [(); 5].map(|()| ports::on_loopback());
        let (server, etcd, etcd_peer, controllers, scheduler) = (server?, etcd?, etcd_peer?, controllers?, scheduler?);
        Ok(Ports { server, etcd, etcd_peer, controllers, scheduler })
    }
}

// === impl Upstream ===

impl Upstream {
    /// Starts what the settings say and returns when `/readyz` answers.
    pub fn start(settings: &Settings) -> Result<Upstream> {
        let mut upstream = Upstream::begin(settings)?;
        upstream.wait_until_ready(settings)?;
        upstream.join(settings)?;
        Ok(upstream)
    }

    /// Starts the API server and its store, and waits for nothing.
    pub fn begin(settings: &Settings) -> Result<Upstream> {
        let Settings { directory, ports, .. } = settings;
        fs::create_dir_all(directory.join("log"))?;
        let keys = Keys::lay_out(&directory.join("keys"), ports.server)?;
        let mut upstream = Upstream {
            url: format!("https://127.0.0.1:{}", ports.server),
            etcd_url: settings.etcd_url(),
            kubeconfig: keys.path("admin.kubeconfig"),
            authority: keys.read("ca.crt")?,
            admin_certificate: keys.read("admin.crt")?,
            admin_key: keys.read("admin.key")?,
            processes: Vec::new(),
        };
        if settings.etcd.is_none() {
            upstream.launch("etcd", settings, &etcd_flags(settings))?;
        }
        upstream.launch("kube-apiserver", settings, &server_flags(settings, &keys))?;
        Ok(upstream)
    }

    /// Starts what else the settings say, which wants an API server that is ready.
    pub fn join(&mut self, settings: &Settings) -> Result<()> {
        let keys = Keys::lay_out(&settings.directory.join("keys"), settings.ports.server)?;
        if let Some(controllers) = &settings.controllers {
            let flags = controller_flags(settings, &keys, controllers);
            self.launch("kube-controller-manager", settings, &flags)?;
        }
        if settings.scheduler {
            self.launch("kube-scheduler", settings, &scheduler_flags(settings, &keys))?;
        }
        Ok(())
    }

    /// The number of a process that was started here: `etcd`, `kube-apiserver`, …
    pub fn pid(&self, program: &str) -> Option<u32> {
        self.processes.iter().find(|process| process.name == program).map(|process| process.child.id())
    }

    /// Leaves the processes running, and returns their numbers: whoever asked stops them.
    pub fn leave_running(mut self) -> Vec<u32> {
        std::mem::take(&mut self.processes).iter().map(|process| process.child.id()).collect()
    }

    fn launch(&mut self, name: &'static str, settings: &Settings, flags: &[String]) -> Result<()> {
        let log = settings.directory.join("log").join(format!("{name}.log"));
        let file = fs::File::create(&log)?;
        let mut command = settings.command(name)?;
        command
            .args(flags)
            .current_dir(&settings.directory)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        self.processes.push(Process { name, child, log });
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "another program's start can only be asked for again and again")]
    fn wait_until_ready(&mut self, settings: &Settings) -> Result<()> {
        let started = Instant::now();
        loop {
            self.processes.iter_mut().try_for_each(Process::check)?;
            let mut ask = settings.command("kubectl")?;
            ask.arg("--kubeconfig").arg(&self.kubeconfig).args(["get", "--raw=/readyz", "--request-timeout=2s"]);
            if ask.output().context("cannot start kubectl")?.stdout == b"ok" {
                return Ok(());
            }
            let logs = settings.directory.join("log");
            ensure!(started.elapsed() < START_LIMIT, "kube-apiserver is not ready; see {}", logs.display());
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // The store goes last, so that nobody writes complaints about it.
        for process in self.processes.iter_mut().rev() {
            process.stop();
        }
    }
}

// === impl Process ===

impl Process {
    fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        bail!("{} ended with {status}: {}", self.name, last.into_iter().rev().collect::<Vec<_>>().join(" | "))
    }

    /// Data survives this: etcd's log is written before it answers.
    fn stop(&mut self) {
        // Both fail only when the process is gone already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn etcd_flags(settings: &Settings) -> Vec<String> {
    let url = settings.etcd_url();
    let peer = format!("http://127.0.0.1:{}", settings.ports.etcd_peer);
    let mut flags = vec![
        "--name=upstream".to_owned(),
        format!("--data-dir={}", settings.directory.join("etcd").display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=upstream={peer}"),
    ];
    if !settings.durable {
        flags.push("--unsafe-no-fsync".to_owned());
    }
    flags
}

fn server_flags(settings: &Settings, keys: &Keys) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", keys.path(name).display());
    let mut flags = vec![
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", settings.ports.server),
        format!("--advertise-address={ADVERTISED}"),
        format!("--etcd-servers={}", settings.etcd_url()),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--allow-privileged=true".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--enable-bootstrap-token-auth=true".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        "--kubelet-preferred-address-types=InternalIP,Hostname".to_owned(),
        "--enable-aggregator-routing=true".to_owned(),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "server.crt"),
        file("tls-private-key-file", "server.key"),
        file("kubelet-client-certificate", "kubelet-client.crt"),
        file("kubelet-client-key", "kubelet-client.key"),
        file("proxy-client-cert-file", "front-proxy-client.crt"),
        file("proxy-client-key-file", "front-proxy-client.key"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        file("service-account-key-file", "service-account.pub"),
        file("service-account-signing-key-file", "service-account.key"),
    ];
    if !settings.server_flags.iter().any(|flag| flag.starts_with("--authorization-")) {
        flags.push("--authorization-mode=Node,RBAC".to_owned());
    }
    flags.extend(settings.server_flags.iter().cloned());
    flags
}

fn controller_flags(settings: &Settings, keys: &Keys, controllers: &str) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", keys.path(name).display());
    let mut flags = component_flags(settings.ports.controllers, keys, "controllers.kubeconfig");
    flags.extend([
        format!("--controllers={controllers}"),
        "--use-service-account-credentials=true".to_owned(),
        "--cluster-name=upstream".to_owned(),
        "--allocate-node-cidrs=true".to_owned(),
        "--cluster-cidr=10.244.0.0/16".to_owned(),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        file("service-account-private-key-file", "service-account.key"),
        file("root-ca-file", "ca.crt"),
        file("client-ca-file", "ca.crt"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        file("cluster-signing-cert-file", "ca.crt"),
        file("cluster-signing-key-file", "ca.key"),
    ]);
    flags
}

fn scheduler_flags(settings: &Settings, keys: &Keys) -> Vec<String> {
    component_flags(settings.ports.scheduler, keys, "scheduler.kubeconfig")
}

fn component_flags(port: u16, keys: &Keys, kubeconfig: &str) -> Vec<String> {
    let kubeconfig = keys.path(kubeconfig).display().to_string();
    let flags = ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"];
    let mut flags: Vec<String> = flags.iter().map(|flag| format!("--{flag}={kubeconfig}")).collect();
    let more = ["--bind-address=127.0.0.1", &format!("--secure-port={port}"), "--leader-elect=false"];
    flags.extend(more.map(str::to_owned));
    flags
}

#[cfg(test)]
mod tests;
