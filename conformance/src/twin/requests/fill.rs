//! More requests, drawn by the seed: several changes at once, and harmless ones, until there are as many as were asked for.

use api::{Value, value};

use super::{
    super::{
        edit::Step,
        mutate::{self, Point},
    },
    Base, Body, Class, Edit, Form, JSON, Maker, with,
    writes::rv,
};

/// Draws that gave nothing new, after which a resource has no more.
const DULL_MAX: usize = 200;

// === impl Maker ===

impl Maker<'_> {
    pub(super) fn fill(&mut self, wanted: usize) {
        let (puts, patches) = (self.target.can("update"), self.target.can("patch"));
        if !puts && !patches {
            return;
        }
        let live = self.live();
        let points = self.points(&live);
        let grafts = match &self.target.fixture {
            Some(full) => mutate::grafts(&live, full, 8),
            None => Vec::new(),
        };
        let path = with(&self.target.path(), "dryRun=All");
        let (end, mut dull, mut n) = (self.out.len() + wanted, 0, 0);
        while self.out.len() < end && dull < DULL_MAX {
            let before = self.out.len();
            let mut edits = match self.dice.below(4) {
                0 => Vec::new(),
                1 => mutate::pair(&points, &grafts, &mut self.dice),
                _ => self.mixed(&points, &grafts),
            };
            if edits.is_empty() {
                edits.push(self.harmless());
            }
            n += 1;
            if puts && (!patches || self.dice.one_in(2)) {
                let title = edits.iter().map(Edit::title).collect::<Vec<_>>().join("; ");
                let all = std::iter::once(rv("$rv")).chain(edits).collect();
                let form = Form { class: Class::Update, method: "PUT", path: &path, accept: "", content_type: JSON };
                self.push(form, title, self.changed(all));
            } else {
                self.patch_all(n, &path, edits);
            }
            dull = if self.out.len() == before { dull + 1 } else { 0 };
        }
    }

    /// Creates of samples with several changes, where a resource knows no other verb.
    pub(super) fn fill_creates(&mut self, end: usize) {
        let Some(sample) = self.target.samples.first().cloned() else { return };
        let points = self.points(&sample);
        let texts = texts(sample.at("spec"), &[Step::Member("spec".into())]);
        let path = with(&self.target.collection(), "dryRun=All");
        let strict = with(&path, "fieldValidation=Strict");
        let mut dull = 0;
        while self.out.len() < end && dull < DULL_MAX {
            let before = self.out.len();
            // As many that most kinds take as that none does: otherwise a kind that refuses or accepts nearly all would
            // be compared on one side alone.
            let (path, edits) = match self.dice.below(5) {
                0 => (&path, self.mixed(&points, &[])),
                1 => (&path, mutate::pair(&points, &[], &mut self.dice)),
                2 => (&strict, vec![Edit::of(&[&format!("bogus{}", self.dice.below(10_000))], "x")]),
                _ => match self.dice.pick(&texts).cloned() {
                    Some(path_of) => (&path, vec![Edit::at(path_of, format!("v{}", self.dice.below(10_000)))]),
                    None => (&path, vec![self.harmless()]),
                },
            };
            let title = edits.iter().map(Edit::title).collect::<Vec<_>>().join("; ");
            let form = Form { class: Class::Create, method: "POST", path, accept: "", content_type: JSON };
            self.push(form, title, Body::Edited { base: Base::Sample(0), object: sample.clone(), edits });
            dull = if self.out.len() == before { dull + 1 } else { 0 };
        }
    }

    /// A change that most objects allow.
    fn harmless(&mut self) -> Edit {
        let key = format!("k{}", self.dice.below(1000));
        let member = if self.dice.one_in(2) { "labels" } else { "annotations" };
        Edit::of(&["metadata", member, &key], format!("v{}", self.dice.below(1000)))
    }

    /// One to three changes anywhere.
    fn mixed(&mut self, points: &[Point], grafts: &[Edit]) -> Vec<Edit> {
        let len = 1 + self.dice.below(3);
        let mut edits = Vec::with_capacity(len);
        for _ in 0..len {
            let new = match self.dice.below(5) {
                0 => self.dice.pick(grafts).cloned(),
                1 => self.dice.pick(points).cloned().map(|point| Edit::at(point.path, mutate::strange(&mut self.dice))),
                _ => self.dice.pick(points).cloned().and_then(|point| {
                    let new = self.dice.pick(&point.values).cloned()?;
                    Some(Edit { path: point.path, new })
                }),
            };
            edits.extend(new);
        }
        if edits.is_empty() {
            edits.push(Edit::of(&["metadata", "labels"], value!({"empty": "mix"})));
        }
        edits
    }
}

/// Where an object has text that is no name of a kind.
fn texts(object: &Value, at: &[Step]) -> Vec<Vec<Step>> {
    let of_member = |(name, member): (&str, &Value)| {
        let mut path = at.to_vec();
        path.push(Step::Member(name.into()));
        match member {
            Value::Str(_) => vec![path],
            _ => texts(member, &path),
        }
    };
    object.members().flat_map(of_member).collect()
}
