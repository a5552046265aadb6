//! What upstream's types and fields are for, in upstream's words, which OpenAPI and `kubectl explain` show.
//!
//! The texts are not ours and are not copied: they are read at run time out of the schemas that k8s-openapi's types can
//! write of themselves. A crate of its own, because k8s-openapi takes long to compile and nothing else should wait for it.
//! Lists, tables and the options of queries have no type there and so no text.

mod roots;

use k8s_openapi::schemars::SchemaGenerator;
use serde_json::{Map, Value};

pub use roots::Root;

/// The texts of some types and all that they reach. Some megabytes for a large group: keep it no longer than needed.
#[derive(Debug, Default)]
pub struct Book {
    types: Map<String, Value>,
}

impl Book {
    /// The texts of these types (`io.k8s.api.apps.v1.Deployment`) and of those they refer to. Names that are no kind are
    /// found only below one that is.
    pub fn about<'a>(names: impl IntoIterator<Item = &'a str>) -> Book {
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_unstable();
        let mut generator = SchemaGenerator::default();
        for root in roots::all() {
            if names.binary_search(&&*root.name()).is_ok() {
                root.gather(&mut generator);
            }
        }
        Book { types: generator.take_definitions(false) }
    }

    /// The texts of a type that may be none of a kind's own: its neighbours are searched, the likeliest first.
    pub fn around(name: &str) -> Book {
        let mut near: Vec<(usize, &Root)> = roots::all().iter().map(|r| (common(&r.name(), name), r)).collect();
        near.sort_by_key(|(len, _)| std::cmp::Reverse(*len));
        let package = name.rfind('.').map_or(0, |end| end + 1);
        let mut generator = SchemaGenerator::default();
        for (_, root) in near.into_iter().take_while(|(len, _)| *len >= package) {
            root.gather(&mut generator);
            if generator.definitions().contains_key(name) {
                break;
            }
        }
        Book { types: generator.take_definitions(false) }
    }

    /// What the type is for.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.types.get(name)?.get("description")?.as_str()
    }

    /// What the field is for, by its name in JSON.
    pub fn field(&self, name: &str, field: &str) -> Option<&str> {
        self.types.get(name)?.get("properties")?.get(field)?.get("description")?.as_str()
    }
}

/// What one type is for. For many types a [`Book`] is cheaper.
pub fn of(name: &str) -> Option<String> {
    Book::around(name).of(name).map(str::to_owned)
}

/// What one field is for.
pub fn field(name: &str, field: &str) -> Option<String> {
    Book::around(name).field(name, field).map(str::to_owned)
}

/// How many bytes two names have in common at their beginning.
fn common(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_brings_the_types_it_refers_to() {
        let book = Book::about(["io.k8s.api.apps.v1.Deployment"]);
        let text = book.field("io.k8s.api.core.v1.PodSpec", "nodeName").expect("a deployment has a pod template");
        assert!(text.starts_with("NodeName"), "{text}");
        assert!(book.of("io.k8s.api.core.v1.Node").is_none(), "nodes are not asked for");
    }

    #[test]
    fn a_type_below_a_kind_is_found_by_its_name() {
        assert!(of("io.k8s.api.batch.v1.PodFailurePolicy").is_some());
        assert!(field("io.k8s.api.core.v1.NamespaceStatus", "phase").is_some());
        assert!(field("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "creationTimestamp").is_some());
        assert!(of("io.k8s.api.core.v1.Nonsense").is_none());
    }
}
