//! admissionregistration.k8s.io: who may change or refuse requests beside the server.
//!
//! Whether the user may read what a policy takes as its parameters is not judged here.
//! Upstream: pkg/apis/admissionregistration/validation, pkg/registry/admissionregistration.

mod hook;
mod policy;
mod rule;
#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Errors, Path, quote},
};

use crate::{
    cells,
    row::{AGE, Column, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column},
    strategy::{SPEC, drop_status, keep_status, stored, text},
};

const GROUP: &str = "admissionregistration.k8s.io";
const STATIC_SUFFIX: &str = ".static.k8s.io";

pub const ROWS: &[Row] =
    &[MUTATING_POLICY, MUTATING_BINDING, MUTATING_WEBHOOKS, VALIDATING_POLICY, VALIDATING_BINDING, VALIDATING_WEBHOOKS];

const BASE: Row = Row {
    group: GROUP,
    categories: &["api-extensions"],
    unconditional_update: false,
    generation: SPEC,
    ..Row::CLUSTER
};

const MUTATING_WEBHOOKS: Row = Row {
    kind: "MutatingWebhookConfiguration",
    plural: "mutatingwebhookconfigurations",
    versions: &[Version::stable("v1", "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration")],
    stored: stored(GROUP, "v1", "mutatingwebhookconfigurations"),
    ..WEBHOOKS
};

const VALIDATING_WEBHOOKS: Row = Row {
    kind: "ValidatingWebhookConfiguration",
    plural: "validatingwebhookconfigurations",
    versions: &[Version::stable("v1", "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration")],
    stored: stored(GROUP, "v1", "validatingwebhookconfigurations"),
    ..WEBHOOKS
};

const WEBHOOKS: Row = Row {
    generation: crate::row::Generation::WhenWritten(&["webhooks"]),
    columns: &[NAME, column("Webhooks", "integer", |c, _| c.list("webhooks").len().into()), AGE],
    rules: Rules {
        validate: |new, _| with_static_name(new, hook::validate(new, &hook::Options::STRICT)),
        validate_update: |new, old, _| hook::validate(new, &hook::Options::of(new, old)),
        warn: |new, old| {
            let mut warnings = if old.is_some() { static_name_warning(new) } else { Vec::new() };
            warnings.extend(hook::warn(new));
            warnings
        },
        ..Rules::NONE
    },
    ..BASE
};

const VALIDATING_POLICY: Row = Row {
    kind: "ValidatingAdmissionPolicy",
    plural: "validatingadmissionpolicies",
    versions: &[Version::stable("v1", "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy")],
    stored: stored(GROUP, "v1", "validatingadmissionpolicies"),
    subresources: &[Subresource::Status(StatusRules {
        validate: |new, _, _| policy::validate_status(new),
        ..StatusRules::STATUS_ONLY
    })],
    reset: &["status"],
    columns: &[
        NAME,
        column("Validations", "integer", |p, _| p.at("spec").list("validations").len().into()),
        PARAM_KIND,
        AGE,
    ],
    rules: Rules {
        prepare_create: drop_status,
        prepare_update: keep_status,
        validate: |new, _| with_static_name(new, policy::validate_validating(new, &policy::Stored::default())),
        validate_update: |new, old, _| policy::validate_validating(new, &policy::Stored::of(new, old)),
        ..POLICY_RULES
    },
    ..BASE
};

/// Policies and bindings warn of a name that can only be there from before.
const POLICY_RULES: Rules =
    Rules { warn: |new, old| if old.is_some() { static_name_warning(new) } else { Vec::new() }, ..Rules::NONE };

const VALIDATING_BINDING: Row = Row {
    kind: "ValidatingAdmissionPolicyBinding",
    plural: "validatingadmissionpolicybindings",
    versions: &[Version::stable("v1", "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding")],
    stored: stored(GROUP, "v1", "validatingadmissionpolicybindings"),
    columns: BINDING_COLUMNS,
    rules: Rules {
        validate: |new, _| with_static_name(new, policy::validate_validating_binding(new)),
        validate_update: |new, _, _| policy::validate_validating_binding(new),
        ..POLICY_RULES
    },
    ..BASE
};

const MUTATING_POLICY: Row = Row {
    kind: "MutatingAdmissionPolicy",
    plural: "mutatingadmissionpolicies",
    versions: &[
        Version::stable("v1", "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy"),
        Version {
            lifecycle: (34, 37, 40),
            replacement: "admissionregistration.k8s.io/v1 MutatingAdmissionPolicy",
            ..Version::off("v1beta1", "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicy")
        },
        Version {
            lifecycle: (32, 35, 38),
            ..Version::off("v1alpha1", "io.k8s.api.admissionregistration.v1alpha1.MutatingAdmissionPolicy")
        },
    ],
    stored: stored(GROUP, "v1", "mutatingadmissionpolicies"),
    columns: &[
        NAME,
        column("Mutations", "integer", |p, _| p.at("spec").list("mutations").len().into()),
        PARAM_KIND,
        AGE,
    ],
    rules: Rules {
        validate: |new, _| with_static_name(new, policy::validate_mutating(new, &policy::Stored::default())),
        validate_update: |new, old, _| policy::validate_mutating(new, &policy::Stored::of(new, old)),
        ..POLICY_RULES
    },
    ..BASE
};

const MUTATING_BINDING: Row = Row {
    kind: "MutatingAdmissionPolicyBinding",
    plural: "mutatingadmissionpolicybindings",
    versions: &[
        Version::stable("v1", "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding"),
        Version {
            lifecycle: (34, 37, 40),
            replacement: "admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding",
            ..Version::off("v1beta1", "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicyBinding")
        },
        Version {
            lifecycle: (32, 35, 38),
            ..Version::off("v1alpha1", "io.k8s.api.admissionregistration.v1alpha1.MutatingAdmissionPolicyBinding")
        },
    ],
    stored: stored(GROUP, "v1", "mutatingadmissionpolicybindings"),
    columns: BINDING_COLUMNS,
    rules: Rules {
        validate: |new, _| with_static_name(new, policy::validate_mutating_binding(new)),
        validate_update: |new, _, _| policy::validate_mutating_binding(new),
        ..POLICY_RULES
    },
    ..BASE
};

const PARAM_KIND: Column = column("ParamKind", "string", |p, _| {
    let kind = p.at("spec").at("paramKind");
    if kind.is_null() { cells::UNSET.into() } else { format!("{}/{}", kind.str("apiVersion"), kind.str("kind")).into() }
});

const BINDING_COLUMNS: &[Column] = &[
    NAME,
    column("PolicyName", "string", |b, _| text(b, &["spec", "policyName"])),
    column("ParamRef", "string", |b, _| param_ref(b.at("spec").at("paramRef"))),
    AGE,
];

/// The parameter by its name, any namespace as `*`; a selector in the form of its protobuf type.
fn param_ref(reference: &Value) -> Value {
    match (reference.str("name"), reference.str("namespace")) {
        ("", _) if reference.has("selector") => selector_text(reference.at("selector")).into(),
        ("", _) => cells::UNSET.into(),
        (name, "") => format!("*/{name}").into(),
        (name, namespace) => format!("{namespace}/{name}").into(),
    }
}

/// Upstream: the generated `LabelSelector.String`.
fn selector_text(selector: &Value) -> String {
    let mut labels: Vec<String> = selector.strings("matchLabels").map(|(k, v)| format!("{k}: {v},")).collect();
    labels.sort();
    let expressions: Vec<String> = selector
        .list("matchExpressions")
        .iter()
        .map(|e| {
            let values = cells::join(e.list("values"), " ");
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},",
                e.str("key"),
                e.str("operator")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{}}},MatchExpressions:[]LabelSelectorRequirement{{{}}},}}",
        labels.concat(),
        expressions.concat()
    )
}

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: "io.k8s.api.admissionregistration.v1.ValidatingWebhook", run: hook::default },
    TypeDefault { schema: "io.k8s.api.admissionregistration.v1.MutatingWebhook", run: hook::default_mutating },
    TypeDefault { schema: "io.k8s.api.admissionregistration.v1.RuleWithOperations", run: rule::default_scope },
    TypeDefault { schema: "io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", run: rule::default_scope },
    TypeDefault {
        schema: "io.k8s.api.admissionregistration.v1beta1.NamedRuleWithOperations",
        run: rule::default_scope,
    },
    TypeDefault {
        schema: "io.k8s.api.admissionregistration.v1alpha1.NamedRuleWithOperations",
        run: rule::default_scope,
    },
    TypeDefault {
        schema: "io.k8s.api.admissionregistration.v1.ServiceReference",
        run: |reference| {
            reference.default("port", 443);
        },
    },
    TypeDefault { schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec", run: default_failure },
    TypeDefault { schema: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicySpec", run: default_failure },
    TypeDefault {
        schema: "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicySpec",
        run: default_failure,
    },
    TypeDefault {
        schema: "io.k8s.api.admissionregistration.v1alpha1.MutatingAdmissionPolicySpec",
        run: default_failure,
    },
    TypeDefault { schema: "io.k8s.api.admissionregistration.v1.MatchResources", run: rule::default_match },
    TypeDefault { schema: "io.k8s.api.admissionregistration.v1beta1.MatchResources", run: rule::default_match },
    TypeDefault { schema: "io.k8s.api.admissionregistration.v1alpha1.MatchResources", run: rule::default_match },
    TypeDefault {
        schema: "io.k8s.api.admissionregistration.v1alpha1.ParamRef",
        run: |reference| {
            reference.default("parameterNotFoundAction", "Deny");
        },
    },
];

fn default_failure(spec: &mut Value) {
    spec.default("failurePolicy", "Fail");
}

fn static_name_text() -> String {
    let suffix = quote(STATIC_SUFFIX);
    format!(
        "names ending with {suffix} are reserved for static manifest-based configurations and cannot be managed via the API"
    )
}

/// Names that only files of the server may have.
fn with_static_name(new: &Value, mut errs: Errors) -> Errors {
    let name = api::meta::of(new).name();
    if name.ends_with(STATIC_SUFFIX) {
        errs.invalid(&Path::new("metadata").child("name"), name, static_name_text());
    }
    errs
}

fn static_name_warning(new: &Value) -> Vec<String> {
    let ends = api::meta::of(new).name().ends_with(STATIC_SUFFIX);
    if ends { vec![format!("metadata.name: {}", static_name_text())] } else { Vec::new() }
}
