//! Which names a kind's objects may have; each function is a row's `name_rule`.
//!
//! `prefix` is true for a `generateName`, whose last dash will be followed by letters. Upstream:
//! apimachinery/pkg/api/validation/name.go.

/// Upstream: `NameIsDNSSubdomain`.
pub fn dns_subdomain(name: &str, prefix: bool) -> Vec<String> {
    let _ = (name, prefix);
    Vec::new()
}
