//! A request that shows a difference, made shorter while the difference stays: what is taken away one by one, the largest
//! first, and kept away when both servers still differ in the same way.

use std::collections::{BTreeSet, VecDeque};

use anyhow::Result;
use api::Value;

use super::{
    case::{Body, Case, JSON, PROTOBUF, YAML},
    compare::{Difference, difference},
    edit::{Edit, Step},
    pair::Pair,
    run::{self, Lives},
};

/// So many requests are tried for one cause.
pub const TRIES_MAX: usize = 200;

/// The shortest so far, and what of it was tried.
pub struct Shortening {
    best: Case,
    /// What lacks something of the best, the shortest first.
    left: VecDeque<Case>,
    tried: BTreeSet<String>,
}

/// The shortest request found that shows what this one shows.
pub async fn shortest(pair: &Pair, case: Case, lives: &Lives, shown: &Difference) -> Result<Case> {
    let mut shortening = Shortening::of(case);
    for _ in 0..TRIES_MAX {
        let Some(next) = shortening.shorter() else { break };
        let (ours, theirs) =
            tokio::try_join!(run::ask(&pair.ours, &next, &lives[0]), run::ask(&pair.theirs, &next, &lives[1]))?;
        let same = |found: Difference| found.field == shown.field && found.what == shown.what;
        if difference(&ours, &theirs).is_some_and(same) {
            shortening.keep(next);
        }
    }
    Ok(shortening.best)
}

// === impl Shortening ===

impl Shortening {
    pub fn of(case: Case) -> Shortening {
        Shortening { left: shorter(&case), tried: BTreeSet::from([case.identity()]), best: case }
    }

    pub fn best(&self) -> &Case {
        &self.best
    }

    /// A request that lacks something of the best, the shortest of those that were not tried.
    pub fn shorter(&mut self) -> Option<Case> {
        while let Some(case) = self.left.pop_front() {
            if self.tried.insert(case.identity()) {
                return Some(case);
            }
        }
        None
    }

    /// It shows the same.
    pub fn keep(&mut self, case: Case) {
        self.left = shorter(&case);
        self.best = case;
    }
}

/// Everything that lacks one thing, the shortest first. A dry run stays one.
fn shorter(case: &Case) -> VecDeque<Case> {
    let mut out = Vec::new();
    if !case.accept.is_empty() {
        out.push(Case { accept: String::new(), ..case.clone() });
    }
    if [YAML, PROTOBUF].contains(&case.content_type.as_str()) {
        out.push(Case { content_type: JSON.into(), ..case.clone() });
    }
    if !case.headers.is_empty() {
        out.push(Case { headers: Vec::new(), ..case.clone() });
    }
    if let Some((path, query)) = case.path.split_once('?') {
        let all: Vec<&str> = query.split('&').collect();
        let stays = |one: &str| ["dryRun=All", "watch=true"].contains(&one) || one.starts_with("timeoutSeconds=");
        for (i, _) in all.iter().enumerate().filter(|(_, one)| !stays(one)) {
            let left: Vec<&str> = all.iter().enumerate().filter(|(at, _)| *at != i).map(|(_, one)| *one).collect();
            let path = if left.is_empty() { path.to_owned() } else { format!("{path}?{}", left.join("&")) };
            out.push(Case { path, ..case.clone() });
        }
    }
    let with = |body: Body| Case { body, ..case.clone() };
    if let Body::Edited { base, object, edits } = &case.body
        && edits.len() > 1
    {
        for i in 0..edits.len() {
            let mut edits = edits.clone();
            edits.remove(i);
            out.push(with(Body::Edited { base: *base, object: object.clone(), edits }));
        }
    }
    let tree = case.body.tree();
    let mut places = Vec::new();
    places_of(&tree, &mut Vec::new(), &mut places);
    let is_dry_run = |place: &[Step]| case.method == "DELETE" && place.first() == Some(&Step::Member("dryRun".into()));
    for place in places.into_iter().filter(|place| !is_dry_run(place)) {
        let mut tree = tree.clone();
        Edit::without(place).apply(&mut tree);
        out.push(with(Body::Tree(tree)));
    }
    out.sort_by_cached_key(|case| case.shown().len());
    out.into()
}

fn places_of(tree: &Value, at: &mut Vec<Step>, out: &mut Vec<Vec<Step>>) {
    let named = tree.members().map(|(name, member)| (Step::Member(name.into()), member));
    let numbered = tree.items().iter().enumerate().map(|(i, item)| (Step::Item(i), item));
    for (step, inner) in named.chain(numbered) {
        at.push(step);
        out.push(at.clone());
        places_of(inner, at, out);
        at.pop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::value;

    use super::{
        super::case::{Base, Class},
        Body, Case, Edit, Shortening, TRIES_MAX,
    };

    fn of(method: &'static str, path: &str, body: Body) -> Case {
        Case {
            resource: "core/pods".into(),
            version: "v1".into(),
            class: Class::Update,
            title: String::new(),
            method,
            path: path.into(),
            accept: "application/yaml".into(),
            content_type: "application/yaml".into(),
            headers: Vec::new(),
            body,
        }
    }

    fn shortest(case: Case, holds: impl Fn(&Case) -> bool) -> Case {
        let mut shortening = Shortening::of(case);
        for _ in 0..TRIES_MAX {
            let Some(next) = shortening.shorter() else { break };
            if holds(&next) {
                shortening.keep(next);
            }
        }
        shortening.best().clone()
    }

    #[test]
    fn what_the_difference_does_not_need_goes() {
        let object = Arc::new(value!({
            "kind": "Pod", "metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}
        }));
        let edits = vec![Edit::of(&["metadata", "labels", "c"], "d"), Edit::of(&["spec", "nodeName"], "n")];
        let path = "/api/v1/pods/x?dryRun=All&fieldValidation=Strict";
        let case = of("PUT", path, Body::Edited { base: Base::Live, object, edits });
        let found = shortest(case, |case| {
            let tree = case.body.tree();
            tree.at("spec").str("nodeName") == "n"
                && tree.at("spec").list("containers").iter().any(|c| c.str("name") == "b")
        });
        assert_eq!(found.body.tree(), value!({"spec": {"containers": [{"name": "b"}], "nodeName": "n"}}));
        assert_eq!(found.path, "/api/v1/pods/x?dryRun=All", "a dry run stays one");
        assert!(found.accept.is_empty() && found.content_type == "application/json");
    }

    #[test]
    fn a_deletion_stays_a_dry_run() {
        let body = value!({"dryRun": ["All"], "gracePeriodSeconds": 5});
        let found = shortest(of("DELETE", "/api/v1/pods/x?dryRun=All", Body::Tree(body)), |_| true);
        assert!(found.body.tree().at("dryRun").items().len() == 1, "{}", found.shown());
    }
}
