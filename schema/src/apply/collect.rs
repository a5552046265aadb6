//! Which paths an object mentions.
//!
//! Upstream: structured-merge-diff/v6/typed/tofieldset.go.

use std::collections::BTreeMap;

use api::Value;

use super::{
    element::Element,
    form::{Form, Picked, element_of},
    set::{Node, Set},
};
use crate::types::Schemas;

/// The paths of all leaves, of elements of lists that merge, and of keys of maps.
///
/// Elements that cannot be told apart are named once, and what is in them is not.
pub fn paths(form: Form<'_>, value: &Value, schemas: &Schemas) -> Result<Set, String> {
    Ok(walk(form, value, schemas)?.1)
}

/// Whether the value is itself a leaf, and the paths below it.
fn walk(form: Form<'_>, value: &Value, schemas: &Schemas) -> Result<(bool, Set), String> {
    match form.pick(value) {
        Picked::Scalar => Ok((true, Set::new())),
        Picked::List if form.is_atomic_list() => Ok((true, Set::new())),
        Picked::Object if form.is_atomic_object() => Ok((true, Set::new())),
        Picked::List => Ok((false, list(form, value.items(), schemas)?)),
        Picked::Object => Ok((false, object(form, value, schemas)?)),
    }
}

fn list(form: Form<'_>, items: &[Value], schemas: &Schemas) -> Result<Set, String> {
    let mut elements: BTreeMap<Element, (usize, bool)> = BTreeMap::new();
    for (i, item) in items.iter().enumerate() {
        elements.entry(element_of(form, item, schemas)?).and_modify(|(_, twice)| *twice = true).or_insert((i, false));
    }
    let item_form = form.item(schemas);
    let node = |(element, (i, twice)): (Element, (usize, bool))| {
        let below = if twice { Set::new() } else { walk(item_form, &items[i], schemas)?.1 };
        Ok(Node { element, member: true, below })
    };
    Ok(Set::of(elements.into_iter().map(node).collect::<Result<_, String>>()?))
}

fn object(form: Form<'_>, value: &Value, schemas: &Schemas) -> Result<Set, String> {
    let Some(members) = value.as_object() else { return Ok(Set::new()) };
    let mut nodes = Vec::with_capacity(members.len());
    let mut hint = 0;
    for (name, member) in members.iter() {
        let Some(of) = form.member(hint, name, schemas) else { continue };
        hint = of.place.wrapping_add(1);
        let (leaf, below) = walk(of.form, member, schemas)?;
        let nothing = member.is_null() || member.as_object().is_some_and(api::Map::is_empty);
        nodes.push(Node { element: Element::field(name), member: leaf || nothing || !of.declared, below });
    }
    Ok(Set::of(nodes))
}
