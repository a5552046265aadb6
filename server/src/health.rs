//! Is it well: `/healthz`, `/livez`, `/readyz` with their checks, and `/version`.
//!
//! Upstream: apiserver/pkg/server/healthz.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Response, header};
use parking_lot::RwLock;

use crate::{
    Server,
    body::Body,
    door::Admitted,
    metrics::{Counter, Metrics, Page, rows},
    negotiate, respond,
};

/// Something that can be well or not.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    asked: Asked,
    ask: Ask,
}

/// How one hears what is wrong.
#[derive(Clone)]
enum Ask {
    Known(Arc<dyn Fn() -> Outcome + Send + Sync>),
    Elsewhere(Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>),
}

type Outcome = Result<(), String>;

/// Where a check is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Everywhere,
    /// By `/livez` and `/healthz` alone.
    Alive,
    /// By `/readyz` alone.
    Ready,
    /// By `/readyz` and `/healthz`: starting anew would not help.
    Serving,
}

// === impl Check ===

impl Check {
    /// Something that is known here.
    pub fn new(name: &'static str, asked: Asked, ask: impl Fn() -> Outcome + Send + Sync + 'static) -> Check {
        Check { name, asked, ask: Ask::Known(Arc::new(ask)) }
    }

    /// Something that has to be asked elsewhere, which ends in time.
    pub fn elsewhere<F>(name: &'static str, asked: Asked, ask: impl Fn() -> F + Send + Sync + 'static) -> Check
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Check { name, asked, ask: Ask::Elsewhere(Arc::new(move || Box::pin(ask()))) }
    }

    async fn outcome(&self) -> Outcome {
        match &self.ask {
            Ask::Known(ask) => ask(),
            Ask::Elsewhere(ask) => ask().await,
        }
    }
}

// === impl Asked ===

impl Asked {
    fn is_by(self, root: &str) -> bool {
        match self {
            Asked::Everywhere => true,
            Asked::Alive => root != "readyz",
            Asked::Ready => root == "readyz",
            Asked::Serving => root != "livez",
        }
    }
}

/// All checks, in the order in which they are told.
pub struct Health {
    checks: RwLock<Vec<Check>>,
    /// Until then `/livez` takes what is not well for what is still to be.
    patient_until: Instant,
}

impl Health {
    /// With the checks that always hold, as upstream's begins. For the time of `grace` it is alive, whatever checks say.
    pub fn new(grace: Duration) -> Health {
        let health = Health { checks: RwLock::default(), patient_until: Instant::now() + grace };
        health.add(Check::new("ping", Asked::Everywhere, || Ok(())));
        health.add(Check::new("log", Asked::Everywhere, || Ok(())));
        health
    }

    pub fn add(&self, check: Check) {
        self.checks.write().push(check);
    }

    /// What a check of a root says. Upstream: `delayedHealthCheck` of `--livez-grace-period`.
    async fn outcome(&self, root: &str, check: &Check) -> Outcome {
        match root == "livez" && Instant::now() < self.patient_until {
            true => Ok(()),
            false => check.outcome().await,
        }
    }

    /// The checks of a root (`readyz`).
    fn of(&self, root: &str) -> Vec<Check> {
        self.checks.read().iter().filter(|c| c.asked.is_by(root)).cloned().collect()
    }

    /// The paths of all roots and checks.
    pub fn paths(&self) -> Vec<String> {
        let roots = ["healthz", "livez", "readyz"];
        let below = |root: &'static str| {
            let checks = self.of(root).into_iter().map(move |c| format!("/{root}/{}", c.name));
            checks.chain([format!("/{root}")])
        };
        roots.into_iter().flat_map(below).collect()
    }

    /// What the checks came to so far: `/metrics/slis`.
    pub fn write(&self, metrics: &Metrics, page: &mut Page) {
        metrics.checks.write(page, &rows::HEALTH_TOTAL);
        page.add(&rows::HEALTH, |family| {
            metrics.check.each(|labels, cell| family.number(&labels, cell.get()));
        });
    }
}

/// Answers `/version`.
pub fn version(server: &Server, admitted: &Admitted) -> Option<Response<Body>> {
    let path = admitted.wanted.attributes.path.as_str();
    let headers = &admitted.parts.headers;
    if !matches!(path, "/version" | "/version/") {
        return None;
    }
    if !negotiate::is_produced(headers, &["application/json"]) {
        let form = server.config.offer.plain(headers, &admitted.query);
        return Some(respond::error(&negotiate::not_produced(&["application/json"]), &form));
    }
    Some(respond::json(Bytes::from(codec::json::pretty(&server.config.version))))
}

/// Answers the paths of the checks; none when the path is another's.
pub async fn answer(server: &Server, admitted: &Admitted) -> Option<Response<Body>> {
    let path = admitted.wanted.attributes.path.as_str();
    let (root, check) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    if !matches!(root, "healthz" | "livez" | "readyz") {
        return None;
    }
    let checks = server.health.of(root);
    if check.is_empty() && !path.ends_with('/') {
        return Some(all(server, root, &checks, admitted).await);
    }
    let Some(check) = checks.iter().find(|c| c.name == check) else {
        return Some(respond::text(404, "404 page not found\n"));
    };
    Some(match server.health.outcome(root, check).await {
        Ok(()) => {
            let mut response = respond::text(200, "ok");
            response.headers_mut().remove(header::X_CONTENT_TYPE_OPTIONS);
            response
        }
        Err(why) => respond::text(500, format!("internal server error: {why}\n")),
    })
}

/// Upstream: `handleRootHealth`.
async fn all(server: &Server, root: &str, checks: &[Check], admitted: &Admitted) -> Response<Body> {
    let excluded: Vec<&str> = admitted.query.all("exclude").collect();
    let verbose = admitted.query.get("verbose").is_some();
    let mut text = String::new();
    let mut failed = false;
    for check in checks {
        if excluded.contains(&check.name) {
            text += &format!("[+]{} excluded: ok\n", check.name);
            continue;
        }
        let outcome = server.health.outcome(root, check).await;
        observe(&server.metrics, root, check.name, outcome.is_ok());
        match outcome {
            Ok(()) => text += &format!("[+]{} ok\n", check.name),
            Err(_) => {
                failed = true;
                text += &format!("[-]{} failed: reason withheld\n", check.name);
            }
        }
    }
    let mut unknown: Vec<&str> = excluded.iter().filter(|e| !checks.iter().any(|c| c.name == **e)).copied().collect();
    if !unknown.is_empty() {
        unknown.sort_unstable();
        unknown.dedup();
        let names: Vec<String> = unknown.iter().map(|n| api::field::quote(n)).collect();
        text += &format!("warn: some health checks cannot be excluded: no matches for {}\n", names.join(","));
    }
    if failed {
        return respond::text(500, format!("{text}{root} check failed\n"));
    }
    match verbose {
        true => respond::text(200, format!("{text}{root} check passed\n")),
        false => respond::text(200, "ok"),
    }
}

fn observe(metrics: &Metrics, root: &str, name: &str, well: bool) {
    let status = if well { "success" } else { "error" };
    metrics.checks.get([name, status, root], Counter::default).add(1);
    metrics.check.get([name, root], Default::default).set(f64::from(u8::from(well)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_starts_is_alive_for_its_grace() {
        let sick = Check::new("sick", Asked::Everywhere, || Err("it is not well".into()));
        let says = |grace: Duration, root: &'static str| {
            let sick = sick.clone();
            async move { Health::new(grace).outcome(root, &sick).await.is_ok() }
        };
        let hour = Duration::from_secs(3600);
        assert!(says(hour, "livez").await);
        assert!(!says(Duration::ZERO, "livez").await);
        assert!(!says(hour, "readyz").await && !says(hour, "healthz").await);
    }
}
