//! Upstream's golden fixtures: every kind of its Go module k8s.io/api, with every field set, in JSON, YAML and protobuf.
//!
//! The module's version is the one that our facts were made from. Upstream: k8s.io/api roundtrip_test.go, testdata/HEAD.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use api::{Gvk, Value};
use schema::{Schemas, TypeId, builtin};

const MODULE: &str = "k8s.io/api";
/// So many kinds the module has; fewer means that the fixtures were not found.
const KINDS: usize = 193;
/// Types that are of no kind in the facts: a version that no server of today offers, whose fields are its successor's, and
/// what stands around an object in a watch.
const OTHERS: &[(&str, &str)] = &[
    ("apidiscovery.k8s.io.v2beta1.APIGroupDiscovery", "io.k8s.api.apidiscovery.v2.APIGroupDiscovery"),
    ("core.v1.WatchEvent", "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent"),
];

struct Fixture {
    name: String,
    gvk: Gvk,
    id: TypeId,
    json: String,
    yaml: String,
    protobuf: Vec<u8>,
}

/// Where Go keeps the module; it is fetched when it is not there yet.
fn module() -> PathBuf {
    let source = schema::load::facts().lines().next().expect("facts begin with their source");
    let source = codec::json::any(source.as_bytes()).expect("facts are JSON").value;
    let wanted = source.list("source").iter().filter_map(Value::as_str);
    let at =
        wanted.filter_map(|s| s.split_once(' ')).find(|(module, _)| *module == MODULE).expect("facts come from it");
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", &format!("{MODULE}@{}", at.1)]).current_dir(std::env::temp_dir());
    let output = go.output().expect("Go is installed");
    let told = codec::json::any(&output.stdout).expect("Go answers in JSON").value;
    assert_eq!(told.str("Error"), "", "{MODULE} cannot be had");
    PathBuf::from(told.str("Dir"))
}

fn fixtures(schemas: &Schemas) -> Vec<Fixture> {
    let directory = module().join("testdata/HEAD");
    let entries = fs::read_dir(&directory).expect("the module has fixtures");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a directory can be read").path()).collect();
    paths.retain(|path| path.extension() == Some(OsStr::new("json")));
    paths.sort();
    assert!(paths.len() >= KINDS, "{} fixtures", paths.len());
    paths.iter().map(|path| fixture(path, schemas)).collect()
}

fn fixture(path: &Path, schemas: &Schemas) -> Fixture {
    let json = fs::read_to_string(path).expect("fixtures are text");
    let meta = codec::json::any(json.as_bytes()).expect("fixtures are JSON").value;
    let gvk = api::meta::gvk(&meta);
    let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
    let other = OTHERS.iter().find(|(fixture, _)| *fixture == name).and_then(|(_, name)| schemas.id(name));
    let id = other.or_else(|| schemas.kind(&gvk)).unwrap_or_else(|| panic!("there are no facts for {name}"));
    let yaml = fs::read_to_string(path.with_extension("yaml")).expect("it is also there in YAML");
    let protobuf = fs::read(path.with_extension("pb")).expect("it is also there in protobuf");
    Fixture { name, gvk, id, json, yaml, protobuf }
}

/// Runs a check over all fixtures and tells all that failed at once.
fn each(check: impl Fn(&Fixture, &Schemas) -> Result<(), String>) {
    let schemas = builtin();
    let failed: Vec<String> = fixtures(schemas)
        .iter()
        .filter_map(|fixture| check(fixture, schemas).err().map(|why| format!("{}: {why}", fixture.name)))
        .collect();
    assert!(failed.is_empty(), "{} kinds:\n{}", failed.len(), failed.join("\n"));
}

fn same(ours: &str, theirs: &str) -> Result<(), String> {
    let differs = ours.lines().zip(theirs.lines()).enumerate().find(|(_, (a, b))| a != b);
    match differs {
        Some((i, (a, b))) => Err(format!("line {}: {a:?} instead of {b:?}", i + 1)),
        None if ours.trim_end() != theirs.trim_end() => Err("one is longer".into()),
        None => Ok(()),
    }
}

#[test]
fn json_comes_back_byte_for_byte() {
    each(|fixture, schemas| {
        let read = codec::json::object(fixture.json.as_bytes(), fixture.id, schemas).map_err(|e| e.to_string())?;
        if !read.strict.is_empty() {
            return Err(read.strict.join(", "));
        }
        let mut value = read.value;
        schema::normalise::object(&mut value, fixture.id, schemas);
        same(&codec::json::pretty(&value), &fixture.json)
    });
}

#[test]
fn protobuf_says_what_json_says() {
    each(|fixture, schemas| {
        let read = codec::proto::object(&fixture.protobuf, fixture.id, schemas).map_err(|e| e.to_string())?;
        let mut value = read.value;
        schema::normalise::object(&mut value, fixture.id, schemas);
        same(&codec::json::pretty(&value), &fixture.json)
    });
}

#[test]
fn protobuf_is_written_byte_for_byte() {
    each(|fixture, schemas| {
        let read = codec::json::object(fixture.json.as_bytes(), fixture.id, schemas).map_err(|e| e.to_string())?;
        let mut message = Vec::new();
        codec::proto::message(&read.value, fixture.id, schemas, &mut message);
        let bytes = codec::proto::wrap(&fixture.gvk, &message);
        match bytes.iter().zip(&fixture.protobuf).position(|(a, b)| a != b) {
            Some(at) => Err(format!("byte {at} of {}", fixture.protobuf.len())),
            None if bytes.len() != fixture.protobuf.len() => {
                Err(format!("{} bytes instead of {}", bytes.len(), fixture.protobuf.len()))
            }
            None => Ok(()),
        }
    });
}

#[test]
fn yaml_says_what_json_says_in_both_directions() {
    each(|fixture, schemas| {
        let read = |yaml: &str| codec::yaml::object(yaml.as_bytes(), fixture.id, schemas).map_err(|e| e.to_string());
        let mut value = read(&fixture.yaml)?.value;
        schema::normalise::object(&mut value, fixture.id, schemas);
        same(&codec::json::pretty(&value), &fixture.json)?;
        let again = read(&codec::yaml::to_string(&value))?.value;
        if again == value { Ok(()) } else { Err("our own YAML reads differently".into()) }
    });
}
