//! How far the init containers are, and which is next. Sidecars among them are kept running.

use api::Value;

use super::{Kill, Kind, Known, Step, kill, start};
use crate::{
    pods::{hash, observe::Observed, observe::Seen, restart},
    runtime::State,
};

/// What is to be done about init containers.
#[derive(Default)]
pub struct Init {
    /// The containers proper may run.
    pub initialized: bool,
    /// One has failed for good: so has the pod.
    pub failed: bool,
    pub kills: Vec<Step>,
    pub starts: Vec<Step>,
}

pub fn plan(pod: &Value, observed: &Observed, known: &Known<'_>) -> Init {
    let list = pod.at("spec").list("initContainers");
    let regular_active = || {
        let mut regular = pod.at("spec").list("containers").iter();
        regular.any(|c| observed.newest_active(c.str("name")).is_some())
    };
    if list.is_empty() {
        return Init { initialized: true, ..Init::default() };
    }
    let mut walk = Walk { pod, list, known, init: Init { initialized: regular_active(), ..Init::default() } };
    let mut before_done = walk.init.initialized;
    // From the last to the first: what ran last tells that all before it are done, whatever became of them since.
    for (place, container) in list.iter().enumerate().rev() {
        let sidecar = restart::is_sidecar(container);
        let Some(seen) = observed.newest_active(container.str("name")) else {
            if before_done && sidecar {
                walk.start(place);
            }
            continue;
        };
        if before_done && !sidecar {
            continue;
        }
        match sidecar {
            true => walk.sidecar(place, seen, before_done),
            false => walk.once(place, seen),
        }
        if walk.init.failed {
            return walk.init;
        }
        before_done = true;
    }
    if !before_done {
        walk.start(0);
    }
    walk.init.starts.reverse();
    walk.init.starts.dedup();
    walk.init
}

struct Walk<'a> {
    pod: &'a Value,
    list: &'a [Value],
    known: &'a Known<'a>,
    init: Init,
}

impl Walk<'_> {
    fn start(&mut self, place: usize) {
        self.init.starts.extend(self.list.get(place).map(|c| start(Kind::Init, c)));
    }

    /// This one is done: the next may begin, or the containers proper.
    fn done(&mut self, place: usize) {
        match place + 1 == self.list.len() {
            true => self.init.initialized = true,
            false => self.start(place + 1),
        }
    }

    /// One that runs to its end.
    fn once(&mut self, place: usize, seen: &Seen) {
        let container = &self.list[place];
        match seen.state {
            // Making and starting are one step: one that is only made could not be started.
            State::Created => self.start(place),
            State::Running => {}
            State::Exited if seen.exit_code == 0 => self.done(place),
            State::Exited => match restart::after_exit(container, self.pod, seen.exit_code) {
                true => self.start(place),
                false => self.init.failed = true,
            },
            State::Unknown => match restart::after_kill(container, self.pod) {
                true => {
                    self.replace(place, seen, "Init container is in \"unknown\" state, try killing it before restart")
                }
                false => self.init.failed = true,
            },
        }
    }

    fn sidecar(&mut self, place: usize, seen: &Seen, before_done: bool) {
        let container = &self.list[place];
        let name = container.str("name");
        match seen.state {
            State::Created | State::Exited => return self.start(place),
            State::Unknown => {
                let message = "Init container is in \"unknown\" state, try killing it before restart";
                return self.replace(place, seen, message);
            }
            State::Running => {}
        }
        let probed = self.known.probed.get(&seen.id).copied().unwrap_or_default();
        if container.has("startupProbe") && probed.startup != Some(true) {
            if probed.startup == Some(false) {
                let message = format!("Init container {name} failed startup probe");
                self.init.kills.push(kill(seen, message, Kill::Startup));
                self.start(place);
            }
            return;
        }
        if place + 1 == self.list.len() {
            self.init.initialized = true;
        } else if !before_done {
            self.start(place + 1);
        }
        if hash::of(container) != seen.hash {
            self.replace(place, seen, &format!("Init container {name} definition changed"));
        } else if container.has("livenessProbe") && probed.liveness == Some(false) {
            let message = format!("Init container {name} failed liveness probe");
            self.init.kills.push(kill(seen, message, Kill::Liveness));
            self.start(place);
        }
    }

    fn replace(&mut self, place: usize, seen: &Seen, message: &str) {
        self.init.kills.push(kill(seen, message.into(), Kill::Other));
        self.start(place);
    }
}
