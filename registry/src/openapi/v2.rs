//! Swagger 2.0: one document for everything. Upstream: kube-openapi/pkg/builder.

use std::collections::{BTreeMap, BTreeSet};

use api::{Map, Value, value};
use base64::{Engine, engine::general_purpose::URL_SAFE};

use super::{
    Form,
    operations::{Content, Operation},
    parameters::{Parameter, Place},
    schemas::Writer,
    sink::Sink,
    v3,
};

/// The parameters that are said once for the whole document, by the name they are referred to.
#[derive(Default)]
struct Shared(BTreeMap<String, Value>);

/// Whose paths upstream's aggregator writes itself; all else it has read back, maps in place of structs.
const AGGREGATOR: &str = "apiregistration.k8s.io";

/// Writes the document.
pub fn write(form: &Form, operations: &[Operation], writer: &Writer<'_>, used: &BTreeSet<String>, sink: &mut dyn Sink) {
    let mut shared = Shared::default();
    sink.put("swagger", "2.0".into());
    sink.put("info", value!({"title": "Kubernetes", "version": (form.version.as_str())}));
    sink.open("paths");
    for one in v3::by_path(operations) {
        sink.put(&one[0].path, item(&one, writer, &mut shared));
    }
    sink.close();
    sink.open("definitions");
    for name in used {
        sink.put(name, writer.schema(name, None));
    }
    sink.close();
    sink.put("parameters", Value::from(shared.0.into_iter().collect::<Map>()));
    let token = value!({
        "description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header"
    });
    sink.put("securityDefinitions", value!({"BearerToken": token}));
    sink.put("security", value!([{"BearerToken": []}]));
}

fn item(operations: &[&Operation], writer: &Writer<'_>, shared: &mut Shared) -> Value {
    let common = v3::shared(operations);
    let mut item = Value::object();
    for operation in operations {
        item.set(operation.method, describe(operation, &common, writer, shared));
    }
    if !common.is_empty() {
        item.set("parameters", common.iter().map(|p| shared.refer(parameter(p))).collect::<Vec<_>>());
    }
    item
}

fn describe(operation: &Operation, common: &[&Parameter], writer: &Writer<'_>, shared: &mut Shared) -> Value {
    let mut value = value!({"description": (operation.doc.as_str())});
    if !operation.consumes.is_empty() {
        value.set("consumes", operation.consumes.clone());
    }
    value.set("produces", operation.produces.clone());
    value.set("schemes", vec!["https"]);
    value.set("tags", vec![operation.tag.as_str()]);
    value.set("operationId", operation.id.as_str());
    let mut parameters = Vec::new();
    if let Some(body) = &operation.body {
        let mut value = value!({"name": "body", "in": "body"});
        if body.required {
            value.set("required", true);
        }
        value.set("schema", writer.reference(&body.schema));
        parameters.push(shared.refer(value));
    }
    parameters.extend(operation.parameters.iter().filter(|p| !common.contains(p)).map(|p| shared.refer(parameter(p))));
    if !parameters.is_empty() {
        value.set("parameters", parameters);
    }
    value.set("responses", responses(operation, writer));
    if let Some(gvk) = &operation.gvk {
        value.set("x-kubernetes-action", operation.action);
        let mut kind = v3::kind(gvk);
        if gvk.group != AGGREGATOR {
            kind.make_object().sort();
        }
        value.set("x-kubernetes-group-version-kind", kind);
    }
    value
}

fn responses(operation: &Operation, writer: &Writer<'_>) -> Value {
    let mut responses = Value::object();
    for (code, content) in &operation.answers {
        let schema = match content {
            Content::Type(name) => writer.reference(name),
            Content::Text => value!({"type": "string"}),
        };
        responses.set(&code.to_string(), value!({"description": (v3::status_word(*code)), "schema": schema}));
    }
    responses.set("401", value!({"description": "Unauthorized"}));
    responses
}

fn parameter(parameter: &Parameter) -> Value {
    let mut value = value!({
        "uniqueItems": true, "type": (parameter.kind), "description": (parameter.doc.as_str()),
        "name": (parameter.name.as_str()),
        "in": (if parameter.place == Place::Path { "path" } else { "query" })
    });
    if parameter.place == Place::Path {
        value.set("required", true);
    }
    value
}

impl Shared {
    /// A reference to the parameter, or the parameter itself where upstream keeps it in place: what differs by kind, and
    /// what old clients look for. Upstream: `collectSharedParameters`.
    fn refer(&mut self, parameter: Value) -> Value {
        let name = parameter.str("name");
        let kept = match parameter.str("in") {
            "body" => !parameter.at("schema").str("$ref").starts_with("#/definitions/io.k8s.apimachinery"),
            "query" => matches!(name, "name" | "fieldValidation" | "dryRun"),
            _ => name == "name",
        };
        if kept {
            return parameter;
        }
        let digest = fnv(codec::json::to_string(&parameter).as_bytes()).to_be_bytes();
        let name = format!("{name}-{}", URL_SAFE.encode(&digest[..6]));
        self.0.insert(name.clone(), parameter);
        value!({"$ref": (format!("#/parameters/{name}"))})
    }
}

/// FNV-1, 64 bits.
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, b| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*b))
}
