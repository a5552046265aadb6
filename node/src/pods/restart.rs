//! Whether a container that has ended runs again, and when.

use std::collections::BTreeMap;

use api::Value;
use jiff::{SignedDuration, Timestamp};

use super::observe::{Observed, Seen};
use crate::runtime::State;

/// Upstream: containerBackOffPeriod, MaxContainerBackOff.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_secs(300);

/// How long each container of a pod waits before it is started again. Upstream: client-go/util/flowcontrol Backoff.
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    longest: SignedDuration,
    entries: BTreeMap<(String, u64), Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    wait: SignedDuration,
    updated: Timestamp,
}

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::up_to(LONGEST)
    }
}

impl Backoff {
    /// Nobody waits longer than this.
    pub fn up_to(longest: SignedDuration) -> Backoff {
        Backoff { longest, entries: BTreeMap::new() }
    }

    /// Until when a container, whose definition has this hash and which ended at `ended`, is not started again.
    pub fn until(
        &self,
        name: &str,
        hash: u64,
        ended: Timestamp,
        now: Timestamp,
    ) -> Option<(Timestamp, SignedDuration)> {
        let entry = self.entries.get(&(name.into(), hash))?;
        if has_expired(ended, entry.updated, self.longest) {
            return None;
        }
        let until = ended.checked_add(entry.wait).ok()?;
        (now < until).then_some((until, entry.wait))
    }

    /// The container is started again: the next time it waits longer.
    pub fn next(&mut self, name: &str, hash: u64, ended: Timestamp, now: Timestamp) {
        let entry =
            self.entries.entry((name.into(), hash)).or_insert(Entry { wait: SignedDuration::ZERO, updated: now });
        entry.wait = match entry.wait.is_zero() || has_expired(ended, entry.updated, self.longest) {
            true => FIRST.min(self.longest),
            false => (entry.wait * 2).min(self.longest),
        };
        entry.updated = now;
    }
}

/// Who has run well for long enough begins anew.
fn has_expired(ended: Timestamp, updated: Timestamp, longest: SignedDuration) -> bool {
    ended.duration_since(updated) > longest * 2
}

/// Whether a container that ended so runs again. Upstream: pkg/api/v1/pod/util.go ContainerShouldRestart.
pub fn after_exit(container: &Value, pod: &Value, exit_code: i32) -> bool {
    if let Some(policy) = container.opt_str("restartPolicy") {
        let matches = |rule: &&Value| {
            let codes = rule.at("exitCodes");
            let named = codes.list("values").iter().any(|v| v.as_int() == Some(exit_code.into()));
            match codes.str("operator") {
                "In" => named,
                "NotIn" => !named,
                _ => false,
            }
        };
        let rule = container.list("restartPolicyRules").iter().find(matches);
        if rule.is_some_and(|rule| matches!(rule.str("action"), "Restart" | "RestartAllContainers")) {
            return true;
        }
        return by_policy(policy, exit_code);
    }
    by_policy(pod.at("spec").str("restartPolicy"), exit_code)
}

fn by_policy(policy: &str, exit_code: i32) -> bool {
    match policy {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    }
}

/// Whether a container is started now, or again. Upstream: kubelet/container/helpers.go ShouldContainerBeRestarted.
pub fn is_due(container: &Value, pod: &Value, observed: &Observed) -> bool {
    if api::meta::of(pod).is_terminating() {
        return false;
    }
    match observed.newest(container.str("name")) {
        None => true,
        Some(Seen { state: State::Running, .. }) => false,
        Some(Seen { state: State::Unknown | State::Created, .. }) => true,
        Some(seen) => after_exit(container, pod, seen.exit_code),
    }
}

/// A sidecar: an init container that runs as long as its pod.
pub fn is_sidecar(container: &Value) -> bool {
    container.str("restartPolicy") == "Always"
}

/// Whether a container that is killed while it runs is started again.
pub fn after_kill(container: &Value, pod: &Value) -> bool {
    match container.opt_str("restartPolicy") {
        Some(policy) => policy != "Never",
        None => pod.at("spec").str("restartPolicy") != "Never",
    }
}
