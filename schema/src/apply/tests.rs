//! Who owns what after every kind of write, against what upstream's server answered to the same requests.
//!
//! `tests/recorded.jsonl` holds one request a line with the object before and after it, recorded from kube-apiserver
//! v1.37.1; uids and revisions are left out.

mod algebra;
mod writes;

use api::{Status, Value, value};

use super::{
    Entries, Form, Refusal, Set, Versions, Writer, check, collect,
    compare::{Comparison, compare},
    owners::Applied,
};
use crate::{Schemas, TypeId};

/// A kind that has one version.
pub(super) struct OneVersion(pub &'static str, pub TypeId);

impl Versions for OneVersion {
    fn type_of(&self, api_version: &str) -> Option<TypeId> {
        (api_version == self.0).then_some(self.1)
    }

    fn convert(&self, object: &Value, _: &str, _: &str) -> Result<Value, String> {
        Ok(object.clone())
    }
}

fn form(id: TypeId) -> Form<'static> {
    Form::of_type(crate::builtin().get(id), crate::builtin())
}

/// The paths that the endpoint of a recorded request does not write.
fn reset(row: &Value) -> Set {
    let kind = row.str("type").rsplit('.').next().unwrap_or("");
    Set::of_names(match (kind, row.str("sub")) {
        ("ConfigMap" | "ClusterRole" | "NetworkPolicy", _) => &[],
        ("Pod", "status") => &["metadata.deletionTimestamp", "metadata.ownerReferences", "spec"],
        ("Deployment", "status") => &["metadata.labels", "spec"],
        (_, "status") => &["spec"],
        _ => &["status"],
    })
}

struct Replay {
    row: Value,
    id: TypeId,
    live: Value,
    managed: Value,
}

impl Replay {
    fn of(line: &str) -> Replay {
        let mut row: Value = serde_json::from_str(line).expect("recorded lines are JSON");
        let id = crate::builtin().id(row.str("type")).expect("the type is known");
        let mut live = row.entry("before").take();
        let managed = live.remove_path(&["metadata", "managedFields"]).unwrap_or_default();
        crate::normalise::object(&mut live, id, crate::builtin());
        Replay { row, id, live, managed }
    }

    fn run(&self) -> Result<Applied, Refusal> {
        let schemas: &Schemas = crate::builtin();
        let api_version: &'static str = self.row.str("apiVersion").to_string().leak();
        let (versions, reset) = (OneVersion(api_version, self.id), reset(&self.row));
        let after = self.row.at("after").at("metadata").list("managedFields");
        let now = after.iter().map(|e| e.str("time")).max().unwrap_or_default();
        let writer = Writer {
            schemas,
            versions: &versions,
            api_version,
            subresource: self.row.str("sub"),
            manager: self.row.str("manager"),
            now,
            reset: &reset,
        };
        let entries = Entries::stored(self.managed.clone()).expect("recorded entries are well formed");
        if self.row.str("verb") == "apply" {
            return writer.apply(&self.live, self.row.at("body"), entries, self.row.bool("force"));
        }
        let mut new = self.row.at("after").clone();
        new.remove_path(&["metadata", "managedFields"]);
        if self.row.str("verb") == "create" {
            PUT_IN_LATER.iter().for_each(|member| drop(new.remove_path(&["spec", member])));
        }
        crate::normalise::object(&mut new, self.id, schemas);
        let live = if self.row.at("before").is_null() && self.managed.is_null() && self.row.str("verb") == "create" {
            writer.empty()
        } else {
            self.live.clone()
        };
        let entries = writer.update(&live, &new, entries)?;
        Ok(Applied { object: Some(new), entries })
    }
}

/// What upstream's server puts in behind the managers' back: in admission and when it reserves addresses.
const PUT_IN_LATER: &[&str] =
    &["preemptionPolicy", "priority", "tolerations", "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"];

/// What of an applied object is not as upstream has it: defaults may be missing, nothing else.
fn differences(replay: &Replay, object: &Value, after: &Value) -> Comparison {
    let schemas = crate::builtin();
    let form = form(replay.id);
    let before = collect::paths(form, &replay.live, schemas).expect("the object fits");
    let mut object = object.clone();
    crate::normalise::object(&mut object, replay.id, schemas);
    // Defaulted again, or taken back from the live object by the status endpoint.
    let servers = [
        "metadata.generation",
        "metadata.uid",
        "metadata.namespace",
        "metadata.annotations",
        "spec.replicas",
        "status",
    ];
    let servers = Set::of_names(&servers);
    let mut found = compare(form, &object, after, schemas).expect("both fit").without(&servers);
    found.changed = found.changed.intersection(&before);
    found
}

fn check_one(line: &str) -> Result<(), String> {
    let replay = Replay::of(line);
    let row = &replay.row;
    let what = format!("{} {} by {}", row.str("case"), row.str("verb"), row.str("manager"));
    if row.str("verb") == "apply"
        && let Err(misfits) = check(form(replay.id), row.at("body"), crate::builtin())
    {
        let said = row.at("status").str("message");
        let ours = misfits.to_string();
        return if said.ends_with(&format!(": {ours}")) {
            Ok(())
        } else {
            Err(format!("{what}\n ours: {ours}\n said: {said}"))
        };
    }
    match replay.run() {
        Ok(applied) => {
            let wanted = row.at("after").at_path(&["metadata", "managedFields"]);
            let got = applied.entries.write();
            if got != *wanted {
                let (got, wanted) = (api::field::go_json(&got), api::field::go_json(wanted));
                return Err(format!("{what}\n got:    {got}\n wanted: {wanted}"));
            }
            let object = applied.object.as_ref().unwrap_or(&replay.live);
            let differs = differences(&replay, object, row.at("after"));
            if differs.is_empty() { Ok(()) } else { Err(format!("{what}\n object: {differs:?}")) }
        }
        Err(refusal) => {
            let status = Status::from(refusal).to_value();
            let same = ["message", "reason", "details"].iter().all(|k| status.at(k) == row.at("status").at(k));
            let said = api::field::go_json(row.at("status"));
            if same { Ok(()) } else { Err(format!("{what}\n ours: {}\n said: {said}", api::field::go_json(&status))) }
        }
    }
}

#[test]
fn every_recorded_write_comes_to_what_upstream_came_to() {
    let lines = include_str!("tests/recorded.jsonl").lines();
    // What the endpoint and validation refuse, and whose entries are believed, is decided elsewhere.
    let elsewhere =
        ["\"code\":422", "must be nil", "invalid object type", "to proper version", "{\"managedFields\":[{}]}"];
    let ours = lines.filter(|l| elsewhere.iter().all(|text| !l.contains(text)));
    let wrong: Vec<String> = ours.filter_map(|line| check_one(line).err()).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn a_type_without_fields_is_an_object_all_the_same() {
    let schemas = crate::builtin();
    let id = schemas.id("io.k8s.api.scheduling.v1alpha3.CompositePodGroup").expect("scheduling has groups");
    let group = |single: Value| value!({"spec": {"disruptionMode": {"single": single}}});
    assert_eq!(check(form(id), &group(value!({"any": [1]})), schemas), Ok(()));
    let misfits = check(form(id), &group("x".into()), schemas).expect_err("a text is none");
    assert_eq!(misfits.to_string(), ".spec.disruptionMode.single: expected map, got &{x}");
}

#[test]
fn a_pod_may_listen_on_the_same_port_twice() {
    let schemas = crate::builtin();
    let id = schemas.id("io.k8s.api.core.v1.Container").expect("core has containers");
    let ports = value!({"ports": [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}]});
    assert_eq!(check(form(id), &ports, schemas), Ok(()));
    let twice = value!({"ports": [{"containerPort": 53}, {"containerPort": 53, "protocol": "TCP"}]});
    let misfits = check(form(id), &twice, schemas).expect_err("a missing protocol is TCP");
    assert_eq!(misfits.to_string(), ".ports: duplicate entries for key [containerPort=53,protocol=\"TCP\"]");
}
