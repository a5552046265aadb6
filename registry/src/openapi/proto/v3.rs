//! Version 3: openapiv3/OpenAPIv3.proto.
//!
//! Schemas have every field, for users write them; of what documents say around them, there is what they say.

use super::{
    ANY, Fit, Form,
    Form::{Each, Message, OneOf, Text},
    double, extensions, flag, int, is_any, is_path, member, named, text, texts, whole,
};

pub static DOCUMENT: Form = Message(&[
    text(1, "openapi"),
    member(2, "info", &INFO),
    member(4, "paths", &PATHS),
    member(5, "components", &COMPONENTS),
    extensions(9),
]);

static INFO: Form =
    Message(&[text(1, "title"), text(2, "description"), text(6, "version"), extensions(7), text(8, "summary")]);

static PATHS: Form = Message(&[named(1, is_path, &PATH_ITEM), extensions(2)]);

static PATH_ITEM: Form = Message(&[
    text(1, "$ref"),
    text(2, "summary"),
    text(3, "description"),
    member(4, "get", &OPERATION),
    member(5, "put", &OPERATION),
    member(6, "post", &OPERATION),
    member(7, "delete", &OPERATION),
    member(8, "options", &OPERATION),
    member(9, "head", &OPERATION),
    member(10, "patch", &OPERATION),
    member(11, "trace", &OPERATION),
    member(13, "parameters", &Each(&PARAMETER_OR_REFERENCE)),
    extensions(14),
]);

static OPERATION: Form = Message(&[
    texts(1, "tags"),
    text(2, "summary"),
    text(3, "description"),
    text(5, "operationId"),
    member(6, "parameters", &Each(&PARAMETER_OR_REFERENCE)),
    member(7, "requestBody", &BODY_OR_REFERENCE),
    member(8, "responses", &RESPONSES),
    flag(10, "deprecated"),
    extensions(13),
]);

/// What may stand anywhere in place of what is meant.
static REFERENCE: Form = Message(&[text(1, "$ref"), text(2, "summary"), text(3, "description")]);

static PARAMETER_OR_REFERENCE: Form =
    OneOf(&[(Fit::Has("$ref"), whole(2, &REFERENCE)), (Fit::Anything, whole(1, &PARAMETER))]);

static PARAMETER: Form = Message(&[
    text(1, "name"),
    text(2, "in"),
    text(3, "description"),
    flag(4, "required"),
    flag(5, "deprecated"),
    flag(6, "allowEmptyValue"),
    text(7, "style"),
    flag(8, "explode"),
    flag(9, "allowReserved"),
    member(10, "schema", &SCHEMA_OR_REFERENCE),
    member(11, "example", &ANY),
    member(13, "content", &MEDIA_TYPES),
    extensions(14),
]);

static BODY_OR_REFERENCE: Form = OneOf(&[(Fit::Has("$ref"), whole(2, &REFERENCE)), (Fit::Anything, whole(1, &BODY))]);

static BODY: Form =
    Message(&[text(1, "description"), member(2, "content", &MEDIA_TYPES), flag(3, "required"), extensions(4)]);

static RESPONSES: Form =
    Message(&[member(1, "default", &RESPONSE_OR_REFERENCE), named(2, is_code, &RESPONSE_OR_REFERENCE), extensions(3)]);

static RESPONSE_OR_REFERENCE: Form =
    OneOf(&[(Fit::Has("$ref"), whole(2, &REFERENCE)), (Fit::Anything, whole(1, &RESPONSE))]);

static RESPONSE: Form = Message(&[text(1, "description"), member(3, "content", &MEDIA_TYPES), extensions(5)]);

static MEDIA_TYPES: Form = Message(&[named(1, is_any, &MEDIA_TYPE)]);

static MEDIA_TYPE: Form =
    Message(&[member(1, "schema", &SCHEMA_OR_REFERENCE), member(2, "example", &ANY), extensions(5)]);

static COMPONENTS: Form =
    Message(&[member(1, "schemas", &SCHEMAS), member(7, "securitySchemes", &SECURITY_SCHEMES), extensions(10)]);

/// `SchemasOrReferences` and `Properties` are one on the wire.
static SCHEMAS: Form = Message(&[named(1, is_any, &SCHEMA_OR_REFERENCE)]);

static SCHEMA_OR_REFERENCE: Form =
    OneOf(&[(Fit::Has("$ref"), whole(2, &REFERENCE)), (Fit::Anything, whole(1, &SCHEMA))]);

static SCHEMA: Form = Message(&[
    flag(1, "nullable"),
    member(2, "discriminator", &DISCRIMINATOR),
    flag(3, "readOnly"),
    flag(4, "writeOnly"),
    member(5, "xml", &XML),
    member(6, "externalDocs", &EXTERNAL_DOCS),
    member(7, "example", &ANY),
    flag(8, "deprecated"),
    text(9, "title"),
    double(10, "multipleOf"),
    double(11, "maximum"),
    flag(12, "exclusiveMaximum"),
    double(13, "minimum"),
    flag(14, "exclusiveMinimum"),
    int(15, "maxLength"),
    int(16, "minLength"),
    text(17, "pattern"),
    int(18, "maxItems"),
    int(19, "minItems"),
    flag(20, "uniqueItems"),
    int(21, "maxProperties"),
    int(22, "minProperties"),
    texts(23, "required"),
    member(24, "enum", &Each(&ANY)),
    text(25, "type"),
    member(26, "allOf", &Each(&SCHEMA_OR_REFERENCE)),
    member(27, "oneOf", &Each(&SCHEMA_OR_REFERENCE)),
    member(28, "anyOf", &Each(&SCHEMA_OR_REFERENCE)),
    member(29, "not", &SCHEMA),
    member(30, "items", &ITEMS),
    member(31, "properties", &SCHEMAS),
    member(32, "additionalProperties", &ADDITIONAL),
    member(33, "default", &DEFAULT),
    text(34, "description"),
    text(35, "format"),
    extensions(36),
]);

static DISCRIMINATOR: Form = Message(&[text(1, "propertyName"), member(2, "mapping", &STRINGS), extensions(3)]);

static STRINGS: Form = Message(&[named(1, is_any, &Text)]);

static XML: Form = Message(&[
    text(1, "name"),
    text(2, "namespace"),
    text(3, "prefix"),
    flag(4, "attribute"),
    flag(5, "wrapped"),
    extensions(6),
]);

static EXTERNAL_DOCS: Form = Message(&[text(1, "description"), text(2, "url"), extensions(3)]);

static ITEMS: Form = Message(&[whole(1, &SCHEMA_OR_REFERENCE)]);

static ADDITIONAL: Form = OneOf(&[(Fit::Flag, whole(2, &Form::Flag)), (Fit::Anything, whole(1, &SCHEMA_OR_REFERENCE))]);

/// Of defaults that are lists or maps it is said only that there is one. Upstream: `NewDefaultType`.
static DEFAULT: Form =
    OneOf(&[(Fit::Number, whole(1, &Form::Number)), (Fit::Flag, whole(2, &Form::Flag)), (Fit::Text, whole(3, &Text))]);

static SECURITY_SCHEMES: Form = Message(&[named(1, is_any, &SECURITY_SCHEME_OR_REFERENCE)]);

static SECURITY_SCHEME_OR_REFERENCE: Form =
    OneOf(&[(Fit::Has("$ref"), whole(2, &REFERENCE)), (Fit::Anything, whole(1, &SECURITY_SCHEME))]);

static SECURITY_SCHEME: Form = Message(&[
    text(1, "type"),
    text(2, "description"),
    text(3, "name"),
    text(4, "in"),
    text(5, "scheme"),
    text(6, "bearerFormat"),
    text(8, "openIdConnectUrl"),
    extensions(9),
]);

/// `200`, `4XX`.
fn is_code(name: &str) -> bool {
    name.len() == 3 && name.bytes().all(|b| b.is_ascii_digit() || b == b'X')
}
