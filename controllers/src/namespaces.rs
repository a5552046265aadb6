//! A namespace that is deleted loses all it holds, and then itself.
//!
//! Pods go first, then everything else that discovery knows; what remains, and why, stands in the namespace's conditions.
//! Not a plan: which resources there are, and what is left of them, only the server can say.
//! Upstream: pkg/controller/namespace.

mod conditions;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{Reason, Value};
use async_trait::async_trait;
use client::{Catalog, Client, DeleteOptions, Error, Form, Found, ListOptions, Propagation, Resource};
use futures::{StreamExt, stream};
use jiff::Timestamp;

use crate::driver::{Failed, Parts, Spec, Steps, Wake, Work, world::World};

use conditions::Findings;

const NAMESPACES: &str = "v1/namespaces";
const FINALIZER: &str = "kubernetes";
/// Other API servers hear of the deletion meanwhile. Upstream: namespaceDeletionGracePeriod.
const GRACE_SECONDS: i64 = 5;
/// So long finalizers are expected to take. Upstream: finalizerEstimateSeconds.
const FINALIZERS_SECONDS: i64 = 15;
/// So many resources are emptied at a time.
const TOGETHER: usize = 8;

pub const SPEC: Spec = Spec {
    name: "namespace-controller",
    alias: "namespace",
    acts_for: "namespace-controller",
    tells_as: "namespace-controller",
    wakes_on: &[Wake::Itself(NAMESPACES)],
    workers: 10,
    work: Work::Steps(|_: &Parts| Arc::new(Emptying)),
};

struct Emptying;

/// What is left of a resource in a namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Left {
    /// So many seconds until it is expected to be gone.
    pub seconds: i64,
    pub objects: usize,
    pub finalizers: BTreeMap<String, usize>,
}

#[async_trait]
impl Steps for Emptying {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let Some(known) = world.itself(NAMESPACES) else { return Ok(None) };
        let Some(deleted_at) = api::time::parse(api::meta::of(&known).deletion_timestamp()) else { return Ok(None) };
        let age = world.now.as_second() - deleted_at.as_second();
        if age < GRACE_SECONDS {
            return Ok(Some(Duration::from_secs(
                (GRACE_SECONDS - age).unsigned_abs().min(GRACE_SECONDS.unsigned_abs()),
            )));
        }
        match empty(client, &world.key.name, world.now).await {
            Ok(0) => Ok(None),
            Ok(seconds) => Ok(Some(Duration::from_secs(seconds.unsigned_abs() / 2 + 1))),
            Err(failed) => Err(failed),
        }
    }

    fn retry_max(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// Empties and finalizes a namespace; answers how many seconds what is left may take, 0 when all is done.
async fn empty(client: &Client, name: &str, now: Timestamp) -> Result<i64, Failed> {
    let namespaces = Resource::new("", "v1", "namespaces");
    let mut namespace = match client.get(namespaces.named("", name)).await {
        Ok(namespace) => namespace,
        Err(error) if error.is_not_found() => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    if !api::meta::of(&namespace).is_terminating() {
        return Ok(0);
    }
    if namespace.at("status").str("phase") != "Terminating" {
        let mut changed = namespace.clone();
        changed.set_path(&["status", "phase"], "Terminating");
        namespace = match client.update_status(namespaces.named("", name), &changed).await {
            Ok(namespace) => namespace,
            Err(error) if error.is_not_found() => return Ok(0),
            Err(error) => return Err(error.into()),
        };
    }
    if namespace.at("spec").list("finalizers").is_empty() {
        return Ok(0);
    }
    let seconds = empty_all(client, &namespace, now).await?;
    if seconds == 0 {
        finalize(client, name).await?;
    }
    Ok(seconds)
}

/// Deletes everything in a namespace, and writes down what is left.
async fn empty_all(client: &Client, namespace: &Value, now: Timestamp) -> Result<i64, Failed> {
    let mut findings = Findings::default();
    let name = api::meta::of(namespace).name().to_string();
    let deleted_at = api::time::parse(api::meta::of(namespace).deletion_timestamp()).unwrap_or(now);
    let age = now.as_second() - deleted_at.as_second();
    let catalog = match client.discover().await {
        Ok(catalog) => catalog,
        Err(error) => {
            findings.discovery_failed(error.to_string());
            Catalog::default()
        }
    };
    if !catalog.failures.is_empty() {
        findings.groups_failed(&catalog.failures);
    }
    let all: Vec<&Found> = catalog.with_verbs(&["delete"]).filter(|f| f.namespaced).collect();
    let (pods, others): (Vec<&Found>, Vec<&Found>) = all.into_iter().partition(|f| is_pods(&f.resource));
    for found in pods {
        let outcome = empty_one(client, found, &name, age).await;
        let outcome = outcome.map_err(|why| format!("failed to delete pods for namespace: {name}, err: {why}"));
        findings.add(&found.resource, outcome);
    }
    if findings.is_empty_so_far() {
        let jobs: Vec<_> = others.iter().map(|found| empty_one(client, found, &name, age)).collect();
        let outcomes: Vec<_> = stream::iter(jobs).buffered(TOGETHER).collect().await;
        for (found, outcome) in others.iter().zip(outcomes) {
            findings.add(&found.resource, outcome);
        }
    }
    let mut changed = namespace.clone();
    if findings.write(&mut changed, now) {
        let namespaces = Resource::new("", "v1", "namespaces");
        if let Err(error) = client.update_status(namespaces.named("", &name), &changed).await {
            tracing::debug!(namespace = name, %error, "the conditions of a namespace could not be written");
        }
    }
    findings.outcome().map_err(Failed)
}

fn is_pods(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.plural == "pods"
}

/// Deletes all objects of a resource. The error is upstream's text. Upstream: deleteAllContentForGroupVersionResource.
async fn empty_one(client: &Client, found: &Found, namespace: &str, age: i64) -> Result<Left, String> {
    let text = |error: Error| error.to_string();
    let seconds = match is_pods(&found.resource) {
        true => graceful_seconds(client, &found.resource, namespace, age).await.map_err(text)?,
        false => 0,
    };
    let gone = delete_all(client, found, namespace).await.map_err(text)?;
    if !gone {
        delete_each(client, found, namespace).await.map_err(text)?;
    }
    let Some(items) = list(client, found, namespace).await.map_err(text)? else {
        return Ok(Left { seconds, ..Left::default() });
    };
    if items.is_empty() {
        return Ok(Left::default());
    }
    let mut left = Left { seconds, objects: items.len(), finalizers: BTreeMap::new() };
    for finalizer in items.iter().flat_map(|item| api::meta::of(item).finalizers()) {
        *left.finalizers.entry(finalizer.into()).or_default() += 1;
    }
    if seconds == 0 && left.finalizers.is_empty() {
        let resource = &found.resource;
        let what = format!("{}/{}, Resource={}", resource.group, resource.version, resource.plural);
        return Err(format!("unexpected items still remain in namespace: {namespace} for gvr: {what}"));
    }
    if seconds == 0 {
        left.seconds = FINALIZERS_SECONDS;
    }
    Ok(left)
}

/// How long pods may take to end, from the namespace's deletion on. Upstream: estimateGracefulTermination.
async fn graceful_seconds(client: &Client, pods: &Resource, namespace: &str, age: i64) -> Result<i64, Error> {
    let list = client.list(pods.within(namespace), &ListOptions::default()).await?;
    let running = list.items.iter().filter(|pod| !matches!(pod.at("status").str("phase"), "Succeeded" | "Failed"));
    let longest = running.map(|pod| pod.at("spec").int("terminationGracePeriodSeconds")).max().unwrap_or(0);
    Ok(if age >= longest { 0 } else { longest })
}

/// False when the resource cannot be deleted as a collection.
async fn delete_all(client: &Client, found: &Found, namespace: &str) -> Result<bool, Error> {
    if !found.verbs.contains("deletecollection") {
        return Ok(false);
    }
    let target = found.resource.within(namespace);
    match client.delete_collection(target, &background(), &ListOptions::default()).await {
        Ok(_) => Ok(true),
        Err(error) if is_unsupported(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn delete_each(client: &Client, found: &Found, namespace: &str) -> Result<(), Error> {
    for item in list(client, found, namespace).await?.unwrap_or_default() {
        let name = api::meta::of(&item).name();
        match client.delete(found.resource.named(namespace, name), &background()).await {
            Err(error) if !is_unsupported(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// None when the resource cannot be listed.
async fn list(client: &Client, found: &Found, namespace: &str) -> Result<Option<Vec<Value>>, Error> {
    if !found.verbs.contains("list") {
        return Ok(None);
    }
    let options = ListOptions { form: Form::Metadata, ..ListOptions::default() };
    match client.list(found.resource.within(namespace), &options).await {
        Ok(list) => Ok(Some(list.items)),
        Err(error) if is_unsupported(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_unsupported(error: &Error) -> bool {
    error.is_not_found() || error.is(Reason::MethodNotAllowed)
}

fn background() -> DeleteOptions {
    DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() }
}

/// Takes our finalizer off; when it was the last one, the namespace goes.
async fn finalize(client: &Client, name: &str) -> Result<(), Error> {
    let namespaces = Resource::new("", "v1", "namespaces");
    let mut namespace = match client.get(namespaces.named("", name)).await {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other?,
    };
    let kept: Vec<Value> =
        namespace.at("spec").list("finalizers").iter().filter(|f| f.as_str() != Some(FINALIZER)).cloned().collect();
    namespace.set_path(&["spec", "finalizers"], Value::array(kept));
    match client.update(namespaces.named("", name).below("finalize"), &namespace).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
