//! The schema facts as they are written, line by line: documents say things that reading and writing objects never asks.

use std::collections::HashMap;

use api::Value;

/// Fact lines by the name of their type.
pub struct Facts {
    lines: HashMap<&'static str, &'static str>,
}

impl Facts {
    pub fn new() -> Facts {
        const HEAD: &str = "{\"name\":\"";
        let name = |line: &'static str| line.strip_prefix(HEAD).and_then(|rest| rest.split('"').next());
        Facts { lines: schema::load::facts().lines().filter_map(|line| Some((name(line)?, line))).collect() }
    }

    /// The facts of a type, as schema/facts/README.md names their members.
    pub fn of(&self, name: &str) -> Option<Value> {
        let line = self.lines.get(name)?;
        let read = codec::json::any(line.as_bytes()).expect("the checked-in facts are JSON");
        Some(read.value)
    }

    /// The name of a kind's type.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&'static str> {
        let wanted = format!("[\"{group}\",\"{version}\",\"{kind}\"]");
        self.lines.iter().find(|(_, line)| gvks(line).contains(&wanted)).map(|(name, _)| *name)
    }

    /// Every group version that is registered with the API server, in order.
    pub fn group_versions(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = vec![("apiregistration.k8s.io".into(), "v1beta1".into())];
        for line in self.lines.values().filter(|line| !gvks(line).is_empty()) {
            let list = codec::json::any(gvks(line).as_bytes()).expect("the checked-in facts are JSON").value;
            let pair = |gvk: &Value| (text(&gvk.items()[0]), text(&gvk.items()[1]));
            all.extend(list.items().iter().map(pair));
        }
        all.retain(|(group, _)| !APART.contains(&group.as_str()));
        all.sort();
        all.dedup();
        all
    }
}

/// Groups with types and without a place among the server's: what is logged, configured or negotiated.
const APART: &[&str] = &[
    "apidiscovery.k8s.io",
    "apiserver.config.k8s.io",
    "apiserver.k8s.io",
    "audit.k8s.io",
    "eventratelimit.admission.k8s.io",
    "meta.k8s.io",
    "pod-security.admission.config.k8s.io",
    "podtolerationrestriction.admission.k8s.io",
];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The list behind `gvk` in a line, `""` when there is none.
fn gvks(line: &'static str) -> &'static str {
    const KEY: &str = "\"gvk\":";
    let Some(from) = line.find(KEY).map(|at| at + KEY.len()) else { return "" };
    line[from..].find("]]").map_or("", |to| &line[from..from + to + 2])
}
