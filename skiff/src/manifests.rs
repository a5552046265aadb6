//! `DIR/manifests`: what lies there is applied and kept in step.
//!
//! Files are looked at by the clock. One that is new or changed is applied as the administrator, server-side and with
//! force: the directory is the truth about the fields it names. What a file no longer says is deleted; what was applied
//! is noted beside the directory, so that a file that went away while nothing ran is noticed too. A directory that is
//! not there says nothing, least of all that everything should go.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use api::{User, Value, user, value};
use client::{Client, DeleteOptions, Patch, Propagation};
use server::Server;
use tokio::task::JoinSet;

use crate::controllers::inside::Inside;

const MANAGER: &str = "skiff-manifests";
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An object as it is named in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
}

/// When and how long a file was.
type Stamp = (SystemTime, u64);

/// Follows one directory.
struct Follower {
    client: Client,
    directory: PathBuf,
    /// What was applied, by file name; kept on disk.
    applied: BTreeMap<String, Vec<Named>>,
    /// Files that were applied as they are.
    seen: BTreeMap<String, Stamp>,
    /// What was complained about, so that it is said once.
    complaints: BTreeMap<String, String>,
}

/// Follows `directory` until the set is dropped.
pub fn follow(server: &Arc<Server>, directory: PathBuf) -> JoinSet<()> {
    let user = User::new("kubernetes-admin", &[user::MASTERS, user::AUTHENTICATED]);
    let client =
        Client::new(Arc::new(Inside::new(server, user)), concat!("skiff-manifests/", env!("CARGO_PKG_VERSION")));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut follower = Follower::new(client, directory);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            follower.look().await;
        }
    });
    tasks
}

// === impl Follower ===

impl Follower {
    fn new(client: Client, directory: PathBuf) -> Follower {
        let applied = read_notes(&notes_path(&directory)).unwrap_or_default();
        Follower { client, directory, applied, seen: BTreeMap::new(), complaints: BTreeMap::new() }
    }

    /// Applies what is new or changed, then takes away what went.
    async fn look(&mut self) {
        let Ok(files) = files(&self.directory) else { return };
        for (name, stamp) in &files {
            if self.seen.get(name) == Some(stamp) {
                continue;
            }
            match self.apply(name).await {
                Ok(()) => {
                    self.seen.insert(name.clone(), *stamp);
                    self.complaints.remove(name);
                }
                // Tried again each time: what it needs may be in another file.
                Err(error) => self.complain(name, &error),
            }
        }
        let gone: Vec<String> = self.applied.keys().filter(|name| !files.contains_key(*name)).cloned().collect();
        for name in gone {
            self.seen.remove(&name);
            let objects = self.applied.get(&name).cloned().unwrap_or_default();
            match self.delete(&name, objects).await {
                Ok(()) => {
                    self.applied.remove(&name);
                    self.complaints.remove(&name);
                    self.keep_notes();
                }
                Err(error) => self.complain(&name, &error),
            }
        }
    }

    /// Applies each object of a file, then deletes those that it no longer names.
    async fn apply(&mut self, file: &str) -> Result<()> {
        let path = self.directory.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let objects = documents(&text)?;
        let catalog = self.client.discover().await?;
        let mut named = Vec::new();
        let mut first_error = None;
        for mut object in objects {
            let (api_version, kind) = (object.str("apiVersion").to_string(), object.str("kind").to_string());
            let Some(found) = catalog.of_kind(&api_version, &kind) else {
                first_error.get_or_insert_with(|| anyhow::anyhow!("this server knows no {kind} of {api_version}"));
                continue;
            };
            if found.namespaced && api::meta::of(&object).namespace().is_empty() {
                object.set_path(&["metadata", "namespace"], "default");
            }
            let one = Named::of(&object);
            let target = found.resource.named(&one.namespace, &one.name);
            let patch = Patch::Apply { manager: MANAGER, force: true };
            match self.client.patch(target, patch, &object).await {
                Ok(_) => named.push(one),
                Err(error) => {
                    first_error.get_or_insert_with(|| anyhow::anyhow!("{} {}: {error}", one.kind, one.name));
                    // It may be there from before, and it is still wanted.
                    named.push(one);
                }
            }
        }
        let before = self.applied.get(file).cloned().unwrap_or_default();
        if first_error.is_none() {
            let dropped = before.into_iter().filter(|old| !named.contains(old)).collect();
            self.delete(file, dropped).await?;
        } else {
            named.extend(before.into_iter().filter(|old| !named.contains(old)).collect::<Vec<_>>());
        }
        if self.applied.get(file) != Some(&named) {
            self.applied.insert(file.into(), named);
            self.keep_notes();
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Deletes objects, the last first, unless another file names them too.
    async fn delete(&self, file: &str, objects: Vec<Named>) -> Result<()> {
        if objects.is_empty() {
            return Ok(());
        }
        let catalog = self.client.discover().await?;
        for object in objects.into_iter().rev() {
            let elsewhere = self.applied.iter().any(|(name, others)| name != file && others.contains(&object));
            let Some(found) = catalog.of_kind(&object.api_version, &object.kind).filter(|_| !elsewhere) else {
                continue;
            };
            let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
            match self.client.delete(found.resource.named(&object.namespace, &object.name), &options).await {
                Err(error) if !error.is_not_found() => bail!("{} {}: {error}", object.kind, object.name),
                _ => {}
            }
        }
        Ok(())
    }

    fn complain(&mut self, file: &str, error: &anyhow::Error) {
        let text = format!("{error:#}");
        if self.complaints.get(file) != Some(&text) {
            tracing::warn!("{}: {text}", self.directory.join(file).display());
            self.complaints.insert(file.into(), text);
        }
    }

    fn keep_notes(&self) {
        let files = self.applied.iter().map(|(file, objects)| {
            let objects: Value = objects.iter().map(Named::to_value).collect();
            value!({"file": file, "objects": objects})
        });
        let text = codec::json::to_string(&files.collect());
        let path = notes_path(&self.directory);
        if let Err(error) = certs::files::write(&path, &text) {
            tracing::warn!("{} cannot be written: {error}", path.display());
        }
    }
}

// === impl Named ===

impl Named {
    fn of(object: &Value) -> Named {
        let meta = api::meta::of(object);
        Named {
            api_version: object.str("apiVersion").into(),
            kind: object.str("kind").into(),
            namespace: meta.namespace().into(),
            name: meta.name().into(),
        }
    }

    fn to_value(&self) -> Value {
        value!({
            "apiVersion": (self.api_version.as_str()), "kind": (self.kind.as_str()),
            "metadata": {"namespace": (self.namespace.as_str()), "name": (self.name.as_str())}
        })
    }
}

/// Beside the directory: inside it would be taken for a manifest.
fn notes_path(directory: &Path) -> PathBuf {
    directory.with_file_name("manifests.applied.json")
}

fn read_notes(path: &Path) -> Option<BTreeMap<String, Vec<Named>>> {
    let text = std::fs::read(path).ok()?;
    let notes = codec::json::any(&text).ok()?.value;
    let file = |note: &Value| (note.str("file").to_string(), note.list("objects").iter().map(Named::of).collect());
    Some(notes.items().iter().map(file).collect())
}

/// Manifests by name; what begins with a dot is an editor's.
fn files(directory: &Path) -> std::io::Result<BTreeMap<String, Stamp>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) && !name.starts_with('.');
        // Follows links: the files of a mounted volume are such.
        let Ok(found) = std::fs::metadata(entry.path()) else { continue };
        if manifest && found.is_file() {
            files.insert(name, (found.modified()?, found.len()));
        }
    }
    Ok(files)
}

/// The objects of a file; lists are taken apart.
fn documents(text: &str) -> Result<Vec<Value>> {
    let mut pieces = vec![String::new()];
    for line in text.lines() {
        if line == "---" || line.starts_with("--- ") {
            pieces.push(String::new());
        } else if let Some(piece) = pieces.last_mut() {
            piece.push_str(line);
            piece.push('\n');
        }
    }
    let mut objects = Vec::new();
    for piece in pieces {
        let read = codec::yaml::any(piece.as_bytes()).map_err(|error| anyhow::anyhow!("{error}"))?;
        match read {
            Value::Null => {}
            list if list.str("kind").ends_with("List") && list.has("items") => {
                objects.extend(list.list("items").to_vec())
            }
            object => objects.push(object),
        }
    }
    for object in &objects {
        let meta = api::meta::of(object);
        if object.str("kind").is_empty() || object.str("apiVersion").is_empty() || meta.name().is_empty() {
            bail!("each object needs apiVersion, kind and metadata.name");
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_hold_many_objects() {
        let text = "# first\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n---\n\
                    {\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\
                    {\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"b\", \"namespace\": \"n\"}}]}\n";
        let found: Vec<Named> = documents(text).expect("two objects").iter().map(Named::of).collect();
        assert_eq!(found.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found[1].namespace, "n");
        assert!(documents("kind: ConfigMap\n").is_err());
    }

    #[test]
    fn notes_come_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notes");
        let one = Named { api_version: "v1".into(), kind: "ConfigMap".into(), namespace: "n".into(), name: "a".into() };
        let files: Value = [value!({"file": "a.yaml", "objects": [(one.to_value())]})].into_iter().collect();
        std::fs::write(&path, codec::json::to_string(&files)).expect("it can be written");
        let notes = read_notes(&path).expect("they can be read");
        assert_eq!(notes.get("a.yaml"), Some(&vec![one]));
        assert!(files_of(directory.path()).is_empty(), "notes are no manifest");
    }

    fn files_of(directory: &Path) -> Vec<String> {
        files(directory).expect("it is there").into_keys().collect()
    }
}
