//! A server small enough for tests: objects by path, revisions, watches. It judges nothing.
//!
//! Time stands still in it, and it answers at once. What was asked is kept, and answers can be put in the way.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use api::{GroupResource, Status, Value, value};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, header};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::{Client, Error, Frames, Transport};

/// More events are not kept for a watcher that does not read.
const EVENTS_MAX: usize = 4096;

/// The server.
#[derive(Default)]
pub struct Fake {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<String, Value>,
    asked: Vec<String>,
    /// Answers to the next requests whose method and path begin so.
    answers: VecDeque<(String, u16, Value)>,
    watches: Vec<(String, broadcast::Sender<String>)>,
    /// All events: revision, path, frame.
    history: Vec<(u64, String, String)>,
    /// Watches that stream the first objects are refused, as by an old server.
    pub no_streams: bool,
}

impl Fake {
    pub fn new() -> Arc<Fake> {
        Arc::new(Fake::default())
    }

    pub fn client(self: &Arc<Fake>) -> Client {
        Client::new(self.transport(), "test")
    }

    pub fn transport(self: &Arc<Fake>) -> Arc<dyn Transport> {
        Arc::new(Door(self.clone()))
    }

    /// Refuses watches with sendInitialEvents.
    pub fn refuse_streams(&self) {
        self.state.lock().no_streams = true;
    }

    /// `METHOD /path?query` of every request but watches and lists since the last call.
    pub fn writes(&self) -> Vec<String> {
        let mut state = self.state.lock();
        let all = std::mem::take(&mut state.asked);
        all.into_iter().filter(|a| !a.starts_with("GET ")).collect()
    }

    /// Says in discovery that these core resources are served: plural, kind, whether they live in namespaces.
    pub fn serve(&self, resources: &[(&str, &str, bool)]) {
        let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
        let resource = |(plural, kind, namespaced): &(&str, &str, bool)| {
            value!({"resource": *plural, "responseKind": {"group": "", "version": "v1", "kind": *kind},
                "scope": if *namespaced { "Namespaced" } else { "Cluster" }, "verbs": verbs.to_vec()})
        };
        let resources: Vec<Value> = resources.iter().map(resource).collect();
        let core = value!([{"metadata": {}, "versions": [{"version": "v1", "resources": resources}]}]);
        let mut state = self.state.lock();
        for (path, items) in [("/api", core), ("/apis", value!([]))] {
            state.objects.insert(path.into(), value!({"kind": "APIGroupDiscoveryList", "items": items}));
        }
    }

    /// The next request that begins so is answered like this.
    pub fn answer_next(&self, request: &str, code: u16, body: Value) {
        self.state.lock().answers.push_back((request.into(), code, body));
    }

    pub fn fail_next(&self, request: &str, status: &Status) {
        self.answer_next(request, status.code(), status.to_value());
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().objects.get(path).cloned()
    }

    /// All objects of a collection, in the order in which they were written last.
    pub fn all(&self, collection: &str) -> Vec<Value> {
        let state = self.state.lock();
        let mut all: Vec<Value> =
            state.objects.iter().filter(|(at, _)| holds(collection, at)).map(|(_, o)| o.clone()).collect();
        all.sort_by_key(crate::mirror::revision_of);
        all
    }

    /// Puts an object at a path, as somebody else would.
    pub fn put(&self, path: &str, object: Value) -> Value {
        self.state.lock().put(path, object)
    }

    /// Takes an object away.
    pub fn remove(&self, path: &str) {
        self.state.lock().remove(path);
    }

    /// Ends all watches.
    pub fn break_watches(&self) {
        self.state.lock().watches.clear();
    }

    /// Ends the watches of one collection.
    pub fn break_watches_of(&self, path: &str) {
        self.state.lock().watches.retain(|(collection, _)| collection != path);
    }

    /// Tells all watches of a path's collection something.
    pub fn tell(&self, path: &str, frame: &Value) {
        self.state.lock().tell(path, &codec::json::to_string(frame));
    }

    pub fn watchers(&self) -> usize {
        self.state.lock().watches.iter().filter(|(_, sender)| sender.receiver_count() > 0).count()
    }
}

impl State {
    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.revision += 1;
        object.set_path(&["metadata", "resourceVersion"], self.revision.to_string());
        if !object.at("metadata").has("uid") {
            object.set_path(&["metadata", "uid"], format!("uid-{}", self.revision));
        }
        let known = self.objects.insert(path.into(), object.clone()).is_some();
        let kind = if known { "MODIFIED" } else { "ADDED" };
        self.happen(path, &value!({"type": kind, "object": object.clone()}));
        object
    }

    fn remove(&mut self, path: &str) -> Option<Value> {
        let mut object = self.objects.remove(path)?;
        self.revision += 1;
        object.set_path(&["metadata", "resourceVersion"], self.revision.to_string());
        self.happen(path, &value!({"type": "DELETED", "object": object.clone()}));
        Some(object)
    }

    fn happen(&mut self, path: &str, frame: &Value) {
        let frame = codec::json::to_string(frame);
        self.tell(path, &frame);
        self.history.push((self.revision, path.into(), frame));
    }

    fn tell(&mut self, path: &str, frame: &str) {
        for (collection, sender) in &self.watches {
            if holds(collection, path) {
                let _ = sender.send(format!("{frame}\n"));
            }
        }
    }

    fn answer(&mut self, request: &Request<Bytes>) -> Result<Value, Status> {
        let path = request.uri().path().to_string();
        let body = codec::json::any(request.body()).map(|d| d.value).unwrap_or_default();
        let base = path.trim_end_matches("/status").trim_end_matches("/finalize").to_string();
        let missing = || Status::not_found(&GroupResource::new("", "objects"), &base);
        match *request.method() {
            Method::GET => match self.objects.get(&path) {
                Some(object) => Ok(object.clone()),
                None if path.rsplit('/').next().is_some_and(|last| last.ends_with('s')) => Ok(self.list(&path)),
                None => Err(missing()),
            },
            Method::POST => {
                let mut body = body;
                let begins = api::meta::of(&body).generate_name().to_owned();
                if api::meta::of(&body).name().is_empty() && !begins.is_empty() {
                    body.set_path(&["metadata", "name"], format!("{begins}{}", self.revision));
                }
                let at = format!("{path}/{}", api::meta::of(&body).name());
                if self.objects.contains_key(&at) {
                    return Err(Status::already_exists(&GroupResource::new("", "objects"), &at));
                }
                if let Some((_, rest)) = path.split_once("/namespaces/") {
                    let namespace = rest.split('/').next().unwrap_or("");
                    body.set_path(&["metadata", "namespace"], namespace);
                }
                Ok(self.put(&at, body))
            }
            Method::PUT => {
                let known = self.objects.get(&base).ok_or_else(missing)?;
                let (old, new) = (api::meta::of(known).resource_version(), api::meta::of(&body).resource_version());
                if !new.is_empty() && old != new {
                    return Err(Status::modified(&GroupResource::new("", "objects"), &base));
                }
                Ok(self.put(&base, body))
            }
            Method::PATCH => {
                let kind = request.headers().get(header::CONTENT_TYPE);
                if kind.is_some_and(|kind| kind == "application/strategic-merge-patch+json") {
                    return Err(Status::unsupported_media_type(&["application/merge-patch+json"]));
                }
                let mut known = self.objects.get(&base).ok_or_else(missing)?.clone();
                api::patch::merge_patch::apply(&mut known, body).map_err(Status::bad_request)?;
                Ok(self.put(&base, known))
            }
            _ => match self.remove(&path) {
                Some(_) => Ok(value!({"kind": "Status", "apiVersion": "v1", "status": "Success"})),
                None => Err(missing()),
            },
        }
    }

    fn list(&self, path: &str) -> Value {
        let items = self.objects.iter().filter(|(at, _)| holds(path, at)).map(|(_, o)| o.clone());
        let items: Vec<Value> = items.collect();
        value!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": self.revision.to_string()}, "items": items})
    }

    /// The frames a new watch begins with, and the rest.
    fn watch(&mut self, path: &str, query: &str) -> Result<(String, broadcast::Receiver<String>), Status> {
        let initial = query.contains("sendInitialEvents=true");
        if initial && self.no_streams {
            return Err(Status::new(422, api::Reason::Invalid, "sendInitialEvents is forbidden for watch"));
        }
        let mut first = String::new();
        if initial {
            for object in self.objects.iter().filter(|(at, _)| holds(path, at)).map(|(_, o)| o.clone()) {
                first += &codec::json::to_string(&value!({"type": "ADDED", "object": object}));
                first.push('\n');
            }
            let end = value!({"type": "BOOKMARK", "object": {"metadata": {
                "resourceVersion": self.revision.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}}});
            first += &codec::json::to_string(&end);
            first.push('\n');
        }
        let from = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        if let Some(from) = from.and_then(|r| r.parse::<u64>().ok()) {
            for (_, _, frame) in self.history.iter().filter(|(at, of, _)| *at > from && holds(path, of)) {
                first += frame;
                first.push('\n');
            }
        }
        let (sender, receiver) = broadcast::channel(EVENTS_MAX);
        self.watches.push((path.into(), sender));
        Ok((first, receiver))
    }
}

/// Whether the collection at `path` (in a namespace or in all) has the object at `at`.
fn holds(path: &str, at: &str) -> bool {
    let Some((collection, _)) = at.rsplit_once('/') else { return false };
    if collection == path {
        return true;
    }
    let Some((head, rest)) = collection.split_once("/namespaces/") else { return false };
    rest.split_once('/').is_some_and(|(_, plural)| format!("{head}/{plural}") == path)
}

struct Door(Arc<Fake>);

#[async_trait]
impl Transport for Door {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Frames>, Error> {
        let mut state = self.0.state.lock();
        let line = format!("{} {}", request.method(), request.uri());
        state.asked.push(line.clone());
        if let Some(place) = state.answers.iter().position(|(wanted, ..)| line.starts_with(wanted.as_str())) {
            let (_, code, body) = state.answers.remove(place).expect("it was just found");
            return Ok(whole(code, &body));
        }
        let query = request.uri().query().unwrap_or("").to_string();
        if query.contains("watch=true") {
            return Ok(match state.watch(request.uri().path(), &query) {
                Err(status) => whole(status.code(), &status.to_value()),
                Ok((first, receiver)) => {
                    let rest = stream::unfold(receiver, |mut receiver| async move {
                        receiver.recv().await.ok().map(|frame| (Ok(Bytes::from(frame)), receiver))
                    });
                    let first = stream::iter([Ok(Bytes::from(first))]);
                    let frames: Frames = Box::pin(first.chain(rest));
                    Response::new(frames)
                }
            });
        }
        Ok(match state.answer(&request) {
            Ok(object) => whole(200, &object),
            Err(status) => whole(status.code(), &status.to_value()),
        })
    }
}

fn whole(code: u16, body: &Value) -> Response<Frames> {
    let bytes = Bytes::from(codec::json::to_string(body));
    let frames: Frames = Box::pin(stream::iter([Ok(bytes)]));
    let mut response = Response::new(frames);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response
}
