//! When a probe runs, and what its findings mean: a state machine without time and without doing.
//!
//! Upstream: pkg/kubelet/prober/worker.go `doProbe`.

#[cfg(test)]
mod tests;

use api::Value;
use jiff::Timestamp;

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Startup,
    Readiness,
    Liveness,
}

/// What a probe knows of the container that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Empty until there is one.
    pub id: String,
    pub is_running: bool,
    pub started_at: Option<Timestamp>,
    /// Whether its startup probe has succeeded, or it has none.
    pub started: bool,
    /// It has ended and will not be started again.
    pub is_over: bool,
    /// Its pod is being deleted.
    pub is_leaving: bool,
}

/// What is said of the container from now on; `None`: nothing is known yet.
pub type Said = Option<bool>;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Look again in a period.
    Wait,
    Probe,
    /// This probe is over.
    Stop,
}

/// One probe of one container.
#[derive(Clone, Debug)]
pub struct Machine {
    kind: Kind,
    initial_delay_seconds: i64,
    success_threshold: i64,
    failure_threshold: i64,
    /// When the node agent began: containers from before keep what was said of them.
    began_at: Timestamp,
    container_id: String,
    last: Option<bool>,
    run: i64,
    on_hold: bool,
}

// === impl Kind ===

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Startup, Kind::Readiness, Kind::Liveness];

    /// The member of a container that declares it.
    pub fn member(self) -> &'static str {
        match self {
            Kind::Startup => "startupProbe",
            Kind::Readiness => "readinessProbe",
            Kind::Liveness => "livenessProbe",
        }
    }

    /// As events call it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Readiness => "Readiness",
            Kind::Liveness => "Liveness",
        }
    }

    /// What is said before the first finding counts.
    fn initially(self) -> Said {
        match self {
            Kind::Startup => None,
            Kind::Readiness => Some(false),
            Kind::Liveness => Some(true),
        }
    }
}

// === impl Machine ===

impl Machine {
    pub fn new(kind: Kind, probe: &Value, began_at: Timestamp) -> Machine {
        Machine {
            kind,
            initial_delay_seconds: probe.int("initialDelaySeconds"),
            success_threshold: probe.int("successThreshold").max(1),
            failure_threshold: probe.int("failureThreshold").max(1),
            began_at,
            container_id: String::new(),
            last: None,
            run: 0,
            on_hold: false,
        }
    }

    /// The container that is being probed, empty before there is one.
    pub fn container_id(&self) -> &str {
        &self.container_id
    }

    /// Before a probe: what is to be said now (if anything changes), and whether to probe.
    pub fn look(&mut self, seen: &Seen, now: Timestamp) -> (Option<Said>, Next) {
        if seen.id.is_empty() || !seen.is_running && seen.started_at.is_none() {
            // There is none yet, or it is made and not started.
            return (None, Next::Wait);
        }
        let mut said = None;
        if self.container_id != seen.id {
            self.container_id.clone_from(&seen.id);
            self.on_hold = false;
            // A container from before a restart of the node agent is not made unready by that restart.
            if !self.is_from_before(seen) {
                said = Some(self.kind.initially());
            } else if self.kind == Kind::Startup && seen.started {
                said = Some(Some(true));
            }
        }
        if self.on_hold {
            return (said, Next::Wait);
        }
        if !seen.is_running {
            return (Some(Some(false)), if seen.is_over { Next::Stop } else { Next::Wait });
        }
        if seen.is_leaving && self.kind != Kind::Readiness {
            // It ends without being killed for not answering.
            return (Some(Some(true)), Next::Stop);
        }
        let age_seconds = seen.started_at.map_or(0, |at| now.duration_since(at).as_secs());
        let is_early = age_seconds < self.initial_delay_seconds;
        // Either the startup probe runs or the others do.
        let is_others_turn = seen.started == (self.kind == Kind::Startup);
        (said, if is_early || is_others_turn { Next::Wait } else { Next::Probe })
    }

    /// After a probe that came to something: what is said from now on, when enough findings in a row say the same.
    pub fn find(&mut self, success: bool) -> Option<Said> {
        if self.last == Some(success) {
            self.run += 1;
        } else {
            (self.last, self.run) = (Some(success), 1);
        }
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        if self.run < threshold {
            return None;
        }
        if self.kind == Kind::Startup || self.kind == Kind::Liveness && !success {
            // Nothing more is asked of this container: it has started, or it is about to be killed.
            (self.on_hold, self.run) = (true, 0);
        }
        Some(Some(success))
    }

    fn is_from_before(&self, seen: &Seen) -> bool {
        // Ten seconds of grace. Upstream: `kubeletRestartGracePeriod`.
        seen.is_running && seen.started_at.is_some_and(|at| self.began_at.duration_since(at).as_secs() > 10)
    }
}
