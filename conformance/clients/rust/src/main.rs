//! Walks through what kube-rs can ask for, and checks what it sees.

use std::{collections::BTreeMap, fmt::Debug};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace},
};
use kube::{
    Api, Client, Discovery, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::{Status, params::VersionMatch},
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef},
        wait, watcher,
    },
};
use serde_json::{Value, json};

fn equal<T: PartialEq + Debug>(found: T, wanted: T, what: &str) -> Result<()> {
    ensure!(found == wanted, "{what}: found {found:?}, wanted {wanted:?}");
    Ok(())
}

/// The answer's reason; it has to be a refusal.
fn refused<T>(answer: kube::Result<T>, code: u16, what: &str) -> Result<Box<Status>> {
    match answer {
        Ok(_) => bail!("{what}: it was not refused"),
        Err(kube::Error::Api(status)) => {
            equal(status.code, code, what)?;
            Ok(status)
        }
        Err(other) => Err(other).context(what.to_owned()),
    }
}

fn config_map(name: &str, colour: &str) -> Result<ConfigMap> {
    Ok(serde_json::from_value(json!({"metadata": {"name": name, "labels": {"colour": colour}}, "data": {"a": "1"}}))?)
}

fn data(map: &ConfigMap) -> BTreeMap<String, String> {
    map.data.clone().unwrap_or_default()
}

#[tokio::main]
async fn main() -> Result<()> {
    tokio::time::timeout(std::time::Duration::from_secs(180), walk()).await.context("it took too long")?
}

async fn walk() -> Result<()> {
    let client = Client::try_default().await?;
    equal(client.apiserver_version().await?.minor, "37".into(), "version")?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "rust-"}}))?;
    let namespace = namespaces.create(&PostParams::default(), &wanted).await?.name_any();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    pages(&maps).await?;
    watches(&maps).await?;
    applies(&maps).await?;
    patches(&Api::namespaced(client.clone(), &namespace)).await?;
    refusals(&maps).await?;
    reflects(&maps).await?;
    dynamic(&client, &namespace).await?;
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("colour=blue")).await?;
    equal(maps.list(&ListParams::default().labels("colour")).await?.items.len(), 13, "what is left")?;
    let uid = namespaces.get(&namespace).await?.uid().context("a uid")?;
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    wait::await_condition(namespaces, &namespace, wait::conditions::is_deleted(&uid)).await?;
    announce("kube-rs: all is as it should be");
    Ok(())
}

/// 25 objects in pages of 10, all as of one version.
async fn pages(maps: &Api<ConfigMap>) -> Result<()> {
    for index in 0..25 {
        let colour = ["red", "blue"][index % 2];
        maps.create(&PostParams::default(), &config_map(&format!("page-{index:02}"), colour)?).await?;
    }
    let mut options = ListParams::default().limit(10);
    let (mut names, mut versions, mut remaining) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let page = maps.list(&options).await?;
        names.extend(page.items.iter().map(ResourceExt::name_any).filter(|name| name.starts_with("page-")));
        versions.push(page.metadata.resource_version);
        remaining.push(page.metadata.remaining_item_count);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => options = options.continue_token(&token),
            None => break,
        }
    }
    equal(names, (0..25).map(|index| format!("page-{index:02}")).collect(), "names over all pages")?;
    versions.dedup();
    equal(versions.len(), 1, "versions of pages")?;
    equal(remaining.last().copied().flatten(), None, "nothing remains")?;
    equal(remaining[0].zip(remaining[1]).map(|(first, second)| first - second), Some(10), "remainingItemCount")?;
    let forged = ListParams::default().limit(10).continue_token("nonsense");
    refused(maps.list(&forged).await, 400, "a forged token").map(drop)
}

fn kind(event: &WatchEvent<ConfigMap>) -> &'static str {
    match event {
        WatchEvent::Added(_) => "ADDED",
        WatchEvent::Modified(_) => "MODIFIED",
        WatchEvent::Deleted(_) => "DELETED",
        WatchEvent::Bookmark(_) => "BOOKMARK",
        WatchEvent::Error(_) => "ERROR",
    }
}

async fn watches(maps: &Api<ConfigMap>) -> Result<()> {
    let before = maps.list(&ListParams::default()).await?.metadata.resource_version.context("a version")?;
    let mut made = maps.create(&PostParams::default(), &config_map("watched", "green")?).await?;
    let version = made.resource_version().context("a version")?;
    made.data = Some([("a".to_owned(), "2".to_owned())].into());
    maps.replace("watched", &PostParams::default(), &made).await?;
    maps.delete("watched", &DeleteParams::default()).await?;
    let green = WatchParams::default().labels("colour=green");
    for (from, wanted) in [(&before, vec!["ADDED", "MODIFIED", "DELETED"]), (&version, vec!["MODIFIED", "DELETED"])] {
        let events = maps.watch(&green, from).await?.take(wanted.len());
        let seen: Vec<_> = events.map_ok(|event| kind(&event)).try_collect().await?;
        equal(seen, wanted, "events")?;
    }
    // A list as a watch; the bookmark says that this was all.
    let list = WatchParams::default().labels("colour=blue").initial_events();
    let events = maps.watch(&list, "0").await?.take(13);
    let seen: Vec<_> = events.map_ok(|event| kind(&event)).try_collect().await?;
    equal(seen, [vec!["ADDED"; 12], vec!["BOOKMARK"]].concat(), "a list as a watch")
}

async fn applies(maps: &Api<ConfigMap>) -> Result<()> {
    let wanted = |data: Value| Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": data}));
    let one = PatchParams::apply("one");
    let made = maps.patch("applied", &one, &wanted(json!({"a": "1", "b": "2"}))).await?;
    let again = maps.patch("applied", &one, &wanted(json!({"a": "1", "b": "2"}))).await?;
    equal(again.resource_version(), made.resource_version(), "nothing to do")?;
    let two = PatchParams::apply("two");
    let status = refused(maps.patch("applied", &two, &wanted(json!({"a": "x"}))).await, 409, "another's field")?;
    ensure!(status.message.contains("conflict with \"one\": .data.a"), "whose it is: {}", status.message);
    let forced = maps.patch("applied", &two.force(), &wanted(json!({"a": "x"}))).await?;
    let both = [("a".to_owned(), "x".to_owned()), ("b".to_owned(), "2".to_owned())];
    equal(data(&forced), both.into(), "data")?;
    let less = maps.patch("applied", &one, &wanted(json!({}))).await?;
    equal(data(&less).len(), 1, "what nobody wants any more goes")
}

async fn patches(deployments: &Api<Deployment>) -> Result<()> {
    let wanted: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "registry.example/main:1"}]}
            }
        }
    }))?;
    let made = deployments.create(&PostParams::default(), &wanted).await?;
    equal(made.spec.replicas, Some(1), "a default")?;
    equal(made.metadata.generation, Some(1), "generation")?;
    let options = PatchParams::default();
    let side = json!([{"name": "side", "image": "registry.example/side:1"}]);
    let side = json!({"spec": {"template": {"spec": {"containers": side}}}});
    let patched = deployments.patch("web", &options, &Patch::Strategic(side)).await?;
    let containers = |found: Deployment| {
        let pod = found.spec.template.spec;
        pod.map(|pod| pod.containers.into_iter().map(|c| c.name).collect::<Vec<_>>()).unwrap_or_default()
    };
    equal(containers(patched), vec!["side".to_owned(), "main".to_owned()], "a strategic patch")?;
    let scale = deployments.patch_scale("web", &options, &Patch::Merge(json!({"spec": {"replicas": 3}}))).await?;
    equal(scale.spec.and_then(|spec| spec.replicas), Some(3), "scale")?;
    let status = json!({"status": {"observedGeneration": 3}, "spec": {"replicas": 9}});
    let found = deployments.patch_status("web", &options, &Patch::Merge(status)).await?;
    equal(found.status.and_then(|status| status.observed_generation), Some(3), "status")?;
    equal(found.spec.replicas, Some(3), "status leaves the spec alone")
}

async fn refusals(maps: &Api<ConfigMap>) -> Result<()> {
    let options = PostParams::default();
    equal(maps.get_opt("nothing").await?.is_none(), true, "what is not there")?;
    let status = refused(maps.create(&options, &config_map("applied", "red")?).await, 409, "what is there")?;
    equal(status.reason.as_str(), "AlreadyExists", "the reason")?;
    let status = refused(maps.create(&options, &config_map("Not A Name", "red")?).await, 422, "a bad name")?;
    equal(status.reason.as_str(), "Invalid", "the reason")?;
    let mut old = maps.get("applied").await?;
    old.metadata.resource_version = Some("1".into());
    let status = refused(maps.replace("applied", &options, &old).await, 409, "an old version")?;
    equal(status.reason.as_str(), "Conflict", "the reason")
}

/// A reflector by list and watch, and one by a streamed list, see the same.
async fn reflects(maps: &Api<ConfigMap>) -> Result<()> {
    for config in [watcher::Config::default().page_size(7), watcher::Config::default().streaming_lists()] {
        let (reader, writer) = reflector::store();
        let mut events = Box::pin(reflector::reflector(writer, watcher(maps.clone(), config)).default_backoff());
        while let Some(event) = events.next().await {
            match event? {
                watcher::Event::InitDone => {
                    maps.create(&PostParams::default(), &config_map("late", "green")?).await?;
                }
                watcher::Event::Apply(found) if found.name_any() == "late" => {
                    maps.delete("late", &DeleteParams::default()).await?;
                }
                watcher::Event::Delete(found) => {
                    equal(found.name_any().as_str(), "late", "who went")?;
                    break;
                }
                _ => {}
            }
        }
        let namespace = maps.namespace().context("a namespace")?;
        ensure!(reader.get(&ObjectRef::new("page-07").within(namespace)).is_some(), "the store has what there was");
        ensure!(reader.get(&ObjectRef::new("late").within(namespace)).is_none(), "and not what went");
    }
    Ok(())
}

/// What knows kinds by discovery alone.
async fn dynamic(client: &Client, namespace: &str) -> Result<()> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let (resource, _) = discovery
        .groups()
        .flat_map(|group| group.recommended_resources())
        .find(|(resource, _)| resource.kind == "Deployment")
        .context("deployments are discovered")?;
    let deployments: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let options = ListParams::default().matching(VersionMatch::NotOlderThan).at("0");
    let list = deployments.list(&options).await?;
    equal(list.items.iter().map(ResourceExt::name_any).collect(), vec!["web".to_owned()], "deployments")?;
    let heads = deployments.list_metadata(&ListParams::default()).await?;
    equal(heads.items[0].metadata.uid.clone(), list.items[0].metadata.uid.clone(), "the head of the object")
}

fn announce(line: &str) {
    println!("{line}");
}
