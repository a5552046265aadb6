//! Which field's text describes a table column.

use api::Value;

static COLUMNS: &str = include_str!("../../../schema/facts/columns.json");

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
