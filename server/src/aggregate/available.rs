//! Whether other servers answer: looked at when what they stand on changes, and every half a minute.
//!
//! Upstream: kube-aggregator/pkg/controllers/status/remote/remote_available_controller.go.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use registry::special::api_services::{self, Condition, Remote};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::told;
use crate::{Server, metrics::Counter};

/// How often it is looked whether anything has changed: a list of what is in memory.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Upstream: the resync of its informer.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// A server that does not answer is asked again after this, and after twice that each time.
const AGAIN: Duration = Duration::from_millis(500);
/// Upstream asks so often at once: one answer is enough, each may reach another endpoint.
const ATTEMPTS: usize = 5;

/// What is remembered of one API service.
struct Watched {
    stands_on: Vec<String>,
    asked: Instant,
    again: Duration,
    /// It was being asked when this was looked at last.
    asking: bool,
}

/// What came out of a look at one.
struct Seen {
    name: String,
    answers: bool,
}

/// Keeps the conditions of all API services of other servers in step, for ever.
pub async fn follow(server: Arc<Server>) {
    let mut watched: BTreeMap<String, Watched> = BTreeMap::new();
    let mut work: JoinSet<Seen> = JoinSet::new();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => look(&server, &mut watched, &mut work),
            Some(done) = work.join_next() => {
                let Ok(seen) = done else { continue };
                if let Some(one) = watched.get_mut(&seen.name) {
                    one.asking = false;
                    one.again = if seen.answers { ASK_EVERY } else { (one.again * 2).clamp(AGAIN, ASK_EVERY) };
                }
            }
        }
    }
}

fn look(server: &Arc<Server>, watched: &mut BTreeMap<String, Watched>, work: &mut JoinSet<Seen>) {
    let look = &*server.registry.cluster.look;
    let remotes = server.aggregate.remotes(look);
    for name in &remotes.unsaid {
        let (server, name) = (server.clone(), name.clone());
        work.spawn(async move {
            if let Err(error) = server.registry.say_how_it_is(&name, &api_services::local()).await {
                tracing::warn!(%error, name, "how an API service is cannot be said");
            }
            Seen { name, answers: true }
        });
    }
    if remotes.is_empty() && watched.is_empty() {
        return;
    }
    let gone: Vec<String> = watched.keys().filter(|name| !remotes.iter().any(|r| r.name == **name)).cloned().collect();
    for name in gone {
        watched.remove(&name);
        server.aggregate.told.write().remove(&name);
    }
    for remote in remotes.iter() {
        let mut stands_on = remote.stands_on(look);
        // Its own status is no reason to look again.
        stands_on.push(format!("{}/{}:{} {}", remote.namespace, remote.service, remote.port, remote.insecure));
        stands_on.push(remote.authorities.len().to_string());
        let due = match watched.get(&remote.name) {
            None => true,
            Some(one) if one.asking => false,
            Some(one) => one.stands_on != stands_on || one.asked.elapsed() >= one.again,
        };
        if !due {
            continue;
        }
        let again = watched.get(&remote.name).map_or(Duration::ZERO, |one| one.again);
        let again = if again == ASK_EVERY { Duration::ZERO } else { again };
        let one = Watched { stands_on, asked: Instant::now(), again, asking: true };
        watched.insert(remote.name.clone(), one);
        let (server, remote) = (server.clone(), remote.clone());
        work.spawn(async move { see(&server, &remote).await });
    }
}

/// Looks at one, says how it is, and hears what it has.
async fn see(server: &Arc<Server>, remote: &Remote) -> Seen {
    let fault = remote.fault(&*server.registry.cluster.look);
    let condition = match fault {
        Some(fault) => fault,
        None => match discovered(server, remote).await {
            Ok(()) => Condition { status: "True", reason: "Passed", message: "all checks passed".into() },
            Err(why) => Condition { status: "False", reason: "FailedDiscoveryCheck", message: why },
        },
    };
    let answers = condition.status == "True";
    if remote.available && !answers {
        server.aggregate.failures.get([&remote.name, condition.reason], Counter::default).add(1);
    }
    if let Err(error) = server.registry.say_how_it_is(&remote.name, &condition).await {
        tracing::warn!(%error, name = remote.name, "how an API service is cannot be said");
    }
    let before = server.aggregate.told(&remote.name);
    let told = told::ask(server, remote, before.as_deref()).await;
    server.aggregate.told.write().insert(remote.name.clone(), Arc::new(told));
    Seen { name: remote.name.clone(), answers }
}

/// Whether the server tells of its group version: one of several askings is enough.
async fn discovered(server: &Arc<Server>, remote: &Remote) -> Result<(), String> {
    let mut asking: JoinSet<Result<(), String>> = JoinSet::new();
    for _ in 0..ATTEMPTS {
        let (server, remote) = (server.clone(), remote.clone());
        asking.spawn(async move {
            let heard = told::get(&server, &remote, &remote.root(), "*/*").await?;
            match heard.code {
                200..=299 => Ok(()),
                code => {
                    let url = server.outgoing.shown(&remote);
                    Err(format!("failing or missing response from {url}: bad status from {url}: {code}"))
                }
            }
        });
    }
    let mut last = Err("nobody was asked".to_owned());
    while let Some(done) = asking.join_next().await {
        last = done.unwrap_or_else(|e| Err(e.to_string()));
        if last.is_ok() {
            break;
        }
    }
    last
}
