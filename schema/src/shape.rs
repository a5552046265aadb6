//! The words for shapes in the fact files: `int32`, `[]io.k8s.api.core.v1.Container`, `map[string]string`.

use crate::types::{OneOf, RawForm, Schemas, Shape};

/// Reads a shape. A name that is none of the words is a struct's.
pub fn parse(text: &str, schemas: &mut Schemas) -> Shape {
    if let Some(item) = text.strip_prefix("[]") {
        return Shape::List(Box::new(parse(item, schemas)));
    }
    if let Some(item) = text.strip_prefix("map[string]") {
        return Shape::Map(Box::new(parse(item, schemas)));
    }
    match text {
        "bool" => Shape::Bool,
        "int32" => Shape::Int32,
        "int64" => Shape::Int64,
        "float64" => Shape::Float,
        "string" => Shape::Str,
        "bytes" => Shape::Bytes,
        "time" => Shape::Time,
        "microtime" => Shape::MicroTime,
        "duration" => Shape::Duration,
        "quantity" => Shape::Quantity,
        "intorstring" => Shape::IntOrString,
        "raw" => Shape::Raw(RawForm::Extension),
        "fieldsv1" => Shape::Raw(RawForm::FieldsV1),
        "json" | "any" => Shape::Raw(RawForm::Json),
        "jsonschemaorarray" => one_of(OneOf::Array, schemas),
        "jsonschemaorbool" => one_of(OneOf::Bool, schemas),
        "jsonschemaorstrings" => one_of(OneOf::StringArray, schemas),
        name => Shape::Struct(schemas.reserve(name)),
    }
}

fn one_of(form: OneOf, schemas: &mut Schemas) -> Shape {
    const PROPS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    Shape::OneOf(form, schemas.reserve(PROPS))
}
