//! A runtime whose containers are nowhere: for nodes that are simulated by the thousand, and for tests.
//!
//! Nothing happens by itself: what a container is follows from when it was started and the time that is handed in. What
//! it does is said by its command: `exit CODE SECONDS` ends so after so long, `ignore SECONDS` runs, and takes so long to
//! end when it is asked to; anything else runs until it is asked to end, and ends at once.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use api::time::Clock;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::{
    Condition, Container, ContainerSpec, ContainerStats, ContainerStatus, Credentials, Error, FilesystemUsage, Health,
    Image, ImageSpec, Namespace, Output, Resources, Runtime, Sandbox, SandboxSpec, SandboxStats, SandboxStatus, State,
    Streams, Version,
};

/// How a process ends that was killed, or asked to end.
const KILLED: i32 = 137;
const ASKED: i32 = 143;

/// The runtime.
pub struct Fake {
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    addresses: Addresses,
}

/// Addresses of pods, of which those that share this have none twice.
#[derive(Clone)]
pub struct Addresses {
    first: Ipv4Addr,
    given: Arc<AtomicU32>,
}

/// As many as a network of ten bits has.
const ADDRESSES: u32 = 1 << 22;

#[derive(Default)]
struct Held {
    made: u32,
    sandboxes: BTreeMap<String, SandboxStatus>,
    containers: BTreeMap<String, Made>,
    /// Everything that was asked to change something, where anybody wants to know.
    log: Option<Vec<String>>,
    down: bool,
}

struct Made {
    status: ContainerStatus,
    does: Does,
    /// When it ends, and how, as far as that is known.
    ends: Option<(Timestamp, i32)>,
}

/// What a container's process does.
#[derive(Clone, Copy, Default)]
struct Does {
    exits: Option<(i32, i64)>,
    ignores_seconds: i64,
}

// === impl Addresses ===

impl Addresses {
    pub fn from(first: Ipv4Addr) -> Addresses {
        Addresses { first, given: Arc::default() }
    }

    fn next(&self) -> String {
        let number = self.given.fetch_add(1, Ordering::Relaxed) % ADDRESSES + 1;
        Ipv4Addr::from_bits(self.first.to_bits().wrapping_add(number)).to_string()
    }
}

// === impl Fake ===

impl Fake {
    /// One that remembers what was done.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Fake> {
        let addresses = Addresses::from(Ipv4Addr::new(10, 0, 0, 0));
        let held = Held { log: Some(Vec::new()), ..Held::default() };
        Arc::new(Fake { clock, held: Mutex::new(held), addresses })
    }

    /// One among others, which runs for good.
    pub fn among(clock: Arc<dyn Clock>, addresses: Addresses) -> Arc<Fake> {
        Arc::new(Fake { clock, held: Mutex::default(), addresses })
    }

    /// What was asked of it since the last call: `run p 0`, `start p/a 0`, `stop p/a 0 30s`, …
    pub fn log(&self) -> Vec<String> {
        self.held.lock().log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Answers nothing, or again.
    pub fn set_down(&self, down: bool) {
        self.held.lock().down = down;
    }

    /// Ends a sandbox as if its process had died.
    pub fn lose_sandboxes(&self) {
        let mut held = self.held.lock();
        held.sandboxes.values_mut().for_each(|s| s.sandbox.ready = false);
    }

    fn held(&self) -> Result<parking_lot::MutexGuard<'_, Held>, Error> {
        let mut held = self.held.lock();
        if held.down {
            return Err(Error::Unavailable("the runtime is down".into()));
        }
        held.settle(self.clock.now());
        Ok(held)
    }
}

impl Held {
    fn id(&mut self, word: &str) -> String {
        self.made += 1;
        format!("{word}{}", self.made)
    }

    /// Ends what has ended by now.
    fn settle(&mut self, now: Timestamp) {
        for made in self.containers.values_mut() {
            let Some((at, code)) = made.ends.filter(|(at, _)| *at <= now) else { continue };
            if made.status.container.state == State::Running {
                made.status.container.state = State::Exited;
                made.status.finished_at = Some(at);
                made.status.exit_code = code;
                made.status.reason = if code == 0 { "Completed" } else { "Error" }.into();
            }
        }
    }

    fn container(&mut self, id: &str) -> Result<&mut Made, Error> {
        self.containers.get_mut(id).ok_or_else(|| Error::NotFound(format!("container {id}")))
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(what());
        }
    }

    /// `p/a 0`: of which pod, which container, which attempt.
    fn name(&self, id: &str) -> String {
        let Some(made) = self.containers.get(id) else { return id.into() };
        let container = &made.status.container;
        let pod = self.sandboxes.get(&container.sandbox_id).map_or("", |s| s.sandbox.pod.name.as_str());
        format!("{pod}/{} {}", container.name, container.attempt)
    }
}

fn does(spec: &ContainerSpec) -> Does {
    let words: Vec<&str> = spec.command.iter().chain(&spec.args).map(String::as_str).collect();
    match words.as_slice() {
        ["exit", code, seconds, ..] => Does { exits: code.parse().ok().zip(seconds.parse().ok()), ..Does::default() },
        ["ignore", seconds, ..] => Does { ignores_seconds: seconds.parse().unwrap_or(0), ..Does::default() },
        _ => Does::default(),
    }
}

fn later(from: Timestamp, seconds: i64) -> Timestamp {
    from.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(from)
}

#[async_trait]
impl Runtime for Fake {
    async fn version(&self) -> Result<Version, Error> {
        drop(self.held()?);
        Ok(Version { name: "fake".into(), version: "1.0.0".into(), api: "v1".into() })
    }

    async fn health(&self) -> Result<Health, Error> {
        drop(self.held()?);
        let condition = |kind: &str| Condition { kind: kind.into(), status: true, ..Condition::default() };
        Ok(Health { conditions: vec![condition("RuntimeReady"), condition("NetworkReady")], ..Health::default() })
    }

    async fn set_pod_cidr(&self, _cidr: &str) -> Result<(), Error> {
        self.held().map(|_| ())
    }

    async fn run_sandbox(&self, spec: &SandboxSpec) -> Result<String, Error> {
        let now = self.clock.now();
        let mut held = self.held()?;
        let id = held.id("sandbox");
        held.say(|| format!("run {} {}", spec.pod.name, spec.attempt));
        let on_host = spec.security.namespaces.network == Namespace::Node;
        let status = SandboxStatus {
            sandbox: Sandbox {
                id: id.clone(),
                pod: spec.pod.clone(),
                attempt: spec.attempt,
                ready: true,
                created_at: now,
                labels: spec.labels.clone(),
                annotations: spec.annotations.clone(),
                handler: spec.handler.clone(),
            },
            ips: if on_host { vec![] } else { vec![self.addresses.next()] },
            network: spec.security.namespaces.network.clone(),
        };
        held.sandboxes.insert(id.clone(), status);
        Ok(id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<(), Error> {
        let now = self.clock.now();
        let mut held = self.held()?;
        let Some(sandbox) = held.sandboxes.get_mut(id).filter(|s| s.sandbox.ready) else { return Ok(()) };
        sandbox.sandbox.ready = false;
        let name = sandbox.sandbox.pod.name.clone();
        held.say(|| format!("stop {name}"));
        for made in held.containers.values_mut().filter(|m| m.status.container.sandbox_id == id) {
            if made.status.container.state == State::Running {
                made.ends = Some((now, KILLED));
            }
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<(), Error> {
        let mut held = self.held()?;
        if let Some(sandbox) = held.sandboxes.remove(id) {
            held.say(|| format!("remove {}", sandbox.sandbox.pod.name));
        }
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>, Error> {
        Ok(self.held()?.sandboxes.values().map(|s| s.sandbox.clone()).collect())
    }

    async fn sandbox(&self, id: &str) -> Result<SandboxStatus, Error> {
        self.held()?.sandboxes.get(id).cloned().ok_or_else(|| Error::NotFound(format!("sandbox {id}")))
    }

    async fn create_container(
        &self,
        sandbox_id: &str,
        spec: &ContainerSpec,
        _sandbox: &SandboxSpec,
    ) -> Result<String, Error> {
        let now = self.clock.now();
        let mut held = self.held()?;
        let id = held.id("container");
        let image = if spec.image.user_specified.is_empty() { &spec.image.image } else { &spec.image.user_specified };
        let container = Container {
            id: id.clone(),
            sandbox_id: sandbox_id.into(),
            name: spec.name.clone(),
            attempt: spec.attempt,
            image: ImageSpec { image: image.clone(), ..ImageSpec::default() },
            image_ref: image.clone(),
            image_id: image.clone(),
            state: State::Created,
            created_at: now,
            labels: spec.labels.clone(),
            annotations: spec.annotations.clone(),
        };
        let status = ContainerStatus {
            container,
            started_at: None,
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            log_path: String::new(),
            mounts: vec![],
            resources: None,
            user: None,
            stop_signal: String::new(),
        };
        held.containers.insert(id.clone(), Made { status, does: does(spec), ends: None });
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<(), Error> {
        let now = self.clock.now();
        let mut held = self.held()?;
        let name = held.name(id);
        let made = held.container(id)?;
        made.status.container.state = State::Running;
        made.status.started_at = Some(now);
        made.ends = made.does.exits.map(|(code, seconds)| (later(now, seconds), code));
        held.say(|| format!("start {name}"));
        Ok(())
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Error> {
        let now = self.clock.now();
        let ends = {
            let mut held = self.held()?;
            let name = held.name(id);
            let Some(made) = held.containers.get_mut(id) else { return Ok(()) };
            if made.status.container.state != State::Running {
                return Ok(());
            }
            let grace_seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
            let ignores = made.does.ignores_seconds;
            let (after, code) = if ignores > grace_seconds { (grace_seconds, KILLED) } else { (ignores, ASKED) };
            let ends = later(now, after);
            if made.ends.is_none_or(|(at, _)| at > ends) {
                made.ends = Some((ends, code));
            }
            held.say(|| format!("stop {name} {}s", grace.as_secs()));
            ends
        };
        let wait = ends.duration_since(now).unsigned_abs();
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<(), Error> {
        self.held()?.containers.remove(id);
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<Container>, Error> {
        Ok(self.held()?.containers.values().map(|m| m.status.container.clone()).collect())
    }

    async fn container(&self, id: &str) -> Result<ContainerStatus, Error> {
        Ok(self.held()?.container(id)?.status.clone())
    }

    async fn update_resources(&self, id: &str, resources: &Resources) -> Result<(), Error> {
        self.held()?.container(id)?.status.resources = Some(resources.clone());
        Ok(())
    }

    async fn reopen_log(&self, _id: &str) -> Result<(), Error> {
        self.held().map(|_| ())
    }

    async fn exec_sync(&self, _id: &str, _command: &[String], _timeout: Duration) -> Result<Output, Error> {
        self.held().map(|_| Output::default())
    }

    async fn exec(&self, _id: &str, _command: &[String], _streams: Streams) -> Result<String, Error> {
        Err(Error::Unsupported("exec".into()))
    }

    async fn attach(&self, _id: &str, _streams: Streams) -> Result<String, Error> {
        Err(Error::Unsupported("attach".into()))
    }

    async fn port_forward(&self, _sandbox_id: &str, _ports: &[u16]) -> Result<String, Error> {
        Err(Error::Unsupported("port forward".into()))
    }

    async fn images(&self) -> Result<Vec<Image>, Error> {
        self.held().map(|_| vec![])
    }

    async fn image(&self, image: &ImageSpec) -> Result<Option<Image>, Error> {
        self.held().map(|_| Some(Image { id: image.image.clone(), ..Image::default() }))
    }

    async fn pull_image(
        &self,
        image: &ImageSpec,
        _credentials: Option<&Credentials>,
        _sandbox: &SandboxSpec,
    ) -> Result<String, Error> {
        self.held().map(|_| image.image.clone())
    }

    async fn remove_image(&self, _image: &ImageSpec) -> Result<(), Error> {
        self.held().map(|_| ())
    }

    async fn image_filesystem(&self) -> Result<Option<FilesystemUsage>, Error> {
        self.held().map(|_| None)
    }

    async fn container_stats(&self) -> Result<Vec<ContainerStats>, Error> {
        self.held().map(|_| vec![])
    }

    async fn sandbox_stats(&self) -> Result<Vec<SandboxStats>, Error> {
        self.held().map(|_| vec![])
    }
}
