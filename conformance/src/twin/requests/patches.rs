//! Patches: JSON, merge, strategic merge and apply, of variations and of their own oddities.

use api::{Value, meta, value};

use super::{
    super::edit::{Keyed, Step, sparse},
    Body, Class, Edit, Form, Maker, with,
};

pub const JSON_PATCH: &str = "application/json-patch+json";
pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";

/// JSON patches that say something about patching rather than about a field.
fn json_patches() -> Vec<Value> {
    vec![
        value!([]),
        value!({}),
        value!([{}]),
        value!([{"op": "bogus", "path": "/metadata/labels"}]),
        value!([{"op": "test", "path": "/kind", "value": "Bogus"}]),
        value!([{"op": "test", "path": "/metadata/name", "value": "sample"}]),
        value!([{"op": "test", "path": "/metadata/missing", "value": null}]),
        value!([{"op": "remove", "path": "/metadata/missing"}]),
        value!([{"op": "remove", "path": "/missing/a"}]),
        value!([{"op": "replace", "path": "/metadata/missing", "value": 1}]),
        value!([{"op": "add", "path": "metadata", "value": 1}]),
        value!([{"op": "add", "path": "", "value": {}}]),
        value!([{"op": "add", "path": "/", "value": 1}]),
        value!([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]),
        value!([{"op": "add", "path": "/metadata/labels", "value": {}}, {"op": "add", "path": "/metadata/labels/a~1b", "value": "c"}]),
        value!([{"op": "add", "path": "/metadata/finalizers", "value": ["a/b"]}, {"op": "add", "path": "/metadata/finalizers/-", "value": "a/c"}]),
        value!([{"op": "add", "path": "/metadata/finalizers", "value": ["a/b"]}, {"op": "add", "path": "/metadata/finalizers/5", "value": "a/c"}]),
        value!([{"op": "add", "path": "/metadata/finalizers", "value": ["a/b", "a/c"]}, {"op": "remove", "path": "/metadata/finalizers/-1"}]),
        value!([{"op": "add", "path": "/metadata/finalizers", "value": ["a/b"]}, {"op": "add", "path": "/metadata/finalizers/01", "value": "a/c"}]),
        value!([{"op": "move", "from": "/metadata/name", "path": "/metadata/generateName"}]),
        value!([{"op": "copy", "from": "/metadata/name", "path": "/metadata/labels"}]),
        value!([{"op": "copy", "from": "/missing", "path": "/metadata/labels"}]),
        value!([{"op": "move", "from": "/metadata", "path": "/metadata/labels"}]),
        value!([{"op": "add", "path": "/metadata/resourceVersion", "value": "1"}]),
        value!([{"op": "add", "path": "/metadata/uid", "value": "x"}]),
        value!([{"op": "replace", "path": "/metadata/name", "value": "other"}]),
        value!([{"op": "replace", "path": "/kind", "value": "Bogus"}]),
        value!([{"op": "replace", "path": "/apiVersion", "value": "bogus/v1"}]),
        value!([{"op": "add", "path": "/bogus", "value": 1}]),
        value!([{"op": "add", "path": "/metadata/annotations", "value": null}]),
        value!([{"op": "add", "path": 1, "value": 1}]),
        value!([{"op": "add", "path": "/metadata/labels"}]),
    ]
}

/// Merge patches, strategic or not, of the same sort.
fn merges() -> Vec<Value> {
    vec![
        value!({}),
        value!([]),
        value!({"metadata": null}),
        value!({"metadata": {}}),
        value!({"metadata": "x"}),
        value!({"metadata": {"labels": {"a": "b"}}}),
        value!({"metadata": {"labels": {"a": null}}}),
        value!({"metadata": {"labels": null}}),
        value!({"metadata": {"labels": {"a": 1}}}),
        value!({"metadata": {"annotations": {"a/b": "c"}}}),
        value!({"metadata": {"finalizers": ["a/b"]}}),
        value!({"metadata": {"finalizers": ["a/b", "a/b"]}}),
        value!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}}),
        value!({"metadata": {"ownerReferences": [{"uid": "u"}]}}),
        value!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}, {"apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "v", "controller": true}]}}),
        value!({"metadata": {"resourceVersion": "1"}}),
        value!({"metadata": {"resourceVersion": "$rv"}}),
        value!({"metadata": {"resourceVersion": "abc"}}),
        value!({"metadata": {"uid": "11111111-2222-3333-4444-555555555555"}}),
        value!({"metadata": {"uid": "$uid"}}),
        value!({"metadata": {"name": "other"}}),
        value!({"metadata": {"namespace": "other"}}),
        value!({"metadata": {"creationTimestamp": null}}),
        value!({"metadata": {"creationTimestamp": "2026-01-02T03:04:05Z"}}),
        value!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}),
        value!({"metadata": {"generation": 99}}),
        value!({"metadata": {"managedFields": []}}),
        value!({"metadata": {"managedFields": [{}]}}),
        value!({"metadata": {"managedFields": null}}),
        value!({"kind": "Bogus"}),
        value!({"apiVersion": "bogus/v1"}),
        value!({"bogus": 1}),
        value!({"spec": null}),
        value!({"spec": "x"}),
        value!({"status": null}),
        value!({"status": {"bogus": 1}}),
        value!({"metadata": {"bogus": 1}, "spec": {"bogus": {"a": 1}}}),
    ]
}

/// What only a strategic merge patch knows.
fn directives() -> Vec<Value> {
    vec![
        value!({"$patch": "replace"}),
        value!({"$patch": "delete"}),
        value!({"$patch": "merge"}),
        value!({"$patch": "bogus"}),
        value!({"$patch": 1}),
        value!({"metadata": {"$patch": "replace", "labels": {"a": "b"}}}),
        value!({"metadata": {"labels": {"$patch": "delete"}}}),
        value!({"metadata": {"labels": {"$patch": "replace", "a": "b"}}}),
        value!({"metadata": {"labels": {"$retainKeys": ["a"], "a": "b"}}}),
        value!({"metadata": {"$retainKeys": ["name"], "labels": {}}}),
        value!({"metadata": {"$retainKeys": "x"}}),
        value!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}}),
        value!({"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}),
        value!({"metadata": {"$setElementOrder/finalizers": ["a/b"], "finalizers": ["a/b"]}}),
        value!({"metadata": {"$setElementOrder/finalizers": ["a/c"], "finalizers": ["a/b"]}}),
        value!({"metadata": {"finalizers": [{"$patch": "replace"}]}}),
        value!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "u"}]}}),
        value!({"metadata": {"ownerReferences": [{"$patch": "delete"}]}}),
        value!({"metadata": {"ownerReferences": [{"$patch": "replace"}]}}),
        value!({"metadata": {"ownerReferences": [{"$patch": "bogus", "uid": "u"}]}}),
        value!({"metadata": {"$setElementOrder/ownerReferences": [{"uid": "u"}]}}),
        value!({"spec": {"$patch": "delete"}}),
        value!({"spec": {"$patch": "replace"}}),
        value!({"spec": {"$retainKeys": []}}),
    ]
}

// === impl Maker ===

impl Maker<'_> {
    /// One patch that says what an edit says, its kind by turns.
    pub(super) fn patch(&mut self, n: usize, path: &str, edit: &Edit) {
        let live = self.live();
        let (kind, schemas) = (self.target.kind_type, self.schemas);
        let strict = ["", "fieldValidation=Strict", "fieldValidation=Warn"][n / 4 % 3];
        let path = with(path, strict);
        let (class, content_type, patch) = match n % 4 {
            0 => (Class::JsonPatch, JSON_PATCH, Some(edit.json_patch(&live))),
            1 => (Class::MergePatch, MERGE, edit.merge_patch()),
            2 => (Class::StrategicPatch, STRATEGIC, sparse(edit, &live, kind, schemas, Keyed::Merge)),
            _ => (Class::Apply, APPLY, sparse(edit, &live, kind, schemas, Keyed::Apply).map(|doc| self.applied(doc))),
        };
        let (class, content_type, patch) = match patch {
            Some(patch) => (class, content_type, patch),
            None => (Class::JsonPatch, JSON_PATCH, edit.json_patch(&live)),
        };
        let path = match class {
            Class::Apply => with(&path, ["fieldManager=other", "fieldManager=other&force=true"][n / 8 % 2]),
            _ => path,
        };
        self.patched(class, content_type, &path, edit.title(), Body::Tree(patch));
    }

    /// Several edits as one patch: a merge patch where no list stands on the way of any, else a JSON patch.
    pub(super) fn patch_all(&mut self, n: usize, path: &str, edits: Vec<Edit>) {
        if let [edit] = &edits[..] {
            return self.patch(n, path, edit);
        }
        let title = edits.iter().map(Edit::title).collect::<Vec<_>>().join("; ");
        let live = self.live();
        let (class, content_type, patch) = match edits.iter().all(|edit| edit.merge_patch().is_some()) {
            true if n.is_multiple_of(2) => {
                let mut patch = Value::object();
                for edit in edits {
                    Edit::at(edit.path, edit.new.unwrap_or_default()).apply(&mut patch);
                }
                (Class::MergePatch, MERGE, patch)
            }
            _ => {
                let operations = edits.iter().flat_map(|edit| edit.json_patch(&live).items().to_vec()).collect();
                (Class::JsonPatch, JSON_PATCH, Value::array(operations))
            }
        };
        self.patched(class, content_type, path, title, Body::Tree(patch));
    }

    pub(super) fn patched(
        &mut self,
        class: Class,
        content_type: &str,
        path: &str,
        title: impl Into<String>,
        body: Body,
    ) {
        self.push(Form { class, method: "PATCH", path, accept: "", content_type }, title, body);
    }

    /// A document for apply: the object's identity around what is said.
    pub(super) fn applied(&self, said: Value) -> Value {
        let mut document =
            value!({"apiVersion": (self.target.gvk.api_version()), "kind": (self.target.gvk.kind.clone())});
        document.set("metadata", value!({"name": (self.target.name())}));
        for (name, member) in said.members() {
            match (name, member) {
                ("metadata", Value::Object(members)) => {
                    for (name, member) in members.iter() {
                        document.entry("metadata").set(name, member);
                    }
                }
                _ => document.set(name, member),
            }
        }
        document
    }

    pub(super) fn patch_specials(&mut self) {
        if !self.target.can("patch") {
            return;
        }
        let path = with(&self.target.path(), "dryRun=All");
        let missing = format!("{}/missing?dryRun=All", self.target.collection());
        for patch in json_patches() {
            let title = codec::json::to_string(&patch);
            self.patched(Class::JsonPatch, JSON_PATCH, &path, title, Body::Tree(patch));
        }
        for patch in merges() {
            let title = codec::json::to_string(&patch);
            self.patched(Class::MergePatch, MERGE, &path, title.clone(), Body::Tree(patch.clone()));
            self.patched(Class::StrategicPatch, STRATEGIC, &path, title, Body::Tree(patch));
        }
        for patch in directives() {
            let title = codec::json::to_string(&patch);
            self.patched(Class::StrategicPatch, STRATEGIC, &path, title, Body::Tree(patch));
        }
        let label = value!({"metadata": {"labels": {"a": "b"}}});
        for (class, content_type) in
            [(Class::JsonPatch, JSON_PATCH), (Class::MergePatch, MERGE), (Class::StrategicPatch, STRATEGIC)]
        {
            let body = || match class {
                Class::JsonPatch => {
                    Body::Tree(value!([{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}]))
                }
                _ => Body::Tree(label.clone()),
            };
            self.patched(class, content_type, &missing, "an object that is not there", body());
            for query in
                ["force=true", "fieldManager=other", "fieldValidation=Bogus", "dryRun=Bogus", "fieldManager=%01"]
            {
                self.patched(class, content_type, &with(&path, query), query, body());
            }
            for accept in [
                "application/yaml",
                "application/vnd.kubernetes.protobuf",
                "application/json;as=Table;v=v1;g=meta.k8s.io",
            ] {
                self.push(Form { class, method: "PATCH", path: &path, accept, content_type }, accept, body());
            }
            for text in ["", "x", "{", "null", "\"a\"", "1"] {
                self.patched(class, content_type, &path, text, Body::Text(text.into()));
            }
        }
        for content_type in ["application/json", "application/yaml", "text/plain", "", "application/apply-patch+cbor"] {
            self.patched(Class::MergePatch, content_type, &path, content_type, Body::Tree(label.clone()));
        }
        self.keyed_directives(&path);
        self.apply_specials(&path, &missing);
    }

    /// Directives on the lists of the live object that have merge keys.
    fn keyed_directives(&mut self, path: &str) {
        let live = self.live();
        let points = self.points(&live);
        let items = points.iter().filter(|point| matches!(point.path.last(), Some(Step::Item(0))));
        let paths: Vec<Vec<Step>> = items.map(|point| point.path.clone()).collect();
        for path_of_item in paths.into_iter().take(12) {
            for directive in ["delete", "replace", "merge", "bogus"] {
                let mut at = path_of_item.clone();
                at.push(Step::Member("$patch".into()));
                let edit = Edit::at(at, directive);
                if let Some(patch) = sparse(&edit, &live, self.target.kind_type, self.schemas, Keyed::Merge) {
                    self.patched(Class::StrategicPatch, STRATEGIC, path, edit.title(), Body::Tree(patch));
                }
            }
        }
    }

    fn apply_specials(&mut self, path: &str, missing: &str) {
        let Some(sample) = self.target.samples.first().cloned() else { return };
        let mut apply = |path: &str, query: &str, document: Value| {
            let title = format!("{query} {}", meta::of(&document).name());
            self.patched(Class::Apply, APPLY, &with(path, query), title, Body::Tree(document));
        };
        for query in [
            "",
            "fieldManager=",
            "fieldManager=other",
            "fieldManager=twin",
            "fieldManager=other&force=true",
            "fieldManager=other&force=false",
            "fieldManager=other&force=x",
            "fieldManager=other&fieldValidation=Strict",
            "fieldManager=other&fieldValidation=Ignore",
        ] {
            apply(path, query, (*sample).clone());
        }
        let with_edit = |edit: Edit| {
            let mut document = (*sample).clone();
            edit.apply(&mut document);
            document
        };
        let managed = value!([{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]);
        let edits = [
            Edit::of(&["metadata", "managedFields"], value!([])),
            Edit::of(&["metadata", "managedFields"], managed),
            Edit::of(&["metadata", "resourceVersion"], "1"),
            Edit::of(&["metadata", "resourceVersion"], "$rv"),
            Edit::of(&["metadata", "uid"], "$uid"),
            Edit::of(&["metadata", "uid"], "x"),
            Edit::of(&["metadata", "name"], "other"),
            Edit::of(&["metadata", "name"], Value::Null),
            Edit::of(&["metadata", "namespace"], "other"),
            Edit::of(&["metadata", "labels"], value!({"a": "b"})),
            Edit::of(&["metadata", "finalizers"], value!(["a/b", "a/b"])),
            Edit::of(&["metadata", "ownerReferences"], value!([{"uid": "u"}, {"uid": "u"}])),
            Edit::of(&["metadata", "annotations"], Value::Null),
            Edit::of(&["metadata", "bogus"], 1),
            Edit::of(&["bogus"], 1),
            Edit::of(&["kind"], "Bogus"),
            Edit::of(&["apiVersion"], "bogus/v1"),
            Edit::of(&["kind"], Value::Null),
            Edit::of(&["apiVersion"], Value::Null),
            Edit::of(&["status"], value!({})),
        ];
        for edit in edits {
            for query in ["fieldManager=other", "fieldManager=other&force=true"] {
                apply(path, query, with_edit(edit.clone()));
            }
        }
        let renamed = with_edit(Edit::of(&["metadata", "name"], "missing"));
        apply(missing, "fieldManager=other", renamed.clone());
        apply(missing, "fieldManager=other", with_edit(Edit::of(&["metadata", "name"], Value::Null)));
        let mut versioned = renamed;
        versioned.entry("metadata").set("resourceVersion", "1");
        apply(missing, "fieldManager=other", versioned);
        let bare = self.applied(Value::object());
        let query = with(path, "fieldManager=other");
        self.patched(Class::Apply, APPLY, &query, "identity alone", Body::Tree(bare));
        for text in ["", "x", "[]", "a: [", "{}", "null"] {
            self.patched(Class::Apply, APPLY, &query, text, Body::Text(text.into()));
        }
    }
}
