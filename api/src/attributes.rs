//! What a request wants, in the words that authorisation knows.

/// A request's verb and target. Strings only; nothing here says that the target exists.
/// Upstream: apiserver/pkg/endpoints/request RequestInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or the lower-case HTTP method.
    pub verb: String,
    /// Whether this is about a resource; otherwise only `path` says what.
    pub is_resource: bool,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// The whole path of the request, without its query.
    pub path: String,
    /// Raw selectors of a list, watch or deletecollection.
    pub field_selector: String,
    pub label_selector: String,
}

impl Attributes {
    /// `pods` or `pods/status`.
    pub fn resource_with_subresource(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            sub => format!("{}/{sub}", self.resource),
        }
    }
}
