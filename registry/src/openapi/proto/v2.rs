//! Version 2: openapiv2/OpenAPIv2.proto.
//!
//! Schemas have every field, for users write them; of what the document says around them, there is what it says.

use super::{
    ANY, Fit, Form,
    Form::{Each, Message, OneOf, Text},
    TEXTS, double, extensions, flag, int, is_any, is_extension, is_path, member, named, text, texts, whole,
};

pub static DOCUMENT: Form = Message(&[
    text(1, "swagger"),
    member(2, "info", &INFO),
    texts(5, "schemes"),
    texts(6, "consumes"),
    texts(7, "produces"),
    member(8, "paths", &PATHS),
    member(9, "definitions", &SCHEMAS),
    member(10, "parameters", &PARAMETERS),
    member(12, "security", &Each(&REQUIREMENT)),
    member(13, "securityDefinitions", &SECURITY_DEFINITIONS),
    extensions(16),
]);

static INFO: Form = Message(&[text(1, "title"), text(2, "version"), text(3, "description"), extensions(7)]);

static PATHS: Form = Message(&[extensions(1), named(2, is_path, &PATH_ITEM)]);

static PATH_ITEM: Form = Message(&[
    text(1, "$ref"),
    member(2, "get", &OPERATION),
    member(3, "put", &OPERATION),
    member(4, "post", &OPERATION),
    member(5, "delete", &OPERATION),
    member(6, "options", &OPERATION),
    member(7, "head", &OPERATION),
    member(8, "patch", &OPERATION),
    member(9, "parameters", &Each(&PARAMETER_OR_REFERENCE)),
    extensions(10),
]);

static OPERATION: Form = Message(&[
    texts(1, "tags"),
    text(2, "summary"),
    text(3, "description"),
    text(5, "operationId"),
    texts(6, "produces"),
    texts(7, "consumes"),
    member(8, "parameters", &Each(&PARAMETER_OR_REFERENCE)),
    member(9, "responses", &RESPONSES),
    texts(10, "schemes"),
    flag(11, "deprecated"),
    extensions(13),
]);

static REFERENCE: Form = Message(&[text(1, "$ref"), text(2, "description")]);

static PARAMETER_OR_REFERENCE: Form =
    OneOf(&[(Fit::Has("$ref"), whole(2, &REFERENCE)), (Fit::Anything, whole(1, &PARAMETER))]);

static PARAMETERS: Form = Message(&[named(1, is_any, &PARAMETER)]);

static PARAMETER: Form =
    OneOf(&[(Fit::Says("in", "body"), whole(1, &BODY_PARAMETER)), (Fit::Anything, whole(2, &OTHER_PARAMETER))]);

static BODY_PARAMETER: Form = Message(&[
    text(1, "description"),
    text(2, "name"),
    text(3, "in"),
    flag(4, "required"),
    member(5, "schema", &SCHEMA),
    extensions(6),
]);

static OTHER_PARAMETER: Form =
    OneOf(&[(Fit::Says("in", "query"), whole(3, &QUERY_PARAMETER)), (Fit::Anything, whole(4, &PATH_PARAMETER))]);

/// It has one field more than a path's, which moves the rest.
static QUERY_PARAMETER: Form = Message(&[
    flag(1, "required"),
    text(2, "in"),
    text(3, "description"),
    text(4, "name"),
    flag(5, "allowEmptyValue"),
    text(6, "type"),
    text(7, "format"),
    flag(20, "uniqueItems"),
    extensions(23),
]);

static PATH_PARAMETER: Form = Message(&[
    flag(1, "required"),
    text(2, "in"),
    text(3, "description"),
    text(4, "name"),
    text(5, "type"),
    text(6, "format"),
    flag(19, "uniqueItems"),
    extensions(22),
]);

static RESPONSES: Form = Message(&[named(1, is_answer, &RESPONSE_OR_REFERENCE), extensions(2)]);

static RESPONSE_OR_REFERENCE: Form =
    OneOf(&[(Fit::Has("$ref"), whole(2, &REFERENCE)), (Fit::Anything, whole(1, &RESPONSE))]);

static RESPONSE: Form = Message(&[text(1, "description"), member(2, "schema", &SCHEMA_ITEM), extensions(5)]);

/// A file's would be the other.
static SCHEMA_ITEM: Form = Message(&[whole(1, &SCHEMA)]);

/// `Definitions` and `Properties` are one on the wire.
static SCHEMAS: Form = Message(&[named(1, is_any, &SCHEMA)]);

static SCHEMA: Form = Message(&[
    text(1, "$ref"),
    text(2, "format"),
    text(3, "title"),
    text(4, "description"),
    member(5, "default", &ANY),
    double(6, "multipleOf"),
    double(7, "maximum"),
    flag(8, "exclusiveMaximum"),
    double(9, "minimum"),
    flag(10, "exclusiveMinimum"),
    int(11, "maxLength"),
    int(12, "minLength"),
    text(13, "pattern"),
    int(14, "maxItems"),
    int(15, "minItems"),
    flag(16, "uniqueItems"),
    int(17, "maxProperties"),
    int(18, "minProperties"),
    texts(19, "required"),
    member(20, "enum", &Each(&ANY)),
    member(21, "additionalProperties", &ADDITIONAL),
    member(22, "type", &TYPE),
    member(23, "items", &ITEMS),
    member(24, "allOf", &Each(&SCHEMA)),
    member(25, "properties", &SCHEMAS),
    text(26, "discriminator"),
    flag(27, "readOnly"),
    member(29, "externalDocs", &EXTERNAL_DOCS),
    member(30, "example", &ANY),
    extensions(31),
]);

static ADDITIONAL: Form = OneOf(&[(Fit::Flag, whole(2, &Form::Flag)), (Fit::Anything, whole(1, &SCHEMA))]);

/// One, or a list of them.
static TYPE: Form = OneOf(&[(Fit::Text, whole(1, &Text)), (Fit::Anything, whole(1, &TEXTS))]);

static ITEMS: Form = Message(&[whole(1, &SCHEMA)]);

static EXTERNAL_DOCS: Form = Message(&[text(1, "description"), text(2, "url"), extensions(3)]);

static REQUIREMENT: Form = Message(&[named(1, is_any, &STRINGS)]);

static STRINGS: Form = Message(&[whole(1, &TEXTS)]);

static SECURITY_DEFINITIONS: Form = Message(&[named(1, is_any, &SECURITY_DEFINITION)]);

/// Of the six there are, the one that the document has.
static SECURITY_DEFINITION: Form = Message(&[whole(2, &API_KEY)]);

static API_KEY: Form =
    Message(&[text(1, "type"), text(2, "name"), text(3, "in"), text(4, "description"), extensions(5)]);

/// What is no extension is a code, or the word for all of them.
fn is_answer(name: &str) -> bool {
    !is_extension(name)
}
