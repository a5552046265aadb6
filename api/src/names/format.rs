//! The formats that declared facts name (`+k8s:format=…`); they count bytes where the older rules say characters.
//!
//! Upstream: apimachinery/pkg/api/validate/content.

use super::{
    DNS1123_SUBDOMAIN_LEN_MAX, SUBDOMAIN_RULE, is_subdomain, label, regex_error, subdomain, subdomain_regex, too_long,
};

pub fn dns1123_label(value: &str) -> Vec<String> {
    label(value, "bytes")
}

pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    subdomain(value, "bytes")
}

pub fn dns1123_subdomain_caseless(value: &str) -> Vec<String> {
    let mut errors = too_long(value, DNS1123_SUBDOMAIN_LEN_MAX, "bytes");
    if !is_subdomain(&value.to_ascii_lowercase()) {
        let rule = SUBDOMAIN_RULE.replace("a lowercase RFC", "an RFC").replace("lower case ", "");
        errors.push(regex_error(&rule, &subdomain_regex(), &["Example.com"]));
    }
    errors
}

/// Upstream: `IsPrefixedLabelKey`.
pub fn prefixed_label_key(value: &str) -> Vec<String> {
    let errors = super::qualified_name(value);
    if errors.is_empty() && !value.contains('/') {
        return vec!["must include a prefix (e.g. 'example.com/key')".into()];
    }
    errors
}

/// An integer as people write it: no plus, no leading zeros. Upstream: `IsDecimalInteger`.
pub fn decimal_integer(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec!["must be non-empty".into()];
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if value == "0" || plain { Vec::new() } else { vec!["must be a valid decimal integer in canonical form".into()] }
}
