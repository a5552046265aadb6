//! Which field's text describes a table column.

use std::{collections::BTreeMap, sync::Arc};

use api::Value;
use parking_lot::Mutex;

use super::Describe;

static COLUMNS: &str = include_str!("../../../schema/facts/columns.json");

/// Texts about the columns of kinds, looked up once.
pub struct ColumnTexts {
    describe: Arc<dyn Describe>,
    kept: Mutex<BTreeMap<(String, String), Texts>>,
}

/// By column.
type Texts = Arc<BTreeMap<String, String>>;

/// Columns of a kind that are described by a field: column, type, field. A kind without columns of its own has everyone's.
pub fn column_docs(group: &str, kind: &str) -> Vec<(String, String, String)> {
    let facts = codec::json::any(COLUMNS.as_bytes()).expect("the checked-in facts are JSON").value;
    let kinds = facts.list("kinds");
    let of = |g: &str, k: &str| kinds.iter().find(|row| row.str("group") == g && row.str("kind") == k);
    let columns = of(group, kind).or_else(|| of("", "")).map_or(&[][..], |row| row.list("columns"));
    let doc = |column: &Value| match column.list("doc") {
        [name, field] => Some((column.str("name").to_owned(), name.as_str()?.to_owned(), field.as_str()?.to_owned())),
        _ => None,
    };
    columns.iter().filter_map(doc).collect()
}

// === impl ColumnTexts ===

impl ColumnTexts {
    pub fn new(describe: Arc<dyn Describe>) -> ColumnTexts {
        ColumnTexts { describe, kept: Mutex::default() }
    }

    /// The texts about a kind's columns.
    pub fn of(&self, group: &str, kind: &str) -> Texts {
        let key = (group.to_string(), kind.to_string());
        if let Some(texts) = self.kept.lock().get(&key) {
            return texts.clone();
        }
        let docs = column_docs(group, kind).into_iter();
        let texts: Texts = Arc::new(
            docs.filter_map(|(column, name, field)| Some((column, self.describe.field(&name, &field)?))).collect(),
        );
        self.kept.lock().insert(key, texts.clone());
        texts
    }
}
