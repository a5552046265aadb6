//! Mirrors against a small server: lists, watches that break, revisions that expire.

use std::sync::Arc;

use api::{Status, value};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::*;
use crate::fake::Fake;

/// Remembers what it was told, and wakes whoever waits for a revision.
struct Log {
    lines: Mutex<Vec<String>>,
    revision: watch::Sender<u64>,
}

impl Log {
    fn new() -> Arc<Log> {
        Arc::new(Log { lines: Mutex::default(), revision: watch::Sender::new(0) })
    }

    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock())
    }

    async fn wait(&self, revision: u64) {
        self.revision.subscribe().wait_for(|r| *r >= revision).await.expect("the sender lives");
    }
}

impl Follower for Log {
    fn changed(&self, _: &Mirror, change: &Change) {
        let word = match (&change.old, &change.new) {
            (None, _) => "added",
            (_, None) => "gone",
            _ => "changed",
        };
        self.lines.lock().push(format!("{word} {}", Key::of(change.object())));
    }

    fn progressed(&self, mirror: &Mirror) {
        self.revision.send_replace(mirror.revision());
    }
}

const WEB: &str = "/api/v1/namespaces/a/pods/web";
const DB: &str = "/api/v1/namespaces/a/pods/db";

fn pod(name: &str) -> Value {
    value!({"metadata": {"name": name, "namespace": "a", "labels": {"app": name}, "managedFields": [{}],
        "ownerReferences": [{"uid": "owner"}]}})
}

struct Scene {
    fake: Arc<Fake>,
    mirror: Arc<Mirror>,
    log: Arc<Log>,
}

fn follow(fake: &Arc<Fake>) -> Scene {
    let resource = Resource::parse("v1/pods").expect("it is a resource");
    let mirror = Arc::new(Mirror::new(resource, Form::Whole, &["app"]));
    let log = Log::new();
    let (client, m, l) = (fake.client(), mirror.clone(), log.clone());
    tokio::spawn(async move { m.follow(&client, &*l).await });
    Scene { fake: fake.clone(), mirror, log }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_has_what_the_server_has() {
    let fake = Fake::new();
    fake.put(WEB, pod("web"));
    let scene = follow(&fake);
    scene.log.wait(1).await;
    assert!(scene.mirror.is_synced());
    assert_eq!(scene.log.lines(), ["added a/web"]);
    scene.fake.put(DB, pod("db"));
    scene.fake.put(WEB, pod("web"));
    scene.log.wait(3).await;
    assert_eq!(scene.log.lines(), ["added a/db", "changed a/web"]);
    assert_eq!(scene.mirror.owned_by("owner").len(), 2);
    assert_eq!(scene.mirror.labelled("a", "app", "db").len(), 1);
    assert_eq!(scene.mirror.in_namespace("b").len(), 0);
    assert!(!scene.mirror.get("a", "web").expect("it is there").at("metadata").has("managedFields"));
    scene.fake.remove(DB);
    scene.log.wait(4).await;
    assert_eq!(scene.log.lines(), ["gone a/db"]);
    assert_eq!(scene.mirror.labelled("a", "app", "db").len(), 0);
    assert_eq!(scene.mirror.owned_by("owner").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_expired_means_a_new_list() {
    let fake = Fake::new();
    fake.put(WEB, pod("web"));
    fake.put(DB, pod("db"));
    let scene = follow(&fake);
    scene.log.wait(2).await;
    scene.log.lines();
    fake.answer_next(
        "GET /api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion=2",
        410,
        Status::expired("too old resource version: 2 (9)").to_value(),
    );
    fake.break_watches();
    fake.remove(DB);
    fake.put("/api/v1/namespaces/b/pods/new", value!({"metadata": {"name": "new", "namespace": "b"}}));
    scene.log.wait(4).await;
    let mut lines = scene.log.lines();
    lines.sort();
    assert_eq!(lines, ["added b/new", "gone a/db"], "what did not change is not told again");
}

#[tokio::test(start_paused = true)]
async fn servers_that_stream_no_lists_are_listed() {
    let fake = Fake::new();
    fake.refuse_streams();
    fake.put(WEB, pod("web"));
    let scene = follow(&fake);
    scene.log.wait(1).await;
    assert_eq!(scene.log.lines(), ["added a/web"]);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_advance_the_revision() {
    let fake = Fake::new();
    let scene = follow(&fake);
    scene.log.revision.subscribe().changed().await.expect("the sender lives");
    fake.tell("/api/v1/pods/", &value!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}}));
    scene.log.wait(77).await;
    assert_eq!(scene.log.lines(), Vec::<String>::new());
}

#[test]
fn an_object_made_anew_is_another_one() {
    let mirror = Mirror::new(Resource::new("", "v1", "pods"), Form::Whole, &[]);
    mirror.set(value!({"metadata": {"name": "a", "uid": "1", "resourceVersion": "5"}}));
    let change = mirror.set(value!({"metadata": {"name": "a", "uid": "2", "resourceVersion": "7"}}));
    assert_eq!(change.removed_uid(), Some("1"));
    assert_eq!(mirror.revision(), 7);
    let change = mirror.set(value!({"metadata": {"name": "a", "uid": "2", "resourceVersion": "8"}}));
    assert_eq!(change.removed_uid(), None);
}
