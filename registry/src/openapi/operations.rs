//! Which operations there are: what a row's verbs and subresources come to, path by path.
//!
//! Upstream: apiserver/pkg/endpoints/installer.go registerResourceHandlers, endpoints/openapi GetOperationIDAndTags.

mod plain;
mod rows;

use api::Gvk;

use super::{Form, parameters::Parameter};
use crate::catalog::Resources;

pub use plain::PLAIN;

/// One operation on one path.
#[derive(Debug)]
pub struct Operation {
    pub path: String,
    /// In lower case, as the document has it.
    pub method: &'static str,
    pub id: String,
    pub tag: String,
    pub doc: String,
    /// `x-kubernetes-action`; `""` for what is no verb.
    pub action: &'static str,
    pub gvk: Option<Gvk>,
    pub parameters: Vec<Parameter>,
    pub body: Option<Payload>,
    pub consumes: Vec<&'static str>,
    pub produces: Vec<&'static str>,
    /// By code, ascending; 401 stands in all and is not named here.
    pub answers: Vec<(u16, Content)>,
}

/// What is sent with a request.
#[derive(Debug)]
pub struct Payload {
    pub schema: String,
    pub required: bool,
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Content {
    /// An object of this type.
    Type(String),
    Text,
}

/// A group version with served kinds, in the catalog's order.
pub fn group_versions(catalog: &Resources) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for definition in catalog.iter() {
        let served = definition.versions.iter().filter(|s| catalog.serves(definition, s));
        all.extend(served.map(|s| (s.gvk.group.to_string(), s.gvk.version.to_string())));
    }
    all.sort();
    all.dedup();
    all
}

/// The group version whose document a path is: `api/v1`, `apis/apps/v1`.
pub fn group_version(path: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["api", version] => Some(("", version)),
        ["apis", group, version] => Some((group, version)),
        _ => None,
    }
}

/// All operations of a document.
pub fn of_document(catalog: &Resources, form: &Form, path: &str) -> Option<Vec<Operation>> {
    if let Some(plain) = PLAIN.iter().find(|p| p.document == path) {
        return Some(vec![plain.operation(form)]);
    }
    if let Some(group) = path.strip_prefix("apis/").filter(|g| !g.contains('/')) {
        let known = group_versions(catalog).iter().any(|(g, _)| g == group);
        return known.then(|| vec![plain::group(form, group)]);
    }
    let (group, version) = group_version(path)?;
    let mut operations = vec![plain::resources(form, group, version)];
    for definition in catalog.iter().filter(|d| d.row.group == group) {
        if let Some(served) = definition.served(version).filter(|s| catalog.serves(definition, s)) {
            operations.extend(rows::of(form, definition, served));
        }
    }
    (operations.len() > 1).then_some(operations)
}

impl Operation {
    /// The types it names.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        let answers = self.answers.iter().filter_map(|(_, content)| match content {
            Content::Type(name) => Some(name.as_str()),
            Content::Text => None,
        });
        self.body.iter().map(|body| body.schema.as_str()).chain(answers)
    }
}

/// JSON, YAML, protobuf, and CBOR where it is on.
fn media(form: &Form) -> Vec<&'static str> {
    let mut media = vec!["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
    if form.cbor {
        media.push("application/cbor");
    }
    media
}

/// `AppsV1` for operation ids, `apps_v1` for tags. Upstream: `ToValidOperationID`.
fn names(group: &str, version: &str) -> (String, String) {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    let tag = camel(group, false) + "_" + &camel(version, false);
    (camel(group, true) + &camel(version, true), tag)
}

/// Letters, digits and underscores, a capital after whatever else stood there.
fn camel(text: &str, mut capital: bool) -> String {
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        if !(c.is_alphabetic() || c == '_' || (i != 0 && c.is_numeric())) {
            capital = true;
        } else if std::mem::take(&mut capital) {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}
