//! Lays an applied configuration over the live object.
//!
//! Nothing goes in a merge: what the configuration no longer names is taken out afterwards (`prune`).
//! Upstream: structured-merge-diff/v6/typed/merge.go.

use std::collections::BTreeMap;

use api::{EcoString, Map, Value};

use super::{
    element::Element,
    form::{Form, Picked, element_of},
};
use crate::types::Schemas;

/// Merges `config` into `live`; both fit the form, and no element of the configuration stands twice.
pub fn merge(form: Form<'_>, live: &Value, config: &Value, schemas: &Schemas) -> Result<Value, String> {
    Ok(Walk { schemas }.value(form, Some(live), Some(config))?.unwrap_or_default())
}

struct Walk<'a> {
    schemas: &'a Schemas,
}

impl<'a> Walk<'a> {
    fn value(&self, form: Form<'a>, live: Option<&Value>, config: Option<&Value>) -> Result<Option<Value>, String> {
        let is_nothing = |v: Option<&Value>| {
            v.is_none_or(|v| match v {
                Value::Array(items) => items.is_empty(),
                Value::Object(members) => members.is_empty(),
                _ => true,
            })
        };
        let Some(deciding) = config.or(live) else { return Ok(None) };
        let picked = form.pick(deciding);
        let atomic = match picked {
            Picked::Scalar => true,
            Picked::List => form.is_atomic_list(),
            Picked::Object => form.is_atomic_object(),
        };
        if atomic || is_nothing(live) && is_nothing(config) {
            return Ok(Some(deciding.clone()));
        }
        match picked {
            Picked::Object => self.object(form, live.and_then(Value::as_object), config.and_then(Value::as_object)),
            _ => self.list(form, live.map_or(&[], Value::items), config.map_or(&[], Value::items)),
        }
    }

    fn object(&self, form: Form<'a>, live: Option<&Map>, config: Option<&Map>) -> Result<Option<Value>, String> {
        let mut out = Map::with_capacity(live.map_or(0, Map::len).max(config.map_or(0, Map::len)));
        let mut hint = 0;
        let mut put = |name: &str, live: Option<&Value>, config: Option<&Value>| {
            let Some(of) = form.member(hint, name, self.schemas) else { return Ok(()) };
            hint = of.place.wrapping_add(1);
            if let Some(value) = self.value(of.form, live, config)? {
                out.push_new(EcoString::from(name), value);
            }
            Ok::<(), String>(())
        };
        for (name, member) in live.map(Map::iter).into_iter().flatten() {
            put(name, Some(member), config.and_then(|c| c.get(name)))?;
        }
        for (name, member) in config.map(Map::iter).into_iter().flatten() {
            if live.is_none_or(|l| !l.contains_key(name)) {
                put(name, None, Some(member))?;
            }
        }
        Ok(Some(Value::from(out)).filter(|v| !v.is_empty()))
    }

    /// Shared elements come in the configuration's order, with the live ones in between kept where they stood.
    fn list(&self, form: Form<'a>, live: &[Value], config: &[Value]) -> Result<Option<Value>, String> {
        let item_form = form.item(self.schemas);
        let ours = Index::of(form, config, self.schemas)?;
        let theirs = Index::of(form, live, self.schemas)?;
        let mut shared = ours.elements.iter().filter(|e| theirs.places.contains_key(*e)).peekable();
        let mut out = Vec::with_capacity(live.len().max(config.len()));
        let (mut l, mut c) = (0, 0);
        let mut merged = vec![false; config.len()];
        while l < live.len() || c < config.len() {
            let here = theirs.elements.get(l);
            if let (Some(element), true) = (here, c < config.len()) {
                if *element == ours.elements[c] {
                    merged[c] = true;
                    out.extend(self.value(item_form, theirs.value(element, live), Some(&config[c]))?);
                    (l, c) = (l + 1, c + 1);
                    shared.next();
                    continue;
                }
                if ours.places.contains_key(element) && shared.peek().is_some_and(|next| *next != element) {
                    l += 1;
                    continue;
                }
            }
            if let Some(element) = here {
                match ours.places.get(element) {
                    None => {
                        out.extend(self.value(item_form, Some(&live[l]), None)?);
                        l += 1;
                        continue;
                    }
                    Some(place) if merged[place.first] => l += 1,
                    Some(_) => {}
                }
            }
            if let Some(item) = config.get(c) {
                let element = &ours.elements[c];
                merged[c] = true;
                out.extend(self.value(item_form, theirs.value(element, live), Some(item))?);
                c += 1;
                shared.next_if(|next| *next == element);
            }
        }
        Ok(Some(Value::array(out)).filter(|v| !v.is_empty()))
    }
}

/// The elements of a list, and where each stands.
struct Index {
    elements: Vec<Element>,
    places: BTreeMap<Element, Place>,
}

struct Place {
    first: usize,
    twice: bool,
}

impl Index {
    fn of(form: Form<'_>, items: &[Value], schemas: &Schemas) -> Result<Index, String> {
        let mut index = Index { elements: Vec::with_capacity(items.len()), places: BTreeMap::new() };
        for (i, item) in items.iter().enumerate() {
            let element = element_of(form, item, schemas).map_err(|why| format!("element {i}: {why}"))?;
            let place = Place { first: i, twice: false };
            index.places.entry(element.clone()).and_modify(|p| p.twice = true).or_insert(place);
            index.elements.push(element);
        }
        Ok(index)
    }

    /// The element's value; null when it stands twice, for then nobody can say which is meant.
    fn value<'v>(&self, element: &Element, items: &'v [Value]) -> Option<&'v Value> {
        let place = self.places.get(element)?;
        Some(if place.twice { Value::NULL } else { &items[place.first] })
    }
}
