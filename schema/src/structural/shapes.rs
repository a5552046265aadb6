//! A schema as server-side apply sees it: types like those of built-in kinds.
//!
//! Upstream goes by way of OpenAPI for this: customresource_handler.go buildOpenAPIModelsForApply,
//! kube-openapi/pkg/schemaconv.

use api::EcoString;

use super::{Additional, Node, fit::META};
use crate::types::{Field, Listing, Rest, Schemas, Shape, Type};

/// The types of a definition's versions, in their order, so that a version's place is its type's number. `builtin` lends
/// the type of metadata.
pub fn of(roots: &[Option<&Node>], builtin: &Schemas) -> Schemas {
    let mut schemas = Schemas::new();
    for i in 0..roots.len() {
        schemas.reserve(&root_name(i));
    }
    borrow(META, builtin, &mut schemas);
    for (i, root) in roots.iter().enumerate() {
        let mut made = match root {
            Some(node) => structure(node, &root_name(i), true, &mut schemas),
            None => structure(&Node::default(), &root_name(i), true, &mut schemas),
        };
        if root.is_none_or(|node| node.preserve) {
            made.rest = Rest::Open;
        }
        schemas.add(made);
    }
    schemas
}

fn root_name(i: usize) -> String {
    format!("version{i}")
}

/// Takes a built-in type over with all that it refers to.
fn borrow(name: &str, builtin: &Schemas, schemas: &mut Schemas) {
    if schemas.id(name).is_some_and(|id| !schemas.get(id).fields.is_empty()) {
        return;
    }
    let Some(found) = builtin.named(name) else { return };
    let fields: Vec<Field> = found.fields.iter().map(|field| lend(field, builtin, schemas)).collect();
    schemas.add(Type {
        name: found.name.clone(),
        go: found.go.clone(),
        type_meta: found.type_meta,
        fields,
        ..Type::default()
    });
    let below: Vec<EcoString> = found.fields.iter().filter_map(|f| struct_of(&f.shape, builtin)).collect();
    below.iter().for_each(|name| borrow(name, builtin, schemas));
}

fn lend(field: &Field, builtin: &Schemas, schemas: &mut Schemas) -> Field {
    Field {
        name: field.name.clone(),
        shape: moved(&field.shape, builtin, schemas),
        pointer: field.pointer,
        omit: field.omit,
        listing: field.listing,
        keys: field.keys.clone(),
        atomic: field.atomic,
        default: field.default.clone(),
        ..Field::default()
    }
}

fn moved(shape: &Shape, builtin: &Schemas, schemas: &mut Schemas) -> Shape {
    match shape {
        Shape::Struct(id) => Shape::Struct(schemas.reserve(&builtin.get(*id).name)),
        Shape::List(item) => Shape::List(Box::new(moved(item, builtin, schemas))),
        Shape::Map(item) => Shape::Map(Box::new(moved(item, builtin, schemas))),
        other => other.clone(),
    }
}

fn struct_of(shape: &Shape, builtin: &Schemas) -> Option<EcoString> {
    match shape {
        Shape::Struct(id) => Some(builtin.get(*id).name.clone()),
        Shape::List(item) | Shape::Map(item) => struct_of(item, builtin),
        _ => None,
    }
}

fn structure(node: &Node, name: &str, is_object: bool, schemas: &mut Schemas) -> Type {
    let mut fields = Vec::new();
    if is_object {
        fields.push(Field {
            name: "metadata".into(),
            shape: Shape::Struct(schemas.reserve(META)),
            pointer: true,
            ..Field::default()
        });
    }
    let own = |name: &&EcoString| is_object && matches!(name.as_str(), "kind" | "apiVersion" | "metadata");
    for (member, of) in node.properties.iter().filter(|(member, _)| !own(member)) {
        let shape = shape(of, &format!("{name}.{member}"), schemas);
        fields.push(Field {
            name: member.clone(),
            shape,
            pointer: true,
            listing: of.listing.unwrap_or(Listing::Atomic),
            keys: of.keys.clone(),
            atomic: of.atomic_map,
            default: of.default.clone(),
            ..Field::default()
        });
    }
    Type {
        name: name.into(),
        type_meta: is_object,
        fields,
        atomic: node.atomic_map,
        rest: if node.preserve { Rest::Open } else { Rest::Closed },
        ..Type::default()
    }
}

fn shape(node: &Node, name: &str, schemas: &mut Schemas) -> Shape {
    if node.int_or_string {
        return Shape::IntOrString;
    }
    match node.kind.as_str() {
        "string" if node.checks.format_name.replace("-", "") == "datetime" => Shape::IntOrString,
        "string" => Shape::Str,
        "integer" => Shape::Int64,
        "number" => Shape::Float,
        "boolean" => Shape::Bool,
        "array" => {
            let item = node.items.as_deref().map(|of| shape(of, &format!("{name}[]"), schemas));
            Shape::List(Box::new(item.unwrap_or(Shape::Raw(crate::RawForm::Json))))
        }
        "object" => match &node.additional {
            Additional::Schema(of) => Shape::Map(Box::new(shape(of, &format!("{name}.*"), schemas))),
            Additional::Allowed(true) if node.properties.is_empty() => {
                Shape::Map(Box::new(Shape::Raw(crate::RawForm::Json)))
            }
            _ => {
                let made = structure(node, name, node.embedded, schemas);
                Shape::Struct(schemas.add(made))
            }
        },
        _ => Shape::Raw(crate::RawForm::Json),
    }
}
