//! rbac.authorization.k8s.io: roles, and who has them.
//!
//! Escalation (nobody may grant what they do not have) is judged where the object is written, with the authorizer at
//! hand; here is only what is wrong with the object itself. Upstream: pkg/apis/rbac/validation, pkg/registry/rbac.

#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Errors, Path},
    names as words, value,
};

use crate::{
    cells, checks, names,
    row::{AGE, Column, Context, NAME, Row, Rules, TypeDefault, Version, column, wide},
    strategy::stored,
};

const GROUP: &str = "rbac.authorization.k8s.io";

pub const ROWS: &[Row] = &[CLUSTER_ROLE_BINDING, CLUSTER_ROLE, ROLE_BINDING, ROLE];

const BASE: Row = Row { group: GROUP, create_on_update: true, name_rule: names::path_segment, ..Row::CLUSTER };

const CLUSTER_ROLE: Row = Row {
    kind: "ClusterRole",
    plural: "clusterroles",
    versions: &[Version::stable("v1", "io.k8s.api.rbac.v1.ClusterRole")],
    stored: stored(GROUP, "v1", "clusterroles"),
    columns: cells::NAME_AND_CREATED,
    rules: Rules { validate: validate_cluster_role, validate_update: validate_cluster_role_update, ..Rules::NONE },
    ..BASE
};

const ROLE: Row = Row {
    kind: "Role",
    plural: "roles",
    namespaced: true,
    versions: &[Version::stable("v1", "io.k8s.api.rbac.v1.Role")],
    stored: stored(GROUP, "v1", "roles"),
    columns: cells::NAME_AND_CREATED,
    rules: Rules {
        validate: validate_role,
        validate_update: |new, _, context| validate_role(new, context),
        ..Rules::NONE
    },
    ..BASE
};

const CLUSTER_ROLE_BINDING: Row = Row {
    kind: "ClusterRoleBinding",
    plural: "clusterrolebindings",
    versions: &[Version::stable("v1", "io.k8s.api.rbac.v1.ClusterRoleBinding")],
    stored: stored(GROUP, "v1", "clusterrolebindings"),
    columns: BINDING_COLUMNS,
    rules: Rules {
        validate: |new, _| binding(new, false),
        validate_update: |new, old, _| binding_update(new, old, false),
        ..Rules::NONE
    },
    ..BASE
};

const ROLE_BINDING: Row = Row {
    kind: "RoleBinding",
    plural: "rolebindings",
    namespaced: true,
    versions: &[Version::stable("v1", "io.k8s.api.rbac.v1.RoleBinding")],
    stored: stored(GROUP, "v1", "rolebindings"),
    columns: BINDING_COLUMNS,
    rules: Rules {
        validate: |new, _| binding(new, true),
        validate_update: |new, old, _| binding_update(new, old, true),
        ..Rules::NONE
    },
    ..BASE
};

const BINDING_COLUMNS: &[Column] = &[
    NAME,
    column("Role", "string", |b, _| format!("{}/{}", b.at("roleRef").str("kind"), b.at("roleRef").str("name")).into()),
    AGE,
    wide("Users", "string", |b, _| subjects_of(b, "User")),
    wide("Groups", "string", |b, _| subjects_of(b, "Group")),
    wide("ServiceAccounts", "string", |b, _| subjects_of(b, "ServiceAccount")),
];

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: "io.k8s.api.rbac.v1.ClusterRoleBinding", run: default_role_ref },
    TypeDefault { schema: "io.k8s.api.rbac.v1.RoleBinding", run: default_role_ref },
    TypeDefault { schema: "io.k8s.api.rbac.v1.Subject", run: default_subject },
];

fn default_role_ref(binding: &mut Value) {
    if binding.at("roleRef").str("apiGroup").is_empty() {
        binding.set_path(&["roleRef", "apiGroup"], GROUP);
    }
}

fn default_subject(subject: &mut Value) {
    if subject.str("apiGroup").is_empty() && matches!(subject.str("kind"), "User" | "Group") {
        subject.set("apiGroup", GROUP);
    }
}

/// Names of one kind, joined; service accounts with their namespace. Upstream: `SubjectsStrings`.
fn subjects_of(binding: &Value, kind: &str) -> Value {
    let name = |s: &Value| match kind {
        "ServiceAccount" => format!("{}/{}", s.str("namespace"), s.str("name")),
        _ => s.str("name").to_string(),
    };
    let subjects = binding.list("subjects").iter().filter(|s| s.str("kind") == kind);
    subjects.map(name).collect::<Vec<_>>().join(", ").into()
}

fn validate_role(role: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    policy_rules(role, true, &mut errs);
    errs
}

fn validate_cluster_role(role: &Value, _context: &Context<'_>) -> Errors {
    cluster_role(role, checks::SelectorOptions::default())
}

fn validate_cluster_role_update(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let invalid_values = selectors(old).iter().any(checks::selector_is_invalid);
    cluster_role(new, checks::SelectorOptions { invalid_values, ..Default::default() })
}

fn selectors(role: &Value) -> &[Value] {
    role.at("aggregationRule").list("clusterRoleSelectors")
}

/// Upstream: `ValidateClusterRole`.
fn cluster_role(role: &Value, options: checks::SelectorOptions) -> Errors {
    let mut errs = Errors::new();
    policy_rules(role, false, &mut errs);
    if !role.has("aggregationRule") {
        return errs;
    }
    let at = Path::new("aggregationRule").child("clusterRoleSelectors");
    if selectors(role).is_empty() {
        errs.required(&at, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for (i, selector) in selectors(role).iter().enumerate() {
        checks::label_selector(selector, options, &at.index(i), &mut errs);
        if checks::selector_is_invalid(selector) {
            errs.invalid(&at.index(i), Value::Null, "invalid label selector.");
        }
    }
    errs
}

fn policy_rules(role: &Value, namespaced: bool, errs: &mut Errors) {
    for (i, rule) in role.list("rules").iter().enumerate() {
        policy_rule(rule, namespaced, &Path::new("rules").index(i), errs);
    }
}

/// Upstream: `ValidatePolicyRule`.
fn policy_rule(rule: &Value, namespaced: bool, at: &Path, errs: &mut Errors) {
    let empty = |member: &str| rule.list(member).is_empty();
    if empty("verbs") {
        errs.required(&at.child("verbs"), "verbs must contain at least one value");
    }
    if !empty("nonResourceURLs") {
        let (urls, at) = (rule.at("nonResourceURLs"), at.child("nonResourceURLs"));
        if namespaced {
            errs.invalid(&at, urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if !(empty("apiGroups") && empty("resources") && empty("resourceNames")) {
            errs.invalid(&at, urls, "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if empty("apiGroups") {
        errs.required(&at.child("apiGroups"), "resource rules must supply at least one api group");
    }
    if empty("resources") {
        errs.required(&at.child("resources"), "resource rules must supply at least one resource");
    }
}

/// Upstream: `ValidateRoleBinding`, `ValidateClusterRoleBinding`.
fn binding(binding: &Value, namespaced: bool) -> Errors {
    let mut errs = Errors::new();
    let (role, at) = (binding.at("roleRef"), Path::new("roleRef"));
    checks::one_of(&mut errs, &at.child("apiGroup"), role.str("apiGroup"), &[GROUP]);
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    checks::one_of(&mut errs, &at.child("kind"), role.str("kind"), kinds);
    match role.str("name") {
        "" => errs.required(&at.child("name"), ""),
        name => checks::messages(&mut errs, &at.child("name"), name, words::is_valid_path_segment_name(name)),
    }
    for (i, subject) in binding.list("subjects").iter().enumerate() {
        self::subject(subject, namespaced, &Path::new("subjects").index(i), &mut errs);
    }
    errs
}

fn binding_update(new: &Value, old: &Value, namespaced: bool) -> Errors {
    let mut errs = binding(new, namespaced);
    let shown = |r: &Value| value!({"APIGroup": (r.str("apiGroup")), "Kind": (r.str("kind")), "Name": (r.str("name"))});
    checks::immutable_shown(new.at("roleRef"), old.at("roleRef"), shown, &Path::new("roleRef"), &mut errs);
    errs
}

/// Upstream: `ValidateRoleBindingSubject`.
fn subject(subject: &Value, namespaced: bool, at: &Path, errs: &mut Errors) {
    let (name, group) = (subject.str("name"), subject.str("apiGroup"));
    if name.is_empty() {
        errs.required(&at.child("name"), "");
    }
    match subject.str("kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                checks::messages(errs, &at.child("name"), name, names::dns_subdomain(name, false));
            }
            checks::one_of(errs, &at.child("apiGroup"), group, &[""]);
            if !namespaced && subject.str("namespace").is_empty() {
                errs.required(&at.child("namespace"), "");
            }
        }
        "User" | "Group" => checks::one_of(errs, &at.child("apiGroup"), group, &[GROUP]),
        kind => errs.not_supported(&at.child("kind"), kind, &["ServiceAccount", "User", "Group"]),
    }
}
