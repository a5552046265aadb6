//! What nodes may, as upstream says of a cluster that is drawn from a seed: modes `Node,RBAC`, asked by SubjectAccessReviews.
//!
//! `conformance/recorded/nodes.jsonl` has a head, then the writes that make and change the cluster, then questions with
//! upstream's answers. `cargo run -p conformance --example nodes` draws it anew and asks upstream; the test `nodes` asks Skiff.

mod draw;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use api::{Value, value};
use bytes::Bytes;

use crate::{
    http::Client,
    twin::dice::Dice,
    upstream::{Settings, Upstream},
};

/// Of both servers. Pods of these clusters name accounts that nobody has made.
pub const FLAGS: [&str; 2] = ["--authorization-mode=Node,RBAC", "--disable-admission-plugins=ServiceAccount"];
const SEED: u32 = 37;
const QUESTIONS: usize = 1200;

const JSON: (&str, &str) = ("content-type", "application/json");
const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded/nodes.jsonl")
}

/// The lines behind the head: writes have a `method`, questions an `ask` and what was `said`.
pub fn lines() -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(file()).context("conformance/recorded/nodes.jsonl")?;
    let read = |line: &str| codec::json::any(line.as_bytes()).map(|read| read.value);
    text.lines().skip(1).map(|line| read(line).map_err(|error| anyhow::anyhow!("{line}: {error}"))).collect()
}

pub async fn write(client: &Client, line: &Value) -> Result<()> {
    let (method, path) = (line.str("method"), line.str("path"));
    let body = match line.at("body") {
        Value::Null => String::new(),
        body => codec::json::to_string(body),
    };
    let headers = if method == "PATCH" { [MERGE] } else { [JSON] };
    let answer = client.send(method, path, &headers, Bytes::from(body)).await?;
    let text = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status < 300, "{method} {path} is answered {}: {text}", answer.status);
    Ok(())
}

/// The `status` of a review with this spec.
pub async fn ask(client: &Client, spec: &Value) -> Result<Value> {
    let review =
        value!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": (spec.clone())});
    let body = Bytes::from(codec::json::to_string(&review));
    let answer = client.send("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", &[JSON], body).await?;
    ensure!(answer.status == 201, "{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    Ok(answer.json().at("status").clone())
}

/// Asks upstream and writes the file. It is done when two rounds of all questions are answered alike, since upstream decides
/// by what it has heard of.
pub async fn record() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut settings = Settings::new(&folder.path().join("upstream"))?;
    // It has the modes already, and takes them once.
    settings.server_flags = FLAGS[1..].iter().map(|flag| (*flag).to_owned()).collect();
    let upstream = Upstream::start(&settings)?;
    let client = Client::from_kubeconfig(&upstream.kubeconfig).await?;
    let mut dice = Dice::new(SEED.into());
    let writes = draw::cluster(&mut dice);
    for line in &writes {
        write(&client, line).await?;
    }
    let questions = draw::questions(&mut dice, QUESTIONS);
    let mut answers: Vec<Value> = Vec::new();
    loop {
        let mut round = Vec::new();
        for question in &questions {
            round.push(ask(&client, question).await?);
        }
        let is_same = answers.len() == round.len() && answers.iter().zip(&round).all(|(a, b)| a.is_same(b));
        answers = round;
        if is_same {
            break;
        }
    }
    let head = value!({"source": "kube-apiserver v1.37.1", "flags": (FLAGS.to_vec()), "seed": SEED});
    let asked = questions.into_iter().zip(answers).map(|(ask, said)| value!({"ask": ask, "said": said}));
    let text: String =
        std::iter::once(head).chain(writes).chain(asked).map(|line| codec::json::to_string(&line) + "\n").collect();
    std::fs::write(file(), text).context("the file cannot be written")
}
