//! OpenAPI 3.0: a document for each group version. Upstream: kube-openapi/pkg/builder3.

use std::collections::BTreeSet;

use api::{Map, Value, value};

use super::{
    Form,
    operations::{self, Content, Operation},
    parameters::{Parameter, Place},
    schemas::Writer,
    sink::Sink,
};

/// Writes the document at `path`.
pub fn write(
    form: &Form,
    path: &str,
    operations: &[Operation],
    writer: &Writer<'_>,
    used: &BTreeSet<String>,
    sink: &mut dyn Sink,
) {
    sink.put("openapi", "3.0.0".into());
    sink.put("info", value!({"title": "Kubernetes", "version": (form.version.as_str())}));
    sink.open("paths");
    for one in by_path(operations) {
        sink.put(&one[0].path, item(&one, writer));
    }
    sink.close();
    sink.open("components");
    if !used.is_empty() {
        sink.open("schemas");
        for name in used {
            sink.put(name, writer.schema(name, operations::group_version(path)));
        }
        sink.close();
    }
    let token = value!({
        "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"
    });
    sink.put("securitySchemes", value!({"BearerToken": token}));
    sink.close();
}

/// Operations with the same path, together, by path.
pub fn by_path(operations: &[Operation]) -> Vec<Vec<&Operation>> {
    let mut groups: std::collections::BTreeMap<&str, Vec<&Operation>> = std::collections::BTreeMap::new();
    for operation in operations {
        groups.entry(&operation.path).or_default().push(operation);
    }
    groups.into_values().collect()
}

/// Parameters that all operations of a path have: they are said once.
pub fn shared<'a>(operations: &[&'a Operation]) -> Vec<&'a Parameter> {
    let Some((first, rest)) = operations.split_first() else { return Vec::new() };
    first.parameters.iter().filter(|p| rest.iter().all(|o| o.parameters.contains(p))).collect()
}

pub fn status_word(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        _ => "Accepted",
    }
}

fn item(operations: &[&Operation], writer: &Writer<'_>) -> Value {
    let shared = shared(operations);
    let mut item = Value::object();
    if !shared.is_empty() {
        item.set("parameters", shared.iter().map(|p| parameter(p)).collect::<Vec<_>>());
    }
    for operation in operations {
        item.set(operation.method, describe(operation, &shared, writer));
    }
    item
}

fn describe(operation: &Operation, shared: &[&Parameter], writer: &Writer<'_>) -> Value {
    let mut value = value!({
        "tags": [(operation.tag.as_str())], "description": (operation.doc.as_str()),
        "operationId": (operation.id.as_str())
    });
    let own: Vec<Value> = operation.parameters.iter().filter(|p| !shared.contains(p)).map(parameter).collect();
    if !own.is_empty() {
        value.set("parameters", own);
    }
    if let Some(body) = &operation.body {
        let schema = writer.reference(&body.schema);
        let mut content: Map = operation.consumes.iter().map(|m| (*m, value!({"schema": (schema.clone())}))).collect();
        content.sort();
        let mut request = value!({"content": (Value::from(content))});
        if body.required {
            request.set("required", true);
        }
        value.set("requestBody", request);
    }
    value.set("responses", responses(operation, writer));
    if let Some(gvk) = &operation.gvk {
        value.set("x-kubernetes-action", operation.action);
        value.set("x-kubernetes-group-version-kind", kind(gvk));
    }
    value
}

/// In the order of upstream's struct, where schemas and version 2 have that of a map.
pub fn kind(gvk: &api::Gvk) -> Value {
    value!({"group": (gvk.group.as_str()), "version": (gvk.version.as_str()), "kind": (gvk.kind.as_str())})
}

fn responses(operation: &Operation, writer: &Writer<'_>) -> Value {
    let mut responses = Value::object();
    for (code, content) in &operation.answers {
        let schema = match content {
            Content::Type(name) => writer.reference(name),
            Content::Text => value!({"type": "string"}),
        };
        let mut media: Map = operation.produces.iter().map(|m| (*m, value!({"schema": (schema.clone())}))).collect();
        media.sort();
        let response = value!({"description": (status_word(*code)), "content": (Value::from(media))});
        responses.set(&code.to_string(), response);
    }
    responses.set("401", value!({"description": "Unauthorized"}));
    responses
}

fn parameter(parameter: &Parameter) -> Value {
    let mut value = value!({
        "name": (parameter.name.as_str()),
        "in": (if parameter.place == Place::Path { "path" } else { "query" }),
        "description": (parameter.doc.as_str())
    });
    if parameter.place == Place::Path {
        value.set("required", true);
    }
    value.set("schema", value!({"type": (parameter.kind), "uniqueItems": true}));
    value
}
