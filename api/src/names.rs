//! What a name, a label, a key or a port may look like, in upstream's words.
//!
//! Each function returns what is wrong, nothing when all is well. The scans are written by hand: they run on every label
//! of every object. Upstream: apimachinery/pkg/util/validation and pkg/api/validate/content.

pub mod format;
pub mod ip;
#[cfg(test)]
mod tests;

pub use ip::{
    cidr_warnings, ip_warnings, parse_cidr, parse_ip, valid_cidr, valid_cidr_legacy, valid_interface_address, valid_ip,
    valid_ip_legacy,
};

use crate::field::{Errors, Path};

pub const DNS1123_LABEL_LEN_MAX: usize = 63;
pub const DNS1123_SUBDOMAIN_LEN_MAX: usize = 253;
pub const DNS1035_LABEL_LEN_MAX: usize = 63;
pub const LABEL_VALUE_LEN_MAX: usize = 63;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_UNDERSCORE: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const UNDERSCORE_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
const WILDCARD_RULE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
const DNS1035_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY_RULE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const HTTP_PATH: &str = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
const ENV_RULE: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit";
const RELAXED_ENV_RULE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";

// --- names and labels

pub fn dns1123_label(value: &str) -> Vec<String> {
    label(value, "characters")
}

pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    subdomain(value, "characters")
}

pub fn dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    let mut errors = too_long(value, DNS1123_SUBDOMAIN_LEN_MAX, "characters");
    if !value.split('.').all(is_label_with_underscore) {
        let regex = format!("{LABEL_UNDERSCORE}(\\.{LABEL_UNDERSCORE})*");
        errors.push(regex_error(UNDERSCORE_RULE, &regex, &["example.com"]));
    }
    errors
}

pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = too_long(value, DNS1123_SUBDOMAIN_LEN_MAX, "characters");
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        let regex = format!("\\*\\.{}", subdomain_regex());
        errors.push(regex_error(WILDCARD_RULE, &regex, &["*.example.com"]));
    }
    errors
}

pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut errors = too_long(value, DNS1035_LABEL_LEN_MAX, "characters");
    if !(is_label(value) && value.as_bytes()[0].is_ascii_lowercase()) {
        errors.push(regex_error(DNS1035_RULE, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    errors
}

/// A label's key: `name` or `prefix/name`. Upstream: `IsQualifiedName`, `content.IsLabelKey`.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            let rule = regex_error(KEY_RULE, KEY, &["MyName", "my.name", "123-abc"]);
            let shape = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {rule} {shape}")];
        }
        Some((prefix, name)) => {
            match prefix {
                "" => errors.push("prefix part must be non-empty".into()),
                _ => errors.extend(subdomain(prefix, "bytes").into_iter().map(|e| format!("prefix part {e}"))),
            }
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".into());
    } else if name.len() > LABEL_VALUE_LEN_MAX {
        errors.push(format!("name part {}", max_len_error(LABEL_VALUE_LEN_MAX, "bytes")));
    }
    if !is_key(name) {
        errors.push(format!("name part {}", regex_error(KEY_RULE, KEY, &["MyName", "my.name", "123-abc"])));
    }
    errors
}

pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = too_long(value, LABEL_VALUE_LEN_MAX, "bytes");
    if !(value.is_empty() || is_key(value)) {
        errors.push(regex_error(LABEL_VALUE_RULE, &format!("({KEY})?"), &["MyValue", "my_value", "12345"]));
    }
    errors
}

pub fn is_valid_path_segment_name(name: &str) -> Vec<String> {
    match name {
        "." | ".." => vec![format!("may not be '{name}'")],
        _ => is_valid_path_segment_prefix(name),
    }
}

pub fn is_valid_path_segment_prefix(name: &str) -> Vec<String> {
    ["/", "%"].iter().filter(|bad| name.contains(**bad)).map(|bad| format!("may not contain '{bad}'")).collect()
}

// --- identifiers and keys

pub fn c_identifier(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let good = bytes.first().is_some_and(|b| !b.is_ascii_digit())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let rule = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
    unless(good, || regex_error(rule, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"]))
}

pub fn env_var_name(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let good = bytes.first().is_some_and(|b| !b.is_ascii_digit()) && bytes.iter().all(is_config_byte);
    let examples = ["my.env-name", "MY_ENV.NAME", "MyEnvName1"];
    let mut errors = unless(good, || regex_error(ENV_RULE, "[-._a-zA-Z][-._a-zA-Z0-9]*", &examples));
    errors.extend(parent_prefix(value));
    errors
}

/// Upstream: `IsRelaxedEnvVarName`, in force since relaxed names are generally available.
pub fn relaxed_env_var_name(value: &str) -> Vec<String> {
    let mut errors = unless(!value.is_empty(), || "environment variable name must be non-empty".into());
    if !value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        errors.push(RELAXED_ENV_RULE.into());
    }
    errors
}

pub fn config_map_key(value: &str) -> Vec<String> {
    let mut errors = too_long(value, DNS1123_SUBDOMAIN_LEN_MAX, "characters");
    if value.is_empty() || !value.as_bytes().iter().all(is_config_byte) {
        let rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        errors.push(regex_error(rule, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    errors.extend(parent_prefix(value));
    errors
}

pub fn http_header_name(value: &str) -> Vec<String> {
    let good = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let rule = "a valid HTTP header must consist of alphanumeric characters or '-'";
    unless(good, || regex_error(rule, "[-A-Za-z0-9]+", &["X-Header-Name"]))
}

pub fn percent(value: &str) -> Vec<String> {
    let good = value.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let rule = "a valid percent string must be a numeric string followed by an ending '%'";
    unless(good, || regex_error(rule, "[0-9]+%", &["1%", "93%"]))
}

// --- numbers

pub fn port_num(port: i64) -> Vec<String> {
    in_range(port, 1, 65535)
}

pub fn in_range(value: i64, min: i64, max: i64) -> Vec<String> {
    unless((min..=max).contains(&value), || inclusive_range_error(min, max))
}

pub fn group_id(gid: i64) -> Vec<String> {
    in_range(gid, 0, i32::MAX.into())
}

pub fn user_id(uid: i64) -> Vec<String> {
    in_range(uid, 0, i32::MAX.into())
}

pub fn port_name(port: &str) -> Vec<String> {
    let bytes = port.as_bytes();
    let allowed = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let mut errors = too_long(port, 15, "characters");
    if bytes.is_empty() || !bytes.iter().all(allowed) {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !bytes.iter().any(u8::is_ascii_lowercase) {
        errors.push("must contain at least one letter (a-z)".into());
    }
    if port.contains("--") {
        errors.push("must not contain consecutive hyphens".into());
    }
    if port.starts_with('-') || port.ends_with('-') {
        errors.push("must not begin or end with a hyphen".into());
    }
    errors
}

// --- names with a domain

/// Upstream: `IsFullyQualifiedName`.
pub fn fully_qualified_name(at: &Path, name: &str) -> Errors {
    domain_of(at, name, 3, "should be a domain with at least three segments separated by dots")
}

/// Upstream: `IsFullyQualifiedDomainName`; a dot at the end is taken.
pub fn fully_qualified_domain_name(at: &Path, name: &str) -> Errors {
    if name.is_empty() {
        return required(at);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut errors = Errors::new();
    let wrong = dns1123_subdomain(name);
    if !wrong.is_empty() {
        errors.invalid(at, name, wrong.join(","));
    } else if name.split('.').count() < 2 {
        errors.invalid(at, name, "should be a domain with at least two segments separated by dots");
    } else if let Some((label, wrong)) = name.split('.').map(|l| (l, dns1123_label(l))).find(|(_, w)| !w.is_empty()) {
        errors.invalid(at, label, wrong.join(","));
    }
    errors
}

/// Upstream: `IsDomainPrefixedPath`: `acme.io/foo`.
pub fn domain_prefixed_path(at: &Path, text: &str) -> Errors {
    if text.is_empty() {
        return required(at);
    }
    let mut errors = Errors::new();
    let Some((host, path)) = text.split_once('/').filter(|(h, p)| !h.is_empty() && !p.is_empty()) else {
        errors.invalid(at, text, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return errors;
    };
    for wrong in dns1123_subdomain(host) {
        errors.invalid(at, host, wrong);
    }
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
        errors.invalid(at, path, regex_error("Invalid path", HTTP_PATH, &[]));
    }
    errors
}

/// Upstream: `IsDomainPrefixedKey`.
pub fn domain_prefixed_key(at: &Path, key: &str) -> Errors {
    if key.is_empty() {
        return required(at);
    }
    let mut errors = Errors::new();
    for wrong in qualified_name(key) {
        errors.invalid(at, key, wrong);
    }
    if errors.is_empty() && !key.contains('/') {
        errors.invalid(at, key, "must be a domain-prefixed key (such as \"acme.io/foo\")");
    }
    errors
}

/// A sysctl's name with dots as separators: `net/ipv4/conf/eth0.100/x` is `net.ipv4.conf.eth0/100.x`. The first separator
/// says which is meant, and the other one belongs to the names. Upstream: component-helpers NormalizeName.
pub fn dotted_sysctl(name: &str) -> String {
    let swapped = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('/') => name.chars().map(swapped).collect(),
        _ => name.to_owned(),
    }
}

// --- the texts

/// Upstream: `MaxLenError` of util/validation.
pub fn max_len_error(len: usize, unit: &str) -> String {
    format!("must be no more than {len} {unit}")
}

/// Upstream: `RegexError`.
pub fn regex_error(rule: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{rule} (regex used for validation is '{regex}')");
    }
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{rule} (e.g. {}regex used for validation is '{regex}')", examples.join(" or "))
}

pub fn inclusive_range_error(min: i64, max: i64) -> String {
    format!("must be between {min} and {max}, inclusive")
}

// --- scans

fn label(value: &str, unit: &str) -> Vec<String> {
    let mut errors = too_long(value, DNS1123_LABEL_LEN_MAX, unit);
    if !is_label(value) {
        let dotted = is_subdomain(value);
        errors.push(if dotted {
            "must not contain dots".into()
        } else {
            regex_error(LABEL_RULE, LABEL, &["my-name", "123-abc"])
        });
    }
    errors
}

fn subdomain(value: &str, unit: &str) -> Vec<String> {
    let mut errors = too_long(value, DNS1123_SUBDOMAIN_LEN_MAX, unit);
    if !is_subdomain(value) {
        errors.push(regex_error(SUBDOMAIN_RULE, &subdomain_regex(), &["example.com"]));
    }
    errors
}

fn subdomain_regex() -> String {
    format!("{LABEL}(\\.{LABEL})*")
}

fn is_label(value: &str) -> bool {
    let bytes = value.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    !bytes.is_empty() && bytes.iter().all(inner) && bytes[0] != b'-' && bytes[bytes.len() - 1] != b'-'
}

fn is_label_with_underscore(value: &str) -> bool {
    let bytes = value.strip_prefix('_').unwrap_or(value).as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-' || *b == b'_';
    let edge = |b: u8| b != b'-' && b != b'_';
    !bytes.is_empty() && bytes.iter().all(inner) && edge(bytes[0]) && edge(bytes[bytes.len() - 1])
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

fn is_key(value: &str) -> bool {
    let bytes = value.as_bytes();
    let edge = |b: u8| b.is_ascii_alphanumeric();
    !bytes.is_empty() && bytes.iter().all(is_config_byte) && edge(bytes[0]) && edge(bytes[bytes.len() - 1])
}

fn is_config_byte(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

fn too_long(value: &str, max: usize, unit: &str) -> Vec<String> {
    unless(value.len() <= max, || max_len_error(max, unit))
}

fn unless(good: bool, error: impl FnOnce() -> String) -> Vec<String> {
    if good { Vec::new() } else { vec![error()] }
}

/// Names that a file system would read as a way up. Upstream: `hasChDirPrefix`.
fn parent_prefix(value: &str) -> Option<String> {
    match value {
        "." | ".." => Some(format!("must not be '{value}'")),
        _ if value.starts_with("..") => Some("must not start with '..'".into()),
        _ => None,
    }
}

fn required(at: &Path) -> Errors {
    let mut errors = Errors::new();
    errors.required(at, "");
    errors
}

fn domain_of(at: &Path, name: &str, segments_min: usize, too_few: &str) -> Errors {
    if name.is_empty() {
        return required(at);
    }
    let mut errors = Errors::new();
    let wrong = dns1123_subdomain(name);
    if !wrong.is_empty() {
        errors.invalid(at, name, wrong.join(","));
    } else if name.split('.').count() < segments_min {
        errors.invalid(at, name, too_few);
    }
    errors
}
