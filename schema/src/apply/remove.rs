//! Takes paths out of an object, and what a set says once its type is known.
//!
//! Upstream: structured-merge-diff/v6/typed/{remove,reconcile_schema}.go, fieldpath/set.go EnsureNamedFieldsAreMembers.

use api::{Map, Value};

use super::{
    element::Element,
    form::{Form, Picked, element_of},
    set::{Node, Set},
};
use crate::types::Schemas;

/// The object without these paths.
pub fn remove(form: Form<'_>, value: &Value, gone: &Set, schemas: &Schemas) -> Value {
    match form.pick(value) {
        Picked::Scalar => value.clone(),
        Picked::List => list(form, value, gone, schemas),
        Picked::Object => object(form, value, gone, schemas),
    }
}

fn list(form: Form<'_>, value: &Value, gone: &Set, schemas: &Schemas) -> Value {
    if form.is_atomic_list() {
        return Value::Null;
    }
    let item_form = form.item(schemas);
    let mut kept = Vec::with_capacity(value.items().len());
    for item in value.items() {
        let node = element_of(form, item, schemas).ok().and_then(|e| gone.node(&e));
        match node {
            None => kept.push(item.clone()),
            Some(node) if node.member => {}
            Some(node) => kept.push(remove(item_form, item, &node.below, schemas)),
        }
    }
    Some(Value::array(kept)).filter(|v| !v.is_empty()).unwrap_or_default()
}

fn object(form: Form<'_>, value: &Value, gone: &Set, schemas: &Schemas) -> Value {
    let Some(members) = value.as_object().filter(|_| !form.is_atomic_object()) else { return Value::Null };
    let mut kept = Map::with_capacity(members.len());
    let mut hint = 0;
    for (name, member) in members.iter() {
        let member = match gone.node(&Element::field(name)) {
            None => member.clone(),
            Some(node) if node.member => continue,
            Some(node) => match form.member(hint, name, schemas) {
                Some(of) => {
                    hint = of.place.wrapping_add(1);
                    remove(of.form, member, &node.below, schemas)
                }
                None => member.clone(),
            },
        };
        kept.push_new(name.into(), member);
    }
    Some(Value::from(kept)).filter(|v| !v.is_empty()).unwrap_or_default()
}

/// The set with all fields of structs that stand above its paths: who owns `.spec.replicas` then owns `.spec`, too,
/// but who owns a label does not own the map.
pub fn with_parents(set: &Set, form: Form<'_>, schemas: &Schemas) -> Set {
    let node = |node: &Node| {
        let (declared, below_form) = form_of(form, &node.element, schemas).unwrap_or((false, Form::Any));
        let below = with_parents(&node.below, below_form, schemas);
        Node { element: node.element.clone(), member: node.member || declared && !node.below.is_empty(), below }
    };
    Set::of(set.nodes().iter().map(node).collect())
}

/// A set that was written when its type was another: below what is one value today nothing is owned by itself.
/// `None` when nothing changes.
pub fn fit(set: &Set, form: Form<'_>, schemas: &Schemas) -> Option<Set> {
    // Hardly ever does a set not fit: nothing is made before one is found.
    let first = set.nodes().iter().position(|n| fit_node(n, form, schemas).is_some())?;
    let (fitting, rest) = set.nodes().split_at(first);
    let rest = rest.iter().map(|n| fit_node(n, form, schemas).unwrap_or_else(|| n.clone()));
    Some(Set::of(fitting.iter().cloned().chain(rest).collect()))
}

fn fit_node(node: &Node, form: Form<'_>, schemas: &Schemas) -> Option<Node> {
    if node.below.is_empty() {
        return None;
    }
    let (_, form) = form_of(form, &node.element, schemas)?;
    let element = || node.element.clone();
    if form.is_atomic_object() || matches!(form, Form::List { .. }) && form.is_atomic_list() {
        return Some(Node { element: element(), member: true, below: Set::new() });
    }
    let below = fit(&node.below, form, schemas)?;
    Some(Node { element: element(), member: node.member, below })
}

/// The form behind an element, and whether it is a declared field.
fn form_of<'a>(form: Form<'a>, element: &Element, schemas: &'a Schemas) -> Option<(bool, Form<'a>)> {
    match (form, element) {
        (Form::Struct { .. } | Form::Map { .. } | Form::Open, Element::Field(name)) => {
            form.member(0, name, schemas).map(|m| (m.declared, m.form))
        }
        (Form::List { .. }, Element::Key(_) | Element::Value(_)) => Some((false, form.item(schemas))),
        _ => None,
    }
}
