//! Five thousand questions about generated roles and bindings, which have to come out the same on both sides.
//!
//! Upstream goes through bindings in no order: of several that allow it names any, and ours has to be one that it names.

use anyhow::{Result, ensure};
use api::{Value, value};
use bytes::Bytes;
use conformance::{http::Client, twin::dice::Dice};

use crate::{
    rows::Stage,
    sides::{Side, Sides},
};

const SEED: u64 = 20_261_122;
const QUESTIONS: usize = 5_000;
/// Each of so many questions is a real request, too.
const SAMPLED: usize = 5;
/// So many answers of upstream's name all bindings that it may name.
const ASKED_AGAIN: usize = 400;
const AT_ONCE: usize = 16;

const USERS: [&str; 6] = ["u0", "u1", "u2", "u3", "system:serviceaccount:a:robot", "system:serviceaccount:b:robot"];
const GROUPS: [&str; 5] = ["g0", "g1", "g2", "system:serviceaccounts:a", "system:authenticated"];
const VERBS: [&str; 9] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "use"];
/// Group, resource, the path of its version.
const RESOURCES: [(&str, &str, &str); 5] = [
    ("", "pods", "/api/v1"),
    ("", "secrets", "/api/v1"),
    ("apps", "deployments", "/apis/apps/v1"),
    ("batch", "jobs", "/apis/batch/v1"),
    ("rbac.authorization.k8s.io", "roles", "/apis/rbac.authorization.k8s.io/v1"),
];
const SUBRESOURCES: [&str; 4] = ["", "", "status", "log"];
const NAMES: [&str; 3] = ["x", "y", "z"];
const NAMESPACES: [&str; 2] = ["a", "b"];
const PATHS: [&str; 7] = ["/a", "/a/b", "/a/b/c", "/ab", "/b", "/b/", "/c*"];
const PATTERNS: [&str; 6] = ["/a", "/a/*", "/b*", "*", "/c*", "/a/b"];
const GROUP: &str = "/apis/rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A question, and the request that asks it, when there is one.
struct Question {
    review: Value,
    user: String,
    groups: Vec<String>,
    path: Option<String>,
}

pub async fn run() -> Result<()> {
    let stage = Stage::new().await?;
    let sides =
        Sides::start(&stage.directory, stage.settings.clone(), &["--authorization-mode=RBAC".to_owned()]).await?;
    let (upstream, ours) = (sides.upstream.client().await?, sides.ours.client().await?);
    let mut dice = Dice::new(SEED);
    for namespace in NAMESPACES {
        create(&upstream, "/api/v1/namespaces", &value!({"metadata": {"name": namespace}})).await?;
    }
    for (path, object) in policy(&mut dice) {
        create(&upstream, &path, &object).await?;
    }
    for side in [&sides.upstream, &sides.ours] {
        settled(side).await?;
    }
    let questions: Vec<Question> = (0..QUESTIONS).map(|_| question(&mut dice)).collect();
    let (mut faults, mut allowed) = (Vec::new(), 0);
    for (chunk, questions) in questions.chunks(AT_ONCE).enumerate() {
        let asked = questions.iter().enumerate().map(|(i, question)| {
            let sampled = (chunk * AT_ONCE + i).is_multiple_of(SAMPLED);
            compare(&upstream, &ours, question, sampled)
        });
        for found in futures::future::try_join_all(asked).await? {
            allowed += usize::from(found.allowed);
            faults.extend(found.fault);
        }
    }
    ensure!(
        (QUESTIONS / 20..QUESTIONS).contains(&allowed),
        "{allowed} of {QUESTIONS} are allowed, which tells nothing"
    );
    ensure!(
        faults.is_empty(),
        "{} of {QUESTIONS} differ:\n{}",
        faults.len(),
        faults[..faults.len().min(40)].join("\n")
    );
    Ok(())
}

struct Found {
    allowed: bool,
    fault: Option<String>,
}

async fn create(client: &Client, path: &str, object: &Value) -> Result<()> {
    let answer = client.send("POST", path, &JSON, Bytes::from(codec::json::to_string(object))).await?;
    ensure!(answer.status == 201, "{path}: {answer:?}");
    Ok(())
}

/// Waits until the last of each kind counts.
async fn settled(side: &Side) -> Result<()> {
    let client = side.client().await?;
    let last = value!({"spec": {"user": "last", "nonResourceAttributes": {"verb": "get", "path": "/last"}}});
    let of_namespace = value!({"verb": "get", "resource": "last", "namespace": "b"});
    let of_namespace = value!({"spec": {"user": "last", "resourceAttributes": (of_namespace)}});
    for review in [last, of_namespace] {
        while !decide(&client, &review).await?.bool("allowed") {}
    }
    Ok(())
}

async fn decide(client: &Client, review: &Value) -> Result<Value> {
    let answer = client.send("POST", REVIEWS, &JSON, Bytes::from(codec::json::to_string(review))).await?;
    ensure!(answer.status == 201, "{answer:?}");
    Ok(answer.json().at("status").clone())
}

async fn compare(upstream: &Client, ours: &Client, question: &Question, sampled: bool) -> Result<Found> {
    let here = decide(ours, &question.review).await?;
    let mut there = decide(upstream, &question.review).await?;
    for _ in 0..ASKED_AGAIN {
        if there == here || there.at("allowed") != here.at("allowed") {
            break;
        }
        there = decide(upstream, &question.review).await?;
    }
    let mut fault = (there != here).then(|| {
        let text = codec::json::to_string;
        format!("{}\n  upstream {}\n  here     {}", text(&question.review), text(&there), text(&here))
    });
    if let (true, None, Some(path)) = (sampled, &fault, &question.path) {
        let mut headers = vec![("impersonate-user", question.user.as_str())];
        headers.extend(question.groups.iter().map(|group| ("impersonate-group", group.as_str())));
        let here = ours.send("GET", path, &headers, Bytes::new()).await?;
        let there = upstream.send("GET", path, &headers, Bytes::new()).await?;
        let words = |answer: &conformance::http::Response| {
            answer.json().str("message").split(": RBAC").next().map(str::to_owned)
        };
        if here.status != there.status || words(&here) != words(&there) {
            fault = Some(format!("{path} as {headers:?}\n  upstream {there:?}\n  here     {here:?}"));
        }
    }
    Ok(Found { allowed: here.bool("allowed"), fault })
}

fn pick<'a, T>(dice: &mut Dice, from: &'a [T]) -> &'a T {
    &from[dice.below(from.len())]
}

/// One to three of them, or all.
fn some(dice: &mut Dice, from: &[&str]) -> Value {
    match dice.below(6) {
        0 => value!(["*"]),
        n => (0..n.div_ceil(2)).map(|_| Value::from(*pick(dice, from))).collect(),
    }
}

fn question(dice: &mut Dice) -> Question {
    let user = (*pick(dice, &USERS)).to_owned();
    let groups: Vec<String> = (0..dice.below(3)).map(|_| (*pick(dice, &GROUPS)).to_owned()).collect();
    let verb = *pick(dice, &VERBS);
    let mut spec = value!({"user": (user.as_str())});
    if !groups.is_empty() {
        spec.set("groups", groups.clone());
    }
    if dice.below(6) == 0 {
        let path = *pick(dice, &PATHS);
        spec.set("nonResourceAttributes", value!({"verb": verb, "path": path}));
        let path = (verb == "get").then(|| path.to_owned());
        return Question { review: value!({"spec": (spec)}), user, groups, path };
    }
    let (group, resource, version) = *pick(dice, &RESOURCES);
    let mut about = value!({"verb": verb, "group": group, "version": "v1", "resource": resource});
    let namespace = *pick(dice, &["", "a", "a", "b", "c"]);
    let subresource = *pick(dice, &SUBRESOURCES);
    let name = if verb == "list" { "" } else { *pick(dice, &NAMES) };
    for (member, text) in [("namespace", namespace), ("subresource", subresource), ("name", name)] {
        if !text.is_empty() {
            about.set(member, text);
        }
    }
    spec.set("resourceAttributes", about);
    let collection = format!("{version}/namespaces/{namespace}/{resource}");
    let path = match (verb, namespace, subresource) {
        (_, "", _) => None,
        ("list", _, "") => Some(collection),
        ("get", _, "") => Some(format!("{collection}/{name}")),
        _ => None,
    };
    Question { review: value!({"spec": (spec)}), user, groups, path }
}

/// Paths of collections, and what is made there.
fn policy(dice: &mut Dice) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let places: Vec<String> =
        std::iter::once(String::new()).chain(NAMESPACES.map(|n| format!("/namespaces/{n}"))).collect();
    for (i, place) in places.iter().enumerate() {
        let kind = if i == 0 { "clusterroles" } else { "roles" };
        for n in 0..14 {
            let rules: Value = (0..=dice.below(3)).map(|_| rule(dice, i == 0)).collect();
            all.push((
                format!("{GROUP}{place}/{kind}"),
                value!({"metadata": {"name": (format!("r{n}"))}, "rules": (rules)}),
            ));
        }
    }
    let last = value!({"apiGroups": [""], "resources": ["last"], "verbs": ["get"]});
    let path = value!({"nonResourceURLs": ["/last"], "verbs": ["get"]});
    all.push((format!("{GROUP}/clusterroles"), value!({"metadata": {"name": "z"}, "rules": [(path)]})));
    all.push((format!("{GROUP}{}/roles", places[2]), value!({"metadata": {"name": "z"}, "rules": [(last)]})));
    for (i, place) in places.iter().enumerate() {
        let kind = if i == 0 { "clusterrolebindings" } else { "rolebindings" };
        for n in 0..12 {
            let role = if i == 0 || dice.below(3) == 0 { "ClusterRole" } else { "Role" };
            // Some of them are not there.
            let name = format!("r{}", dice.below(15));
            let subjects: Value = (0..=dice.below(2)).map(|_| subject(dice)).collect();
            all.push((format!("{GROUP}{place}/{kind}"), binding(&format!("b{n}"), role, &name, subjects)));
        }
    }
    let user = || value!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "last"}]);
    all.push((format!("{GROUP}/clusterrolebindings"), binding("z", "ClusterRole", "z", user())));
    all.push((format!("{GROUP}{}/rolebindings", places[2]), binding("z", "Role", "z", user())));
    all
}

fn binding(name: &str, kind: &str, role: &str, subjects: Value) -> Value {
    let role = value!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role});
    value!({"metadata": {"name": name}, "subjects": (subjects), "roleRef": (role)})
}

fn rule(dice: &mut Dice, with_paths: bool) -> Value {
    let verbs = some(dice, &VERBS);
    if with_paths && dice.below(3) == 0 {
        let paths: Value = (0..=dice.below(2)).map(|_| Value::from(*pick(dice, &PATTERNS))).collect();
        return value!({"nonResourceURLs": (paths), "verbs": (verbs)});
    }
    let resources =
        ["pods", "secrets", "deployments", "jobs", "roles", "pods/log", "*/status", "deployments/status", "jobs/*"];
    let groups = ["", "", "apps", "batch", "rbac.authorization.k8s.io"];
    let (groups, resources) = (some(dice, &groups), some(dice, &resources));
    let mut rule = value!({"apiGroups": (groups), "resources": (resources), "verbs": (verbs)});
    if dice.below(4) == 0 {
        let names: Value = (0..=dice.below(2)).map(|_| Value::from(*pick(dice, &NAMES))).collect();
        rule.set("resourceNames", names);
    }
    rule
}

fn subject(dice: &mut Dice) -> Value {
    let of_group =
        |kind: &str, name: &str| value!({"kind": kind, "apiGroup": "rbac.authorization.k8s.io", "name": name});
    match dice.below(5) {
        0 => value!({"kind": "ServiceAccount", "name": "robot", "namespace": (*pick(dice, &NAMESPACES))}),
        1 | 2 => of_group("Group", pick::<&str>(dice, &GROUPS)),
        _ => of_group("User", pick::<&str>(dice, &USERS)),
    }
}
