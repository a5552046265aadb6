//! Creating and replacing: variations of samples, and what is wrong with a request rather than with its object.

use api::{Value, meta};

use super::{
    super::{
        case::{PROTOBUF, YAML, protobuf},
        mutate, target,
    },
    Base, Body, Class, Edit, Form, JSON, Maker, with,
};

/// Grafts from fixtures reach this deep.
const GRAFT_DEPTH_MAX: usize = 6;

const FORMS: &[&str] = &[
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/cbor",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "text/html",
    "application/json;pretty=1",
];

/// What a body's encoding may be called.
const CONTENT_TYPES: &[&str] = &[
    "application/json",
    "application/json; charset=utf-8",
    "application/yaml",
    "text/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/cbor",
    "text/plain",
    "application/x-www-form-urlencoded",
    "bogus",
    "application/json-patch+json",
    "",
];

const QUERIES: &[&str] = &[
    "",
    "fieldManager=other",
    "fieldManager=Bad%01",
    "fieldManager=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "fieldValidation=Strict",
    "fieldValidation=Warn",
    "fieldValidation=Ignore",
    "fieldValidation=Bogus",
    "dryRun=Bogus",
    "dryRun=",
    "pretty=true",
    "timeout=5s",
    "timeout=x",
    "bogus=1",
];

/// Bodies that are no object of the kind.
const NO_OBJECTS: &[&str] = &[
    "",
    "{}",
    "[]",
    "null",
    "x",
    "{",
    "{\"kind\":\"\"}",
    "{\"kind\":1}",
    "{\"apiVersion\":\"v1\"}",
    "{\"kind\":\"Bogus\",\"apiVersion\":\"v1\"}",
    "{\"kind\":\"Pod\",\"apiVersion\":\"v2\"}",
    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\"}}",
    "{\"kind\":\"ConfigMap\",\"apiVersion\":\"a/b/c\"}",
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\"}",
];

// === impl Maker ===

impl Maker<'_> {
    pub(super) fn create_specials(&mut self) {
        let collection = self.target.collection();
        let dry = with(&collection, "dryRun=All");
        for text in NO_OBJECTS {
            self.push(post(&dry), *text, Body::Text((*text).into()));
        }
        let Some(sample) = self.target.samples.first().cloned() else { return };
        let unchanged = |edits| Body::Edited { base: Base::Sample(0), object: sample.clone(), edits };
        for query in QUERIES {
            self.push(post(&with(&dry, query)), *query, unchanged(vec![]));
        }
        for content_type in CONTENT_TYPES {
            self.push(Form { content_type, ..post(&dry) }, *content_type, unchanged(vec![]));
        }
        for accept in FORMS {
            self.push(Form { accept, ..post(&dry) }, *accept, unchanged(vec![]));
        }
        for edit in self.identity_edits() {
            self.push(post(&dry), edit.title(), unchanged(vec![edit]));
        }
        // Bad ones are left out: the refusal holds what was drawn.
        for prefix in ["abc-", "abc", "a", &"a".repeat(70)] {
            let edits =
                vec![Edit::of(&["metadata", "name"], Value::Null), Edit::of(&["metadata", "generateName"], prefix)];
            self.push(post(&dry), format!("generateName {prefix}"), unchanged(edits));
        }
        if self.target.namespaced {
            let nowhere = format!("{}/namespaces/nowhere/{}?dryRun=All", self.target.root(), self.target.plural);
            self.push(post(&nowhere), "a namespace that is not there", unchanged(vec![]));
            let away = vec![Edit::of(&["metadata", "namespace"], Value::Null)];
            self.push(post(&nowhere), "a namespace that is not there, by its path", unchanged(away));
            let everywhere = format!("{}/{}?dryRun=All", self.target.root(), self.target.plural);
            self.push(post(&everywhere), "no namespace", unchanged(vec![]));
        }
        let text = codec::json::to_string(&sample);
        let doubled = text.replacen('{', "{\"kind\":\"Twice\",", 1);
        for query in ["fieldValidation=Strict", "fieldValidation=Warn", "fieldValidation=Ignore"] {
            self.push(post(&with(&dry, query)), "a member twice", Body::Text(doubled.clone()));
            let unknown =
                vec![Edit::of(&["bogus"], 1), Edit::of(&["metadata", "Name"], "x"), Edit::of(&["spec", "bogus"], "x")];
            self.push(post(&with(&dry, query)), "unknown fields", unchanged(unknown));
        }
        if let Some(full) = self.target.dressed_fixture() {
            for content_type in [JSON, YAML, PROTOBUF] {
                self.push(Form { content_type, ..post(&dry) }, "upstream's fixture", Body::Tree(full.clone()));
            }
        }
    }

    /// What kind, version, name and namespace may be said to be.
    fn identity_edits(&self) -> Vec<Edit> {
        let mut out = Vec::new();
        let values = |names: &[&str]| names.iter().map(|name| Value::from(*name)).collect::<Vec<_>>();
        for (path, names) in [
            (&["kind"][..], values(&["", "Bogus", "pod"])),
            (&["apiVersion"], values(&["", "v1", "apps/v1", "bogus/v1", "a/b/c"])),
            (&["metadata", "name"], values(&["", "a.b", "A", "a_b", "a/b", "..", "a%b", "x".repeat(64).as_str(), "0"])),
            (&["metadata", "namespace"], values(&["", "default", "nowhere", "Bad_"])),
            (&["metadata", "uid"], values(&["", "11111111-2222-3333-4444-555555555555", "x"])),
            (&["metadata", "resourceVersion"], values(&["", "0", "1", "abc"])),
        ] {
            let names = names.into_iter().chain([Value::Null]);
            out.extend(names.map(|name| Edit::of(path, name)));
        }
        out.push(Edit::of(&["metadata"], Value::Null));
        out
    }

    pub(super) fn create_variations(&mut self, budget: usize) {
        let samples = self.target.samples.clone();
        let full = self.target.dressed_fixture();
        let mut changes: Vec<(Base, usize, Edit)> = Vec::new();
        for (i, sample) in samples.iter().enumerate() {
            changes.extend(mutate::edits(&self.points(sample)).into_iter().map(|edit| (Base::Sample(i), i, edit)));
            if let Some(full) = &full {
                let grafts = mutate::grafts(sample, full, GRAFT_DEPTH_MAX);
                changes.extend(grafts.into_iter().map(|edit| (Base::Other, i, edit)));
            }
        }
        let changes = self.some_of(changes, budget);
        let path = with(&self.target.collection(), "dryRun=All");
        for (n, (base, sample, edit)) in changes.into_iter().enumerate() {
            let title = edit.title();
            let body = Body::Edited { base, object: samples[sample].clone(), edits: vec![edit] };
            let strict = ["", "fieldValidation=Strict", "fieldValidation=Ignore", ""][n / 8 % 4];
            self.push(
                Form {
                    class: Class::Create,
                    method: "POST",
                    path: &with(&path, strict),
                    accept: ["", "", YAML, PROTOBUF][n / 3 % 4],
                    content_type: self.content_type(n, &body),
                },
                title,
                body,
            );
        }
    }

    /// Mostly JSON; YAML and, where it can be said so, protobuf by turns.
    pub(super) fn content_type(&self, n: usize, body: &Body) -> &'static str {
        match n % 7 {
            2 => YAML,
            4 if protobuf(&body.tree(), self.schemas).is_some() => PROTOBUF,
            _ => JSON,
        }
    }

    pub(super) fn update_specials(&mut self) {
        if !self.target.can("update") {
            return;
        }
        let dry = with(&self.target.path(), "dryRun=All");
        let versioned = || vec![rv("$rv")];
        for query in QUERIES {
            self.push(put(&with(&dry, query)), *query, self.changed(versioned()));
        }
        for accept in FORMS {
            self.push(Form { accept, ..put(&dry) }, *accept, self.changed(versioned()));
        }
        for content_type in CONTENT_TYPES {
            self.push(Form { content_type, ..put(&dry) }, *content_type, self.changed(versioned()));
        }
        for text in NO_OBJECTS {
            self.push(put(&dry), *text, Body::Text((*text).into()));
        }
        for version in ["1", "0", "", "abc", "99999999"] {
            self.push(put(&dry), format!("resourceVersion {version:?}"), self.changed(vec![rv(version)]));
        }
        self.push(put(&dry), "no resourceVersion", self.changed(vec![]));
        for edit in self.identity_edits() {
            let title = edit.title();
            self.push(put(&dry), title, self.changed(vec![rv("$rv"), edit]));
        }
        self.push(put(&dry), "its uid", self.changed(vec![rv("$rv"), Edit::of(&["metadata", "uid"], "$uid")]));
        let missing = format!("{}/missing?dryRun=All", self.target.collection());
        for version in ["$rv", ""] {
            let named = Edit::of(&["metadata", "name"], "missing");
            let body = self.changed(vec![rv(version), named.clone()]);
            self.push(put(&missing), format!("an object that is not there, {version:?}"), body);
            let owned = vec![rv(version), named, Edit::of(&["metadata", "uid"], "$uid")];
            self.push(put(&missing), "an object that is not there, by its uid", self.changed(owned));
        }
        if let Some(fixture) = self.target.dressed_fixture() {
            let mut fixture = target::dressed(&fixture, self.live().at("metadata"));
            meta::set_gvk(&mut fixture, &self.target.gvk);
            rv("$rv").apply(&mut fixture);
            for content_type in [JSON, PROTOBUF] {
                self.push(Form { content_type, ..put(&dry) }, "upstream's fixture", Body::Tree(fixture.clone()));
            }
        }
    }

    /// Replaces and patches of every variation of the live object, the patches by turns.
    pub(super) fn write_variations(&mut self, budget: usize) {
        let live = self.live();
        let mut edits = mutate::edits(&self.points(&live));
        if let Some(full) = &self.target.fixture {
            edits.extend(mutate::grafts(&live, full, GRAFT_DEPTH_MAX));
        }
        let (puts, patches) = (self.target.can("update"), self.target.can("patch"));
        let edits = self.some_of(edits, budget / (usize::from(puts) + usize::from(patches)).max(1));
        let path = with(&self.target.path(), "dryRun=All");
        for (n, edit) in edits.into_iter().enumerate() {
            if puts {
                let names_version = edit.path == rv("").path;
                let mut all = if names_version { vec![] } else { vec![rv("$rv")] };
                all.push(edit.clone());
                let body = self.changed(all);
                let form = Form {
                    class: Class::Update,
                    method: "PUT",
                    path: &with(&path, ["fieldValidation=Strict", "", "fieldValidation=Ignore"][n / 5 % 3]),
                    accept: "",
                    content_type: self.content_type(n, &body),
                };
                self.push(form, edit.title(), body);
            }
            if patches {
                self.patch(n, &path, &edit);
            }
        }
    }
}

fn post(path: &str) -> Form<'_> {
    Form { class: Class::Create, method: "POST", path, accept: "", content_type: JSON }
}

fn put(path: &str) -> Form<'_> {
    Form { class: Class::Update, method: "PUT", path, accept: "", content_type: JSON }
}

/// The resourceVersion that an update is of.
pub(super) fn rv(version: &str) -> Edit {
    Edit::of(&["metadata", "resourceVersion"], version)
}
