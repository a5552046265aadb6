//! OpenAPI documents: pure functions of the catalog, the schema facts and the texts that somebody hands in.
//!
//! A document is some megabytes, is asked for rarely and is dropped once it is sent; nothing here keeps one. Paths and
//! operations follow from rows ([`operations`]), schemas from the facts of their types ([`schemas`]).
//! Upstream: kube-openapi/pkg/builder, builder3; apiserver/pkg/endpoints/installer.go.

mod columns;
mod custom;
mod facts;
mod operations;
mod parameters;
mod proto;
mod schemas;
mod sink;
mod v2;
mod v3;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;

use crate::catalog::Resources;

pub use columns::{ColumnTexts, Doc, column_docs};
pub use proto::Proto;
pub use sink::{Json, Sink};

use facts::Facts;
use operations::Operation;

/// What a document says beside what is served.
#[derive(Clone, Debug)]
pub struct Form {
    /// `info.version`: `1.37`. Upstream: the emulated version.
    pub version: String,
    /// Whether enumerations are listed. Upstream: feature gate OpenAPIEnums, on.
    pub enums: bool,
    /// Whether CBOR is offered. Upstream: feature gate CBORServingAndStorage, off.
    pub cbor: bool,
}

/// Where texts about types and fields come from.
pub trait Describe: Send + Sync {
    /// Texts about these types and all below them.
    fn about(&self, names: &[&str]) -> Box<dyn Texts>;

    /// One text.
    fn field(&self, name: &str, field: &str) -> Option<String> {
        self.about(&[name]).field(name, field).map(str::to_owned)
    }
}

/// What types and fields are for.
pub trait Texts {
    fn of(&self, name: &str) -> Option<&str>;
    fn field(&self, name: &str, field: &str) -> Option<&str>;
}

/// No texts at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

/// The paths below `/openapi/v3` that have a document, in order: `api`, `api/v1`, `apis`, `apis/apps`, `version`, ….
pub fn index(catalog: &Resources) -> Vec<String> {
    let mut paths: BTreeSet<String> = operations::PLAIN.iter().map(|p| p.document.to_string()).collect();
    for (group, version) in operations::group_versions(catalog) {
        if group.is_empty() {
            paths.insert(format!("api/{version}"));
            continue;
        }
        paths.insert(format!("apis/{group}"));
        paths.insert(format!("apis/{group}/{version}"));
    }
    paths.into_iter().collect()
}

/// Writes the document at one path of [`index`]; whether there is one.
pub fn v3(catalog: &Resources, form: &Form, path: &str, describe: &dyn Describe, sink: &mut dyn Sink) -> bool {
    let Some(operations) = operations::of_document(catalog, form, path) else { return false };
    let only = operations::group_version(path);
    let parts = Parts::of(catalog, &operations, only, describe, schemas::Dialect::V3);
    v3::write(form, path, &operations, &parts.writer(form), &parts.used, sink);
    true
}

/// Writes the one document of version 2.
pub fn v2(catalog: &Resources, form: &Form, describe: &dyn Describe, sink: &mut dyn Sink) {
    let documents = index(catalog);
    let operations: Vec<Operation> =
        documents.iter().filter_map(|path| operations::of_document(catalog, form, path)).flatten().collect();
    let parts = Parts::of(catalog, &operations, None, describe, schemas::Dialect::V2);
    v2::write(form, &operations, &parts.writer(form), &parts.used, sink);
}

/// What the schemas of a document are made of.
struct Parts {
    facts: Facts,
    /// The types that are named, and all that they refer to.
    used: BTreeSet<String>,
    texts: Box<dyn Texts>,
    customs: custom::Customs,
    dialect: schemas::Dialect,
}

impl Parts {
    fn of(
        catalog: &Resources,
        operations: &[Operation],
        only: Option<(&str, &str)>,
        describe: &dyn Describe,
        dialect: schemas::Dialect,
    ) -> Parts {
        let facts = Facts::new();
        let users = custom::any(catalog, only);
        let referred = if users { &custom::REFERRED[..] } else { &[] };
        let used =
            schemas::closure(&facts, operations.iter().flat_map(Operation::types).chain(referred.iter().copied()));
        let described = if users { custom::described(catalog) } else { Vec::new() };
        let texts = describe
            .about(&used.iter().map(String::as_str).chain(described.iter().map(String::as_str)).collect::<Vec<_>>());
        let customs = if users { custom::collect(catalog, only, &*texts, dialect) } else { custom::Customs::new() };
        Parts { facts, used, texts, customs, dialect }
    }

    fn writer<'a>(&'a self, form: &'a Form) -> schemas::Writer<'a> {
        schemas::Writer { facts: &self.facts, form, texts: &*self.texts, dialect: self.dialect, customs: &self.customs }
    }
}

/// What a document depends on, to be hashed: cheap, where the document itself is not.
pub fn fingerprint(catalog: &Resources, form: &Form, path: &str) -> String {
    let mut text = format!("{} {} {} {path}\n", form.version, form.enums, form.cbor);
    let (group, version) = operations::group_version(path).unwrap_or(("*", "*"));
    for definition in catalog.iter() {
        let here = definition.versions.iter().filter(|s| catalog.serves(definition, s));
        for served in here.filter(|s| group == "*" || (s.gvk.group == group && s.gvk.version == version)) {
            text += &format!("{} {} {}\n", served.gvk, definition.row.plural, definition.world.mark());
        }
    }
    text
}

// === impl Silent ===

impl Describe for Silent {
    fn about(&self, _: &[&str]) -> Box<dyn Texts> {
        Box::new(Silent)
    }
}

impl Texts for Silent {
    fn of(&self, _: &str) -> Option<&str> {
        None
    }

    fn field(&self, _: &str, _: &str) -> Option<&str> {
        None
    }
}
