//! Compares every document with the one that upstream publishes in the Go module `k8s.io/kubernetes`.
//!
//! Those are written with every API on, CBOR on and enumerations off (hack/update-openapi-spec.sh). Texts are left aside.

use std::{collections::BTreeMap, path::PathBuf};

use api::{Value, value};

use super::{super as openapi, catalog, tree2, tree3};
use openapi::{Form, Silent};

#[expect(clippy::disallowed_methods, reason = "where the Go module cache lies, only the environment says")]
pub fn published() -> PathBuf {
    let home = std::env::var_os("GOMODCACHE").map(PathBuf::from);
    let cache = home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join("go/pkg/mod"));
    cache.join("k8s.io/kubernetes@v1.37.1/api/openapi-spec")
}

fn form() -> Form {
    Form { version: "unversioned".into(), enums: false, cbor: true }
}

pub fn read(path: PathBuf) -> Value {
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    codec::json::any(&text).expect("upstream publishes JSON").value
}

#[test]
fn version_3_says_what_upstream_says() {
    let all = catalog("api/all=true");
    let mut differences = Vec::new();
    for path in openapi::index(&all) {
        let file = format!("v3/{}_openapi.json", path.replace('/', "__"));
        let ours = tree3(&all, &form(), &path, &Silent).expect("the index tells the truth");
        compare(&path, &plain(&ours), &plain(&read(published().join(file))), &mut differences);
    }
    report(&differences);
}

#[test]
fn version_2_says_what_upstream_says() {
    let ours = tree2(&catalog("api/all=true"), &form());
    let mut differences = Vec::new();
    compare("", &resolved(&ours), &resolved(&read(published().join("swagger.json"))), &mut differences);
    differences.retain(|d| !d.starts_with("/paths//logs/"));
    report(&differences);
}

fn report(differences: &[String]) {
    let first: Vec<&String> = differences.iter().take(60).collect();
    assert!(differences.is_empty(), "{} differences: {first:#?}", differences.len());
}

/// Without texts; a reference that is wrapped only for its text's sake stands alone.
fn plain(value: &Value) -> Value {
    if let Some(items) = value.as_array() {
        return items.iter().map(plain).collect::<Vec<_>>().into();
    }
    if value.as_object().is_none() {
        return value.clone();
    }
    let mut members: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, member) in value.members().filter(|(n, m)| !(*n == "description" && m.as_str().is_some())) {
        members.insert(name, plain(member));
    }
    if let (1, Some([one])) = (members.len(), members.get("allOf").and_then(Value::as_array)) {
        return one.clone();
    }
    Value::from(members.into_iter().collect::<api::Map>())
}

/// As [`plain`], shared parameters in their places: their names are hashes that texts go into.
fn resolved(document: &Value) -> Value {
    fn put(value: &mut Value, shared: &Value) {
        let name = value.opt_str("$ref").and_then(|r| r.strip_prefix("#/parameters/")).map(str::to_owned);
        if let Some(name) = name {
            *value = shared.at(&name).clone();
        }
        if let Some(items) = value.as_array_mut() {
            items.iter_mut().for_each(|item| put(item, shared));
        }
        if let Some(members) = value.as_object_mut() {
            members.iter_mut().for_each(|(_, member)| put(member, shared));
        }
    }
    let shared = document.at("parameters").clone();
    let mut document = document.clone();
    document.set("parameters", value!({}));
    put(&mut document, &shared);
    plain(&document)
}

fn compare(place: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    let short = |value: &Value| codec::json::to_string(value).chars().take(200).collect::<String>();
    if ours.as_object().is_some() && theirs.as_object().is_some() {
        for (name, member) in theirs.members() {
            match ours.get(name) {
                Some(own) => compare(&format!("{place}/{name}"), own, member, found),
                None => found.push(format!("{place}/{name}: missing {}", short(member))),
            }
        }
        let more = ours.members().filter(|(name, _)| !theirs.has(name));
        found.extend(more.map(|(name, member)| format!("{place}/{name}: too much {}", short(member))));
        return;
    }
    // Media types and fields that are required come in no order that means anything.
    let sorted = |value: &Value| {
        let mut items: Vec<String> = value.items().iter().map(codec::json::to_string).collect();
        items.sort();
        items
    };
    let same = match (ours.as_array(), theirs.as_array()) {
        (Some(_), Some(_)) => sorted(ours) == sorted(theirs),
        _ => ours == theirs,
    };
    if !same {
        found.push(format!("{place}: {} and not {}", short(ours), short(theirs)));
    }
}
