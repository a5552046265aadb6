//! `cases/*.yaml`: what there is, questions and what they are answered. Adding a case is adding a document.
//!
//! A document: `case` (what it shows), `namespaces`, `services`, `slices`, and questions under `asked`: `NAME TYPE`, each with
//! the lines of its answer. `+` stands before additional records, `->` before a name that others know; `NODATA`, `NXDOMAIN`,
//! `ELSEWHERE` and `REFUSED` say what they say.
//!
//! What a run came to is written beside the build's other output, for whoever changes answers on purpose.

use std::path::Path;

use api::Value;
use dns::{
    cluster::Cluster,
    resolve::{Answer, Zone, resolve},
};
use hickory_server::proto::rr::{Name, Record};

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
            let asked = run(&case, &mut wrong, &mut seen);
            let inputs = document.split("\nasked:").next().unwrap_or_default();
            actual.push(format!("{}\nasked:\n{asked}", inputs.trim_end()));
        }
        let shown = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dns-{}", file.file_name().display()));
        std::fs::write(shown, actual.join("---\n")).expect("the build's folder can be written to");
    }
    assert!(seen > 0, "there are questions");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn run(case: &Value, wrong: &mut Vec<String>, seen: &mut usize) -> String {
    let cluster = cluster(case);
    let zone = Zone {
        domain: vec!["cluster".into(), "local".into()],
        ttl_seconds: 30,
        own_ips: case.list("own").iter().filter_map(|ip| ip.as_str()?.parse().ok()).collect(),
        own_port: 53,
    };
    let mut shown = String::new();
    for (question, expected) in case.at("asked").members() {
        let (name, kind) = question.split_once(' ').expect("a question is a name and a type");
        let name = Name::from_ascii(name).expect("a name");
        let kind = kind.parse().unwrap_or_else(|_| panic!("{kind} is a type"));
        let answer = lines(&resolve(&cluster, &zone, &name, kind));
        let expected: Vec<&str> = expected.items().iter().filter_map(Value::as_str).collect();
        *seen += 1;
        if answer != expected {
            wrong.push(format!("{}: {question}: {answer:#?} instead of {expected:#?}", case.str("case")));
        }
        shown.push_str(&format!("  {question}:\n"));
        answer.iter().for_each(|line| shown.push_str(&format!("  - \"{}\"\n", line.replace('"', "\\\""))));
    }
    shown
}

fn lines(answer: &Answer) -> Vec<String> {
    let written = |records: &[Record]| records.iter().map(ToString::to_string).collect::<Vec<_>>();
    match answer {
        Answer::Elsewhere => vec!["ELSEWHERE".into()],
        Answer::Refused => vec!["REFUSED".into()],
        Answer::NoData(soa) => vec!["NODATA".into(), soa.to_string()],
        Answer::NoName(soa) => vec!["NXDOMAIN".into(), soa.to_string()],
        Answer::Alias { answers, target } => {
            let mut lines = written(answers);
            lines.push(format!("-> {target}"));
            lines
        }
        Answer::Records { answers, additionals } => {
            let mut lines = written(answers);
            lines.extend(written(additionals).into_iter().map(|line| format!("+ {line}")));
            lines
        }
    }
}

fn cluster(case: &Value) -> Cluster {
    let mut cluster = Cluster::default();
    let second = 1_800_000_000;
    for name in case.list("namespaces") {
        let mut namespace = Value::object();
        namespace.set_path(&["metadata", "name"], name.as_str().unwrap_or_default());
        cluster.change("namespaces", &namespace, false, second);
    }
    for service in case.list("services") {
        cluster.change("services", &named(service, service.str("name")), false, second);
    }
    for (number, slice) in case.list("slices").iter().enumerate() {
        let mut slice = named(slice, &format!("slice-{number}"));
        let service = slice.str("of").to_string();
        slice.set_path(&["metadata", "labels", "kubernetes.io/service-name"], service);
        cluster.change("endpointslices", &slice, false, second);
    }
    for gone in case.list("gone") {
        cluster.change(gone.str("resource"), &named(gone, gone.str("name")), true, second);
    }
    cluster
}

fn named(object: &Value, name: &str) -> Value {
    let mut object = object.clone();
    let meta = object.entry("metadata");
    meta.default("name", name);
    meta.default("namespace", "ns");
    object
}
