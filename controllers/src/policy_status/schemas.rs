//! What objects of a kind are made of, out of the server's OpenAPI documents.
//!
//! Upstream: apiserver/pkg/cel/openapi/resolver/{discovery,refs}.go, apiserver/pkg/cel/openapi/adaptor.go.

use std::{collections::BTreeMap, sync::Arc};

use api::{Gvk, Map, Value};
use cel::schema::{Declared, Schema, declare};
use client::Client;

use crate::driver::Failed;

/// Documents that were read, by their paths.
pub struct Schemas<'a> {
    client: &'a Client,
    read: BTreeMap<String, Value>,
}

/// A schema without references.
#[derive(Clone, Copy)]
struct Tree<'a>(&'a Value);

const REFERENCE: &str = "#/components/schemas/";

impl<'a> Schemas<'a> {
    pub fn of(client: &'a Client) -> Schemas<'a> {
        Schemas { client, read: BTreeMap::new() }
    }

    /// The type of a kind; none when nothing is known of it.
    pub async fn declared(&mut self, kind: &Gvk) -> Result<Option<Arc<Declared>>, Failed> {
        let path = match kind.group.as_str() {
            "" => format!("/openapi/v3/api/{}", kind.version),
            group => format!("/openapi/v3/apis/{group}/{}", kind.version),
        };
        if !self.read.contains_key(&path) {
            let document = match self.client.get_path(&path).await {
                Ok(document) => document,
                Err(error) if error.is_not_found() => Value::Null,
                Err(error) => return Err(error.into()),
            };
            self.read.insert(path.clone(), document);
        }
        let schemas = self.read[&path].at("components").at("schemas");
        let is_it = |(_, schema): &(&str, &Value)| {
            schema.list("x-kubernetes-group-version-kind").iter().any(|said| {
                (said.str("group"), said.str("version"), said.str("kind")) == (&kind.group, &kind.version, &kind.kind)
            })
        };
        let Some((name, schema)) = schemas.members().find(is_it) else { return Ok(None) };
        let whole = resolved(schema, schemas, &mut vec![name]);
        Ok(declare(Tree(&whole), true))
    }
}

/// A schema with what it refers to in its place; what is within itself is an object of which nothing is known.
fn resolved<'a>(schema: &'a Value, schemas: &'a Value, around: &mut Vec<&'a str>) -> Value {
    let wrapped = schema.list("allOf").iter().find_map(|part| part.opt_str("$ref"));
    let reference = schema.opt_str("$ref").or(wrapped).and_then(|reference| reference.strip_prefix(REFERENCE));
    let Some(name) = reference else { return below(schema, schemas, around) };
    if around.contains(&name) {
        return api::value!({"type": "object"});
    }
    around.push(name);
    let found = below(schemas.at(name), schemas, around);
    around.pop();
    found
}

fn below<'a>(schema: &'a Value, schemas: &'a Value, around: &mut Vec<&'a str>) -> Value {
    let mut whole = Map::new();
    for (name, member) in schema.members() {
        let member = match (name, member) {
            ("properties", Value::Object(_)) => {
                let mut properties = Map::new();
                for (name, property) in member.members() {
                    properties.insert(name, resolved(property, schemas, around));
                }
                properties.into()
            }
            ("items" | "additionalProperties", Value::Object(_)) => resolved(member, schemas, around),
            // Texts for people.
            ("description", _) => continue,
            (_, other) => other.clone(),
        };
        whole.insert(name, member);
    }
    whole.into()
}

// === impl Tree ===

impl<'a> Tree<'a> {
    fn below(self, name: &str) -> Option<Tree<'a>> {
        self.0.get(name).filter(|below| matches!(below, Value::Object(_))).map(Tree)
    }
}

impl<'a> Schema<'a> for Tree<'a> {
    fn kind(self) -> &'a str {
        // Quantities may be written as numbers too, and yet are texts.
        let either = || self.0.list("oneOf").iter().map(|choice| choice.str("type")).find(|kind| *kind == "string");
        self.0.opt_str("type").or_else(either).unwrap_or("")
    }

    fn format(self) -> &'a str {
        self.0.str("format")
    }

    fn items(self) -> Option<Self> {
        self.below("items")
    }

    fn properties(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.0.at("properties").members().map(|(name, below)| (name, Tree(below)))
    }

    fn property(self, name: &str) -> Option<Self> {
        self.0.at("properties").get(name).map(Tree)
    }

    fn additional(self) -> Option<Self> {
        self.below("additionalProperties")
    }

    fn required(self) -> impl Iterator<Item = &'a str> {
        self.0.list("required").iter().filter_map(Value::as_str)
    }

    fn has_default(self) -> bool {
        self.0.has("default")
    }

    fn is_int_or_string(self) -> bool {
        self.0.str("format") == "int-or-string" || self.0.bool("x-kubernetes-int-or-string")
    }

    fn is_embedded(self) -> bool {
        self.0.bool("x-kubernetes-embedded-resource")
    }

    fn len_max(self) -> Option<i64> {
        self.0.opt_int("maxLength")
    }

    fn items_max(self) -> Option<i64> {
        self.0.opt_int("maxItems")
    }

    fn members_max(self) -> Option<i64> {
        self.0.opt_int("maxProperties")
    }

    fn longest_choice(self) -> Option<i64> {
        let choices = self.0.list("enum").iter().filter_map(Value::as_str).map(|choice| choice.len() as i64);
        choices.max()
    }
}
