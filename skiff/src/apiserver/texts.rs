//! What OpenAPI says types and fields are for: upstream's words, out of k8s-openapi.

use descriptions::Book;
use registry::openapi::{Describe, Texts};

/// Upstream's words.
pub struct Upstream;

/// The words about some types, for as long as a document is built.
struct Words(Book);

impl Describe for Upstream {
    fn about(&self, names: &[&str]) -> Box<dyn Texts> {
        Box::new(Words(Book::about(names.iter().copied())))
    }

    fn field(&self, name: &str, field: &str) -> Option<String> {
        descriptions::field(name, field)
    }
}

impl Texts for Words {
    fn of(&self, name: &str) -> Option<&str> {
        self.0.of(name)
    }

    fn field(&self, name: &str, field: &str) -> Option<&str> {
        self.0.field(name, field)
    }
}
