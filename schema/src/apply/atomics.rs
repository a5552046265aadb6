//! Lists, maps and structs of a configuration that are one value each.
//!
//! Who lays a few members over such a thing replaces it whole, which mutating policies are kept from. Upstream:
//! apiserver/pkg/admission/plugin/policy/mutating/patch/smd.go findAtomics.

use api::Value;

use super::form::Form;
use crate::types::Schemas;

/// The paths of what is one value in a configuration that fits its form: `.spec.template`, `.spec.list[0]`.
pub fn atomics(form: Form<'_>, value: &Value, schemas: &Schemas) -> Vec<String> {
    let mut found = Vec::new();
    find(form, value, &mut String::new(), &mut found, schemas);
    found
}

fn find(form: Form<'_>, value: &Value, path: &mut String, found: &mut Vec<String>, schemas: &Schemas) {
    let is_atomic = match value {
        Value::Object(_) => !matches!(form, Form::Scalar(_) | Form::List { .. }) && form.is_atomic_object(),
        Value::Array(_) => matches!(form, Form::List { .. } | Form::Any | Form::Open) && form.is_atomic_list(),
        _ => return,
    };
    if is_atomic {
        found.push(path.clone());
    }
    let mut below = |form: Form<'_>, value: &Value, step: String| {
        let len = path.len();
        path.push_str(&step);
        find(form, value, path, found, schemas);
        path.truncate(len);
    };
    let mut hint = 0;
    for (name, member) in value.members() {
        let Some(of) = form.member(hint, name, schemas) else { continue };
        hint = of.place.wrapping_add(1);
        below(of.form, member, format!(".{name}"));
    }
    for (i, item) in value.items().iter().enumerate() {
        below(form.item(schemas), item, format!("[{i}]"));
    }
}
