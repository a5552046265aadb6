//! Which names a kind's objects may have; each function is a row's `name_rule`.
//!
//! `prefix` is true for a `generateName`, whose last dash will be followed by letters. Upstream:
//! apimachinery/pkg/api/validation/name.go.

use api::names;

/// Upstream: `NameIsDNSSubdomain`.
pub fn dns_subdomain(name: &str, prefix: bool) -> Vec<String> {
    names::dns1123_subdomain(&masked(name, prefix))
}

/// The same where what a name is drawn from is not looked at. Upstream: `ValidateObjectMetaWithOpts`.
pub fn drawn_dns_subdomain(name: &str, prefix: bool) -> Vec<String> {
    if prefix { Vec::new() } else { dns_subdomain(name, false) }
}

/// Upstream: `NameIsDNSLabel`.
pub fn dns_label(name: &str, prefix: bool) -> Vec<String> {
    names::dns1123_label(&masked(name, prefix))
}

/// Upstream: `NameIsDNS1035Label`.
pub fn dns1035_label(name: &str, prefix: bool) -> Vec<String> {
    names::dns1035_label(&masked(name, prefix))
}

/// Anything that can stand as one segment of a path. Upstream: `ValidateRBACName`.
pub fn path_segment(name: &str, _prefix: bool) -> Vec<String> {
    names::is_valid_path_segment_name(name)
}

/// Upstream cuts two bytes where it masks the last dash; a name that ends in `.-` is therefore judged as it is there.
fn masked(name: &str, prefix: bool) -> String {
    match name.len().checked_sub(2).and_then(|end| name.get(..end)) {
        Some(head) if prefix && name.ends_with('-') => format!("{head}a"),
        _ => name.into(),
    }
}
