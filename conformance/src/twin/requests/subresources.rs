//! What stands below a resource: status, scale, and the ones with rules of their own. Streams and proxies are asked of what
//! is on no node, so that their refusals are compared.

use std::sync::Arc;

use api::{Gvk, Value, meta, value};

use super::{
    super::{
        case::{PROTOBUF, YAML},
        mutate,
        target::Subresource,
    },
    Base, Body, Class, Edit, Form, JSON, Maker,
    patches::{APPLY, JSON_PATCH, MERGE, STRATEGIC},
    with,
    writes::rv,
};

/// What leads to a node, each with what may stand behind it.
const STREAMS: &[(&str, &[&str])] = &[
    (
        "log",
        &[
            "",
            "?container=missing",
            "?follow=true",
            "?previous=true",
            "?tailLines=-1",
            "?tailLines=x",
            "?limitBytes=0",
            "?sinceSeconds=0",
            "?sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z",
            "?sinceTime=x",
            "?stream=Stdout",
            "?stream=bogus",
            "?stream=Stdout&tailLines=1",
            "?timestamps=x",
            "?insecureSkipTLSVerifyBackend=true",
            "?pretty=true",
            "/more",
        ],
    ),
    (
        "exec",
        &[
            "",
            "?command=ls",
            "?command=ls&stdout=true",
            "?command=ls&stdout=true&container=missing",
            "?command=ls&stdin=x",
            "?command=ls&stderr=false&stdout=false",
            "?command=ls&tty=true&stdout=true&stderr=true",
            "/more",
        ],
    ),
    ("attach", &["", "?stdout=true", "?stdin=true&container=missing", "?stdout=x", "?tty=true&stdout=true", "/more"]),
    ("portforward", &["", "?ports=80", "?ports=x", "?ports=0", "?ports=80,81", "/more"]),
    ("proxy", &["", "/", "/a/b?c=d", "?path=a"]),
];
/// Beside GET: streams take some, proxies all.
const STREAM_METHODS: [&str; 5] = ["POST", "PUT", "PATCH", "DELETE", "HEAD"];

// === impl Maker ===

impl Maker<'_> {
    pub(super) fn subresources(&mut self, budget: usize) {
        let all: Vec<Subresource> = self.target.subresources.clone();
        self.streams(&all);
        let leads_to_a_node = |sub: &Subresource| STREAMS.iter().any(|(name, _)| *name == sub.name);
        let all: Vec<Subresource> = all.into_iter().filter(|sub| !leads_to_a_node(sub)).collect();
        let share = budget / all.len().max(1);
        for sub in all {
            let class = match sub.name.as_str() {
                "status" => Class::Status,
                "scale" => Class::Scale,
                _ => Class::Subresource,
            };
            let path = format!("{}/{}", self.target.path(), sub.name);
            if sub.verbs.contains("get") {
                for accept in ["", YAML, PROTOBUF, "application/json;as=Table;v=v1;g=meta.k8s.io"] {
                    self.ask(class, &path, accept);
                }
                self.ask(class, &format!("{}/missing/{}", self.target.collection(), sub.name), "");
            }
            let whole = sub.gvk == self.target.gvk;
            match (whole, sub.verbs.contains("create")) {
                (_, true) => self.created(class, &path, &sub, share),
                (true, _) => self.updated(class, &path, &sub, share),
                (false, _) => self.scaled(class, &path, &sub, share),
            }
        }
    }

    /// Logs, streams and proxies, as plain HTTP: nothing is made or changed by them.
    fn streams(&mut self, all: &[Subresource]) {
        for (name, ends) in STREAMS.iter().filter(|(name, _)| all.iter().any(|sub| sub.name == *name)) {
            let (path, collection) = (self.target.path(), self.target.collection());
            for end in *ends {
                self.ask(Class::Subresource, &format!("{path}/{name}{end}"), "");
            }
            for method in STREAM_METHODS {
                let path =
                    format!("{path}/{name}?{}", if *name == "exec" { "command=ls&stdout=true" } else { "stdout=true" });
                let form = Form { class: Class::Subresource, method, path: &path, accept: "", content_type: "" };
                self.push(form, "another method", Body::None);
            }
            self.ask(Class::Subresource, &format!("{path}/{name}"), PROTOBUF);
            self.ask(Class::Subresource, &format!("{collection}/missing/{name}"), "");
            for odd in ["http:missing:80", "ftp:missing:80", "missing:80", "a:b:c:d"] {
                self.ask(Class::Subresource, &format!("{collection}/{odd}/{name}"), "");
            }
        }
    }

    /// Below a resource, in its own type: status, approval, resize, finalize.
    fn updated(&mut self, class: Class, path: &str, sub: &Subresource, budget: usize) {
        let live = self.live();
        let full = self.target.dressed_fixture().unwrap_or_default();
        let member = if class == Class::Status { "status" } else { "spec" };
        let (kind, schemas) = (self.target.kind_type, self.schemas);
        let mut edits = mutate::edits(&mutate::points_of(&live, kind, member, schemas));
        if class == Class::Status && full.has(member) {
            let mut with_status = (*live).clone();
            with_status.set(member, full.at(member));
            let deep = mutate::edits(&mutate::points_of(&with_status, kind, member, schemas));
            // What is below the status that the fixture has: put into the live one, its other members apart.
            edits.extend(full.at(member).members().map(|(name, value)| Edit::of(&[member, name], value)));
            edits.extend(deep.into_iter().filter_map(|edit| first_member(&edit, &with_status)));
        }
        for labels in [value!({"a": "b"}), Value::Null, value!({"Bad Key": "x"})] {
            edits.push(Edit::of(&["metadata", "labels"], labels.clone()));
            edits.push(Edit::of(&["metadata", "annotations"], labels));
        }
        edits.push(Edit::of(&["metadata", "finalizers"], value!(["a/b"])));
        edits.push(Edit::of(&["metadata", "finalizers"], value!(["abc"])));
        edits.push(Edit::of(&["spec"], Value::Null));
        edits.push(Edit::of(&["status"], Value::Null));
        edits.push(Edit::of(&["bogus"], 1));
        let edits = self.some_of(edits, budget);
        let dry = with(path, "dryRun=All");
        self.varies = true;
        for (n, edit) in edits.into_iter().enumerate() {
            if sub.verbs.contains("update") {
                let body = self.changed(vec![rv("$rv"), edit.clone()]);
                let content_type = self.content_type(n, &body);
                let path = with(&dry, ["fieldValidation=Strict", "", ""][n / 6 % 3]);
                self.push(Form { class, method: "PUT", path: &path, accept: "", content_type }, edit.title(), body);
            }
            if sub.verbs.contains("patch") {
                self.below(class, n, &dry, &edit, &live);
            }
        }
        self.varies = false;
        if sub.verbs.contains("update") {
            for version in ["1", "", "abc"] {
                let body = self.changed(vec![rv(version)]);
                self.send(class, "PUT", &dry, &format!("resourceVersion {version:?}"), body);
            }
            self.send(class, "PUT", &dry, "no resourceVersion", self.changed(vec![]));
            let name = self.changed(vec![rv("$rv"), Edit::of(&["metadata", "name"], "other")]);
            self.send(class, "PUT", &dry, "another name", name);
            let missing = format!("{}/missing/{}?dryRun=All", self.target.collection(), sub.name);
            let body = self.changed(vec![Edit::of(&["metadata", "name"], "missing")]);
            self.send(class, "PUT", &missing, "an object that is not there", body);
        }
    }

    fn below(&mut self, class: Class, n: usize, dry: &str, edit: &Edit, live: &Value) {
        let (content_type, patch) = match (n % 4, edit.merge_patch()) {
            (1, Some(patch)) => (MERGE, patch),
            (2, Some(patch)) => (STRATEGIC, patch),
            (3, Some(patch)) => (APPLY, self.applied(patch)),
            _ => (JSON_PATCH, edit.json_patch(live)),
        };
        let path = match content_type {
            APPLY => with(dry, "fieldManager=other&force=true"),
            _ => dry.to_owned(),
        };
        self.patched(class, content_type, &path, format!("{content_type} {}", edit.title()), Body::Tree(patch));
    }

    /// Scale: an object of another kind in the same place.
    fn scaled(&mut self, class: Class, path: &str, sub: &Subresource, budget: usize) {
        let Some(kind) = self.schemas.kind(&sub.gvk) else { return };
        let mut base = self.dressed_other(&sub.gvk);
        base.set("spec", value!({"replicas": 3}));
        base.remove("status");
        let base = Arc::new(base);
        let mut edits = mutate::edits(&mutate::points(&base, kind, self.schemas));
        edits.insert(0, Edit::of(&["spec", "replicas"], 0));
        let edits = self.some_of(edits, budget);
        let dry = with(path, "dryRun=All");
        self.varies = true;
        for (n, edit) in edits.into_iter().enumerate() {
            if sub.verbs.contains("update") {
                let body = Body::Edited { base: Base::Other, object: base.clone(), edits: vec![edit.clone()] };
                let content_type = self.content_type(n, &body);
                self.push(Form { class, method: "PUT", path: &dry, accept: "", content_type }, edit.title(), body);
            }
            if sub.verbs.contains("patch") && n.is_multiple_of(2) {
                self.below(class, n / 2, &dry, &edit, &base);
            }
        }
        self.varies = false;
        for version in ["$rv", "1", "abc"] {
            let body = Body::Edited { base: Base::Other, object: base.clone(), edits: vec![rv(version)] };
            self.send(class, "PUT", &dry, &format!("resourceVersion {version:?}"), body);
        }
        let missing = format!("{}/missing/{}?dryRun=All", self.target.collection(), sub.name);
        self.send(class, "PUT", &missing, "an object that is not there", Body::Tree((*base).clone()));
    }

    /// Binding, eviction, token: a create of another kind.
    fn created(&mut self, class: Class, path: &str, sub: &Subresource, budget: usize) {
        let Some(kind) = self.schemas.kind(&sub.gvk) else { return };
        let base = Arc::new(self.dressed_other(&sub.gvk));
        let edits = mutate::edits(&mutate::points(&base, kind, self.schemas));
        let edits = self.some_of(edits, budget);
        let dry = with(path, "dryRun=All");
        self.send(class, "POST", &dry, "as it is", Body::Tree((*base).clone()));
        self.varies = true;
        for (n, edit) in edits.into_iter().enumerate() {
            let body = Body::Edited { base: Base::Other, object: base.clone(), edits: vec![edit.clone()] };
            let content_type = self.content_type(n, &body);
            self.push(Form { class, method: "POST", path: &dry, accept: "", content_type }, edit.title(), body);
        }
        self.varies = false;
        for text in ["", "{}", "x"] {
            self.push(
                Form { class, method: "POST", path: &dry, accept: "", content_type: JSON },
                text,
                Body::Text(text.into()),
            );
        }
        let missing = format!("{}/missing/{}?dryRun=All", self.target.collection(), sub.name);
        self.send(class, "POST", &missing, "an object that is not there", Body::Tree((*base).clone()));
    }

    /// An object of another kind that names the live one.
    fn dressed_other(&self, gvk: &Gvk) -> Value {
        let mut object = value!({"kind": "", "apiVersion": "", "metadata": {"name": (self.target.name())}});
        meta::set_gvk(&mut object, gvk);
        if self.target.namespaced {
            object.entry("metadata").set("namespace", super::super::target::NAMESPACE);
        }
        match gvk.kind.as_str() {
            "Binding" => object.set("target", value!({"kind": "Node", "name": "sample-node"})),
            "TokenRequest" => object.set("spec", value!({"audiences": ["a"], "expirationSeconds": 3600})),
            _ => {}
        }
        object
    }
}

/// An edit below a member of the status as that member whole, the edit made.
fn first_member(edit: &Edit, object: &Value) -> Option<Edit> {
    let at = edit.path.get(..2)?;
    let mut object = object.clone();
    edit.apply(&mut object);
    let mut new = &object;
    for step in at {
        let super::super::edit::Step::Member(name) = step else { return None };
        new = new.at(name);
    }
    Some(Edit::at(at.to_vec(), new.clone()))
}
