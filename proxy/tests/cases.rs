//! `cases/*.yaml`: a snapshot, and the rules that follow from it. Adding a case is adding a document.
//!
//! A document: `case` (what it shows), `family` (IPv4), `settings`, `node`, `services`, `slices`, `cidrs` in; `rules` out:
//! what stands in the table more than in one without services, or with `frame` the whole table. `then` may hold other
//! `services` and `slices`, and `changes` is what is sent to the kernel for it.
//!
//! What a run came to is written beside the build's other output, for whoever changes rules on purpose.

use std::{path::Path, sync::Arc};

use api::{Value, names::ip::parse_cidr};
use proxy::{
    rules::rules,
    ruleset::Ruleset,
    snapshot::{Family, LocalTraffic, NodePorts, Settings, Snapshot},
};

#[test]
fn every_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("it is there").filter_map(Result::ok).collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(file.path()).expect("it can be read");
        let mut actual = Vec::new();
        for document in text.split("\n---\n") {
            let case: Value = yaml_serde::from_str(document).unwrap_or_else(|e| panic!("{:?}: {e}", file.path()));
            actual.push(run(&case, document, &mut wrong));
            seen += 1;
        }
        let shown = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file.file_name());
        std::fs::write(shown, actual.join("\n---\n")).expect("the build's folder can be written to");
    }
    assert!(seen > 0, "there are cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Answers the document with what it came to.
fn run(case: &Value, document: &str, wrong: &mut Vec<String>) -> String {
    let name = case.str("case");
    let family = if case.str("family") == "IPv6" { Family::V6 } else { Family::V4 };
    let settings = settings(case.at("settings"));
    let snapshot = snapshot(case, case);
    let made = rules(&snapshot, &settings, family).ruleset;
    let text = if case.bool("frame") {
        made.whole("")
    } else {
        let bare = Snapshot { services: Vec::new(), slices: Vec::new(), ..snapshot.clone() };
        between(&rules(&bare, &settings, family).ruleset, &made)
    };
    let mut check = |what: &str, expected: &str, actual: &str| {
        // The last line of a document has no end of its own.
        if expected.trim_end() != actual.trim_end() {
            wrong.push(format!("{name}: {what} are\n{actual}instead of\n{expected}"));
        }
    };
    check("rules", case.str("rules"), &text);
    let inputs = document.split("\nrules: |").next().unwrap_or_default();
    let mut shown = format!("{}\nrules: {}", inputs.trim_end(), block(&text));
    if let Some(then) = case.get("then") {
        let next = rules(&self::snapshot(case, then), &settings, family).ruleset;
        let changes = between(&made, &next);
        check("changes", case.str("changes"), &changes);
        shown.push_str(&format!("changes: {}", block(&changes)));
    }
    shown
}

fn between(old: &Ruleset, new: &Ruleset) -> String {
    new.changes(old).map_or_else(|| "made anew\n".into(), |changes| changes.text)
}

fn block(text: &str) -> String {
    if text.is_empty() {
        return "\"\"\n".into();
    }
    text.lines().fold("|\n".to_string(), |all, line| all + "  " + line + "\n")
}

fn snapshot(case: &Value, what: &Value) -> Snapshot {
    let objects = |list: &Value, complete: fn(&mut Value)| {
        let objects = list.items().iter().map(|object| {
            let mut object = object.clone();
            complete(&mut object);
            Arc::new(object)
        });
        objects.collect()
    };
    let cidrs = case.list("cidrs").to_vec();
    let mut cidr = Value::object();
    cidr.set_path(&["spec", "cidrs"], Value::array(cidrs));
    Snapshot {
        services: objects(what.at("services"), complete_service),
        slices: objects(what.at("slices"), complete_slice),
        node: case.get("node").map(|node| Arc::new(node.clone())),
        service_cidrs: vec![Arc::new(cidr)],
    }
}

/// `name` stands for its metadata, `clusterIP` for the first of the list.
fn complete_service(service: &mut Value) {
    named(service);
    let ip = service.at("spec").str("clusterIP").to_string();
    if !service.at("spec").has("clusterIPs") {
        service.set_path(&["spec", "clusterIPs"], Value::array(vec![ip.into()]));
    }
}

/// `of` is the service that the slice is of.
fn complete_slice(slice: &mut Value) {
    named(slice);
    let service = slice.str("of").to_string();
    slice.set_path(&["metadata", "labels", "kubernetes.io/service-name"], service);
    slice.default("addressType", "IPv4");
}

fn named(object: &mut Value) {
    let name = object.str("name").to_string();
    let meta = object.entry("metadata");
    meta.default("name", name);
    meta.default("namespace", "ns");
}

fn settings(given: &Value) -> Settings {
    let cidrs = |list: &str| given.list(list).iter().filter_map(|c| parse_cidr(c.as_str()?)).collect::<Vec<_>>();
    let mut settings = Settings::new("here");
    settings.masquerade_all = given.bool("masqueradeAll");
    settings.local = match given.str("detectLocal") {
        "" => LocalTraffic::Unknown,
        "ClusterCIDR" => LocalTraffic::ClusterCidrs(cidrs("clusterCIDR")),
        "NodeCIDR" => LocalTraffic::NodeCidrs,
        "BridgeInterface" => LocalTraffic::Bridge(given.str("interface").into()),
        "InterfaceNamePrefix" => LocalTraffic::InterfacePrefix(given.str("interface").into()),
        other => panic!("there is no way to detect local traffic called {other}"),
    };
    if given.has("nodePortAddresses") {
        settings.node_ports = NodePorts::Within(cidrs("nodePortAddresses"));
    }
    settings
}
