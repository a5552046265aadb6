//! How often probes were tried, and what came of it. Upstream: prober_manager.go ProberResults, prober/worker.go.

use std::{collections::BTreeMap, fmt::Write as _};

use api::Value;

use super::{act::Found, machine::Kind};

/// Counts of all pods that are probed.
#[derive(Debug, Default)]
pub struct Counted {
    /// By the pod's uid, then by labels as they are told.
    pods: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Counted {
    pub fn count(&mut self, pod: &Value, container: &str, kind: Kind, found: &Found) {
        let meta = api::meta::of(pod);
        let result = match found {
            Found::Success(_) | Found::Warning(_) => "successful",
            Found::Failure(_) => "failed",
            Found::Nothing(_) => "unknown",
        };
        let (name, namespace, uid) = (meta.name(), meta.namespace(), meta.uid());
        let labels = format!(
            "container=\"{container}\",namespace=\"{namespace}\",pod=\"{name}\",pod_uid=\"{uid}\",probe_type=\"{}\",\
             result=\"{result}\"",
            kind.word()
        );
        *self.pods.entry(uid.to_owned()).or_default().entry(labels).or_default() += 1;
    }

    pub fn forget(&mut self, pod_uid: &str) {
        self.pods.remove(pod_uid);
    }

    /// All counts in Prometheus' text form.
    pub fn page(&self) -> String {
        const HELP: &str =
            "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.";
        let mut page = String::new();
        if self.pods.is_empty() {
            return page;
        }
        let _ = writeln!(page, "# HELP prober_probe_total {HELP}\n# TYPE prober_probe_total counter");
        for (labels, count) in self.pods.values().flatten() {
            let _ = writeln!(page, "prober_probe_total{{{labels}}} {count}");
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    #[test]
    fn tries_are_counted_by_what_came_of_them() {
        let pod = value!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}});
        let mut counted = Counted::default();
        for found in [Found::Success(String::new()), Found::Success(String::new()), Found::Failure(String::new())] {
            counted.count(&pod, "c", Kind::Liveness, &found);
        }
        let lines: Vec<String> = counted.page().lines().skip(2).map(str::to_owned).collect();
        let line = |result, count| {
            format!(
                "prober_probe_total{{container=\"c\",namespace=\"n\",pod=\"p\",pod_uid=\"u\",probe_type=\"Liveness\",\
                 result=\"{result}\"}} {count}"
            )
        };
        assert_eq!(lines, [line("failed", 1), line("successful", 2)]);
        counted.forget("u");
        assert_eq!(counted.page(), "");
    }
}
