//! A compiled schema, for the types that it declares.

use api::Value;
use cel::schema::Schema;
use schema::structural::{Additional, Node};

#[derive(Clone, Copy)]
pub(super) struct Typed<'a>(pub &'a Node);

impl<'a> Schema<'a> for Typed<'a> {
    fn kind(self) -> &'a str {
        &self.0.kind
    }

    fn format(self) -> &'a str {
        &self.0.checks.format_name
    }

    fn items(self) -> Option<Self> {
        self.0.items.as_deref().map(Typed)
    }

    fn properties(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.0.properties.iter().map(|(name, node)| (name.as_str(), Typed(node)))
    }

    fn property(self, name: &str) -> Option<Self> {
        self.0.properties.get(name).map(Typed)
    }

    fn additional(self) -> Option<Self> {
        match &self.0.additional {
            Additional::Schema(node) => Some(Typed(node)),
            _ => None,
        }
    }

    fn required(self) -> impl Iterator<Item = &'a str> {
        self.0.checks.required.iter().map(|name| name.as_str())
    }

    fn has_default(self) -> bool {
        self.0.default.is_some()
    }

    fn is_int_or_string(self) -> bool {
        self.0.int_or_string
    }

    fn is_embedded(self) -> bool {
        self.0.embedded
    }

    fn len_max(self) -> Option<i64> {
        self.0.checks.len_max
    }

    fn items_max(self) -> Option<i64> {
        self.0.checks.items_max
    }

    fn members_max(self) -> Option<i64> {
        self.0.checks.members_max
    }

    fn longest_choice(self) -> Option<i64> {
        let choices = Some(&self.0.checks.values).filter(|choices| !choices.is_empty())?;
        Some(choices.iter().filter_map(Value::as_str).map(|text| text.len() as i64).max().unwrap_or(0))
    }
}
