//! Rules that upstream wrote by hand for members whose markers say no more than that: one row each.

use api::Value;

/// What is wrong with a value; none when nothing is.
pub type Judge = fn(&Value) -> Option<String>;

/// By type and member.
const RULES: &[(&str, &str, Judge)] = &[
    ("io.k8s.api.core.v1.EvictionResponder", "name", not_of_kubernetes),
    ("io.k8s.api.core.v1.EvictionResponder", "priority", not_reserved),
    ("io.k8s.api.lifecycle.v1alpha1.EvictionRequestSpec", "requester", not_of_kubernetes),
];

/// Domains that are nobody else's.
const RESERVED_SUFFIXES: [&str; 2] = [".k8s.io", ".kubernetes.io"];
/// Lower priorities are those of responders with such names.
const RESERVED_PRIORITIES_MAX: i64 = 1000;

/// The rule for a member of a type.
pub fn of(kind: &str, member: &str) -> Option<Judge> {
    RULES.iter().find(|rule| (rule.0, rule.1) == (kind, member)).map(|rule| rule.2)
}

/// Upstream: `ValidateForbiddenReservedDomainSuffixes` in pkg/apis/core/v1/validation.go.
fn not_of_kubernetes(name: &Value) -> Option<String> {
    let name = name.as_str().unwrap_or_default();
    let domain = name.split('/').next().unwrap_or_default().trim().to_lowercase();
    let domain = domain.trim_end_matches('.');
    let is_reserved = |suffix: &str| domain.ends_with(suffix) || domain == suffix.trim_matches('.');
    RESERVED_SUFFIXES.iter().any(|suffix| is_reserved(suffix)).then(|| {
        let shown: Vec<String> = RESERVED_SUFFIXES.iter().map(|suffix| format!("*{suffix}")).collect();
        format!("domain names {} are reserved", shown.join(", "))
    })
}

/// Upstream: `ValidateCustom_EvictionResponder_Priority` in pkg/apis/core/v1/validation.go.
fn not_reserved(priority: &Value) -> Option<String> {
    let is_reserved = priority.as_int().is_some_and(|priority| (0..RESERVED_PRIORITIES_MAX).contains(&priority));
    is_reserved.then(|| "priorities 0-999 are reserved for responders with *.k8s.io suffix".into())
}
