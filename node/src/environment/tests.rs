//! Variables as cases.

use std::path::Path;

use super::*;
use crate::objects::stored::Stored;

/// `cases/environment.yaml`: a pod with one container and what is around it, and its variables or why it has none.
#[tokio::test]
async fn every_case() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/environment.yaml");
    let text = std::fs::read_to_string(path).expect("it is there");
    let mut seen = 0;
    for document in text.split("\n---\n") {
        let case: Value = yaml_serde::from_str(document).expect("is YAML");
        run(&case).await;
        seen += 1;
    }
    assert!(seen > 10, "there are cases");
}

async fn run(case: &Value) {
    let stored = Stored::new();
    for (name, data) in case.at("configMaps").members() {
        stored.put(CONFIG_MAP, "ns", name, api::value!({"data": data.clone()}));
    }
    for (name, data) in case.at("secrets").members() {
        let mut secret = api::value!({"data": {}});
        for (key, text) in data.members() {
            secret.set_path(&["data", key], STANDARD.encode(text.as_str().unwrap_or_default()));
        }
        stored.put(SECRET, "ns", name, secret);
    }
    let directory = tempfile::tempdir().expect("makes one");
    std::fs::write(directory.path().join("env"), case.str("file")).expect("writes");
    let mut pod = case.at("pod").clone();
    pod.default("spec", Value::object());
    pod.entry("spec").default("enableServiceLinks", true);
    pod.entry("metadata").set("namespace", "ns");
    let container = case.at("container");
    let sources = Sources::gather(&*stored, "ns", container).await;
    let services: Vec<_> = case.list("services").iter().cloned().map(Arc::new).collect();
    let strings = |name: &str| case.list(name).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let (pod_ips, host_ips) = (strings("podIPs"), strings("hostIPs"));
    let context = Context {
        sources: &sources,
        services: (!case.bool("servicesAreNotRead")).then_some(&services),
        pod_ips: &pod_ips,
        host_ips: &host_ips,
        allocatable: case.at("allocatable"),
        volumes: &BTreeMap::from([("files".to_owned(), directory.path().to_owned())]),
    };
    let made = of(&pod, container, &context).map_err(|error| error.0);
    let made = made.map(|all| all.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>());
    let place = directory.path().to_string_lossy().into_owned();
    let expected = match case.opt_str("error") {
        Some(why) => Err(why.replace("DIRECTORY", &place)),
        None => Ok(strings("variables")),
    };
    assert_eq!(made, expected, "{}", case.str("case"));
}

#[test]
fn every_reference_in_a_path_has_to_be_known() {
    let variables = [("A".to_owned(), "x".to_owned()), ("E".to_owned(), String::new())];
    assert_eq!(expanded_path("$(A)/$$(A)", &variables), Ok("x/$(A)".into()));
    let missing = expanded_path("$(E)$(B)$(B)", &variables).map_err(|error| error.0);
    assert_eq!(missing, Err("missing value for B, E".into()));
    assert_eq!(expanded("$(A)$(B)", &variables), "x$(B)");
}
