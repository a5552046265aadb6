//! Telling the API server what became of a pod: the newest word only, again until it is heard.
//!
//! Upstream: status/status_manager.go syncPod, util/pod PatchPodStatus.

use std::{sync::Arc, time::Duration};

use api::{Reason, Value, value};
use client::{Client, Error, Patch, Resource, Target};
use tokio::sync::watch;

/// Waits between failures, doubled each time.
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Lists that strategic merge would merge, though all of them is ours.
const WHOLE: [&str; 2] = ["podIPs", "hostIPs"];

/// What is to be told.
#[derive(Clone, Default)]
pub struct Word {
    /// The pod as the API server had it.
    pub pod: Arc<Value>,
    pub status: Arc<Value>,
    /// Counts words, so that who waits for one knows when it was heard.
    pub number: u64,
}

/// Tells words until nobody speaks any more. `heard` is the number of the last that was.
pub async fn run(client: Client, mut words: watch::Receiver<Word>, heard: watch::Sender<u64>) {
    let pods = Resource::new("", "v1", "pods");
    let mut told: Option<Value> = None;
    let mut wait = WAIT_MIN;
    while words.changed().await.is_ok() {
        loop {
            let word = words.borrow_and_update().clone();
            let base = newer(told.as_ref(), &word.pod);
            let Some(patch) = patch(base, &word) else {
                heard.send_replace(word.number);
                break;
            };
            let meta = api::meta::of(&word.pod);
            let target = pods.named(meta.namespace(), meta.name()).below("status");
            let whole = value!({"metadata": {"uid": meta.uid()}, "status": Value::clone(&word.status)});
            match patched(&client, target, &patch, &whole).await {
                Ok(answer) => {
                    told = Some(answer);
                    wait = WAIT_MIN;
                    heard.send_replace(word.number);
                    break;
                }
                // It is gone, or another stands in its place: nobody wants to know any more.
                Err(error) if error.is_not_found() || error.is_conflict() => {
                    heard.send_replace(word.number);
                    break;
                }
                Err(error) => {
                    tracing::debug!(pod = %meta.name(), %error, "a status could not be told");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(WAIT_MAX);
                }
            }
        }
    }
}

/// Merges by keys; a server that does not know how is told all of it.
pub async fn patched(client: &Client, target: Target<'_>, keyed: &Value, whole: &Value) -> Result<Value, Error> {
    match client.patch(target, Patch::Strategic, keyed).await {
        Err(error) if error.is(Reason::UnsupportedMediaType) => client.patch(target, Patch::Merge, whole).await,
        answer => answer,
    }
}

/// The pod as it was told last, or as it was read later.
fn newer<'a>(told: Option<&'a Value>, read: &'a Value) -> &'a Value {
    let number = |pod: &Value| api::meta::of(pod).resource_version().parse::<u64>().unwrap_or(0);
    told.filter(|told| number(told) >= number(read)).unwrap_or(read)
}

/// What makes the status of `base` the word's; None when it is.
pub fn patch(base: &Value, word: &Word) -> Option<Value> {
    let (old, new) = (base.at("status"), &word.status);
    let mut status = Value::object();
    for (key, value) in new.members() {
        if value.is_same(old.at(key)) {
            continue;
        }
        match key {
            "conditions" => {
                let changed = value.items().iter().filter_map(|c| condition(old.list(key), c));
                status.set(key, Value::array(changed.collect()));
            }
            key if WHOLE.contains(&key) => {
                let mut items = vec![value!({"$patch": "replace"})];
                items.extend(value.items().iter().cloned());
                status.set(key, Value::array(items));
            }
            key => status.set(key, value.clone()),
        }
    }
    let gone = old.members().filter(|(key, value)| !value.is_null() && !new.has(key) && is_ours(key));
    gone.for_each(|(key, _)| status.set(key, Value::Null));
    let conditions_same = status.list("conditions").is_empty();
    if conditions_same {
        status.remove("conditions");
    }
    let changed = status.as_object().is_some_and(|members| !members.is_empty());
    changed.then(|| value!({"metadata": {"uid": api::meta::of(&word.pod).uid()}, "status": status}))
}

/// A condition as it is to be merged into those that there are; None when it is there.
fn condition(old: &[Value], new: &Value) -> Option<Value> {
    let known = old.iter().find(|o| o.str("type") == new.str("type"));
    if known.is_some_and(|known| known.is_same(new)) {
        return None;
    }
    let mut merged = new.clone();
    for (member, _) in known.into_iter().flat_map(Value::members).filter(|(member, _)| !new.has(member)) {
        merged.set(member, Value::Null);
    }
    Some(merged)
}

/// Members that only the node writes; what it does not know stays.
fn is_ours(key: &str) -> bool {
    matches!(
        key,
        "reason"
            | "message"
            | "containerStatuses"
            | "initContainerStatuses"
            | "ephemeralContainerStatuses"
            | "resources"
            | "allocatedResources"
    )
}
