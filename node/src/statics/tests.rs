//! Files become pods, and pods have mirrors.

use std::{collections::BTreeMap, fs};

use api::value;
use jiff::Timestamp;

use super::*;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

fn reader() -> Reader {
    let whole = |pod: &mut Value| match pod.at("spec").list("containers").is_empty() {
        true => Err("spec.containers: Required value".to_owned()),
        false => Ok(()),
    };
    Reader { node_name: "One".into(), clock: Arc::new(Fixed), whole: Arc::new(whole) }
}

const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: c, image: i}]}}";

#[test]
fn files_of_a_directory_are_pods() {
    let directory = tempfile::tempdir().expect("there is room");
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("there is room");
    write("web.yaml", POD);
    write(".hidden", POD);
    write("broken", "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {}}");
    write("service", "{apiVersion: v1, kind: Service, metadata: {name: x}}");
    let read = || reader().files(&reading::files(directory.path()).expect("it is there"));
    let pods = read();
    assert_eq!(pods.len(), 1);
    let meta = api::meta::of(&pods[0]);
    assert_eq!((meta.name(), meta.namespace()), ("web-one", "default"));
    assert_eq!(meta.annotation(SOURCE), Some("file"));
    assert_eq!(meta.annotation(HASH), Some(meta.uid()));
    assert_eq!(pods[0].at("spec").str("nodeName"), "One");
    assert_eq!(pods[0].at("spec").list("tolerations")[0].str("effect"), "NoExecute");
    let uid = meta.uid().to_owned();
    assert_eq!(api::meta::of(&read()[0]).uid(), uid, "it follows from the file alone");
    write("web.yaml", &POD.replace("image: i", "image: j"));
    assert_ne!(api::meta::of(&read()[0]).uid(), uid, "what says something else is another pod");
    assert!(reading::files(&directory.path().join("none")).expect("it is no error").is_empty());
}

#[test]
fn what_needs_the_api_server_is_refused() {
    let refused = |spec: &str| {
        let text = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: x}}, spec: {spec}}}");
        reader().answer("u", &text, &mut String::new()).expect_err("it is refused")
    };
    let with = |more: &str| refused(&format!("{{containers: [{{name: c}}], {more}}}"));
    assert_eq!(with("serviceAccountName: a"), "static pods may not reference serviceaccounts");
    assert_eq!(with("volumes: [{secret: {secretName: s}}]"), "static pods may not reference secrets");
    assert_eq!(
        with("volumes: [{projected: {sources: [{clusterTrustBundle: {}}]}}]"),
        "static pods may not reference clustertrustbundles"
    );
    assert_eq!(refused("{}"), "invalid pod: spec.containers: Required value");
}

#[test]
fn an_answer_may_be_a_list() {
    let reader = reader();
    let list = format!("{{apiVersion: v1, kind: PodList, items: [{POD}]}}");
    let mut known = String::new();
    let pods = reader.answer("http://x", &list, &mut known).expect("it is one").expect("it is new");
    assert_eq!(api::meta::of(&pods[0]).annotation(SOURCE), Some("http"));
    assert!(pods[0].at("spec").list("tolerations").is_empty());
    assert_eq!(reader.answer("http://x", &list, &mut known), Ok(None), "nothing is new");
    assert_eq!(reader.answer("http://x", "", &mut known), Ok(Some(vec![])));
}

#[test]
fn mirrors_follow_their_pods() {
    let pod = |uid: &str| {
        Arc::new(
            value!({"metadata": {"name": "p", "namespace": "n", "uid": uid, "annotations": {"kubernetes.io/config.hash": uid}}}),
        )
    };
    let at = |pod: &Arc<Value>| BTreeMap::from([(place(pod), pod.clone())]);
    let none = BTreeMap::new();
    let one = pod("1");
    assert_eq!(acts(&at(&one), &none, &[]), [Act::Make(one.clone())]);
    let copy = Arc::new(mirrors::mirror(&one, "One", "node-uid"));
    assert_eq!(copy.at("metadata").list("ownerReferences")[0].str("uid"), "node-uid");
    assert_eq!(acts(&at(&one), &at(&copy), &[]), []);
    let remove = Act::Remove { place: place(&one), uid: String::new() };
    assert_eq!(acts(&at(&pod("2")), &at(&copy), &[]), std::slice::from_ref(&remove), "it is another's");
    assert_eq!(acts(&none, &at(&copy), &[place(&one)]), [], "its pod still runs");
    assert_eq!(acts(&none, &at(&copy), &[]), std::slice::from_ref(&remove));
    let mut leaving = Value::clone(&copy);
    leaving.set_path(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(acts(&at(&one), &at(&Arc::new(leaving)), &[]), [remove], "somebody deleted it: it comes back");
}
