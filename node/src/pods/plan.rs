//! What is to be done about a pod, given what there is: a pure function.
//!
//! Upstream: kuberuntime_manager.go computePodActions, doBackOff; kuberuntime_container.go computeInitContainerActions.

mod init;

use std::collections::BTreeMap;

use api::Value;
use jiff::Timestamp;

use super::{
    hash,
    observe::{Observed, SandboxNeed, Seen},
    restart::{self, Backoff},
};
use crate::runtime::State;

/// Which list of the spec a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Init,
    Container,
    Ephemeral,
}

/// What its probes have found of a container. None: nothing yet, or it has no such probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    pub liveness: Option<bool>,
    pub readiness: Option<bool>,
    pub startup: Option<bool>,
}

/// Why a container is killed, which decides how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    Liveness,
    Startup,
    Other,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// End all that runs, and the sandbox.
    StopPod,
    /// Forget the init containers of an earlier sandbox: they run again.
    PurgeInit,
    KillContainer {
        id: String,
        name: String,
        message: String,
        why: Kill,
    },
    CreateSandbox {
        attempt: u32,
        replaces: bool,
    },
    Start {
        kind: Kind,
        name: String,
    },
    /// It would be started, but it fails too often.
    BackOff {
        name: String,
        until: Timestamp,
        message: String,
    },
}

/// What to do, in order, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// All is over: nothing of the pod runs or ever will.
    pub finished: bool,
    /// Look again then, when nothing happens before.
    pub again_at: Option<Timestamp>,
}

/// What is known beside the runtime.
pub struct Known<'a> {
    /// By the container's id.
    pub probed: &'a BTreeMap<String, Probed>,
    pub backoff: &'a Backoff,
    pub now: Timestamp,
}

/// What is to be done so that the pod runs.
pub fn plan(pod: &Value, observed: &Observed, known: &Known<'_>) -> Plan {
    let mut plan = match observed.sandbox_need(pod) {
        Some(need) => anew(pod, observed, &need),
        None => go_on(pod, observed, known),
    };
    back_off(pod, observed, known, &mut plan);
    plan
}

/// The pod has no sandbox, or one that is of no use.
fn anew(pod: &Value, observed: &Observed, need: &SandboxNeed) -> Plan {
    let spec = pod.at("spec");
    let stop = || Plan { steps: vec![Step::StopPod], finished: true, again_at: None };
    let never = spec.str("restartPolicy") == "Never";
    if never && need.attempt != 0 && !observed.containers.is_empty() {
        return stop();
    }
    let ran_once = |c: &&Value| {
        let policy = c.opt_str("restartPolicy").unwrap_or_else(|| spec.str("restartPolicy"));
        policy == "OnFailure" && has_succeeded(observed, c.str("name"))
    };
    let starts: Vec<&Value> = spec.list("containers").iter().filter(|c| !ran_once(c)).collect();
    if starts.is_empty() && has_regular(pod, observed) {
        return stop();
    }
    let mut steps = Vec::new();
    if !observed.sandboxes.is_empty() || observed.containers.iter().any(Seen::is_running) {
        steps.extend([Step::StopPod, Step::PurgeInit]);
    }
    steps.push(Step::CreateSandbox { attempt: need.attempt, replaces: need.old.is_some() });
    match spec.list("initContainers").first() {
        Some(first) => steps.push(start(Kind::Init, first)),
        None => steps.extend(starts.into_iter().map(|c| start(Kind::Container, c))),
    }
    Plan { steps, finished: false, again_at: None }
}

/// The pod has its sandbox.
fn go_on(pod: &Value, observed: &Observed, known: &Known<'_>) -> Plan {
    let spec = pod.at("spec");
    let mut plan = Plan::default();
    let new = |c: &&Value| observed.newest(c.str("name")).is_none();
    let ephemeral: Vec<Step> =
        spec.list("ephemeralContainers").iter().filter(new).map(|c| start(Kind::Ephemeral, c)).collect();
    let init = init::plan(pod, observed, known);
    if init.failed {
        return Plan { steps: vec![Step::StopPod], finished: true, again_at: None };
    }
    if !init.initialized {
        plan.steps.extend(init.kills);
        plan.steps.extend(ephemeral);
        plan.steps.extend(init.starts);
        return plan;
    }
    let (mut kept, mut kills, mut starts) = (0, Vec::new(), Vec::new());
    for container in spec.list("containers") {
        match verdict(container, pod, observed, known) {
            Verdict::Keep => kept += 1,
            Verdict::Leave => {}
            Verdict::Change { kill, start: again } => {
                kills.extend(kill);
                starts.extend(again.then(|| start(Kind::Container, container)));
            }
        }
    }
    if kept == 0 && starts.is_empty() {
        return Plan { steps: vec![Step::StopPod], finished: true, again_at: None };
    }
    plan.steps.extend(init.kills.into_iter().chain(kills).chain(ephemeral).chain(init.starts).chain(starts));
    plan
}

enum Verdict {
    Keep,
    /// It has ended, and stays so.
    Leave,
    Change {
        kill: Option<Step>,
        start: bool,
    },
}

fn verdict(container: &Value, pod: &Value, observed: &Observed, known: &Known<'_>) -> Verdict {
    let name = container.str("name");
    let seen = match observed.newest(name) {
        Some(seen) if seen.is_running() => seen,
        other => {
            if !restart::is_due(container, pod, observed) {
                return Verdict::Leave;
            }
            let unknown = other.filter(|seen| seen.state == State::Unknown);
            let message = "Container is in \"unknown\" state, try killing it before restart";
            return Verdict::Change { kill: unknown.map(|seen| kill(seen, message.into(), Kill::Other)), start: true };
        }
    };
    let probed = known.probed.get(&seen.id).copied().unwrap_or_default();
    let again = restart::after_kill(container, pod);
    let (message, why, again) = if hash::of(container) != seen.hash {
        (format!("Container {name} definition changed"), Kill::Other, true)
    } else if probed.liveness == Some(false) {
        (format!("Container {name} failed liveness probe"), Kill::Liveness, again)
    } else if probed.startup == Some(false) {
        (format!("Container {name} failed startup probe"), Kill::Startup, again)
    } else {
        return Verdict::Keep;
    };
    let message = if again { format!("{message}, will be restarted") } else { message };
    Verdict::Change { kill: Some(kill(seen, message, why)), start: again }
}

/// Starts that come too early become waits.
fn back_off(pod: &Value, observed: &Observed, known: &Known<'_>, plan: &mut Plan) {
    let mut again_at = plan.again_at;
    for step in &mut plan.steps {
        let Step::Start { kind, name } = step else { continue };
        let Some(container) = find(pod, *kind, name) else { continue };
        let ended = observed.containers.iter().find(|c| c.name == *name && c.state == State::Exited);
        let Some(at) = ended.and_then(|c| c.finished_at) else { continue };
        if let Some((until, wait)) = known.backoff.until(name, hash::of(container), at, known.now) {
            let message = format!(
                "back-off {} restarting failed container={name} pod={}",
                api::duration::format(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)),
                full_name(pod)
            );
            again_at = Some(again_at.map_or(until, |known| known.min(until)));
            *step = Step::BackOff { name: name.clone(), until, message };
        }
    }
    plan.again_at = again_at;
}

/// `name_namespace(uid)`, as upstream writes pods in messages. Upstream: kubelet/util/format/pod.go.
pub fn full_name(pod: &Value) -> String {
    let meta = api::meta::of(pod);
    format!("{}_{}({})", meta.name(), meta.namespace(), meta.uid())
}

/// The container of a name in a list of the spec.
pub fn find<'a>(pod: &'a Value, kind: Kind, name: &str) -> Option<&'a Value> {
    let list = match kind {
        Kind::Init => "initContainers",
        Kind::Container => "containers",
        Kind::Ephemeral => "ephemeralContainers",
    };
    pod.at("spec").list(list).iter().find(|c| c.str("name") == name)
}

/// The container of a name in whichever list.
pub fn find_any<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    [Kind::Container, Kind::Init, Kind::Ephemeral].into_iter().find_map(|kind| find(pod, kind, name))
}

fn start(kind: Kind, container: &Value) -> Step {
    Step::Start { kind, name: container.str("name").into() }
}

fn kill(seen: &Seen, message: String, why: Kill) -> Step {
    Step::KillContainer { id: seen.id.clone(), name: seen.name.clone(), message, why }
}

fn has_succeeded(observed: &Observed, name: &str) -> bool {
    observed.newest(name).is_some_and(|seen| seen.state == State::Exited && seen.exit_code == 0)
}

/// Whether a container proper was ever made, which it is only after all init containers are done.
pub fn has_regular(pod: &Value, observed: &Observed) -> bool {
    pod.at("spec").list("containers").iter().any(|c| observed.newest(c.str("name")).is_some())
}

#[cfg(test)]
mod tests;
