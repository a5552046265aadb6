//! The status of each container. Upstream: kubelet_pods.go convertToAPIContainerStatuses, prober_manager.go UpdatePodStatus.

use api::{Value, value};
use jiff::Timestamp;

use super::Facts;
use crate::{
    pods::{observe::Seen, plan, restart},
    runtime::State,
};

const LOST: &str = "ContainerStatusUnknown";

/// The statuses of the containers in one list of the spec, in upstream's order.
pub fn statuses(facts: &Facts<'_>, list: &str, old: &[Value]) -> Vec<Value> {
    let init = list == "initContainers";
    let containers = facts.pod.at("spec").list(list);
    let known = |name: &str| old.iter().find(|s| s.str("name") == name);
    let mut all: Vec<Value> = Vec::new();
    for container in containers {
        let name = container.str("name");
        let mut status = told(facts, container, known(name));
        if !(init && finished_init(facts, container, &mut status)) {
            waits(facts, container, &mut status);
        }
        probes(facts, container, init, known(name), &mut status);
        all.push(status);
    }
    if !init {
        all.sort_by(|a, b| a.str("name").cmp(b.str("name")));
    }
    all
}

/// What the runtime says, else what was said before, else that it waits.
fn told(facts: &Facts<'_>, container: &Value, old: Option<&Value>) -> Value {
    let name = container.str("name");
    let mut seen = facts.observed.containers.iter().filter(|c| c.name == name);
    let Some(newest) = seen.next() else { return unseen(facts, container, old) };
    let mut status = of_seen(facts, container, newest, old);
    match seen.next() {
        Some(before) => {
            let before = of_seen(facts, container, before, old);
            status.set("lastState", before.at("state").clone());
        }
        None => {
            // A container that was removed from the runtime has told how it ended before.
            let last = old.map(|old| match old.str("containerID") == status.str("containerID") {
                false if old.at("state").has("terminated") => old.at("state"),
                _ => old.at("lastState"),
            });
            if let Some(last) = last.filter(|l| l.has("terminated")) {
                status.set("lastState", last.clone());
            }
        }
    }
    status
}

fn reason_before(facts: &Facts<'_>) -> &'static str {
    let with_init = !facts.pod.at("spec").list("initContainers").is_empty();
    if with_init { "PodInitializing" } else { "ContainerCreating" }
}

/// The runtime has no container of that name.
fn unseen(facts: &Facts<'_>, container: &Value, old: Option<&Value>) -> Value {
    let reason = reason_before(facts);
    let mut status = value!({
        "name": container.str("name"), "state": {"waiting": {"reason": reason}}, "lastState": {}, "ready": false,
        "restartCount": 0, "image": container.str("image"), "imageID": ""
    });
    mounts(facts, container, &mut status);
    let Some(old) = old else { return status };
    if old.at("state").has("terminated") {
        return old.clone();
    }
    status.set("restartCount", old.int("restartCount"));
    status.set("lastState", old.at("lastState").clone());
    if old.at("state").has("running") && !status.at("lastState").has("terminated") {
        let message = "The container could not be located when the pod was deleted.  The container used to be Running";
        let lost = value!({"exitCode": 137, "reason": LOST, "message": message, "startedAt": null, "finishedAt": null});
        status.set_path(&["lastState", "terminated"], lost);
        if !api::meta::of(facts.pod).is_terminating() {
            status.set("restartCount", old.int("restartCount") + 1);
        }
    }
    status
}

fn of_seen(facts: &Facts<'_>, container: &Value, seen: &Seen, old: Option<&Value>) -> Value {
    let id = format!("{}://{}", facts.runtime_name, seen.id);
    let restarts = old.map_or(0, |old| old.int("restartCount")).max(seen.restart_count);
    let mut status = value!({
        "name": seen.name.as_str(), "state": state(seen, &id, old, reason_before(facts)), "lastState": {}, "ready": false,
        "restartCount": restarts, "image": seen.image.as_str(), "imageID": seen.image_ref.as_str(), "containerID": id
    });
    let resources = container.at("resources");
    if resources.has("requests") {
        status.set("allocatedResources", resources.at("requests").clone());
    }
    let has = seen.resources.as_ref().filter(|_| seen.is_running());
    status.set("resources", crate::resize::reported(container, has));
    mounts(facts, container, &mut status);
    if let Some(user) = &seen.user {
        let groups: Vec<Value> = user.supplemental_groups.iter().map(|g| Value::from(*g)).collect();
        status.set("user", value!({"linux": {"uid": user.uid, "gid": user.gid, "supplementalGroups": groups}}));
    }
    status
}

/// `reason` is what is said of a container that is not there yet: one that is made and not started is as good as that.
fn state(seen: &Seen, id: &str, old: Option<&Value>, reason: &str) -> Value {
    let at = |time: Option<Timestamp>| time.map_or(Value::Null, |t| Value::from(api::time::seconds(t)));
    match seen.state {
        State::Running => value!({"running": {"startedAt": at(seen.started_at)}}),
        State::Exited => {
            let mut ended = value!({"exitCode": seen.exit_code});
            for (member, text) in [("reason", &seen.reason), ("message", &seen.message)] {
                if !text.is_empty() {
                    ended.set(member, text.as_str());
                }
            }
            ended.set("startedAt", at(seen.started_at));
            ended.set("finishedAt", at(seen.finished_at));
            ended.set("containerID", id);
            value!({"terminated": ended})
        }
        State::Unknown if old.is_some_and(|old| old.at("state").has("running")) => {
            let message = "The container could not be located when the pod was terminated";
            value!({"terminated": {"exitCode": 137, "reason": LOST, "message": message}})
        }
        State::Created | State::Unknown => value!({"waiting": {"reason": reason}}),
    }
}

fn mounts(facts: &Facts<'_>, container: &Value, status: &mut Value) {
    let mount = |mount: &Value| {
        let mut told = value!({"name": mount.str("name"), "mountPath": mount.str("mountPath")});
        if mount.bool("readOnly") {
            told.set("readOnly", true);
            let all_the_way = match mount.str("recursiveReadOnly") {
                "Enabled" => true,
                "IfPossible" => facts.recursive_read_only,
                _ => false,
            };
            told.set("recursiveReadOnly", if all_the_way { "Enabled" } else { "Disabled" });
        }
        told
    };
    let mounts: Vec<Value> = container.list("volumeMounts").iter().map(mount).collect();
    if !mounts.is_empty() {
        status.set("volumeMounts", Value::array(mounts));
    }
}

/// Whether an init container is done: it does not wait, whatever is known of earlier failures.
fn finished_init(facts: &Facts<'_>, container: &Value, status: &mut Value) -> bool {
    let seen = facts.observed.newest(container.str("name"));
    if seen.is_some_and(|s| s.state == State::Exited && s.exit_code == 0) {
        return true;
    }
    let gone = seen.is_none()
        && plan::has_regular(facts.pod, facts.observed)
        && !restart::is_sidecar(container)
        && status.at("state").has("waiting");
    if gone {
        let message = "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally";
        let done =
            value!({"exitCode": 0, "reason": "Completed", "message": message, "startedAt": null, "finishedAt": null});
        status.set("state", value!({"terminated": done}));
    }
    gone
}

/// A container that will be started, and could not be, waits.
fn waits(facts: &Facts<'_>, container: &Value, status: &mut Value) {
    let name = container.str("name");
    let Some(waiting) = facts.waiting.get(name) else { return };
    if !restart::is_due(container, facts.pod, facts.observed) {
        return;
    }
    let state = status.at("state").clone();
    if state.has("terminated") {
        status.set("lastState", state);
    }
    let mut told = value!({"reason": waiting.reason.as_str()});
    if !waiting.message.is_empty() {
        told.set("message", waiting.message.as_str());
    }
    status.set("state", value!({"waiting": told}));
}

/// Whether it has started, and takes requests.
fn probes(facts: &Facts<'_>, container: &Value, init: bool, old: Option<&Value>, status: &mut Value) {
    let running = status.at("state").has("running");
    let id = status.str("containerID").rsplit('/').next().unwrap_or("").to_string();
    let probed = facts.probed.get(&id).copied().unwrap_or_default();
    // What was said of the same container before this agent started holds until its probes say otherwise.
    let same = |old: &&Value| old.str("containerID") == status.str("containerID");
    let before = |member: &str| old.filter(same).is_some_and(|old| old.bool(member));
    let started = running
        && match probed.startup {
            Some(result) => result,
            None => !container.has("startupProbe") || before("started"),
        };
    let ready = match init && !restart::is_sidecar(container) {
        true => status.at("state").has("terminated") && status.at("state").at("terminated").int("exitCode") == 0,
        false => {
            started
                && match probed.readiness {
                    Some(result) => result,
                    None => !container.has("readinessProbe") || before("ready"),
                }
        }
    };
    status.set("ready", ready);
    status.set("started", started);
}
