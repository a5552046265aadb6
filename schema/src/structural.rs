//! Schemas that users write: what upstream calls structural schemas, compiled.
//!
//! A [`Node`] is a JSONSchemaProps with its patterns compiled and its defaults pruned. Objects are trees that nothing is
//! known of but this: they are read as they are, then fitted ([`Node::fit`]: metadata has its type, unknown members go),
//! defaulted, and judged ([`validate`], [`lists`], [`embedded`]). Upstream: apiextensions-apiserver/pkg/apiserver/schema.

pub mod compile;
pub mod defaults;
pub mod embedded;
pub mod fill;
pub mod fit;
pub mod formats;
pub mod lists;
mod luhn;
pub mod pattern;
pub mod shapes;
pub mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use api::{EcoString, Value};

use crate::types::Listing;
use formats::Format;
use pattern::Pattern;

/// What may stand somewhere.
#[derive(Debug, Default)]
pub struct Node {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`; `""` for any.
    pub kind: EcoString,
    pub nullable: bool,
    pub int_or_string: bool,
    /// What is not declared stays.
    pub preserve: bool,
    /// An object with kind, apiVersion and metadata.
    pub embedded: bool,
    /// None where nothing is said, which is atomic.
    pub listing: Option<Listing>,
    pub keys: Vec<EcoString>,
    /// Server-side apply treats the object as one value.
    pub atomic_map: bool,
    pub default: Option<Value>,
    pub properties: BTreeMap<EcoString, Node>,
    pub additional: Additional,
    pub items: Option<Box<Node>>,
    pub checks: Checks,
    /// Expressions that have to hold, as they are written; who runs them is no concern of this.
    pub rules: Vec<Value>,
}

/// What members beside the declared ones may be.
#[derive(Debug, Default)]
pub enum Additional {
    /// Nothing is said: they are unknown.
    #[default]
    Unsaid,
    Allowed(bool),
    Schema(Box<Node>),
}

/// What narrows a value beside its type.
#[derive(Debug, Default)]
pub struct Checks {
    pub format: Option<Format>,
    /// The format's name as it is written, where it has a meaning for the type.
    pub format_name: EcoString,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub len_max: Option<i64>,
    pub len_min: Option<i64>,
    pub pattern: Option<Pattern>,
    pub items_max: Option<i64>,
    pub items_min: Option<i64>,
    pub unique_items: bool,
    pub members_max: Option<i64>,
    pub members_min: Option<i64>,
    pub required: Vec<EcoString>,
    pub values: Vec<Value>,
    pub all_of: Vec<Node>,
    pub any_of: Vec<Node>,
    pub one_of: Vec<Node>,
    pub not: Option<Box<Node>>,
}

// === impl Node ===

impl Node {
    /// What stands under a name, where anything declares it.
    pub fn member(&self, name: &str) -> Option<&Node> {
        match (self.properties.get(name), &self.additional) {
            (Some(node), _) => Some(node),
            (None, Additional::Schema(node)) => Some(node),
            _ => None,
        }
    }

    /// Whether a rule stands here or below, where objects are looked at.
    pub fn has_rules(&self) -> bool {
        let additional = match &self.additional {
            Additional::Schema(node) => Some(&**node),
            _ => None,
        };
        let mut below = self.items.as_deref().into_iter().chain(additional).chain(self.properties.values());
        !self.rules.is_empty() || below.any(Node::has_rules)
    }

    /// Whether members that nobody declares are known all the same, and by what.
    fn beside(&self) -> Option<Option<&Node>> {
        match &self.additional {
            Additional::Unsaid => None,
            Additional::Allowed(_) => Some(None),
            Additional::Schema(node) => Some(Some(node)),
        }
    }
}
