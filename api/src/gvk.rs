//! Names of kinds and resources.

use std::fmt;

use ecow::EcoString;

/// A group and one of its versions; the core group is `""`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersion {
    pub group: EcoString,
    pub version: EcoString,
}

/// A kind in a group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    pub group: EcoString,
    pub version: EcoString,
    pub kind: EcoString,
}

/// A resource (or, in messages about kinds, a kind) in a group, whatever the version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    pub group: EcoString,
    pub resource: EcoString,
}

// === impl GroupVersion ===

impl GroupVersion {
    pub fn new(group: impl Into<EcoString>, version: impl Into<EcoString>) -> GroupVersion {
        GroupVersion { group: group.into(), version: version.into() }
    }

    /// Reads an `apiVersion`: `v1` or `apps/v1`. More than one slash is an error, as upstream's `ParseGroupVersion`.
    pub fn parse(api_version: &str) -> Result<GroupVersion, String> {
        match api_version.matches('/').count() {
            0 => Ok(GroupVersion::new("", api_version)),
            1 => {
                let (group, version) = api_version.split_once('/').unwrap_or_default();
                Ok(GroupVersion::new(group, version))
            }
            _ => Err(format!("unexpected GroupVersion string: {api_version}")),
        }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group.as_str() {
            "" => f.write_str(&self.version),
            group => write!(f, "{group}/{}", self.version),
        }
    }
}

// === impl Gvk ===

impl Gvk {
    pub fn new(group: impl Into<EcoString>, version: impl Into<EcoString>, kind: impl Into<EcoString>) -> Gvk {
        Gvk { group: group.into(), version: version.into(), kind: kind.into() }
    }

    pub fn group_version(&self) -> GroupVersion {
        GroupVersion { group: self.group.clone(), version: self.version.clone() }
    }

    /// The object's `apiVersion`.
    pub fn api_version(&self) -> String {
        self.group_version().to_string()
    }

    /// Group and kind, as validation errors name their object.
    pub fn group_kind(&self) -> GroupResource {
        GroupResource { group: self.group.clone(), resource: self.kind.clone() }
    }
}

/// As Go prints a `schema.GroupVersionKind`: `apps/v1, Kind=Deployment`.
impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

// === impl GroupResource ===

impl GroupResource {
    pub fn new(group: impl Into<EcoString>, resource: impl Into<EcoString>) -> GroupResource {
        GroupResource { group: group.into(), resource: resource.into() }
    }

    pub fn is_empty(&self) -> bool {
        self.group.is_empty() && self.resource.is_empty()
    }

    /// Whether it is a review, which reaches neither webhooks nor policies: one could keep everybody from proving who he
    /// is. Upstream: pkg/kubeapiserver/admission/exclusion.
    pub fn is_review(&self) -> bool {
        matches!(
            (self.group.as_str(), self.resource.as_str()),
            ("authentication.k8s.io", "selfsubjectreviews" | "tokenreviews")
                | (
                    "authorization.k8s.io",
                    "localsubjectaccessreviews"
                        | "selfsubjectaccessreviews"
                        | "selfsubjectrulesreviews"
                        | "subjectaccessreviews"
                )
        )
    }
}

/// `pods`, `deployments.apps`.
impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group.as_str() {
            "" => f.write_str(&self.resource),
            group => write!(f, "{}.{group}", self.resource),
        }
    }
}
