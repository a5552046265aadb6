//! The requests about one resource in one version, a module per kind of verb.

mod deletes;
pub mod documents;
mod fill;
mod patches;
mod reads;
mod subresources;
mod writes;

use std::{collections::BTreeSet, sync::Arc};

use api::Value;
use schema::Schemas;

use super::{
    case::{Base, Body, Case, Class, JSON},
    dice::Dice,
    edit::Edit,
    mutate::{self, Point},
    target::Target,
};

/// Collects requests about a target; none twice.
pub struct Maker<'a> {
    pub target: &'a Target,
    pub schemas: &'a Schemas,
    /// What the live object is, once there is one.
    pub live: Option<Arc<Value>>,
    pub dice: Dice,
    /// What is asked whatever the seed and the budget are.
    matrix: Vec<Case>,
    /// What varies an object.
    out: Vec<Case>,
    /// New requests are variations.
    varies: bool,
    seen: BTreeSet<String>,
}

/// The requests about a target.
#[derive(Default)]
pub struct Requests {
    /// Verb, subresource, patch type, content type, form of the answer: whole in every run.
    pub matrix: Vec<Case>,
    /// As many as were asked for, drawn by the seed.
    pub generated: Vec<Case>,
}

/// How a request is sent.
#[derive(Clone, Copy)]
struct Form<'a> {
    class: Class,
    method: &'static str,
    path: &'a str,
    accept: &'a str,
    content_type: &'a str,
}

// === impl Maker ===

impl<'a> Maker<'a> {
    pub fn new(target: &'a Target, live: Option<Arc<Value>>, dice: Dice) -> Maker<'a> {
        let schemas = schema::builtin();
        let (matrix, out) = (Vec::new(), Vec::new());
        Maker { target, schemas, live, dice, matrix, out, varies: false, seen: BTreeSet::new() }
    }

    /// What is asked while nothing is there: creates, of which `budget` vary a sample.
    pub fn before(mut self, budget: usize) -> Requests {
        if self.target.can("create") {
            self.create_specials();
            self.varies = true;
            let stores = self.target.can("get");
            self.create_variations(if stores { budget } else { budget / 4 });
            if !stores {
                self.fill_creates(budget);
            }
        }
        self.made(budget)
    }

    /// What is asked about a live object: the matrix, and `budget` variations or as many as its verbs give.
    pub fn after(mut self, budget: usize) -> Requests {
        self.reads();
        if self.target.samples.is_empty() {
            return self.made(0);
        }
        self.deletes();
        self.update_specials();
        self.patch_specials();
        self.subresources(budget / 4);
        // Half are single changes of the object; at least a quarter is left for several changes at once.
        self.varies = true;
        self.write_variations(budget / 2);
        self.fill(budget.saturating_sub(self.out.len()));
        self.made(budget)
    }

    fn made(mut self, budget: usize) -> Requests {
        let out = std::mem::take(&mut self.out);
        let generated = self.some_of(out, budget);
        Requests { matrix: self.matrix, generated }
    }

    fn push(&mut self, form: Form<'_>, title: impl Into<String>, body: Body) {
        let case = self.case(form, title.into(), body);
        self.add(case);
    }

    fn case(&self, form: Form<'_>, title: String, body: Body) -> Case {
        Case {
            resource: self.target.resource.clone(),
            version: self.target.gvk.version.as_str().into(),
            class: form.class,
            title,
            method: form.method,
            path: form.path.to_owned(),
            accept: form.accept.to_owned(),
            content_type: form.content_type.to_owned(),
            headers: Vec::new(),
            body,
        }
    }

    fn add(&mut self, case: Case) {
        if self.seen.insert(case.identity()) {
            let list = if self.varies { &mut self.out } else { &mut self.matrix };
            list.push(case);
        }
    }

    /// A request with a body in JSON.
    fn send(&mut self, class: Class, method: &'static str, path: &str, title: &str, body: Body) {
        self.push(Form { class, method, path, accept: "", content_type: JSON }, title, body);
    }

    /// A request without a body.
    fn ask(&mut self, class: Class, path: &str, accept: &str) {
        let title = path.split_once('?').map_or("", |(_, query)| query).to_owned();
        self.push(Form { class, method: "GET", path, accept, content_type: "" }, title, Body::None);
    }

    /// The same of a client that takes gzip: upstream sends it for what is larger than 128 KiB.
    fn ask_packed(&mut self, class: Class, path: &str, accept: &str) {
        let form = Form { class, method: "GET", path, accept, content_type: "" };
        let case = self.case(form, "packed".into(), Body::None);
        self.add(Case { headers: vec![("accept-encoding", "gzip".into())], ..case });
    }

    fn live(&self) -> Arc<Value> {
        self.live.clone().or_else(|| self.target.samples.first().cloned()).unwrap_or_default()
    }

    /// The live object with changes.
    fn changed(&self, edits: Vec<Edit>) -> Body {
        Body::Edited { base: Base::Live, object: self.live(), edits }
    }

    fn points(&self, object: &Value) -> Vec<Point> {
        mutate::points(object, self.target.kind_type, self.schemas)
    }

    /// At most `len` of the items, chosen by the seed, in their order.
    fn some_of<T>(&mut self, mut items: Vec<T>, len: usize) -> Vec<T> {
        while items.len() > len {
            // Thinned in rounds, so that the choice is spread and cheap.
            let drop_one_in = (items.len() / (items.len() - len)).max(2);
            let mut kept = Vec::with_capacity(items.len());
            let mut left = items.len() - len;
            for item in items {
                if left > 0 && self.dice.one_in(drop_one_in) {
                    left -= 1;
                } else {
                    kept.push(item);
                }
            }
            items = kept;
        }
        items
    }
}

/// Adds a query to a path that may have one.
fn with(path: &str, query: &str) -> String {
    match (query.is_empty(), path.contains('?')) {
        (true, _) => path.to_owned(),
        (_, true) => format!("{path}&{query}"),
        (_, false) => format!("{path}?{query}"),
    }
}
