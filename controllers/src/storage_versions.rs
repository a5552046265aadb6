//! Writes every object of a resource anew, so that none lies in the store in a version of old.
//!
//! Of a resource one migration runs at a time, the oldest first: it notes a revision, and patches with nothing whatever is no
//! newer. Meanwhile a definition says that it migrates, and afterwards that it stores one version alone.
//! Not a plan: what there is, only the server can say. Upstream: pkg/controller/storageversionmigrator.

mod conditions;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use api::{Reason, Value, meta, value};
use async_trait::async_trait;
use client::{Change, Client, Error, Form, Found, ListOptions, Patch, Resource, mirror::Key};
use jiff::Timestamp;

use crate::driver::{Failed, Spec, Steps, Wake, Work, world::World};

use conditions::{FAILED, RUNNING, SUCCEEDED, holds, running, tell};

const MIGRATIONS: &str = "storagemigration.k8s.io/v1/storageversionmigrations";
const DEFINITIONS: &str = "apiextensions.k8s.io/v1/customresourcedefinitions";
/// Whose fields of a definition's status these are. Upstream: MigrationRunnerControllerName.
const RUNNER: &str = "migration-runner-controller";
/// No namespace is called so: a list of it has a revision and nothing else. Upstream: fakeSVMNamespaceName.
const NOWHERE: &str = "@fake:svm_ns!";
/// Upstream: verbsRequiredForMigration.
const VERBS: [&str; 3] = ["update", "patch", "list"];
/// So long what was defined a moment ago may be missing.
const FRESH_SECONDS: i64 = 60;
/// A write of a definition is tried again so often. Upstream: retry.DefaultRetry.
const ATTEMPTS_MAX: usize = 5;

pub const SPEC: Spec = Spec {
    name: "storage-version-migrator-controller",
    alias: "svm",
    acts_for: "storage-version-migrator-controller",
    tells_as: "storage-version-migrator-controller",
    wakes_on: &[Wake::By(MIGRATIONS, of_resource)],
    workers: 5,
    work: Work::Steps(|_| Arc::new(Migrator)),
};

struct Migrator;

/// What a resource's migrations need next.
#[derive(Debug, PartialEq)]
enum Next<'m> {
    Nothing,
    /// It is over and says that it runs.
    Finish(&'m Value),
    /// Its turn has come.
    Begin(&'m Value),
    /// It runs, and has no revision yet.
    Date(&'m Value),
    Migrate(&'m Value),
}

/// The resource that a migration is about.
fn key_of(migration: &Value) -> Key {
    let resource = migration.at("spec").at("resource");
    Key::new(resource.str("group"), resource.str("resource"))
}

fn of_resource(_: &World<'_>, change: &Change) -> Vec<Key> {
    vec![key_of(change.object())]
}

/// Upstream: getSVMsForResource.
fn next<'m>(migrations: &[&'m Value]) -> Next<'m> {
    let runs = |m: &&&Value| holds(m, RUNNING);
    let is_over = |m: &&&Value| holds(m, SUCCEEDED) || holds(m, FAILED);
    if let Some(over) = migrations.iter().find(|m| runs(m) && is_over(m)) {
        return Next::Finish(over);
    }
    if let Some(running) = migrations.iter().find(runs) {
        return match running.at("status").str("resourceVersion") {
            "" => Next::Date(running),
            _ => Next::Migrate(running),
        };
    }
    let age = |m: &&&Value| (meta::of(m).creation_timestamp().to_owned(), meta::of(m).name().to_owned());
    migrations.iter().filter(|m| !is_over(m)).min_by_key(age).map_or(Next::Nothing, |m| Next::Begin(m))
}

#[async_trait]
impl Steps for Migrator {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let all = world.mirror(MIGRATIONS).all();
        let ours: Vec<&Value> = all.iter().map(|m| &**m).filter(|m| key_of(m) == *world.key).collect();
        match next(&ours) {
            Next::Nothing => {}
            Next::Finish(migration) => finish(client, migration, world.now).await?,
            Next::Begin(migration) => begin(client, migration, world.now).await?,
            Next::Date(migration) => date(client, migration, world.now).await?,
            Next::Migrate(migration) => migrate(client, migration, world.now).await?,
        }
        Ok(None)
    }
}

async fn write(client: &Client, migration: &Value) -> Result<(), Failed> {
    let resource = Resource::parse(MIGRATIONS).expect("it is a resource");
    client.update_status(resource.named("", meta::of(migration).name()), migration).await?;
    Ok(())
}

/// Upstream: markAsActive.
async fn begin(client: &Client, migration: &Value, now: Timestamp) -> Result<(), Failed> {
    let message = format!("Migration {} is running", meta::of(migration).name());
    note(client, migration, now, |_| ("True", "MigrationRunning", message.clone(), false)).await?;
    let mut new = migration.clone();
    tell(&mut new, RUNNING, true, now, "MigrationRunning", &running(0, 0, None));
    write(client, &new).await
}

/// Upstream: cleanupAdmission, finishCRDMigration.
async fn finish(client: &Client, migration: &Value, now: Timestamp) -> Result<(), Failed> {
    let succeeded = holds(migration, SUCCEEDED);
    let end = |definition: &Value| {
        let conditions = definition.at("status").list("conditions");
        let said = conditions.iter().find(|c| c.str("type") == "StorageMigrating");
        // Where it was changed meanwhile, objects may lie there in the version from before again.
        let same = said.is_some_and(|c| c.int("observedGeneration") == meta::of(definition).generation());
        let (reason, message) = match (succeeded, same) {
            (true, true) => {
                ("MigrationSucceeded", "The migration has succeeded and the stored versions have been updated")
            }
            (true, false) => (
                "MigrationSucceeded",
                "The migration has succeeded but the stored versions have not been updated due to a generation mismatch",
            ),
            (false, _) => ("MigrationFailed", "The migration has failed"),
        };
        ("False", reason, message.to_owned(), same)
    };
    note(client, migration, now, end).await?;
    let mut new = migration.clone();
    tell(&mut new, RUNNING, false, now, "MigrationCompleted", "Migration completed");
    write(client, &new).await
}

/// Says in the definition of the resource, where it has one, how far its migration is: status, reason, message, and whether
/// the stored version is the only one from now on.
async fn note(
    client: &Client,
    migration: &Value,
    now: Timestamp,
    say: impl Fn(&Value) -> (&'static str, &'static str, String, bool),
) -> Result<(), Failed> {
    let (key, resource) = (key_of(migration), Resource::parse(DEFINITIONS).expect("it is a resource"));
    let name = format!("{}.{}", key.name, key.namespace);
    let mut tried = 0;
    loop {
        let definition = match client.get(resource.named("", &name)).await {
            Err(error) if error.is_not_found() => return Ok(()),
            found => found?,
        };
        let (status, reason, message, only) = say(&definition);
        let condition = value!({
            "type": "StorageMigrating", "status": status, "lastTransitionTime": (api::time::seconds(now)),
            "reason": reason, "message": message, "observedGeneration": (meta::of(&definition).generation())
        });
        let mut status = value!({"conditions": [condition]});
        let stored = definition.at("spec").list("versions").iter().find(|v| v.bool("storage"));
        if let Some(version) = stored.filter(|_| only) {
            status.set("storedVersions", vec![version.at("name").clone()]);
        }
        let apply = value!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": (name.as_str()), "resourceVersion": (meta::of(&definition).resource_version())},
            "status": status
        });
        let how = Patch::Apply { manager: RUNNER, force: true };
        match client.patch(resource.named("", &name).below("status"), how, &apply).await {
            Err(error) if error.is_conflict() && tried < ATTEMPTS_MAX => tried += 1,
            written => return written.map(drop).map_err(Failed::from),
        }
    }
}

/// Notes the revision up to which objects are old. Upstream: ResourceVersionController.
async fn date(client: &Client, migration: &Value, now: Timestamp) -> Result<(), Failed> {
    let Some(found) = found(client, migration).await? else {
        if is_fresh(migration, now) {
            return Err(Failed("resource does not exist in our rest mapper, requeuing to attempt again".into()));
        }
        return fail(client, migration, now, "resource does not exist in discovery").await;
    };
    if !VERBS.iter().all(|verb| found.verbs.contains(*verb)) {
        let (resource, verbs) = (api::field::quote(&shown(&found.resource)), VERBS.join(" "));
        let why = format!("resource {resource} does not support discovery operations: [{verbs}]");
        return fail(client, migration, now, &why).await;
    }
    let target = if found.namespaced { found.resource.within(NOWHERE) } else { found.resource.all() };
    let list = client.get_path(&format!("{}?limit=1", target.path())).await;
    let list = list.map_err(|error| {
        Failed(format!("error getting latest resourceVersion for {}: {error}", shown(&found.resource)))
    })?;
    let mut new = migration.clone();
    new.set_path(&["status", "resourceVersion"], list.at("metadata").str("resourceVersion"));
    write(client, &new).await
}

/// Upstream: SVMController.
async fn migrate(client: &Client, migration: &Value, now: Timestamp) -> Result<(), Failed> {
    let Some(found) = found(client, migration).await? else {
        if is_fresh(migration, now) {
            return Err(Failed("resource does not exist in rest mapper, requeuing to attempt again".into()));
        }
        let why = "migration encountered unhandled error: unable to obtain GVR from discovery";
        return fail(client, migration, now, why).await;
    };
    let options = ListOptions { form: Form::Metadata, ..ListOptions::default() };
    let all = client.list(found.resource.all(), &options).await?.items;
    let until = revision(migration.at("status").str("resourceVersion"));
    let old: Vec<&Value> = all.iter().filter(|o| revision(meta::of(o).resource_version()) <= until).collect();
    let mut left = old.len();
    for object in old {
        match patch(client, &found, object).await {
            // Somebody has written it meanwhile, or it is gone.
            Err(error) if !error.is_conflict() && !error.is_not_found() => {
                return stopped(client, migration, now, (left, all.len()), error).await;
            }
            _ => left -= 1,
        }
    }
    let mut new = migration.clone();
    tell(&mut new, RUNNING, true, now, "MigrationRunning", &running(left, all.len(), None));
    tell(&mut new, SUCCEEDED, true, now, "StorageVersionMigrationSucceeded", "Migration completed");
    write(client, &new).await
}

/// Changes nothing of an object that is as it was listed.
async fn patch(client: &Client, found: &Found, object: &Value) -> Result<Value, Error> {
    let meta = meta::of(object);
    let nothing = value!({
        "kind": (found.kind.as_str()), "apiVersion": (found.resource.api_version()),
        "metadata": {"resourceVersion": (meta.resource_version())}
    });
    client.patch_as(found.resource.named(meta.namespace(), meta.name()), Patch::Merge, &nothing, Form::Metadata).await
}

/// A patch failed: what passes is tried again, and the rest is the end.
async fn stopped(
    client: &Client,
    migration: &Value,
    now: Timestamp,
    (left, all): (usize, usize),
    error: Error,
) -> Result<(), Failed> {
    const PASSING: [Reason; 5] = [
        Reason::ServerTimeout,
        Reason::TooManyRequests,
        Reason::ServiceUnavailable,
        Reason::InternalError,
        Reason::Timeout,
    ];
    let passes = error.status().is_none() || PASSING.into_iter().any(|reason| error.is(reason));
    let why = error.to_string();
    let mut new = migration.clone();
    let message = running(left, all, passes.then_some(why.as_str()));
    let is_news = tell(&mut new, RUNNING, true, now, "MigrationRunning", &message);
    if passes {
        if is_news {
            write(client, &new).await?;
        }
        return Err(Failed(why));
    }
    let why = format!("{left}/{all} not yet migrated. migration encountered unhandled error: {why}");
    tell(&mut new, FAILED, true, now, "StorageVersionMigrationFailed", &why);
    write(client, &new).await
}

async fn fail(client: &Client, migration: &Value, now: Timestamp, why: &str) -> Result<(), Failed> {
    let mut new = migration.clone();
    tell(&mut new, FAILED, true, now, "StorageVersionMigrationFailed", why);
    write(client, &new).await
}

/// The resource in the version that its group prefers.
async fn found(client: &Client, migration: &Value) -> Result<Option<Found>, Failed> {
    let key = key_of(migration);
    let catalog = client.discover().await?;
    let is_it = |f: &Found| f.preferred && f.resource.group == key.namespace && f.resource.plural == key.name;
    Ok(catalog.resources.into_iter().find(is_it))
}

fn is_fresh(migration: &Value, now: Timestamp) -> bool {
    let made = api::time::parse(meta::of(migration).creation_timestamp());
    made.is_some_and(|made| now.as_second() - made.as_second() < FRESH_SECONDS)
}

fn revision(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

/// Go: `schema.GroupVersionResource.String`.
fn shown(resource: &Resource) -> String {
    format!("{}/{}, Resource={}", resource.group, resource.version, resource.plural)
}
