//! Requests with upstream's answers, for a test that has no upstream: `conformance/recorded/twin.jsonl`, a line each.
//!
//! An answer is its status, its reason, the type and field of each cause, and of an object a digest. No texts.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, Result};
use api::{Value, value};

use super::{
    answer::Answer,
    case::{Base, Body, Case, Class},
    compare,
    dice::Dice,
    edit::Edit,
    run::Outcome,
    target::Target,
};

/// A line of the file.
#[derive(Clone, Debug)]
pub struct Line {
    pub resource: String,
    pub version: String,
    /// Asked of the live object, not before it is there.
    pub after: bool,
    pub method: String,
    pub path: String,
    pub accept: String,
    pub content_type: String,
    body: Value,
    pub wanted: Wanted,
}

/// What upstream said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub status: u16,
    pub reason: String,
    /// `FieldValueInvalid spec.replicas`
    pub causes: Vec<String>,
    /// Of the normalised object; 0 for a refusal.
    pub digest: u64,
}

/// Bodies that are larger are left out: the file stays small.
const BODY_LEN_MAX: usize = 400;

// === impl Wanted ===

impl Wanted {
    pub fn of(answer: &Answer) -> Wanted {
        let refused = answer.status >= 300;
        let causes = answer.body.at("details").list("causes").iter();
        let causes = causes.map(|cause| format!("{} {}", cause.str("reason"), cause.str("field")));
        Wanted {
            status: answer.status,
            reason: if refused { answer.body.str("reason").to_owned() } else { String::new() },
            causes: if refused { causes.collect() } else { Vec::new() },
            digest: if refused { 0 } else { digest(&codec::json::to_string(&answer.body)) },
        }
    }
}

fn digest(text: &str) -> u64 {
    // 52 bits, so that it is a number in every reader of JSON.
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)) >> 12
}

// === impl Line ===

impl Line {
    /// None for what cannot be said in a line.
    pub fn of(outcome: &Outcome, after: bool) -> Option<Line> {
        let case = &outcome.case;
        let body = match &case.body {
            Body::None => value!({}),
            Body::Text(text) => value!({"text": (text.as_str())}),
            Body::Edited { base: Base::Sample(i), edits, .. } => {
                value!({"sample": (*i), "edits": (Value::array(edits.iter().map(Edit::to_value).collect()))})
            }
            Body::Edited { base: Base::Live, edits, .. } => {
                value!({"edits": (Value::array(edits.iter().map(Edit::to_value).collect()))})
            }
            other => value!({"tree": (other.tree())}),
        };
        let is_small = codec::json::to_string(&body).len() <= BODY_LEN_MAX;
        let is_plain = is_small && case.headers.is_empty();
        (is_plain && case.class != Class::Watch && case.class != Class::Sequence && outcome.difference.is_none()).then(
            || Line {
                resource: case.resource.to_string(),
                version: case.version.to_string(),
                after,
                method: case.method.to_owned(),
                path: case.path.clone(),
                accept: case.accept.clone(),
                content_type: case.content_type.clone(),
                body,
                wanted: Wanted::of(&outcome.theirs),
            },
        )
    }

    pub fn write(&self) -> String {
        let mut out = value!({
            "resource": (self.resource.as_str()), "version": (self.version.as_str()), "after": (self.after),
            "method": (self.method.as_str()), "path": (self.path.as_str())
        });
        for (name, text) in [("accept", &self.accept), ("type", &self.content_type), ("reason", &self.wanted.reason)] {
            if !text.is_empty() {
                out.set(name, text.as_str());
            }
        }
        if !self.body.is_empty() {
            out.set("body", &self.body);
        }
        out.set("status", i64::from(self.wanted.status));
        if !self.wanted.causes.is_empty() {
            out.set("causes", Value::array(self.wanted.causes.iter().map(|cause| value!(cause.as_str())).collect()));
        }
        if self.wanted.digest != 0 {
            out.set("digest", i64::try_from(self.wanted.digest).expect("it has 52 bits"));
        }
        codec::json::to_string(&out)
    }

    pub fn read(text: &str) -> Result<Line> {
        let line = codec::json::any(text.as_bytes())?.value;
        let text = |name: &str| line.str(name).to_owned();
        let causes = line.list("causes").iter().filter_map(Value::as_str).map(Into::into).collect();
        Ok(Line {
            resource: text("resource"),
            version: text("version"),
            after: line.bool("after"),
            method: text("method"),
            path: text("path"),
            accept: text("accept"),
            content_type: text("type"),
            body: line.at("body").clone(),
            wanted: Wanted {
                status: u16::try_from(line.int("status"))?,
                reason: text("reason"),
                causes,
                digest: u64::try_from(line.int("digest"))?,
            },
        })
    }

    /// The request, of a resource whose live object is known.
    pub fn case(&self, target: &Target, live: &Arc<Value>) -> Result<Case> {
        const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        let method = METHODS.into_iter().find(|method| *method == self.method).context("an unknown method")?;
        let edits = || -> Result<Vec<Edit>> {
            self.body.list("edits").iter().map(|edit| Edit::from_value(edit).context("an edit")).collect()
        };
        let body = match &self.body {
            body if body.has("text") => Body::Text(body.str("text").to_owned()),
            body if body.has("tree") => Body::Tree(body.at("tree").clone()),
            body if body.has("sample") => {
                let i = usize::try_from(body.int("sample"))?;
                let object = target.samples.get(i).context("there is no such sample")?.clone();
                Body::Edited { base: Base::Sample(i), object, edits: edits()? }
            }
            body if body.has("edits") => Body::Edited { base: Base::Live, object: live.clone(), edits: edits()? },
            _ => Body::None,
        };
        Ok(Case {
            resource: target.resource.clone(),
            version: self.version.as_str().into(),
            class: Class::Get,
            title: String::new(),
            method,
            path: self.path.clone(),
            accept: self.accept.clone(),
            content_type: self.content_type.clone(),
            headers: Vec::new(),
            body,
        })
    }
}

/// A resource's share of the file: of each kind of request and each refusal first, then whatever the seed draws.
pub fn choose(mut lines: Vec<Line>, len: usize, dice: &mut Dice) -> Vec<Line> {
    dice.shuffle(&mut lines);
    let mut seen = BTreeSet::new();
    let novelty = |line: &Line| {
        let class = (line.method.clone(), line.accept.clone(), line.wanted.status);
        let causes: Vec<String> = line.wanted.causes.iter().map(|cause| compare::place(cause)).collect();
        (class, causes)
    };
    let (new, old): (Vec<Line>, Vec<Line>) = lines.into_iter().partition(|line| seen.insert(novelty(line)));
    new.into_iter().chain(old).take(len).collect()
}
