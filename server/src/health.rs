//! Is it well: `/healthz`, `/livez`, `/readyz` with their checks, and `/version`.
//!
//! Upstream: apiserver/pkg/server/healthz.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use parking_lot::RwLock;

use crate::{Server, body::Body, door::Admitted, respond};

/// Something that can be well or not.
#[derive(Clone)]
pub struct Check {
    pub name: &'static str,
    /// Also asked by `/livez` and `/healthz`, not by `/readyz` alone.
    pub live: bool,
    /// What is wrong.
    pub ask: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// All checks.
#[derive(Default)]
pub struct Health {
    checks: RwLock<Vec<Check>>,
}

impl Health {
    /// With the check that always holds, as upstream's begins.
    pub fn new() -> Health {
        let health = Health::default();
        health.add(Check { name: "ping", live: true, ask: Arc::new(|| Ok(())) });
        health.add(Check { name: "log", live: true, ask: Arc::new(|| Ok(())) });
        health
    }

    pub fn add(&self, check: Check) {
        self.checks.write().push(check);
    }

    /// Whether everything that readiness asks for is well.
    pub fn is_ready(&self) -> bool {
        self.checks.read().iter().all(|c| (c.ask)().is_ok())
    }
}

/// Answers the paths of this module; none when it is another's.
pub fn answer(server: &Server, admitted: &Admitted) -> Option<Response<Body>> {
    let path = admitted.wanted.attributes.path.as_str();
    if path == "/version" || path == "/version/" {
        return Some(respond::json(Bytes::from(codec::json::pretty(&server.config.version))));
    }
    let (root, check) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let live = match root {
        "healthz" | "livez" => true,
        "readyz" => false,
        _ => return None,
    };
    let checks: Vec<Check> = server.health.checks.read().iter().filter(|c| !live || c.live).cloned().collect();
    if !check.is_empty() {
        return Some(match checks.iter().find(|c| c.name == check) {
            Some(found) => match (found.ask)() {
                Ok(()) => respond::text(200, "ok"),
                Err(why) => respond::text(500, format!("internal server error: {why}\n")),
            },
            None => respond::text(404, "404 page not found\n"),
        });
    }
    Some(all(root, &checks, admitted))
}

/// Upstream: `handleRootHealth`.
fn all(root: &str, checks: &[Check], admitted: &Admitted) -> Response<Body> {
    let excluded: Vec<&str> = admitted.query.all("exclude").collect();
    let verbose = admitted.query.get("verbose").is_some();
    let mut text = String::new();
    let mut failed = Vec::new();
    for check in checks {
        if excluded.contains(&check.name) {
            text += &format!("[+]{} excluded: ok\n", check.name);
            continue;
        }
        match (check.ask)() {
            Ok(()) => text += &format!("[+]{} ok\n", check.name),
            Err(_) => {
                failed.push(check.name);
                text += &format!("[-]{} failed: reason withheld\n", check.name);
            }
        }
    }
    let unknown: Vec<&str> = excluded.iter().filter(|e| !checks.iter().any(|c| c.name == **e)).copied().collect();
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.iter().map(|n| format!("{n:?}")).collect();
        text += &format!("warn: some health checks cannot be excluded: no matches for {}\n", names.join(","));
    }
    if !failed.is_empty() {
        return respond::text(500, format!("{text}{root} check failed\n"));
    }
    match verbose {
        true => respond::text(200, format!("{text}{root} check passed\n")),
        false => respond::text(200, "ok"),
    }
}
