//! What requests are about: a resource, and an object or a collection of it.

use std::fmt;

use api::EcoString;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Names of objects go into paths as they are, but for what would end a segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A resource in a version: `v1/pods`, `apps/v1/deployments`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    pub group: EcoString,
    pub version: EcoString,
    pub plural: EcoString,
}

/// A collection or an object in it. An empty namespace is all of them, or that there is none.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub resource: &'a Resource,
    pub namespace: &'a str,
    pub name: &'a str,
    pub subresource: &'a str,
}

// === impl Resource ===

impl Resource {
    pub fn new(group: impl Into<EcoString>, version: impl Into<EcoString>, plural: impl Into<EcoString>) -> Resource {
        Resource { group: group.into(), version: version.into(), plural: plural.into() }
    }

    /// Reads `v1/pods` or `apps/v1/deployments`.
    pub fn parse(text: &str) -> Option<Resource> {
        let mut parts = text.split('/');
        let (first, second, third) = (parts.next()?, parts.next()?, parts.next());
        match (third, parts.next()) {
            (None, _) => Some(Resource::new("", first, second)),
            (Some(plural), None) => Some(Resource::new(first, second, plural)),
            _ => None,
        }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.to_string(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Every object of this resource.
    pub fn all(&self) -> Target<'_> {
        Target { resource: self, namespace: "", name: "", subresource: "" }
    }

    /// The objects in a namespace.
    pub fn within<'a>(&'a self, namespace: &'a str) -> Target<'a> {
        Target { resource: self, namespace, name: "", subresource: "" }
    }

    /// One object; `namespace` is empty for cluster-scoped ones.
    pub fn named<'a>(&'a self, namespace: &'a str, name: &'a str) -> Target<'a> {
        Target { resource: self, namespace, name, subresource: "" }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.api_version(), self.plural)
    }
}

// === impl Target ===

impl<'a> Target<'a> {
    pub fn below(self, subresource: &'a str) -> Target<'a> {
        Target { subresource, ..self }
    }

    /// The path of a request about it.
    pub fn path(&self) -> String {
        let mut path = match self.resource.group.as_str() {
            "" => format!("/api/{}", self.resource.version),
            group => format!("/apis/{group}/{}", self.resource.version),
        };
        let mut push = |segment: &str| {
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
        };
        if !self.namespace.is_empty() {
            push("namespaces");
            push(self.namespace);
        }
        push(&self.resource.plural);
        for segment in [self.name, self.subresource] {
            if !segment.is_empty() {
                push(segment);
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_upstreams() {
        let pods = Resource::parse("v1/pods").expect("it is a resource");
        let roles = Resource::parse("rbac.authorization.k8s.io/v1/clusterroles").expect("it is a resource");
        let cases = [
            (pods.all(), "/api/v1/pods"),
            (pods.within("a"), "/api/v1/namespaces/a/pods"),
            (pods.named("a", "b").below("status"), "/api/v1/namespaces/a/pods/b/status"),
            (roles.named("", "system:node"), "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node"),
            (roles.named("", "a/b?c"), "/apis/rbac.authorization.k8s.io/v1/clusterroles/a%2Fb%3Fc"),
        ];
        for (target, path) in cases {
            assert_eq!(target.path(), path);
        }
        assert_eq!(Resource::parse("pods"), None);
        assert_eq!(Resource::parse("a/b/c/d"), None);
    }
}
