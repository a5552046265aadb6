//! Whether an object that a client applies fits its type.
//!
//! Upstream: structured-merge-diff/v6/typed/validate.go. Upstream walks Go maps in random order, so which of several
//! errors comes first is not theirs to say; here it is the order of the document.

use std::{collections::BTreeSet, fmt};

use api::Value;

use super::{
    element::Element,
    form::{Form, Picked, Scalar, element_of},
    print,
};
use crate::types::Schemas;

/// What is wrong, each with the path to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfits(pub Vec<(String, String)>);

/// More are not collected: a body can hold a hundred thousand.
const LEN_MAX: usize = 100;

/// Checks a value against a form.
pub fn check(form: Form<'_>, value: &Value, schemas: &Schemas) -> Result<(), Misfits> {
    let mut walk = Walk { schemas, path: String::new(), found: Misfits::default() };
    walk.value(form, value);
    if walk.found.0.is_empty() { Ok(()) } else { Err(walk.found) }
}

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |(path, what): &(String, String)| match path.as_str() {
            "" => what.clone(),
            _ => format!("{path}: {what}"),
        };
        match self.0.as_slice() {
            [one] => f.write_str(&text(one)),
            many => {
                f.write_str("errors:")?;
                many.iter().try_for_each(|m| write!(f, "\n  {}", text(m)))
            }
        }
    }
}

struct Walk<'a> {
    schemas: &'a Schemas,
    path: String,
    found: Misfits,
}

impl<'a> Walk<'a> {
    fn value(&mut self, form: Form<'a>, value: &Value) {
        match form.pick(value) {
            Picked::Scalar => self.scalar(form, value),
            Picked::List => self.list(form, value),
            Picked::Object => self.object(form, value),
        }
    }

    fn scalar(&mut self, form: Form<'a>, value: &Value) {
        if value.is_null() {
            return;
        }
        let kind = if let Form::Scalar(kind) = form { kind } else { Scalar::Any };
        let fits = match kind {
            Scalar::Number => matches!(value, Value::Int(_) | Value::Float(_)),
            Scalar::Text => matches!(value, Value::Str(_)),
            Scalar::Boolean => matches!(value, Value::Bool(_)),
            Scalar::Any => !matches!(value, Value::Array(_) | Value::Object(_)),
        };
        if fits {
            return;
        }
        self.report(match kind {
            Scalar::Number => format!("expected numeric (int or float), got {}", print::type_name(value)),
            Scalar::Text => format!("expected string, got &value.valueUnstructured{{Value:{}}}", print::syntax(value)),
            Scalar::Boolean => format!("expected boolean, got &{{{}}}", print::text(value)),
            Scalar::Any => format!("expected any scalar, got &{{{}}}", print::text(value)),
        });
    }

    fn list(&mut self, form: Form<'a>, value: &Value) {
        let items = match value {
            Value::Null => return,
            Value::Array(items) => items,
            other => return self.report(format!("expected list, got &{{{}}}", print::text(other))),
        };
        let item_form = form.item(self.schemas);
        let mut seen: BTreeSet<Element> = BTreeSet::new();
        for (i, item) in items.iter().enumerate() {
            let element = if form.is_atomic_list() {
                Element::Index(i as i64)
            } else {
                match element_of(form, item, self.schemas) {
                    Ok(element) => element,
                    Err(why) => return self.report(format!("element {i}: {why}")),
                }
            };
            let from = self.path.len();
            self.path.push_str(&element.to_string());
            self.value(item_form, item);
            self.path.truncate(from);
            if !form.is_atomic_list()
                && let Some(twice) = seen.replace(element)
            {
                self.report(format!("duplicate entries for key {twice}"));
            }
        }
    }

    fn object(&mut self, form: Form<'a>, value: &Value) {
        let members = match value {
            Value::Null => return,
            Value::Object(members) => members,
            other => return self.report(format!("expected map, got &{{{}}}", print::text(other))),
        };
        let mut hint = 0;
        for (name, member) in members.iter() {
            let from = self.path.len();
            self.path.push('.');
            self.path.push_str(name);
            match form.member(hint, name, self.schemas) {
                Some(of) => {
                    self.value(of.form, member);
                    hint = of.place.wrapping_add(1);
                }
                None => {
                    // Upstream looks at no further member.
                    self.report("field not declared in schema".into());
                    self.path.truncate(from);
                    return;
                }
            }
            self.path.truncate(from);
        }
    }

    fn report(&mut self, what: String) {
        if self.found.0.len() < LEN_MAX {
            self.found.0.push((self.path.clone(), what));
        }
    }
}
