//! What the node's paths lead to.

use std::{io, path::Path, sync::Arc, time::Duration};

use api::{Value, value};
use async_trait::async_trait;
use bytes::Bytes;
use jiff::SignedDuration;
use streaming::{
    node::{Backend, Failure, LogOptions, Metrics, NodeApi, Pod},
    remote::Streams,
};
use tokio::sync::mpsc;

use super::{Pods, Serving, logs, stats};
use crate::{
    pods::{
        ground::Ground,
        observe::{Observed, Seen},
    },
    runtime::{self, Error, State},
};

/// A command that `/run` runs takes no longer than this. Upstream: `--runtime-request-timeout`.
const RUN: Duration = Duration::from_secs(120);
/// So many pieces of a log wait for a client.
const PIECES_MAX: usize = 16;

pub struct Answers {
    pub ground: Arc<Ground>,
    pub pods: Arc<dyn Pods>,
    pub serving: Serving,
}

/// Whether a container still runs.
struct Running {
    runtime: runtime::Shared,
    id: String,
}

#[async_trait]
impl logs::Writer for Running {
    async fn is_running(&self) -> bool {
        match self.runtime.container(&self.id).await {
            Ok(status) => matches!(status.container.state, State::Running | State::Created),
            // Who does not answer may still write.
            Err(error) => !matches!(error, Error::NotFound(_)),
        }
    }
}

/// Upstream: syncLoopHealthCheck, minSyncLoopHealthCheckInterval.
const ALIVE_WITHIN: SignedDuration = SignedDuration::from_mins(2);

impl Answers {
    /// What is wrong with the loop that hands work to pods.
    fn sync_loop(&self) -> Option<String> {
        let within = (self.ground.configuration.rhythm.sync * 2).max(ALIVE_WITHIN);
        let alive_at = (*self.ground.alive_at.read())?;
        let late = self.ground.clock.now().duration_since(alive_at) > within;
        late.then(|| "sync Loop took longer than expected".into())
    }

    async fn observed(&self, pod: &Pod) -> Result<Observed, String> {
        self.ground.eyes.look(&pod.uid).await.map_err(|error| error.to_string())
    }

    /// The running container of a name.
    async fn running(&self, pod: &Pod, name: &str) -> Result<String, Failure> {
        let observed = self.observed(pod).await.map_err(Failure::internal)?;
        let found = observed.containers.iter().find(|c| c.name == name && c.state == State::Running);
        found.map(|c| c.id.clone()).ok_or_else(|| Failure::internal(format!("container not found ({name:?})")))
    }

    /// Why a container has no log yet. Upstream: `validateContainerLogStatus`.
    fn no_log(&self, pod: &Pod, name: &str) -> String {
        let known = self.pods.get(&pod.namespace, &pod.name);
        let which = format!("container {name:?} in pod {:?}", pod.name);
        let status = known.as_ref().map(|known| known.at("status"));
        let of = |list| status.and_then(|s| s.list(list).iter().find(|c| c.str("name") == name));
        let found =
            ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"].into_iter().find_map(of);
        let Some(found) = found else { return format!("{which} is not available") };
        match found.at_path(&["state", "waiting"]).str("reason") {
            "" => format!("{which} is waiting to start - no logs yet"),
            "ErrImagePull" => format!("{which} is waiting to start: image can't be pulled"),
            "ImagePullBackOff" => format!("{which} is waiting to start: trying and failing to pull image"),
            reason => format!("{which} is waiting to start: {reason}"),
        }
    }

    async fn snapshot(&self) -> Result<stats::Snapshot, String> {
        let runtime = &self.ground.runtime;
        let sandboxes = runtime.sandbox_stats().await.map_err(|error| error.to_string())?;
        let started = |pod: &crate::runtime::PodName| {
            self.pods.get(&pod.namespace, &pod.name).map(|p| p.at("status").str("startTime").to_owned())
        };
        let starts = sandboxes.iter().map(|s| started(&s.pod).unwrap_or_default()).collect();
        let containers = runtime.containers().await.map_err(|error| error.to_string())?;
        let created = containers.into_iter().map(|c| (c.id, c.created_at)).collect();
        let images = runtime.image_filesystem().await.ok().flatten();
        Ok(stats::Snapshot {
            node: self.ground.settings.node_name.clone(),
            now: self.ground.clock.now(),
            machine: stats::Machine::read(&self.ground.settings.root),
            sandboxes,
            starts,
            created,
            images,
        })
    }
}

#[async_trait]
impl NodeApi for Answers {
    fn pods(&self) -> Bytes {
        let items: Vec<Value> = self.pods.all().iter().map(|pod| Value::clone(pod)).collect();
        list(items)
    }

    async fn running_pods(&self) -> Result<Bytes, String> {
        self.ground.eyes.refresh().await.map_err(|error| error.to_string())?;
        let views = self.ground.eyes.all();
        let running = views.iter().filter(|view| view.containers.iter().any(|c| c.state == State::Running));
        let items = running.map(|view| {
            let containers: Vec<Value> = view
                .containers
                .iter()
                .filter(|c| c.state == State::Running)
                .map(|c| value!({"name": (c.name.as_str()), "image": (c.image_ref.as_str()), "resources": {}}))
                .collect();
            value!({
                "metadata": {
                    "name": (view.pod.name.as_str()), "namespace": (view.pod.namespace.as_str()),
                    "uid": (view.pod.uid.as_str())
                },
                "spec": {"containers": containers},
                "status": {}
            })
        });
        Ok(list(items.collect()))
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<Pod> {
        let pod = self.pods.get(namespace, name)?;
        let spec = pod.at("spec");
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        let containers = lists.into_iter().flat_map(|list| spec.list(list)).map(|c| c.str("name").to_owned());
        Some(Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: pod.at("metadata").str("uid").to_owned(),
            containers: containers.collect(),
        })
    }

    async fn logs(
        &self,
        pod: &Pod,
        container: &str,
        options: &LogOptions,
    ) -> Result<mpsc::Receiver<io::Result<Bytes>>, String> {
        let observed = self.observed(pod).await?;
        let mut all = observed.containers.iter().filter(|c| c.name == container);
        let found: Option<&Seen> = if options.previous { all.nth(1) } else { all.next() };
        let Some(found) = found else {
            return Err(match options.previous {
                true => format!("previous terminated container {container:?} in pod {:?} not found", pod.name),
                false => self.no_log(pod, container),
            });
        };
        let status = self.ground.runtime.container(&found.id).await.map_err(|error| error.to_string())?;
        if status.log_path.is_empty() {
            return Err(self.no_log(pod, container));
        }
        let now = self.ground.clock.now();
        let since = match (options.since_seconds, options.since_time.as_deref()) {
            (Some(seconds), _) => now.checked_sub(SignedDuration::from_secs(seconds)).ok(),
            (None, Some(time)) => api::time::parse(time),
            (None, None) => None,
        };
        let wanted = logs::Wanted {
            follow: options.follow,
            timestamps: options.timestamps,
            since,
            tail_lines: options.tail_lines.and_then(|lines| u64::try_from(lines).ok()),
            limit_bytes: options.limit_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        };
        let (to, pieces) = mpsc::channel(PIECES_MAX);
        let writer = Running { runtime: self.ground.runtime.clone(), id: found.id.clone() };
        tokio::spawn(async move { logs::read(status.log_path.into(), wanted, &writer, to).await });
        Ok(pieces)
    }

    async fn exec(&self, pod: &Pod, container: &str, command: &[String], streams: Streams) -> Result<Backend, Failure> {
        let id = self.running(pod, container).await?;
        Backend::at(&self.ground.runtime.exec(&id, command, wanted(streams)).await.map_err(failure)?).await
    }

    async fn attach(&self, pod: &Pod, container: &str, streams: Streams) -> Result<Backend, Failure> {
        let id = self.running(pod, container).await?;
        Backend::at(&self.ground.runtime.attach(&id, wanted(streams)).await.map_err(failure)?).await
    }

    async fn port_forward(&self, pod: &Pod, ports: &[u16]) -> Result<Backend, Failure> {
        let observed = self.observed(pod).await.map_err(Failure::internal)?;
        let sandbox = observed.active().map(|status| status.sandbox.id.clone());
        let sandbox = sandbox.ok_or_else(|| Failure::internal(format!("pod not found ({:?})", pod.name)))?;
        Backend::at(&self.ground.runtime.port_forward(&sandbox, ports).await.map_err(failure)?).await
    }

    async fn run(&self, pod: &Pod, container: &str, command: &[String]) -> Result<Bytes, String> {
        let id = self.running(pod, container).await.map_err(|failure| failure.text)?;
        let done = self.ground.runtime.exec_sync(&id, command, RUN).await.map_err(|error| error.to_string())?;
        let mut said = done.stdout;
        said.extend_from_slice(&done.stderr);
        match done.exit_code {
            0 => Ok(said.into()),
            code => Err(format!("command terminated with exit code {code}: {}", String::from_utf8_lossy(&said))),
        }
    }

    async fn stats(&self, only_cpu_and_memory: bool) -> Result<Bytes, String> {
        let summary = self.snapshot().await?.summary(only_cpu_and_memory);
        Ok(codec::json::to_string(&summary).into())
    }

    async fn metrics(&self, which: Metrics) -> Result<String, String> {
        Ok(match which {
            Metrics::Own => {
                let views = self.ground.eyes.all();
                let certificates = self.serving.tally.page(self.ground.clock.now().as_second());
                stats::own(&self.ground.settings.node_name, &views) + &certificates
            }
            Metrics::Resource => self.snapshot().await?.resource_metrics(),
            Metrics::Cadvisor => self.snapshot().await?.cadvisor_metrics(),
            Metrics::Probes => self.ground.means.as_ref().map_or_else(String::new, |means| means.prober.page()),
        })
    }

    fn configz(&self) -> Bytes {
        codec::json::to_string(&self.ground.configuration.effective).into()
    }

    fn checks(&self) -> Vec<(&'static str, Option<String>)> {
        vec![("syncloop", self.sync_loop())]
    }

    fn system_logs(&self) -> Option<&Path> {
        self.serving.system_logs.as_deref()
    }
}

fn list(items: Vec<Value>) -> Bytes {
    codec::json::to_string(&value!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})).into()
}

fn wanted(streams: Streams) -> runtime::Streams {
    let Streams { stdin, stdout, stderr, tty } = streams;
    runtime::Streams { stdin, stdout, stderr, tty }
}

/// What a runtime's error is to a client. Upstream: cri-streaming errors.go WriteError.
fn failure(error: Error) -> Failure {
    let code = match &error {
        Error::NotFound(_) => http::StatusCode::NOT_FOUND,
        Error::Refused { code: "ResourceExhausted", .. } => http::StatusCode::TOO_MANY_REQUESTS,
        _ => http::StatusCode::INTERNAL_SERVER_ERROR,
    };
    Failure { code, text: error.to_string() }
}
