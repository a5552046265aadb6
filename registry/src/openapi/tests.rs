//! Documents of all rows, compared with what is known of them.

use std::{collections::HashMap, sync::Arc};

use api::Value;

use super::{Describe, Form, Json, Silent};
use crate::{Catalog, Definition, RuntimeConfig, cache::Cache, catalog::Resources, definition::World};

pub(crate) mod upstream;

/// Every row there is, served as the settings say, with the feature gates on that rows ask for.
pub fn catalog(runtime: &str) -> Arc<Resources> {
    let schemas = schema::builtin();
    let defaults = schema::default::Defaults::new(schemas, std::iter::empty()).expect("no defaults at all are fine");
    let world = Arc::new(World { schemas, defaults, constraints: None });
    let mut caches: HashMap<&str, Arc<Cache>> = HashMap::new();
    let definitions: Vec<Arc<Definition>> = resources::all()
        .map(|row| {
            let cache = caches.entry(row.stored.prefix).or_insert_with(Cache::new).clone();
            Arc::new(Definition::compile(row, world.clone(), cache).expect("rows compile"))
        })
        .collect();
    let runtime = RuntimeConfig::parse(runtime).expect("the test's settings are well-formed");
    let runtime = runtime.with_gates(resources::all().map(|row| row.gate.to_owned()));
    Catalog::new(definitions, &runtime).current()
}

fn form() -> Form {
    Form { version: "1.37".into(), enums: true, cbor: false }
}

/// A document of version 3 as a tree.
pub fn tree3(catalog: &Resources, form: &Form, path: &str, describe: &dyn Describe) -> Option<Value> {
    let mut sink = Json::new(Vec::new());
    super::v3(catalog, form, path, describe, &mut sink).then(|| read(sink))
}

/// The document of version 2 as a tree.
pub fn tree2(catalog: &Resources, form: &Form) -> Value {
    let mut sink = Json::new(Vec::new());
    super::v2(catalog, form, &Silent, &mut sink);
    read(sink)
}

fn read(sink: Json<Vec<u8>>) -> Value {
    let text = sink.finish().expect("a vector takes everything");
    codec::json::any(&text).expect("what is written is JSON").value
}

fn v3(path: &str) -> Value {
    tree3(&catalog(""), &form(), path, &Silent).expect("the path has a document")
}

#[test]
fn the_index_has_groups_versions_and_what_stands_alone() {
    let index = super::index(&catalog(""));
    for path in ["api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version", ".well-known/openid-configuration"] {
        assert!(index.iter().any(|p| p == path), "{path} is missing: {index:?}");
    }
    assert!(!index.iter().any(|p| p.contains("alpha")), "what is off has no document: {index:?}");
    assert!(tree3(&catalog(""), &form(), "apis/nope/v1", &Silent).is_none());
}

#[test]
fn a_reference_with_company_is_wrapped() {
    let document = v3("apis/apps/v1");
    let spec = document.at_path(&["components", "schemas", "io.k8s.api.apps.v1.DeploymentSpec"]);
    let strategy = spec.at_path(&["properties", "strategy"]);
    assert_eq!(strategy.list("allOf").len(), 1);
    assert_eq!(strategy.str("x-kubernetes-patch-strategy"), "retainKeys");
    assert_eq!(spec.list("required").len(), 2);
}

#[test]
fn every_reference_leads_somewhere() {
    let catalog = catalog("");
    for path in super::index(&catalog) {
        let document = tree3(&catalog, &form(), &path, &Silent).expect("the index tells the truth");
        let schemas = document.at_path(&["components", "schemas"]);
        let mut references = Vec::new();
        collect(&document, &mut references);
        for reference in references {
            let name = reference.trim_start_matches("#/components/schemas/");
            assert!(schemas.has(name), "{path} refers to {name}");
        }
    }
}

#[test]
fn operations_are_named_once() {
    let document = tree2(&catalog("api/all=true"), &form());
    let mut ids = HashMap::new();
    for (path, item) in document.at("paths").members() {
        for (method, operation) in item.members().filter(|(m, _)| *m != "parameters") {
            let id = operation.str("operationId").to_string();
            let old = ids.insert(id.clone(), format!("{method} {path}"));
            assert!(old.is_none(), "{id}: {old:?} and {method} {path}");
        }
    }
    assert!(ids.contains_key("deleteCoreV1CollectionNamespacedPod"));
    assert!(ids.contains_key("connectCoreV1GetNamespacedPodProxyWithPath"));
}

/// Says the same of every field.
struct Words;

impl super::Describe for Words {
    fn about(&self, _: &[&str]) -> Box<dyn super::Texts> {
        Box::new(Words)
    }
}

impl super::Texts for Words {
    fn of(&self, _: &str) -> Option<&str> {
        None
    }

    fn field(&self, _: &str, _: &str) -> Option<&str> {
        Some("text")
    }
}

#[test]
fn enumerations_are_told_in_words_too() {
    let document = tree3(&catalog(""), &form(), "api/v1", &Words).expect("core has a document");
    let port =
        document.at_path(&["components", "schemas", "io.k8s.api.core.v1.ContainerPort", "properties", "protocol"]);
    assert_eq!(port.str("description"), "text\n\nPossible enum values:\n - `\"SCTP\"`\n - `\"TCP\"`\n - `\"UDP\"`");
    assert_eq!(port.str("default"), "TCP");
    let modes = ["components", "schemas", "io.k8s.api.core.v1.PersistentVolumeSpec", "properties", "accessModes"];
    let modes = document.at_path(&modes);
    assert_eq!(modes.at("items").list("enum").len(), 4, "elements have their type's values: {modes:?}");
    assert_eq!(modes.str("description"), "text", "only a value itself is told in words");
}

#[test]
fn columns_know_the_fields_that_describe_them() {
    let docs = super::column_docs("storage.k8s.io", "CSIDriver");
    let field = super::Doc::Field {
        schema: "io.k8s.api.storage.v1.CSIDriverSpec".into(),
        field: "attachRequired".into(),
        text: String::new(),
    };
    assert!(docs.contains(&("AttachRequired".into(), field)), "{docs:?}");
    let anyone = super::column_docs("example.com", "Thing");
    assert_eq!(anyone.len(), 2, "a kind of its own has everyone's columns: {anyone:?}");
}

#[test]
fn columns_are_described_by_their_fields() {
    let texts = super::ColumnTexts::new(std::sync::Arc::new(Words));
    let of = texts.of("storage.k8s.io", "CSIDriver");
    assert_eq!(of.get("AttachRequired").map(String::as_str), Some("text"));
    let own = texts.of("", "ComponentStatus");
    assert_eq!(
        own.get("Status").map(String::as_str),
        Some("Status of the component conditions"),
        "it has its own words"
    );
}

#[test]
fn kinds_of_operations_stand_in_the_order_of_upstreams_struct() {
    let all = catalog("");
    let in_order = |document: &Value| {
        let kind = document.at_path(&["paths", "/api/v1/pods", "get", "x-kubernetes-group-version-kind"]);
        kind.members().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(in_order(&v3("api/v1")), ["group", "version", "kind"]);
    assert_eq!(in_order(&tree2(&all, &form())), ["group", "kind", "version"], "there it has gone through a map");
}

#[test]
fn media_types_stand_in_order() {
    let document = v3("api/v1");
    let patch = document.at_path(&["paths", "/api/v1/nodes/{name}", "patch"]);
    let answer = patch.at_path(&["responses", "200", "content"]);
    for content in [patch.at_path(&["requestBody", "content"]), answer] {
        let names: Vec<&str> = content.members().map(|(name, _)| name).collect();
        assert!(names.len() > 1 && names.is_sorted(), "{names:?}");
    }
}

/// All references in a document.
fn collect(value: &Value, found: &mut Vec<String>) {
    if let Some(reference) = value.opt_str("$ref") {
        found.push(reference.into());
    }
    value.members().for_each(|(_, member)| collect(member, found));
    value.items().iter().for_each(|item| collect(item, found));
}
