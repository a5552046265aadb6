//! Kinds whose versions a webhook makes out of each other, through the verbs, as clients see them.

#[path = "writes/world.rs"]
#[allow(dead_code, reason = "each test file needs a part of it")]
mod world;

use std::{sync::Arc, time::Duration};

use admission::webhook::{Address, Call, CallError};
use api::{GroupResource, Status, Value, meta, value};
use async_trait::async_trait;
use parking_lot::Mutex;
use registry::{
    Answer, Body, Media,
    options::{DeleteOptions, ListOptions, WriteOptions},
    patch::Form,
    special::custom::work,
    watch::{End, Kind, Notice, Watch},
};
use world::{Outcome, World, shown};

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";
const V1: &str = "sites.example.com@v1";
const V2: &str = "sites.example.com@v2";

/// Makes `hostPort` of `host` and `port`, and back.
#[derive(Default)]
struct Hook {
    /// How many objects were in each review.
    asked: Mutex<Vec<usize>>,
    /// What becomes of its answers.
    spoil: Mutex<Option<fn(&mut Value)>>,
    is_down: Mutex<bool>,
}

impl Hook {
    fn asked(&self) -> Vec<usize> {
        std::mem::take(&mut self.asked.lock())
    }
}

#[async_trait]
impl Call for Hook {
    async fn call(&self, _: &Address, review: &Value, _: Duration) -> Result<Value, CallError> {
        if *self.is_down.lock() {
            return Err(CallError::Unreachable("nobody is there".into()));
        }
        let request = review.at("request");
        let objects = request.list("objects");
        self.asked.lock().push(objects.len());
        let made: Vec<Value> =
            objects.iter().map(|object| converted(object, request.str("desiredAPIVersion"))).collect();
        let mut answer = value!({
            "kind": "ConversionReview", "apiVersion": (review.str("apiVersion")),
            "response": {"uid": (request.str("uid")), "convertedObjects": made, "result": {"status": "Success"}}
        });
        if let Some(spoil) = *self.spoil.lock() {
            spoil(&mut answer);
        }
        Ok(answer)
    }
}

fn converted(object: &Value, wanted: &str) -> Value {
    let mut made = object.clone();
    made.set("apiVersion", wanted);
    match wanted {
        "example.com/v2" => {
            let text = made.remove("hostPort").unwrap_or_default();
            let (host, port) = text.as_str().unwrap_or("").split_once(':').unwrap_or_default();
            made.set("host", host);
            made.set("port", port);
        }
        _ => {
            let [host, port] = ["host", "port"].map(|member| made.remove(member).unwrap_or_default());
            made.set("hostPort", format!("{}:{}", host.as_str().unwrap_or(""), port.as_str().unwrap_or("")));
        }
    }
    made
}

fn version(name: &str, stored: bool, fields: &[&str]) -> Value {
    let mut properties = value!({
        "extra": {"type": "string", "default": (format!("from {name}"))}, "spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
    });
    fields.iter().for_each(|field| properties.set(field, value!({"type": "string", "maxLength": 20})));
    let selectable: Vec<Value> = fields.iter().map(|field| value!({"jsonPath": (format!(".{field}"))})).collect();
    value!({
        "name": name, "served": true, "storage": stored,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
        "selectableFields": selectable,
        "subresources": {
            "status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
        }
    })
}

/// A definition that stores a version.
fn definition(stored: &str) -> Value {
    let webhook = value!({
        "clientConfig": {"url": "https://127.0.0.1:9443/convert"}, "conversionReviewVersions": ["v2", "v1", "v1beta1"]
    });
    value!({
        "metadata": {"name": "sites.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "sites", "kind": "Site"},
            "conversion": {"strategy": "Webhook", "webhook": webhook},
            "versions": [
                (version("v1", stored == "v1", &["hostPort"])), (version("v2", stored == "v2", &["host", "port"]))
            ]
        }
    })
}

/// Waits until the catalog serves what the definition says.
async fn until_stored_as(world: &World, version: &str) {
    let definitions = world.ask("get", DEFINITIONS, "").definition.clone();
    let (_, mut cursor) = definitions.cache.snapshot_and_cursor(0);
    let sites = GroupResource::new("example.com", "sites");
    loop {
        world.registry.filler.wait(world.registry.store.revision().await.expect("memory has one")).await;
        let established = definitions.cache.get("sites.example.com").is_some_and(|entry| {
            let stored = entry.tree();
            stored
                .at("status")
                .list("conditions")
                .iter()
                .any(|c| c.str("type") == "Established" && c.str("status") == "True")
        });
        if established && world.registry.catalog.get(&sites).is_some_and(|d| d.hub.version == version) {
            return;
        }
        cursor.next(16, &mut Vec::new()).await.expect("the log is long enough");
    }
}

async fn with_sites() -> (World, Arc<Hook>) {
    let hook = Arc::new(Hook::default());
    let world = World::with_webhook(hook.clone()).await;
    work::run(&world.registry);
    world.create(DEFINITIONS, definition("v1"), false).await.expect("it is right");
    until_stored_as(&world, "v1").await;
    (world, hook)
}

/// Has another version stored from now on.
async fn store_as(world: &World, version: &str) {
    let (first, second) = (version == "v1", version == "v2");
    let patch = format!(
        r#"[{{"op":"replace","path":"/spec/versions/0/storage","value":{first}}},
            {{"op":"replace","path":"/spec/versions/1/storage","value":{second}}}]"#
    );
    world.patch(DEFINITIONS, "sites.example.com", Form::Json, &patch, false).await.expect("it is right");
    until_stored_as(world, version).await;
}

fn site(version: &str, name: &str, said: Value) -> Value {
    let mut object = value!({
        "apiVersion": (format!("example.com/{version}")), "kind": "Site",
        "metadata": {"name": name, "namespace": "ns"}
    });
    said.members().for_each(|(member, value)| object.set(member, value));
    object
}

fn one(name: &str) -> Value {
    site("v1", name, value!({"hostPort": "a:80"}))
}

async fn get(world: &World, resource: &str, name: &str) -> Outcome {
    shown(world.registry.get(&world.ask("get", resource, name), "").await)
}

async fn names(world: &World, resource: &str, fields: &str) -> Result<Vec<String>, Status> {
    let options = ListOptions { field_selector: fields.into(), ..ListOptions::default() };
    let found = world.registry.list(&world.ask("list", resource, ""), &options).await?;
    Ok(found.entries.iter().map(|entry| entry.head.name.to_string()).collect())
}

/// The object as it lies in the store.
async fn in_store(world: &World, name: &str) -> Value {
    let (found, _) =
        world.registry.store.get(&format!("/registry/example.com/sites/ns/{name}")).await.expect("it reads");
    codec::json::any(&found.expect("it is there").value).expect("it is JSON").value
}

#[tokio::test]
async fn what_is_written_in_one_version_is_read_in_another() {
    let (world, hook) = with_sites().await;
    world.create(V1, one("a"), false).await.expect("it is right");
    assert!(hook.asked().is_empty(), "the stored version is nobody's business");
    let seen = get(&world, V2, "a").await.expect("it is there");
    assert_eq!((seen.str("apiVersion"), seen.str("host"), seen.str("port")), ("example.com/v2", "a", "80"));
    assert_eq!(seen.str("extra"), "from v1", "it is not defaulted again");
    assert!(!meta::of(&seen).resource_version().is_empty());

    let made =
        world.create(V2, site("v2", "b", value!({"host": "b", "port": "81"})), false).await.expect("it is right");
    assert_eq!((made.str("host"), made.str("extra")), ("b", "from v2"));
    assert_eq!(in_store(&world, "b").await.str("hostPort"), "b:81");
    assert_eq!(get(&world, V1, "b").await.expect("it is there").str("hostPort"), "b:81");
    assert_eq!(hook.asked(), [1, 1, 1], "a read; a write there and back");

    let refused = world.create(V2, site("v2", "c", value!({"hostPort": "c:1", "host": 5})), false).await;
    assert_eq!(refused.expect_err("it is judged by its own schema").code(), 422);
}

#[tokio::test]
async fn lists_ask_once_for_what_is_of_other_versions() {
    let (world, hook) = with_sites().await;
    for name in ["a", "b", "c"] {
        world.create(V1, one(name), false).await.expect("it is right");
    }
    store_as(&world, "v2").await;
    world.create(V2, site("v2", "d", value!({"host": "d", "port": "1"})), false).await.expect("it is right");
    assert_eq!(hook.asked(), [0; 0]);
    let list = world.registry.list(&world.ask("list", V2, ""), &ListOptions::default()).await.expect("they are there");
    let hosts: Vec<String> = list.entries.iter().map(|entry| entry.tree().str("host").to_owned()).collect();
    assert_eq!((hosts.join(","), hook.asked()), ("a,a,a,d".into(), vec![3]));
    assert_eq!(names(&world, V2, "").await.expect("again"), ["a", "b", "c", "d"]);
    assert!(hook.asked().is_empty(), "nothing has changed since");
    world.patch(V2, "a", Form::Merge, r#"{"port":"8080"}"#, false).await.expect("it is right");
    assert_eq!(
        in_store(&world, "a").await.str("apiVersion"),
        "example.com/v2",
        "what is written is of the new version"
    );
    hook.asked();
    names(&world, V2, "").await.expect("it is there");
    assert!(hook.asked().is_empty(), "it lies there as it is read");
    names(&world, V1, "").await.expect("they are there");
    assert_eq!(hook.asked(), [2]);
}

#[tokio::test]
async fn fields_are_those_of_the_version() {
    let (world, _) = with_sites().await;
    for (name, host, port) in [("a", "h1", "80"), ("b", "h1", "8080"), ("c", "h2", "80")] {
        let object = site("v2", name, value!({"host": host, "port": port}));
        world.create(V2, object, false).await.expect("it is right");
    }
    assert_eq!(names(&world, V2, "host=h1").await.expect("v2 knows it"), ["a", "b"]);
    assert_eq!(names(&world, V2, "host=h1,port=80").await.expect("v2 knows it"), ["a"]);
    assert_eq!(names(&world, V1, "hostPort=h1:80").await.expect("v1 knows it"), ["a"]);
    assert_eq!(names(&world, V2, "metadata.name=c").await.expect("everybody does"), ["c"]);
    assert_eq!(names(&world, V1, "host=h1").await.map_err(|status| status.code()), Err(400));
}

async fn watch(world: &World, resource: &str, options: &ListOptions) -> Watch {
    world.registry.watch(&world.ask("watch", resource, ""), options).await.expect("it begins")
}

async fn told(watch: &mut Watch) -> Vec<(Kind, String, String)> {
    let mut notices = Vec::new();
    watch.next(&mut notices).await.expect("there is something");
    let shown = notices.iter().filter_map(Notice::shown);
    shown.map(|(kind, entry)| (kind, entry.head.name.to_string(), entry.tree().str("host").to_owned())).collect()
}

#[tokio::test]
async fn watchers_hear_of_what_their_version_shows() {
    let (world, hook) = with_sites().await;
    world.create(V1, one("a"), false).await.expect("it is right");
    let selected = ListOptions { field_selector: "host=a".into(), ..ListOptions::default() };
    let mut of_host = watch(&world, V2, &ListOptions { send_initial_events: Some(true), ..selected }).await;
    assert_eq!(told(&mut of_host).await, [(Kind::Added, "a".into(), "a".into())]);
    let mut all = watch(&world, V2, &ListOptions::default()).await;

    world.create(V1, site("v1", "b", value!({"hostPort": "b:1"})), false).await.expect("it is right");
    world.patch(V1, "a", Form::Merge, r#"{"hostPort":"c:80"}"#, false).await.expect("it is right");
    hook.asked();
    assert_eq!(told(&mut of_host).await, [(Kind::Deleted, "a".into(), "a".into())], "it shows as it last matched");
    assert_eq!(hook.asked().iter().sum::<usize>(), 2, "each object once");
    let heard = told(&mut all).await;
    assert_eq!(heard, [(Kind::Added, "b".into(), "b".into()), (Kind::Modified, "a".into(), "c".into())]);
    assert!(hook.asked().is_empty(), "what one watcher was told the others know");

    let ask = world.ask("delete", V2, "b");
    world.registry.remove(&ask, &DeleteOptions::default()).await.expect("it is there");
    assert_eq!(told(&mut all).await, [(Kind::Deleted, "b".into(), "b".into())]);
    *hook.is_down.lock() = true;
    world.patch(V1, "a", Form::Merge, r#"{"hostPort":"d:80"}"#, false).await.expect("it is right");
    let Err(End::Failed(status)) = all.next(&mut Vec::new()).await else { panic!("nobody can say what it is") };
    assert!(status.message().starts_with("conversion webhook for example.com/v1, Kind=Site failed: "), "{status}");
}

#[tokio::test]
async fn without_its_webhook_a_kind_is_what_lies_in_the_store() {
    let (world, hook) = with_sites().await;
    world.create(V1, one("a"), false).await.expect("it is right");
    *hook.is_down.lock() = true;
    let options = DeleteOptions::default();
    let corrupt = "StorageError: corrupt object, Code: 7, Key: ";
    for (outcome, words) in [
        (get(&world, V2, "a").await, format!("Internal error occurred: {corrupt}/example.com/sites/ns/a, ")),
        (world.patch(V2, "a", Form::Merge, r#"{"port":"1"}"#, false).await, "object not decodable revision=".into()),
        (
            names(&world, V2, "").await.map(|_| Value::Null),
            format!(
                "failed to read one or more sites.example.com from the storage: {corrupt}/registry/example.com/sites/ns/a, "
            ),
        ),
        (
            world.registry.remove(&world.ask("delete", V2, "a"), &options).await.map(|_| Value::Null),
            format!("Internal error occurred: {corrupt}/example.com/sites/ns/a, "),
        ),
    ] {
        let refused = outcome.expect_err("nobody converts");
        let said = refused.message();
        assert!(said.starts_with(&words) && refused.code() == 500, "{said}");
        assert!(said.ends_with(": conversion webhook for example.com/v1, Kind=Site failed: nobody is there"), "{said}");
    }
    let created = world.create(V2, site("v2", "b", value!({"host": "b"})), false).await;
    let text = "conversion webhook for example.com/v2, Kind=Site failed: nobody is there";
    assert_eq!(created.expect_err("nobody converts").message(), text);
    assert_eq!(get(&world, V1, "a").await.expect("it lies there").str("hostPort"), "a:80");
    world.patch(V1, "a", Form::Merge, r#"{"hostPort":"b:1"}"#, false).await.expect("it lies there");
    world.registry.remove(&world.ask("delete", V1, "a"), &options).await.expect("it lies there");
    assert!(names(&world, V1, "").await.expect("nothing has to be converted").is_empty());
}

#[tokio::test]
async fn a_webhook_changes_no_metadata_but_labels_and_annotations() {
    let (world, hook) = with_sites().await;
    world.create(V1, one("a"), false).await.expect("it is right");
    let spoil = |spoil: fn(&mut Value)| *hook.spoil.lock() = Some(spoil);
    spoil(|answer| {
        for object in answer.entry_path(&["response", "convertedObjects"]).make_array() {
            object.set_path(&["metadata", "labels"], value!({"seen": "yes"}));
            object.set_path(&["metadata", "finalizers"], value!(["example.com/mine"]));
        }
    });
    let seen = get(&world, V2, "a").await.expect("it is there");
    assert_eq!(seen.at("metadata").at("labels"), &value!({"seen": "yes"}));
    assert!(!seen.at("metadata").has("finalizers"));
    let labelled = ListOptions { label_selector: "seen=yes".into(), ..ListOptions::default() };
    let found = world.registry.list(&world.ask("list", V2, ""), &labelled).await.expect("they are there");
    assert_eq!(found.entries.len(), 1, "labels are those of the version");
    spoil(|answer| {
        let objects = answer.entry_path(&["response", "convertedObjects"]).make_array();
        objects.iter_mut().for_each(|object| object.set("bogus", 1));
    });
    assert!(!get(&world, V2, "a").await.expect("it is there").has("bogus"), "what no schema knows is taken out");
    spoil(|answer| {
        let objects = answer.entry_path(&["response", "convertedObjects"]).make_array();
        objects.iter_mut().for_each(|object| object.set_path(&["metadata", "name"], "b"));
    });
    let refused = get(&world, V2, "a").await.expect_err("it is another one");
    let text =
        "conversion webhook for example.com/v1, Kind=Site returned invalid object: must have the same name: a != b";
    assert!(refused.message().ends_with(text), "{refused}");
}

#[tokio::test]
async fn fields_owned_through_another_version_are_counted_in_it() {
    let (world, hook) = with_sites().await;
    let apply = async |resource: &str, object: Value, manager: &str, force: bool| {
        let mut options = WriteOptions { field_manager: manager.into(), ..WriteOptions::default() };
        options.force = Some(force);
        let (name, text) = (meta::of(&object).name().to_owned(), codec::json::to_string(&object));
        let ask = world.ask("patch", resource, &name);
        shown(world.registry.patch(&ask, Form::Apply { cbor: false }, text.as_bytes(), &options).await)
    };
    apply(V1, one("a"), "first", false).await.expect("nobody objects");
    let other = site("v2", "a", value!({"host": "b", "port": "80"}));
    let refused = apply(V2, other.clone(), "second", false).await.expect_err("the first owns what that makes");
    assert!(refused.message().contains("conflict with \"first\": .hostPort"), "{refused}");
    let forced = apply(V2, other, "second", true).await.expect("it is taken");
    let owned = |object: &Value, manager: &str| {
        let entries = object.at_path(&["metadata", "managedFields"]).items().iter();
        let found: Vec<Value> =
            entries.filter(|e| e.str("manager") == manager).map(|e| e.at("fieldsV1").clone()).collect();
        found.into_iter().next().unwrap_or_default()
    };
    assert!(!owned(&forced, "first").has("f:hostPort"), "{}", codec::json::to_string(&forced));
    assert!(owned(&forced, "second").has("f:host"));
    // A plain update through v1 takes from the second what it changes.
    let changed = world.patch(V1, "a", Form::Merge, r#"{"hostPort":"c:80"}"#, false).await.expect("it is right");
    assert!(!owned(&changed, "second").has("f:host") && owned(&changed, "second").has("f:port"));
    assert!(owned(&changed, "test").has("f:hostPort"));
    *hook.is_down.lock() = true;
    let refused = apply(V1, one("a"), "first", true).await.expect_err("nobody converts");
    let text = "conversion webhook for example.com/v1, Kind=Site failed: nobody is there";
    assert_eq!((refused.code(), refused.message()), (500, text));
    let kept = world.patch(V1, "a", Form::Merge, r#"{"hostPort":"d:80"}"#, false).await.expect("who owns what stays");
    assert_eq!(owned(&kept, "second"), owned(&changed, "second"));
}

#[tokio::test]
async fn subresources_are_written_through_any_version() {
    let (world, _) = with_sites().await;
    world.create(V1, one("a"), false).await.expect("it is right");
    let mut object = get(&world, V2, "a").await.expect("it is there");
    object.set("status", value!({"replicas": 2}));
    object.set("host", "other");
    let text = codec::json::to_string(&object);
    let body = Body { media: Media::Json, bytes: text.as_bytes() };
    let ask = world.ask("update", "sites.example.com/status@v2", "a");
    let written = world.registry.update(&ask, body, &WriteOptions::default()).await;
    let written = shown(written).expect("it is right");
    assert_eq!((written.at("status").int("replicas"), written.str("host")), (2, "a"));
    let scale = world.ask("patch", "sites.example.com/scale@v2", "a");
    let patch = br#"{"spec":{"replicas":3}}"#;
    let scaled = world.registry.patch_scale(&scale, Form::Merge, patch, &WriteOptions::default()).await;
    let Ok(Answer::Scale(scaled)) = scaled else { panic!("it is a scale") };
    assert_eq!((scaled.at("spec").int("replicas"), scaled.at("status").int("replicas")), (3, 2));
    assert_eq!(in_store(&world, "a").await.at("spec").int("replicas"), 3);
}
