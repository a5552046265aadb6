//! What a table column is for: mostly in the words of a field, else in words of its own.

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

/// Where a column's text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doc {
    /// A type's field has the same; the text where there is none, as of versions that are not served by default.
    Field {
        schema: String,
        field: String,
        text: String,
    },
    Text(String),
}

/// Columns of a kind that are described. A kind without columns of its own has everyone's.
pub fn column_docs(group: &str, kind: &str) -> Vec<(String, Doc)> {
    let facts = codec::json::any(COLUMNS.as_bytes()).expect("the checked-in facts are JSON").value;
    let kinds = facts.list("kinds");
    let of = |g: &str, k: &str| kinds.iter().find(|row| row.str("group") == g && row.str("kind") == k);
    let columns = of(group, kind).or_else(|| of("", "")).map_or(&[][..], |row| row.list("columns"));
    let doc = |column: &Value| match (column.list("doc"), column.str("text")) {
        ([schema, field], text) => Some(Doc::Field {
            schema: schema.as_str()?.to_owned(),
            field: field.as_str()?.to_owned(),
            text: text.to_owned(),
        }),
        (_, "") => None,
        (_, text) => Some(Doc::Text(text.to_owned())),
    };
    columns.iter().filter_map(|column| Some((column.str("name").to_owned(), doc(column)?))).collect()
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
        let text = |doc| match doc {
            Doc::Field { schema, field, text } => {
                self.describe.field(&schema, &field).or(Some(text).filter(|text| !text.is_empty()))
            }
            Doc::Text(text) => Some(text),
        };
        // A kind may have columns to print and be shown with everyone's all the same.
        let docs = column_docs("", "").into_iter().chain(column_docs(group, kind));
        let texts: Texts = Arc::new(docs.filter_map(|(column, doc)| Some((column, text(doc)?))).collect());
        self.kept.lock().insert(key, texts.clone());
        texts
    }
}
