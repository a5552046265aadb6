//! Deleting one and many, with every option, as dry runs.

use api::{Value, value};

use super::{
    super::case::{PROTOBUF, YAML},
    Body, Class, Form, JSON, Maker, with,
};

const QUERIES: &[&str] = &[
    "",
    "gracePeriodSeconds=0",
    "gracePeriodSeconds=1",
    "gracePeriodSeconds=-1",
    "gracePeriodSeconds=x",
    "propagationPolicy=Foreground",
    "propagationPolicy=Background",
    "propagationPolicy=Orphan",
    "propagationPolicy=Bogus",
    "orphanDependents=true",
    "orphanDependents=false",
    "orphanDependents=true&propagationPolicy=Orphan",
    "ignoreStoreReadErrorWithClusterBreakingPotential=true",
    "ignoreStoreReadErrorWithClusterBreakingPotential=false",
    "dryRun=Bogus",
    "dryRun=",
    "pretty=true",
    "bogus=1",
];

/// Options as a body. A server that has a body does not look at the query, so each says itself that it is a dry run.
fn options() -> Vec<Value> {
    let mut all = vec![
        value!({"gracePeriodSeconds": 0}),
        value!({"gracePeriodSeconds": 30}),
        value!({"gracePeriodSeconds": (-5)}),
        value!({"gracePeriodSeconds": "x"}),
        value!({"propagationPolicy": "Foreground"}),
        value!({"propagationPolicy": "Background"}),
        value!({"propagationPolicy": "Orphan"}),
        value!({"propagationPolicy": "bogus"}),
        value!({"propagationPolicy": ""}),
        value!({"orphanDependents": true}),
        value!({"orphanDependents": false, "propagationPolicy": "Orphan"}),
        value!({"preconditions": {}}),
        value!({"preconditions": {"uid": "$uid"}}),
        value!({"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}}),
        value!({"preconditions": {"uid": ""}}),
        value!({"preconditions": {"resourceVersion": "$rv"}}),
        value!({"preconditions": {"resourceVersion": "1"}}),
        value!({"preconditions": {"resourceVersion": "abc"}}),
        value!({"preconditions": {"uid": "$uid", "resourceVersion": "1"}}),
        value!({"dryRun": ["All"]}),
        value!({"dryRun": ["Bogus"]}),
        value!({"dryRun": ["All", "All"]}),
        value!({"ignoreStoreReadErrorWithClusterBreakingPotential": true}),
        value!({"bogus": 1}),
    ];
    for options in &mut all {
        options.default("dryRun", value!(["All"]));
    }
    all
}

// === impl Maker ===

impl Maker<'_> {
    pub(super) fn deletes(&mut self) {
        if self.target.can("delete") {
            let path = self.target.path();
            self.removals(Class::Delete, &path);
            let missing = format!("{}/missing?dryRun=All", self.target.collection());
            self.removal(Class::Delete, &missing, "", Body::None);
            self.removal(Class::Delete, &missing, JSON, Body::Text(r#"{"preconditions":{"uid":"a"}}"#.into()));
        }
        if self.target.can("deletecollection") {
            let path = self.target.collection();
            // Cluster-wide collections hold what the servers made for themselves.
            let path = match self.target.namespaced {
                true => path,
                false => with(&path, &format!("fieldSelector=metadata.name%3D{}", self.target.name())),
            };
            self.removals(Class::DeleteCollection, &path);
            for query in
                ["labelSelector=app%3Dnone", "labelSelector=%3D", "fieldSelector=bogus%3D1", "limit=1", "continue=x"]
            {
                self.removal(Class::DeleteCollection, &with(&with(&path, "dryRun=All"), query), "", Body::None);
            }
        }
    }

    fn removals(&mut self, class: Class, path: &str) {
        let dry = with(path, "dryRun=All");
        for query in QUERIES {
            self.removal(class, &with(&dry, query), "", Body::None);
        }
        let mut kinds = vec![("v1", "DeleteOptions"), ("meta.k8s.io/v1", "DeleteOptions"), ("v1", "Pod"), ("", "")];
        kinds.push(("apps/v1", "DeleteOptions"));
        for (version, kind) in kinds {
            let mut body = value!({"kind": kind, "apiVersion": version, "gracePeriodSeconds": 1, "dryRun": ["All"]});
            if kind.is_empty() {
                body.remove("kind");
                body.remove("apiVersion");
            }
            for content_type in [JSON, YAML, PROTOBUF, "application/cbor", "text/plain", ""] {
                self.removal(class, &dry, content_type, Body::Tree(body.clone()));
            }
        }
        for body in options() {
            self.removal(class, &dry, JSON, Body::Tree(body));
        }
        for text in ["", "{", "[]", "x"] {
            self.removal(class, &dry, JSON, Body::Text(text.into()));
        }
        let named =
            value!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan", "dryRun": ["All"]});
        self.removal(class, &with(&dry, "propagationPolicy=Foreground"), JSON, Body::Tree(named));
        for accept in [YAML, PROTOBUF, "application/json;as=Table;v=v1;g=meta.k8s.io", "text/html"] {
            let form = Form { class, method: "DELETE", path: &dry, accept, content_type: "" };
            self.push(form, "another form", Body::None);
        }
    }

    fn removal(&mut self, class: Class, path: &str, content_type: &str, body: Body) {
        let title = match &body {
            Body::Text(text) => text.clone(),
            Body::None => path.split_once('?').map_or("", |(_, query)| query).to_owned(),
            other => codec::json::to_string(&other.tree()),
        };
        self.push(Form { class, method: "DELETE", path, accept: "", content_type }, title, body);
    }
}
