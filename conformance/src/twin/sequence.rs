//! Sequences of writes by several managers, with a watch beside them. Here revisions count: they are numbered on each
//! server as they appear, so that a write that changes nothing on one must change nothing on the other.

use std::time::Duration;

use anyhow::Result;
use api::{Value, meta, value};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    answer::{Answer, Reader},
    case::{Body, Case, Class, JSON, Live, PROTOBUF},
    compare::difference,
    dice::Dice,
    pair::{Pair, Side},
    run::Outcome,
    target::Target,
};
use crate::http::Response;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const STEPS: usize = 14;
const PATIENCE: Duration = Duration::from_secs(90);
/// After the last write a watcher is told within this.
const TOLD_WITHIN: Duration = Duration::from_secs(3);
/// Nothing more comes so long after an object's end.
const QUIET: Duration = Duration::from_millis(200);
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// Values of the label that moves set; an object enters and leaves this selection by them.
const SELECTED: &str = "&labelSelector=shared+in+%281%2C9%29";
/// So many variations make another sequence.
const COUNT_FOR_ONE: usize = 50_000;

/// What can be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Create,
    Apply {
        manager: &'static str,
        value: &'static str,
        force: bool,
    },
    /// What was last seen, sent back as it is.
    Same,
    /// What was last seen with a label more.
    Replace,
    /// With a revision that is older than the newest.
    Stale,
    Label,
    Hold,
    Free,
    Delete,
    DeleteStale,
    DeleteIfOurs,
    Get,
    List,
}

const MOVES: &[Move] = &[
    Move::Create,
    Move::Apply { manager: "a", value: "1", force: false },
    Move::Apply { manager: "a", value: "2", force: false },
    Move::Apply { manager: "b", value: "1", force: false },
    Move::Apply { manager: "b", value: "2", force: false },
    Move::Apply { manager: "b", value: "3", force: true },
    Move::Same,
    Move::Replace,
    Move::Stale,
    Move::Label,
    Move::Hold,
    Move::Free,
    Move::Delete,
    Move::DeleteStale,
    Move::DeleteIfOurs,
    Move::Get,
    Move::List,
];

/// How many sequences a resource has in a run of so many variations.
pub fn count(requests: usize) -> usize {
    2 + requests / COUNT_FOR_ONE
}

/// One server in the course of a sequence.
struct Actor<'a> {
    side: &'a Side,
    reader: Reader,
    /// What the last answer with an object said.
    last: Value,
    first_revision: String,
}

/// Plays one sequence on both servers; stops where they part.
pub async fn play(pair: &Pair, target: &Target, dice: &mut Dice, mut told: impl FnMut(Outcome)) -> Result<()> {
    let mut actors = pair.sides().map(|side| Actor {
        side,
        reader: Reader::numbering(side),
        last: Value::Null,
        first_revision: String::new(),
    });
    let mut watches = Vec::new();
    for case in watch_cases(target) {
        watches.push((watch(&pair.ours, &case).await?, watch(&pair.theirs, &case).await?, case));
    }
    let moves = moves(dice);
    let mut done: Vec<String> = Vec::new();
    for next in moves {
        done.push(format!("{next:?}"));
        let mut answers = Vec::with_capacity(2);
        let mut case = None;
        for actor in &mut actors {
            let (asked, answer) = actor.act(target, next).await?;
            case = Some(asked);
            answers.push(answer);
        }
        let (Some(mut case), Some(theirs), Some(ours)) = (case, answers.pop(), answers.pop()) else { continue };
        let found = difference(&ours, &theirs);
        case.title = done.join(" → ");
        let parted = ours.status != theirs.status;
        told(Outcome { case, theirs, difference: found, steady: true });
        if parted {
            return Ok(());
        }
    }
    let [a, b] = &mut actors;
    // All have been told what there is to tell when the first is, so that none waits long.
    let (mut ours_told, mut theirs_told) = (Vec::new(), Vec::new());
    let mut cases = Vec::new();
    for (ours, theirs, case) in watches {
        ours_told.push(ours);
        theirs_told.push(theirs);
        cases.push(case);
    }
    let (ours, theirs) = tokio::join!(told_all(ours_told), told_all(theirs_told));
    for ((mut case, ours), theirs) in cases.into_iter().zip(ours).zip(theirs) {
        case.title = done.join(" → ");
        let (ours, theirs) = (a.reader.read(&ours), b.reader.read(&theirs));
        let found = difference(&ours, &theirs);
        told(Outcome { case, theirs, difference: found, steady: true });
    }
    Ok(())
}

/// The moves of a sequence: at its end the object is there once more, selected, and goes, so that every watch ends alike.
fn moves(dice: &mut Dice) -> Vec<Move> {
    let mut moves = vec![Move::Create];
    moves.extend((0..STEPS).filter_map(|_| dice.pick(MOVES).copied()));
    moves.extend([Move::Free, Move::Delete, Move::Free, Move::Create, Move::Label, Move::Get, Move::Delete]);
    moves
}

/// What is watched meanwhile: plainly, as a table, in protobuf where the kind has it, and what a label selects.
fn watch_cases(target: &Target) -> Vec<Case> {
    let plain = watch_case(target, String::new());
    let schemas = schema::builtin();
    let mut forms = vec![("", ""), (TABLE, ""), ("", SELECTED), (TABLE, SELECTED)];
    if schemas.get(target.kind_type).proto {
        forms.push((PROTOBUF, ""));
    }
    let of = |(accept, query): (&str, &str)| Case {
        accept: accept.into(),
        path: plain.path.clone() + query,
        ..plain.clone()
    };
    forms.into_iter().map(of).collect()
}

// === impl Actor ===

impl Actor<'_> {
    async fn act(&mut self, target: &Target, next: Move) -> Result<(Case, Answer)> {
        let case = self.case(target, next);
        let live = Live::of(&self.last);
        let response = timeout(PATIENCE, self.side.send(&case, &live)).await??;
        let object = response.json();
        if response.status < 300 && !meta::of(&object).uid().is_empty() {
            if self.first_revision.is_empty() {
                self.first_revision = meta::of(&object).resource_version().into();
            }
            self.last = object;
        }
        Ok((case, self.reader.read(&response)))
    }

    fn case(&self, target: &Target, next: Move) -> Case {
        let path = target.path();
        let sample = || target.samples.first().map(|sample| (**sample).clone()).unwrap_or_default();
        let merge = |patch: Value| ("PATCH", path.clone(), MERGE, Body::Tree(patch));
        let (method, path, content_type, body) = match next {
            Move::Create => ("POST", target.collection(), JSON, Body::Tree(sample())),
            Move::Apply { manager, value, force } => {
                let mut document = if value == "3" { sample() } else { identity(target) };
                let labels = document.entry("metadata").entry("labels");
                labels.set("shared", value);
                labels.set(manager, "own");
                let force = if force { "&force=true" } else { "" };
                ("PATCH", format!("{path}?fieldManager={manager}{force}"), APPLY, Body::Tree(document))
            }
            Move::Same => ("PUT", path, JSON, Body::Tree(self.last.clone())),
            Move::Replace | Move::Stale => {
                let mut new = self.last.clone();
                new.set_path(&["metadata", "labels", "replaced"], "yes");
                if next == Move::Stale {
                    new.entry("metadata").set("resourceVersion", self.first_revision.as_str());
                }
                ("PUT", path, JSON, Body::Tree(new))
            }
            Move::Label => merge(value!({"metadata": {"labels": {"shared": "9"}}})),
            Move::Hold => merge(value!({"metadata": {"finalizers": ["example.com/twin"]}})),
            Move::Free => merge(value!({"metadata": {"finalizers": null}})),
            Move::Delete => ("DELETE", path, JSON, Body::Tree(value!({"gracePeriodSeconds": 0}))),
            Move::DeleteStale => {
                let stale = value!({"preconditions": {"resourceVersion": (self.first_revision.as_str())}});
                ("DELETE", path, JSON, Body::Tree(stale))
            }
            Move::DeleteIfOurs => {
                let body = value!({"preconditions": {"uid": "$uid", "resourceVersion": "$rv"}, "propagationPolicy": "Foreground"});
                ("DELETE", path, JSON, Body::Tree(body))
            }
            Move::Get => ("GET", path, "", Body::None),
            Move::List => {
                let query = format!("?fieldSelector=metadata.name%3D{}", target.name());
                ("GET", target.collection() + &query, "", Body::None)
            }
        };
        Case { method, path, content_type: content_type.into(), body, ..watch_case(target, String::new()) }
    }
}

fn identity(target: &Target) -> Value {
    value!({
        "apiVersion": (target.gvk.api_version()), "kind": (target.gvk.kind.clone()), "metadata": {"name": (target.name())}
    })
}

fn watch_case(target: &Target, title: String) -> Case {
    let query = format!("?watch=true&timeoutSeconds=60&fieldSelector=metadata.name%3D{}", target.name());
    Case {
        resource: target.resource.clone(),
        version: target.gvk.version.as_str().into(),
        class: Class::Sequence,
        title,
        method: "GET",
        path: target.collection() + &query,
        accept: String::new(),
        content_type: String::new(),
        headers: Vec::new(),
        body: Body::None,
    }
}

/// A watch that has begun.
struct Watch {
    headers: http::HeaderMap,
    status: u16,
    body: Incoming,
}

async fn watch(side: &Side, case: &Case) -> Result<Watch> {
    let headers = [("user-agent", "twin/1"), ("accept", case.accept.as_str())];
    let headers = if case.accept.is_empty() { &headers[..1] } else { &headers[..] };
    let answer = side.client().open("GET", &case.path, headers, Bytes::new()).await?;
    let (parts, body) = answer.into_parts();
    Ok(Watch { headers: parts.headers, status: parts.status.as_u16(), body })
}

/// What several watches were told.
async fn told_all(watches: Vec<Watch>) -> Vec<Response> {
    let tasks: Vec<_> = watches.into_iter().map(|watch| tokio::spawn(watch.told())).collect();
    let mut out = Vec::with_capacity(tasks.len());
    for task in tasks {
        let nothing = || Response { status: 0, headers: http::HeaderMap::new(), body: Bytes::new() };
        out.push(task.await.unwrap_or_else(|_| nothing()));
    }
    out
}

// === impl Watch ===

impl Watch {
    /// What it was told until the object was gone for good: the last delete is the sequence's own, and then it is quiet.
    async fn told(mut self) -> Response {
        let mut bytes = Vec::new();
        let mut patience = TOLD_WITHIN;
        while let Ok(Some(Ok(frame))) = timeout(patience, self.body.frame()).await {
            let data = frame.into_data().unwrap_or_default();
            patience = if tells_an_end(&data) { QUIET } else { TOLD_WITHIN };
            bytes.extend(data);
        }
        Response { status: self.status, headers: self.headers, body: bytes.into() }
    }
}

/// A frame in JSON, or in protobuf behind its length.
fn tells_an_end(data: &[u8]) -> bool {
    data.starts_with(b"{\"type\":\"DELETED\"") || data.get(4..).is_some_and(|event| event.starts_with(b"\n\x07DELETED"))
}

#[cfg(test)]
mod tests {
    use super::{super::dice::Dice, Move, count, moves, tells_an_end};

    #[test]
    fn every_watch_ends_with_an_object_that_was_selected() {
        let moves = moves(&mut Dice::new(1));
        let last = moves.len();
        assert_eq!(moves[last - 4..], [Move::Create, Move::Label, Move::Get, Move::Delete]);
        assert!(count(100_000) > count(25_000), "a larger run has more sequences");
    }

    #[test]
    fn an_end_is_seen_in_every_form() {
        assert!(tells_an_end(br#"{"type":"DELETED","object":{}}"#));
        assert!(tells_an_end(b"\0\0\0\x20\n\x07DELETED\x12"));
        assert!(!tells_an_end(b"\0\0\0\x20\n\x05ADDED\x12"));
    }
}
